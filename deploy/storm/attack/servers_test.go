//go:build attack

package attack

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"redoubt/deploy/local/testkit"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/kms"
	"redoubt/wire/parentapi"
	"redoubt/wire/yamuxframe"
)

// hostile is a server that product programs ask. While no attack has armed it, it serves plainly.
type hostile struct {
	ln    net.Listener
	armed atomic.Pointer[arena]
	next  atomic.Int64
	name  string
	serve func(h *hostile, g *gen, conn net.Conn)
}

// startHostile listens, and serves each connection with a generator: nil while it is not armed.
func startHostile(t *testing.T, name, network, address string, serve func(h *hostile, g *gen, conn net.Conn)) *hostile {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	h := &hostile{ln: ln, name: name, serve: serve}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
				h.serve(h, h.gen(), conn)
			}()
		}
	}()
	return h
}

func (h *hostile) address() string { return h.ln.Addr().String() }

// gen is the generator of the next answer; nil while the server is not armed.
func (h *hostile) gen() *gen {
	if h.armed.Load() == nil {
		return nil
	}
	return newGen(run().seed, h.name, int(h.next.Add(1)))
}

func (h *hostile) note(b []byte) {
	if a := h.armed.Load(); a != nil {
		a.note(b)
	}
}

// answer writes an HTTP answer, each part of which may be another.
func (g *gen) answer(status int, kind string, body []byte) []byte {
	if g.hit() {
		status = pick(g, 100, 101, 103, 199, 200, 204, 206, 301, 302, 304, 400, 401, 403, 404, 429, 500, 503, 599, 999)
	}
	lines := []string{"Date: " + time.Now().UTC().Format(http.TimeFormat), "Content-Type: " + kind, "Content-Length: " + strconv.FormatUint(g.num(uint64(len(body)), 1<<20), 10)}
	if g.oneIn(5) {
		lines = append(lines, pick(g, "Date: Mon, 02 Jan 2006 15:04:05 GMT", "X-Amzn-Errortype: ThrottlingException", "Location: http://127.0.0.1:1/",
			"Retry-After: 99999999999", "X-Amz-Crc32: 1", "Content-Encoding: gzip", "Transfer-Encoding: chunked", "Connection: close",
			"Set-Cookie: "+strings.Repeat("a", 1<<g.IntN(17)), "X-Amzn-Query-Error: a;b", "X-Amz-Ec2-Metadata-Token-Ttl-Seconds: 21600"))
	}
	out := []byte(g.text(fmt.Sprintf("HTTP/1.1 %d Answer\r\n", status)))
	if g.oneIn(30) { // answers before the answer
		out = append([]byte(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1<<g.IntN(10))), out...)
	}
	for _, l := range order(g, lines) {
		out = append(out, g.text(l)+"\r\n"...)
	}
	return append(append(out, "\r\n"...), body...)
}

// asked reads requests from a connection and writes the answers of respond until one of the sides has enough.
func (h *hostile) asked(g *gen, conn net.Conn, respond func(g *gen, q *http.Request, body []byte) []byte) {
	from := bufio.NewReader(conn)
	for {
		q, err := http.ReadRequest(from)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(io.LimitReader(q.Body, 1<<20))
		_ = q.Body.Close()
		if g == nil {
			g = h.gen()
		}
		out := respond(g, q, body)
		h.note(out)
		if g == nil {
			if _, err := conn.Write(out); err != nil {
				return
			}
			continue
		}
		if send(context.Background(), g, conn, [][]byte{out}) != nil || g.oneIn(6) {
			return
		}
		g = nil
	}
}

