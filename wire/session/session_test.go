package session

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"redoubt/wire"
)

func TestDoReturnsTheAnswerOfItsOwnRequest(t *testing.T) {
	c, _ := pair(t, ClientConfig{Lanes: 3}, ServerConfig{})
	var wg sync.WaitGroup
	for g := range 32 {
		wg.Go(func() {
			for i := range 50 {
				call := c.NewCall()
				call.Batch = g%4 == 0
				body := bytes.Repeat([]byte{byte(g), byte(i)}, 10+g*i)
				call.Body = append(call.Body, body...)
				if err := c.Do(context.Background(), call); err != nil {
					t.Error(err)
				} else if !bytes.Equal(call.Answer, body) || call.AnswerKind != wire.KindDecrypted {
					t.Errorf("caller %d, call %d: another's answer", g, i)
				}
				call.Release()
			}
		})
	}
	wg.Wait()
	if n := c.InFlight(); n != 0 {
		t.Fatalf("%d calls left in flight", n)
	}
}

func TestControlMessagesReachTheHandler(t *testing.T) {
	var got wire.Credentials
	h := &handler{
		credentials: func(m *wire.Credentials) error {
			got = wire.Credentials{
				AccessKeyID: bytes.Clone(m.AccessKeyID), Secret: bytes.Clone(m.Secret), ExpiresMS: m.ExpiresMS,
			}
			return nil
		},
		purge: func(m *wire.Purge) (wire.Purged, error) { return wire.Purged{Keys: uint64(len(m.VaultID))}, nil },
		stats: func(m *wire.Stats) { m.Add(wire.StatRequests, 7) },
		attest: func(_ context.Context, nonce []byte) ([]byte, error) {
			return append([]byte("document "), nonce...), nil
		},
	}
	c, s := pair(t, ClientConfig{}, ServerConfig{Handler: h, Config: Config{Hello: wire.Hello{BuildID: []byte("b1")}}})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if string(c.Peer().BuildID) != "b1" || c.Version() != wire.MaxVersion || s.Version() != wire.MaxVersion {
		t.Fatal("hello lost something")
	}
	if c.Features() != wire.AllFeatures() || s.Features() != wire.AllFeatures() {
		t.Errorf("the client has %s, the server %s", c.Features(), s.Features())
	}
	creds := &wire.Credentials{AccessKeyID: []byte("a"), Secret: []byte("s"), ExpiresMS: 5}
	if err := c.SetCredentials(ctx, creds); err != nil {
		t.Fatal(err)
	}
	if string(got.AccessKeyID) != "a" || string(got.Secret) != "s" || got.ExpiresMS != 5 {
		t.Fatal("credentials differ")
	}
	p, err := c.Purge(ctx, &wire.Purge{VaultID: []byte("v_1")})
	if err != nil || p.Keys != 3 {
		t.Fatal(p, err)
	}
	var st wire.Stats
	if err := c.Stats(ctx, &st); err != nil {
		t.Fatal(err)
	}
	if v, ok := st.Value(wire.StatRequests); !ok || v != 7 {
		t.Fatal("stats differ")
	}
	doc, err := c.Attest(ctx, []byte("12345678"), nil)
	if err != nil || string(doc) != "document 12345678" {
		t.Fatal(err)
	}
	pong, err := c.Ping(ctx)
	if err != nil || !pong.Health.Has(wire.HealthReady) {
		t.Fatal(err)
	}
}

func TestEgressCarriesBytesBothWays(t *testing.T) {
	target, remote := net.Pipe()
	c, s := pair(t, ClientConfig{OnEgress: func(_ context.Context, hostport string) (net.Conn, error) {
		switch hostport {
		case "kms.example:443":
			return target, nil
		case "gone.example:443":
			return nil, errors.New("no route")
		}
		return nil, ErrRefused
	}}, ServerConfig{})
	_ = c
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := s.OpenEgress(ctx, "evil.example:443"); !errors.Is(err, ErrRefused) {
		t.Fatal(err)
	}
	if _, err := s.OpenEgress(ctx, "gone.example:443"); !errors.Is(err, ErrUnreachable) {
		t.Fatal(err)
	}
	conn, err := s.OpenEgress(ctx, "kms.example:443")
	if err != nil {
		t.Fatal(err)
	}
	sent := bytes.Repeat([]byte("hello "), 40_000)
	go func() {
		buf := make([]byte, 1000)
		n := 0
		for n < len(sent) {
			k, err := remote.Read(buf)
			if err != nil {
				t.Error(err)
				return
			}
			n += k
			if _, err := remote.Write(buf[:k]); err != nil {
				t.Error(err)
				return
			}
		}
		_ = remote.Close()
	}()
	go func() {
		if _, err := conn.Write(sent); err != nil {
			t.Error(err)
		}
	}()
	var got bytes.Buffer
	if _, err := got.ReadFrom(conn); err != nil || !bytes.Equal(got.Bytes(), sent) {
		t.Fatal("bytes differ", err, got.Len())
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}
