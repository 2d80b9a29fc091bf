package session

import (
	"bytes"
	"testing"

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
			"request in the parent": sent,
		} {
			if !isZero(mem) {
				t.Errorf("%d bytes: %s is not wiped", size, name)
			}
		}
		for _, f := range []framed{c.single[0].framed, c.control.framed, s.control.framed} {
			if !isZero(f.in.cut.part) || !isZero(f.q.buf) {
				t.Errorf("%d bytes: a stream's buffer is not wiped", size)
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