// enclaveSays gives what a hostile enclave says to a parent.
func (r *rig) enclaveSays(g *gen) [][]byte {
	p := readProtocol()
	pong := wire.Pong{Health: wire.HealthReady | wire.HealthKMS, ClockMS: time.Now().UnixMilli()}
	pieces := [][]byte{g.stream(yamuxframe.ACK, 1, g.hello(0))}
	for id := range uint64(g.IntN(6)) {
		pieces = append(pieces, g.stream(0, 1, g.frame(pick(g, wire.KindPong, wire.KindAck), id+1, pong.Append(nil))))
	}
	for range g.IntN(24) {
		switch g.IntN(6) {
		case 0, 1:
			pieces = append(pieces, g.stream(0, 1, p.any(g, uint64(g.IntN(12)), p.names...)))
		case 2, 3:
			pieces = append(pieces, g.stream(0, pick[uint32](g, 3, 5, 7), p.any(g, uint64(g.IntN(12)), "KindDecrypted", "KindDecrypted", "KindError", pick(g, p.names...))))
		case 4: // egress
			target := g.text(pick(g, r.Addresses.KMSTLS, "169.254.169.254:80", "localhost:22", "a:b:c", "[::1]:1", strings.Repeat("a", 259)+":1"))
			head := binary.BigEndian.AppendUint16(preamble(pick(g, p.streams...)), uint16(g.num(uint64(len(target)), wire.MaxHostPort)))
			binary.LittleEndian.PutUint16(head[4:], uint16(g.num(uint64(len(target)), wire.MaxHostPort)))
			pieces = append(pieces, g.stream(yamuxframe.SYN, uint32(2+2*g.IntN(40)), head, []byte(target), g.random(g.IntN(2000))))
		default:
			pieces = append(pieces, g.noise(pick[uint32](g, 1, 3, 5)))
		}
	}
	return order(g, pieces)
}

// plain says what it must to be asked again.
func (r *rig) hostileEnclave(h *hostile, g *gen, conn net.Conn) {
	if g == nil {
		_, _ = io.CopyN(io.Discard, conn, 12)
		return
	}
	if !g.oneIn(4) {
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, _ = conn.Read(make([]byte, 4096))
	}
	a := h.armed.Load()
	if a == nil {
		return
	}
	if _, err := a.speakOn(context.Background(), g, conn, r.enclaveSays(g)); err != nil {
		a.find(err)
	}
}

// TestAttackParentFromBelow is a hostile enclave beneath a parent.
func TestAttackParentFromBelow(t *testing.T) {
	r := shared.get(t)
	socket := filepath.Join(r.state, "hostile.sock")
	enclave := startHostile(t, "hostile enclave", "unix", socket, r.hostileEnclave)
	listen, metrics, args := r.parentArgs(t, socket)
	args = append(args, "--credentials", "static", "--static-credentials-file", filepath.Join(r.state, "credentials.json"),
		"--sessions", "8", "--retry-max", "20ms", "--ping-every", "100ms", "--request-timeout", "500ms")
	r.add(t, "parent over a hostile enclave", "parent", nil, args, func(ctx context.Context) error {
		return r.call(ctx, http.MethodGet, "http://"+listen+"/health", nil, nil)
	})
	alive := func(name, url string, every time.Duration) honest {
		return honest{name: name, every: every, ask: func(ctx context.Context) (bool, error) {
			return stated(r.call(ctx, http.MethodGet, "http://"+url, nil, nil))
		}}
	}
	strike(t, r, attack{
		name: "parent from below", workers: 3, callers: []honest{alive("its health", listen+"/health", 0), alive("its metrics", metrics+"/metrics", 200*time.Millisecond)},
		round: func(ctx context.Context, a *arena, g *gen) error {
			enclave.armed.Store(a)
			// Its callers get a typed answer in time, whatever the enclave says: never a value, since none is there.
			g.odds = 0
			body := g.json(g.decryptBody(r.record))
			req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, "http://"+listen+parentapi.PathV1Decrypt, bytes.NewReader(body))
			if err != nil {
				return err
			}
			req.Header.Set("Content-Type", "application/json")
			begin := time.Now()
			resp, err := r.client.Do(req)
			if err != nil {
				return fmt.Errorf("no answer after %v: %s", time.Since(begin), err.Error())
			}
			raw, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if took := time.Since(begin); err != nil || took > 5*time.Second {
				return fmt.Errorf("answered after %v: %s", took, fmt.Sprint(err))
			}
			if !json.Valid(raw) {
				return fmt.Errorf("status %d, which is no JSON: %.200q", resp.StatusCode, raw)
			}
			return pause(ctx, 10*time.Millisecond)
		},
	})
	enclave.armed.Store(nil)
	t.Logf("the hostile enclave was asked %d times", enclave.next.Load())
	if enclave.next.Load() < 20 {
		t.Error("the parent hardly asked")
	}
}

