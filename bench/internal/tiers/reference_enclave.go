package tiers

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/valyala/fastjson"

	"redoubt/wire/kit/sealed"
)

// The reference's stand-in is what hot requests are measured against: a parent and an enclave that do, for each
// request, what the reference (the AWS sample that Redoubt succeeds) does, and no more.
//
// The parent parses HTTP JSON, checks it, puts it with credentials into a JSON document, connects to the enclave, sends
// it in a frame of eight bytes of length (little endian) and the document, reads such a frame, parses it, answers and
// closes. The enclave parses, opens, writes JSON and closes. Both are built of the fastest parts at hand, the same as
// Redoubt's own (fasthttp, fastjson, package sealed), and keep the same caches of keys and contexts, which the
// reference has not: so the difference is that of the protocol. With a KMS wait, the enclave waits for so long for each
// request, as the reference does for KMS's answer, at no cost of CPU.
//
// It is a stand-in: Redoubt's parent and engine themselves are not reachable from here, and the reference's, in another
// language, is not the same parent. It does less than either per request (no admission, no limits, no wiping, no
// metrics), which makes it the harder thing to beat.

// These are roles of child processes.
const (
	enclaveRole = "reference-enclave"
	parentRole  = "reference-parent"
)

// maxFrame is the reference's limit of a frame, in bytes.
const maxFrame = 10 << 20

// enclaveConfig is what an enclave's process is told. The keys are those of a sample corpus, and are passed through a
// pipe.
type enclaveConfig struct {
	Socket   string            `json:"socket"`
	Suite    sealed.Suite      `json:"suite"`
	Encoding sealed.Encoding   `json:"encoding"`
	Keys     map[string][]byte `json:"keys"` // base64 of the wrapped key to PKCS #8
	KMSWait  time.Duration     `json:"kms_wait"`
}

// enclave answers one request on each connection.
type enclave struct {
	config   enclaveConfig
	keys     map[string]*sealed.PrivateKey
	contexts sync.Map // wrapped key and enc, to sealed.Context
	parsers  fastjson.ParserPool
	buffers  sync.Pool
}

var errRequest = errors.New("malformed request")

// serveEnclave is the child: it listens and returns.
func serveEnclave(c enclaveConfig) (string, error) {
	e := &enclave{config: c, keys: make(map[string]*sealed.PrivateKey)}
	e.buffers.New = func() any { return new([]byte) }
	for wrapped, der := range c.Keys {
		key, err := sealed.ParsePrivateKey(c.Suite, der)
		if err != nil {
			return "", err
		}
		e.keys[wrapped] = key
	}
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", c.Socket)
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go e.serve(c)
		}
	}()
	return "ready", nil
}

func (e *enclave) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	buffer := e.buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer e.buffers.Put(buffer)
	frame, err := readFrame(c, buffer)
	if err != nil {
		return
	}
	if e.config.KMSWait > 0 {
		<-time.After(e.config.KMSWait)
	}
	p := e.parsers.Get()
	defer e.parsers.Put(p)
	answer, err := e.answer(p, frame)
	if err != nil {
		answer = append(startFrame(nil), `{"errors":["failed"]}`...)
	}
	_, _ = c.Write(endFrame(answer)) // the caller's side sees what fails
}

func (e *enclave) answer(p *fastjson.Parser, frame []byte) ([]byte, error) {
	v, err := p.ParseBytes(frame)
	if err != nil {
		return nil, err
	}
	request := v.Get("request")
	fields := request.GetObject("fields")
	if fields == nil || len(v.GetStringBytes("credential", "AccessKeyId")) == 0 {
		return nil, errRequest
	}
	vault, wrapped := request.GetStringBytes("vault_id"), request.GetStringBytes("encrypted_private_key")
	answer := append(startFrame(make([]byte, 0, 512)), `{"fields":{`...)
	fields.Visit(func(name []byte, value *fastjson.Value) {
		if err == nil {
			answer, err = e.open(answer, vault, wrapped, name, value.GetStringBytes())
		}
	})
	return append(bytes.TrimSuffix(answer, []byte{','}), `},"errors":[]}`...), err
}

func (e *enclave) open(answer, vault, wrapped, name, value []byte) ([]byte, error) {
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(value)))
	n, err := base64.StdEncoding.Decode(raw, value)
	if err != nil {
		return answer, err
	}
	blob, err := sealed.ParseBlob(e.config.Suite, e.config.Encoding, raw[:n])
	if err != nil {
		return answer, err
	}
	id := string(wrapped) + string(blob.Enc)
	cached, ok := e.contexts.Load(id)
	if !ok {
		key := e.keys[string(wrapped)]
		if key == nil {
			return answer, errRequest
		}
		c, err := key.Derive(make([]byte, sealed.ContextSize), vault, blob.Enc)
		if err != nil {
			return answer, err
		}
		cached, _ = e.contexts.LoadOrStore(id, c)
	}
	plain, err := cached.(sealed.Context).Open(nil, name, blob) //nolint:forcetypeassert // it holds nothing else
	if err != nil {
		return answer, err
	}
	answer = appendString(answer, name)
	answer = append(answer, ':')
	return append(appendString(answer, plain), ','), nil
}

// appendString writes a JSON string.
func appendString(dst, s []byte) []byte {
	var a fastjson.Arena
	return a.NewStringBytes(s).MarshalTo(dst)
}

func startFrame(b []byte) []byte { return append(b[:0], 0, 0, 0, 0, 0, 0, 0, 0) }

func endFrame(b []byte) []byte {
	binary.LittleEndian.PutUint64(b, uint64(len(b)-8))
	return b
}

// readFrame reads a frame into a buffer that it grows.
func readFrame(r io.Reader, buffer *[]byte) ([]byte, error) {
	var h [8]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(h[:])
	if n > maxFrame {
		return nil, errRequest
	}
	if uint64(cap(*buffer)) < n {
		*buffer = make([]byte, n)
	}
	_, err := io.ReadFull(r, (*buffer)[:n])
	return (*buffer)[:n], err
}
