package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"testing"

	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/kmsclient"
	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
	"redoubt/api/internal/store/bolt"
	"redoubt/api/internal/upstream"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/program"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/proctest"
)

// hotAnswer is what the parent of these tests answers to everything.
const hotAnswer = `{"fields":{"email":"ada@example.com"},"errors":{}}`

// listen serves connections on loopback until the test ends.
func listen(tb testing.TB, serve func(net.Conn)) (address string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String()
}

// readMessage reads one HTTP message with a Content-Length into buf, without allocating.
func readMessage(c net.Conn, buf []byte) (message []byte, err error) {
	n, all := 0, -1
	for n != all {
		if n == len(buf) {
			return nil, io.ErrShortBuffer
		}
		more, err := c.Read(buf[n:])
		if err != nil {
			return nil, err
		}
		n += more
		if head, _, whole := bytes.Cut(buf[:n], []byte("\r\n\r\n")); whole && all < 0 {
			all = len(head) + 4 + contentLength(head)
		}
	}
	return buf[:n], nil
}

func contentLength(head []byte) (n int) {
	const name = "Content-Length: "
	for _, c := range head[bytes.Index(head, []byte(name))+len(name):] {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// hotKeys gives the audit log its key, and nothing else.
type hotKeys struct{ *kmsclient.Client }

// MAC implements audit.Keys.
func (hotKeys) MAC(context.Context, []byte) ([]byte, error) { return make([]byte, 32), nil }

// hotAPI is all of `api serve` on loopback, over an embedded store, before a parent that answers at once. What it
// returns opens a connection; each call of ask then decrypts one field.
func hotAPI(tb testing.TB) (connect func() (ask func())) {
	tb.Helper()
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
		strconv.Itoa(len(hotAnswer)) + "\r\n\r\n" + hotAnswer)
	parent := listen(tb, func(c net.Conn) {
		buf := make([]byte, 16<<10)
		for {
			if _, err := readMessage(c, buf); err != nil {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
	up, err := upstream.New(upstream.Config{URL: "http://" + parent, Region: "us-east-1"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(up.Close)
	st, err := bolt.Open(filepath.Join(tb.TempDir(), "store.db"), bolt.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = st.Close() })
	const id = "v_hot"
	suite := sealed.P384.ID()
	if err := st.Create(tb.Context(), &store.Record{
		ID: id, Encoding: int(sealed.EncodingRecord), Suite: suite[:], WrappedKey: make([]byte, 400), KeyContext: true,
		PublicKey: make([]byte, 120), KeyMAC: make([]byte, 32), Created: 1, Modified: 1,
		Fields: map[string]store.Value{"email": {Blob: make([]byte, 140)}},
	}, nil, nil); err != nil {
		tb.Fatal(err)
	}
	m := httpapi.NewMetrics("test")
	svc, err := vault.New(vault.Config{
		Store: measuredStore{st, m}, Opener: measuredOpener{up, m}, Keys: hotKeys{}, Schema: schema.Default(),
		Suite: sealed.P384, Encoding: sealed.EncodingRecord,
	})
	if err != nil {
		tb.Fatal(err)
	}
	handler, err := httpapi.New(httpapi.Config{
		Vault: svc, Version: "test", Metrics: m, Log: program.NewLogger(io.Discard, slog.LevelInfo),
	})
	if err != nil {
		tb.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := server(handler)
	tb.Cleanup(func() { _ = s.Close() })
	go func() { _ = s.Serve(strict(l, nil)) }()
	return func() func() { return asker(tb, l.Addr().String(), id) }
}

// asker returns what sends one decrypt over a connection of its own and reads the answer, without allocating.
func asker(tb testing.TB, address, id string) (ask func()) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		tb.Error(err)
		return func() {}
	}
	tb.Cleanup(func() { _ = c.Close() })
	body := `{"fields":["email"],"reason":"load"}`
	request := fmt.Appendf(nil, "POST /vaults/%s/decrypt HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\n\r\n%s", id, len(body), body)
	buf := make([]byte, 4096)
	value := []byte(`"ada@example.com"`)
	return func() {
		_, err := c.Write(request)
		answer, readErr := readMessage(c, buf)
		if err = errors.Join(err, readErr); err != nil || !bytes.Contains(answer, value) {
			tb.Errorf("%v: %s", err, answer)
		}
	}
}

// hotAllocs bounds the allocations of all of the process for one decrypt that finds everything in the store and in the
// caches: what `go test -run HotDecryptAllocates -v ./api/internal/cli` prints, and some for chance.
const hotAllocs = 260

func TestHotDecryptAllocates(t *testing.T) {
	if proctest.Race {
		t.Skip("the race detector allocates")
	}
	ask := hotAPI(t)()
	ask()
	n := testing.AllocsPerRun(300, ask)
	t.Logf("%.0f allocations", n)
	if n > hotAllocs {
		t.Errorf("%.0f allocations for a hot decrypt, at most %d are expected", n, hotAllocs)
	}
}

func BenchmarkHotDecrypt(b *testing.B) {
	connect := hotAPI(b)
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		ask := connect()
		for pb.Next() {
			ask()
		}
	})
}