// falseKMS stands before the stand-in and falsifies its answers to attackers.
type falseKMS struct {
	*hostile
	rig    *rig
	config *tls.Config

	mu       sync.Mutex
	by       map[string]*gen // by the wrapped key that is asked for
	document []byte          // the last attestation document with a key
}

func (f *falseKMS) connection(h *hostile, g *gen, conn net.Conn) {
	if g != nil && g.oneIn(8) { // no TLS at all, or broken TLS
		_, _ = conn.Read(make([]byte, 4096))
		b := slices.Concat(g.records(g.random(90))...)
		h.note(b)
		_, _ = conn.Write(b)
		return
	}
	under := conn
	if a := h.armed.Load(); g != nil && g.oneIn(8) && a != nil {
		under = &meddler{conn, g, a}
	}
	h.asked(nil, tls.Server(under, f.config), f.respond)
}

func (f *falseKMS) respond(_ *gen, q *http.Request, body []byte) []byte {
	var asked struct {
		CiphertextBlob string
		Recipient      struct{ AttestationDocument []byte }
	}
	_ = json.Unmarshal(body, &asked)
	f.mu.Lock()
	g := f.by[asked.CiphertextBlob]
	if len(asked.Recipient.AttestationDocument) > 0 {
		f.document = asked.Recipient.AttestationDocument
	}
	f.mu.Unlock()
	out, err := http.NewRequestWithContext(q.Context(), q.Method, "http://"+f.rig.Addresses.KMS+q.URL.Path, bytes.NewReader(body))
	if err != nil {
		return nil
	}
	out.Header, out.Host = q.Header, q.Host
	resp, err := f.rig.client.Do(out)
	if err != nil {
		return []byte("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
	}
	defer func() { _ = resp.Body.Close() }()
	raw, _ := io.ReadAll(resp.Body)
	if g == nil {
		return fmt.Appendf(nil, "HTTP/1.1 %s\r\nDate: %s\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: %d\r\n\r\n%s",
			resp.Status, time.Now().UTC().Format(http.TimeFormat), len(raw), raw)
	}
	m, _ := tree(raw).(map[string]any)
	if text, ok := m["CiphertextForRecipient"].(string); ok {
		if cms, err := base64.StdEncoding.DecodeString(text); err == nil {
			m["CiphertextForRecipient"] = base64.StdEncoding.EncodeToString(g.data(cms))
		}
	}
	if g.oneIn(10) {
		m = pick(g, map[string]any{"__type": "ThrottlingException"}, map[string]any{"__type": "com.amazonaws#AccessDeniedException:x"},
			map[string]any{"Plaintext": "AAAA"}, map[string]any{"KeyId": m["KeyId"]}, nil)
	}
	return g.answer(resp.StatusCode, "application/x-amz-json-1.1", g.data(g.json(m)))
}

// TestAttackKMS falsifies what an enclave hears from KMS: TLS records, HTTP, JSON and the CMS envelope.
func TestAttackKMS(t *testing.T) {
	r := shared.get(t)
	ca, err := kms.OpenCA(r.state, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	f := &falseKMS{rig: r, by: map[string]*gen{}}
	if f.config, err = ca.ServerConfig(time.Now()); err != nil {
		t.Fatal(err)
	}
	f.hostile = startHostile(t, "kms", "tcp", "127.0.0.1:0", f.connection)
	socket := filepath.Join(r.state, "asks.sock")
	config, err := os.ReadFile(filepath.Join(r.state, "enclave.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{filepath.Join(r.state, "enclave.sock"): socket, r.Addresses.KMSTLS: f.address()} {
		if bytes.Count(config, []byte(from)) != 1 {
			t.Fatalf("%s is not once in %s", from, config)
		}
		config = bytes.ReplaceAll(config, []byte(from), []byte(to))
	}
	file := filepath.Join(r.state, "asks.yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	r.add(t, "enclave over a false KMS", "enclave", nil, []string{"--config", file}, func(context.Context) error {
		_, err := os.Stat(socket)
		return err
	})
	listen, metrics, args := r.parentArgs(t, socket)
	args = append(args, "--credentials", "static", "--static-credentials-file", filepath.Join(r.state, "credentials.json"),
		"--kms-egress", f.address(), "--request-timeout", "1s")
	r.add(t, "its parent", "parent", nil, args, func(ctx context.Context) error {
		return r.call(ctx, http.MethodGet, "http://"+metrics+"/ready", nil, nil)
	})
	client := testkit.KMSClient(r.Addresses.KMS)
	var opened, refused, documents atomic.Int64
	strike(t, r, attack{
		name: "kms", callers: []honest{r.askParent("beside a false KMS", r.client, "http://"+listen)},
		round: func(ctx context.Context, a *arena, g *gen) error {
			ctx = context.WithoutCancel(ctx)
			f.armed.Store(a)
			if g.oneIn(3) && f.forge(ctx, g, client, a) {
				documents.Add(1)
			}
			rec, err := testkit.Seal(ctx, client, testkit.RecordOptions{
				VaultID: "v_false", Context: true, Suite: sealed.P256, WrapLocal: true, Fields: map[string]string{"note": r.mine},
			})
			if err != nil {
				return err
			}
			key := base64.StdEncoding.EncodeToString(rec.WrappedKey)
			f.mu.Lock()
			f.by[key] = g
			f.mu.Unlock()
			defer func() { f.mu.Lock(); delete(f.by, key); f.mu.Unlock() }()
			body, err := rec.Request(nil).JSON()
			if err != nil {
				return err
			}
			var answer struct{ Fields map[string]any }
			switch err := r.call(ctx, http.MethodPost, "http://"+listen+parentapi.PathV1Decrypt, body, &answer); {
			case err == nil && answer.Fields["note"] != nil && answer.Fields["note"] != r.mine:
				return errors.New("a value that nobody sealed")
			case err == nil && answer.Fields["note"] == r.mine:
				opened.Add(1)
			case err != nil && !errors.Is(err, errOverload) && !strings.Contains(err.Error(), "status "):
				return err
			default:
				refused.Add(1)
				if err != nil {
					return leak("an answer that failed", []byte(err.Error()), r.forms(r.mine)...)
				}
			}
			return nil
		},
	})
	f.armed.Store(nil)
	t.Logf("%d records were opened, %d refused, %d attestation documents were mutated", opened.Load(), refused.Load(), documents.Load())
	if opened.Load() == 0 || refused.Load() == 0 || documents.Load() == 0 {
		t.Error("an answer that is not falsified must open a record, some that are must not, and documents must be seen")
	}
}

// forge asks the stand-in, whose verifier is package attest, to release a key to a mutated attestation document: it must
// not. It reports whether there was a document to mutate.
func (f *falseKMS) forge(ctx context.Context, g *gen, client *awskms.Client, a *arena) bool {
	f.mu.Lock()
	genuine := f.document
	f.mu.Unlock()
	if genuine == nil {
		return false
	}
	document := g.mutate(genuine)
	a.note(document)
	_, err := client.Decrypt(ctx, &awskms.DecryptInput{
		CiphertextBlob: f.rig.record.WrappedKey, EncryptionContext: map[string]string{"vault_id": f.rig.record.VaultID},
		Recipient: &types.RecipientInfo{AttestationDocument: document, KeyEncryptionAlgorithm: types.KeyEncryptionMechanismRsaesOaepSha256},
	}, func(o *awskms.Options) { o.Retryer = aws.NopRetryer{} })
	// The tag of COSE_Sign1 may be there or not.
	if err == nil && !bytes.Equal(bytes.TrimPrefix(document, []byte{0xd2}), bytes.TrimPrefix(genuine, []byte{0xd2})) {
		a.find(fmt.Errorf("a mutated attestation document was taken: %x", document))
	}
	return true
}

// table is DynamoDB as far as it takes to serve the API: it keeps items, and checks no condition.
type table struct {
	mu    sync.Mutex
	items map[string]map[string]any
}

// answer carries an operation out and returns its answer, without mutations.
func (d *table) answer(operation string, body []byte) map[string]any {
	d.mu.Lock()
	defer d.mu.Unlock()
	in, _ := tree(body).(map[string]any)
	out := map[string]any{}
	id := func(item map[string]any) string {
		text, _ := json.Marshal([]any{item["pk"], item["sk"]})
		return string(text)
	}
	switch operation {
	case "GetItem":
		key, _ := in["Key"].(map[string]any)
		if item, ok := d.items[id(key)]; ok {
			out["Item"] = item
		}
	case "PutItem":
		item, _ := in["Item"].(map[string]any)
		d.items[id(item)] = item
	case "TransactWriteItems":
		writes, _ := in["TransactItems"].([]any)
		for _, w := range writes {
			if item, ok := at(w, "Put", "Item").(map[string]any); ok {
				d.items[id(item)] = item
			}
		}
	case "Query", "Scan":
		var items []any
		for _, k := range slices.Sorted(maps.Keys(d.items)) {
			items = append(items, d.items[k])
		}
		items = items[:min(len(items), 20)]
		out["Items"], out["Count"], out["ScannedCount"] = items, len(items), len(items)
		if len(items) > 0 {
			out["LastEvaluatedKey"] = map[string]any{"pk": at(items[0], "pk"), "sk": at(items[0], "sk")}
		}
	}
	return out
}

// TestAttackStore falsifies what the API hears from DynamoDB.
func TestAttackStore(t *testing.T) {
	r := shared.get(t)
	d := &table{items: map[string]map[string]any{}}
	store := startHostile(t, "store", "tcp", "127.0.0.1:0", func(h *hostile, g *gen, conn net.Conn) {
		h.asked(g, conn, func(g *gen, q *http.Request, body []byte) []byte {
			_, operation, _ := strings.Cut(q.Header.Get("X-Amz-Target"), ".")
			out := d.answer(operation, body)
			if g == nil {
				text, _ := json.Marshal(out)
				return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
			}
			if g.oneIn(12) {
				name := pick(g, "ProvisionedThroughputExceededException", "TransactionCanceledException", "ConditionalCheckFailedException", "x#y:z")
				return g.answer(400, "application/x-amz-json-1.0", g.json(map[string]any{
					"__type": "com.amazonaws.dynamodb.v20120810#" + name, "message": r.mine, "CancellationReasons": []any{map[string]any{"Code": "None"}},
				}))
			}
			return g.answer(200, "application/x-amz-json-1.0", g.data(g.json(out)))
		})
	})
	listen, metrics, args := r.apiArgs(t)
	args = append(args, "--store", "dynamodb:vaults", "--dynamodb-endpoint", "http://"+store.address())
	r.add(t, "api over a false store", "api", apiEnvironment, args, func(ctx context.Context) error {
		return r.call(ctx, http.MethodGet, "http://"+listen+"/health", nil, nil)
	})
	var made struct{ ID string }
	body := []byte(`{"first_name":"` + r.mine + `","city":"` + r.mine + `"}`)
	if err := r.call(t.Context(), http.MethodPost, "http://"+listen+"/v1/vaults", body, &made); err != nil {
		t.Fatal(err)
	}
	operations, schemas := r.operations()
	strike(t, r, attack{
		name: "store", workers: 6,
		callers: []honest{
			{name: "its schema", ask: func(ctx context.Context) (bool, error) {
				return stated(r.call(ctx, http.MethodGet, "http://"+listen+"/schema", nil, nil))
			}},
			{name: "its metrics", every: 200 * time.Millisecond, ask: func(ctx context.Context) (bool, error) {
				return stated(r.call(ctx, http.MethodGet, "http://"+metrics+"/metrics", nil, nil))
			}},
		},
		round: func(ctx context.Context, a *arena, g *gen) error {
			store.armed.Store(a)
			g.odds = 0
			q := r.apiRequest(g, operations, schemas)
			q.host = listen
			q.target = strings.ReplaceAll(q.target, r.vault, made.ID)
			heard, err := a.speak(ctx, g, "tcp", listen, g.write(q))
			if err == nil {
				err = a.refusals(heard)
			}
			return err
		},
	})
	store.armed.Store(nil)
	t.Logf("the store was asked %d times", store.next.Load())
	if store.next.Load() < 20 {
		t.Error("the API hardly asked its store")
	}
}
