package session

import (
	"bytes"
	"testing"
	"time"

	"redoubt/wire"
)

var sentinel = []byte("SENTINEL-078-05-1120")

func isZero(b []byte) bool { return len(bytes.Trim(b[:cap(b)], "\x00")) == 0 }

// TestBodiesAreWiped looks into the buffers of both ends after a round trip.
func TestBodiesAreWiped(t *testing.T) {
	for _, size := range []int{len(sentinel), 4000, 50_000, 500_000} {
		body := bytes.Repeat(sentinel, size/len(sentinel))
		var reqMem, out []byte
		h := &handler{request: func(r *Request) {
			reqMem = r.Own()
			out = append(r.Responder.Buffer(len(body)), body...)
			if err := r.Responder.Send(wire.KindDecrypted, out); err != nil {
				t.Error(err)
			}
		}}
		c, s := pair(t, ClientConfig{}, ServerConfig{Handler: h})
		call := c.NewCall()
		call.Body = append(call.Body, body...)
		if err := c.Do(t.Context(), call); err != nil || !bytes.Equal(call.Answer, body) {
			t.Fatal(err)
		}
		answer, sent := call.Answer, call.Body
		call.Release()
		_ = c.Close()
		_ = s.Close()
		for name, mem := range map[string][]byte{
			"request in the enclave": reqMem, "answer in the enclave": out, "answer in the parent": answer,
			"request in the parent": sent, "read buffer of the connection": c.conn.in, "write buffer": c.conn.out,
			"read buffer of the enclave's connection": s.conn.in,
		} {
			if !isZero(mem) {
				t.Errorf("%d bytes: %s is not wiped", size, name)
			}
		}
		for _, m := range []*mux{c.mux, s.mux} {
			for _, l := range m.allLanes() {
				if !isZero(l.in.cut.part) || !isZero(l.q.buf) {
					t.Errorf("%d bytes: a lane's buffer is not wiped", size)
				}
			}
		}
	}
}

// TestConnectionsAtRestHoldNoBodies: a session that stays open keeps nothing in its buffers of what it has carried.
func TestConnectionsAtRestHoldNoBodies(t *testing.T) {
	c, s := pair(t, ClientConfig{}, ServerConfig{Handler: &handler{request: func(r *Request) {
		_ = r.Responder.Send(wire.KindDecrypted, append(r.Responder.Buffer(len(r.Body)), r.Body...))
	}}})
	for _, size := range []int{len(sentinel), 50_000} {
		call := c.NewCall()
		call.Body = append(call.Body, bytes.Repeat(sentinel, size/len(sentinel))...)
		if err := c.Do(t.Context(), call); err != nil || !bytes.Contains(call.Answer, sentinel) {
			t.Fatal(err)
		}
		call.Release()
		for name, conn := range map[string]*groupConn{"parent": c.conn, "enclave": s.conn} {
			// Whoever reads may still be about to wipe what it has just handled.
			for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
				conn.w.Lock()
				written := bytes.Contains(conn.out[:cap(conn.out)], sentinel)
				conn.w.Unlock()
				conn.r.Lock()
				read := bytes.Contains(conn.in[:cap(conn.in)], sentinel)
				conn.r.Unlock()
				if !written && !read {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%s, %d bytes: the write buffer holds a body: %v, the read buffer: %v", name, size, written, read)
				}
			}
		}
	}
}

func TestBuffersGoBackToTheirPoolWiped(t *testing.T) {
	for _, size := range []int{100, 40_000, 3 << 20} {
		b := append(getBuffer(size), bytes.Repeat(sentinel, size/len(sentinel))...)
		putBuffer(b)
		if !isZero(b) {
			t.Errorf("a buffer of %d bytes goes back as it is", cap(b))
		}
	}
}

// TestOutQueueWipesWhatItLeavesBehind covers growth and closing with messages that wait.
func TestOutQueueWipesWhatItLeavesBehind(t *testing.T) {
	q := newOutQueue(wire.MaxAssembly, func() {})
	var arrays [][]byte
	for range 2000 {
		if _, err := q.push(wire.Header{Kind: wire.KindDecrypted}, sentinel); err != nil {
			t.Fatal(err)
		}
		arrays = append(arrays, q.buf)
	}
	if _, err := q.push(wire.Header{Kind: wire.KindDecrypted}, bytes.Repeat(sentinel, 5000)); err != nil {
		t.Fatal(err)
	}
	arrays = append(arrays, q.large[0].buf)
	q.close(ErrClosed)
	for _, a := range arrays {
		if !isZero(a) {
			t.Fatal("an array is not wiped")
		}
	}
	if _, err := q.push(wire.Header{}, nil); err != ErrClosed { //nolint:errorlint // exactly this value
		t.Fatal(err)
	}
}

func TestCredentialsAreWipedAfterTheHandler(t *testing.T) {
	var kept wire.Credentials
	h := &handler{credentials: func(m *wire.Credentials) error { kept = *m; return nil }}
	c, _ := pair(t, ClientConfig{}, ServerConfig{Handler: h})
	m := &wire.Credentials{AccessKeyID: []byte("id"), Secret: bytes.Clone(sentinel), Token: bytes.Clone(sentinel)}
	if err := c.SetCredentials(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if !isZero(kept.Secret) || !isZero(kept.Token) {
		t.Fatal("the frame still holds the credentials")
	}
	if !bytes.Equal(m.Secret, sentinel) {
		t.Fatal("the caller's credentials are gone")
	}
}
