package mackey

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/secret"
)

var raw = bytes.Repeat([]byte{7}, 32)

// source is a KMS that answers what it is told to.
type source struct {
	asked atomic.Int64
	err   atomic.Pointer[wire.Error]
	size  int
}

func (s *source) unwrap(context.Context) (*secret.Buffer, error) {
	s.asked.Add(1)
	if err := s.err.Load(); err != nil {
		return nil, err
	}
	return secret.NewFrom(bytes.Clone(raw)[:s.size])
}

// running runs f beside a Key of that source in a bubble.
func running(t *testing.T, s *source, f func(*Key)) {
	t.Helper()
	secret.SetPolicy(secret.WarnUnlocked)
	synctest.Test(t, func(t *testing.T) {
		k := New(5*time.Minute, s.unwrap)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { k.Run(ctx); close(done) }()
		synctest.Wait()
		f(k)
		cancel()
		<-done
		if _, err := k.HMACSHA256(nil, nil); !errors.Is(err, ErrNone) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func ok(k *Key) bool {
	_, err := k.HMACSHA256(nil, []byte("m"))
	return err == nil
}

func TestTheDigestIsThatOfTheStandardLibrary(t *testing.T) {
	running(t, &source{size: 32}, func(k *Key) {
		h := hmac.New(sha256.New, raw)
		h.Write([]byte("message"))
		got, err := k.HMACSHA256([]byte("x"), []byte("message"))
		if err != nil || !bytes.Equal(got, h.Sum([]byte("x"))) {
			t.Errorf("got %x, error %v", got, err)
		}
	})
}

func TestTheKeyIsRenewedBeforeItsTimeEnds(t *testing.T) {
	s := &source{size: 32}
	running(t, s, func(k *Key) {
		for range 60 {
			time.Sleep(time.Minute)
			if !ok(k) {
				t.Fatal("no key")
			}
		}
		if n := s.asked.Load(); n < 12 || n > 20 {
			t.Errorf("asked %d times in an hour of five-minute lives", n)
		}
	})
}

func TestARefusedKeyIsForgottenAtOnce(t *testing.T) {
	s := &source{size: 32}
	running(t, s, func(k *Key) {
		s.err.Store(&wire.Error{Code: wire.KeyDenied})
		time.Sleep(4*time.Minute + time.Second)
		synctest.Wait()
		if ok(k) {
			t.Error("the key still works")
		}
	})
}

func TestAnOutageIsBridgedUntilTheTimeEnds(t *testing.T) {
	s := &source{size: 32}
	running(t, s, func(k *Key) {
		s.err.Store(&wire.Error{Code: wire.KMSUnavailable})
		time.Sleep(5*time.Minute - time.Second)
		if !ok(k) {
			t.Error("the key ended early")
		}
		time.Sleep(2 * time.Second)
		if ok(k) {
			t.Error("the key outlived its time")
		}
		s.err.Store(nil)
		time.Sleep(longPause)
		synctest.Wait()
		if !ok(k) {
			t.Error("the key did not come back")
		}
	})
}

func TestAForgottenKeyIsAskedForAgain(t *testing.T) {
	s := &source{size: 32}
	running(t, s, func(k *Key) {
		k.Forget()
		synctest.Wait()
		if !ok(k) || s.asked.Load() != 2 {
			t.Errorf("asked %d times", s.asked.Load())
		}
	})
}

func TestANudgeAsksOnlyForAKeyThatIsMissing(t *testing.T) {
	s := &source{size: 32}
	s.err.Store(&wire.Error{Code: wire.KMSUnavailable})
	running(t, s, func(k *Key) {
		s.err.Store(nil)
		for range 5 {
			k.Nudge()
			synctest.Wait()
		}
		if n := s.asked.Load(); !ok(k) || n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestAShortKeyIsRefused(t *testing.T) {
	running(t, &source{size: 31}, func(k *Key) {
		if ok(k) {
			t.Error("a key of 31 bytes is used")
		}
	})
}
