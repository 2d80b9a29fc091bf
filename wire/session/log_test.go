package session

import (
	"sync/atomic"
	"testing"
	"time"

	"redoubt/wire"
)

// TestLogIsBounded is SECURITY.md, check 20, from the enclave's side: a flood is dropped and counted, and the next
// message says how much is missing.
func TestLogIsBounded(t *testing.T) {
	var got, missing atomic.Int64
	last := make(chan struct{})
	c, s := pair(t, ClientConfig{OnLog: func(m *wire.Log) {
		got.Add(1)
		missing.Add(int64(m.Dropped))
		if string(m.Text) == "last" {
			close(last)
		}
	}}, ServerConfig{Config: Config{LogsPerSecond: 10}})
	const flood = 10_000
	m := &wire.Log{Level: wire.LevelWarn, Text: []byte("flood"), Numbers: []wire.LogNumber{{Key: []byte("n"), Value: 1}}}
	for range flood {
		s.Log(m)
	}
	m.Text = []byte("last")
	before := s.LogsDropped()
	for deadline := time.Now().Add(5 * time.Second); ; {
		<-time.After(50 * time.Millisecond)
		s.Log(m)
		if s.LogsDropped() == before || time.Now().After(deadline) {
			break
		}
		before = s.LogsDropped()
	}
	<-last
	if got.Load() > 40 {
		t.Fatalf("%d messages came through", got.Load())
	}
	if dropped := int64(s.LogsDropped()); dropped < flood-40 || missing.Load() != dropped {
		t.Fatalf("%d dropped, the parent was told of %d", dropped, missing.Load())
	}
	if _, err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Log(&wire.Log{Text: make([]byte, wire.MaxLogText+1)})
	if s.LogsDropped() == before {
		t.Fatal("a log beyond the limits was sent")
	}
}

// TestFloodOfLogsFromTheEnclaveIsHeldToTheRate is SECURITY.md, check 20, from the parent's side.
func TestFloodOfLogsFromTheEnclaveIsHeldToTheRate(t *testing.T) {
	var got atomic.Int64
	c, p := rawServer(t, ClientConfig{
		Config: Config{LogsPerSecond: 10}, PingInterval: time.Minute, PingTimeout: time.Minute,
		OnLog: func(*wire.Log) { got.Add(1) },
	})
	ping, _, err := p.readFrame(p.control)
	if err != nil {
		t.Fatal(err)
	}
	body := (&wire.Log{Text: []byte("flood")}).Append(nil)
	for range 20_000 {
		p.write(p.control, frame(wire.Header{Kind: wire.KindLog}, body))
	}
	p.write(p.control, frame(wire.Header{Kind: wire.KindPong, ID: ping.ID}, (&wire.Pong{}).Append(nil)))
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, ok := c.LastPong(); ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the pong behind the flood does not come")
		}
		<-time.After(time.Millisecond)
	}
	if n := got.Load(); n == 0 || n > 20*10 {
		t.Fatalf("%d messages came through", n)
	}
}
