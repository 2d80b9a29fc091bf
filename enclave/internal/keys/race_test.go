package keys

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

// SECURITY.md, check 23: readers, purges, evictions and failing unwraps at once; every answer is its vault's own.
func TestEveryAnswerIsItsOwnUnderConcurrentUse(t *testing.T) {
	k := &kms{}
	c := newCache(t, Config{MaxKeys: 8, MaxContexts: 16, MaxUnwraps: 4, TTL: time.Second}, k)
	type subject struct {
		vault
		blobs map[string]sealed.Blob
	}
	var subjects []subject
	for i := range 24 {
		v := newVault(t, fmt.Sprintf("v_%02d", i))
		blobs := v.seal(t, sealed.EncodingRecord, map[string]string{"a": v.id + " a", "b": v.id + " b"})
		for name, b := range v.seal(t, sealed.EncodingField, map[string]string{"c": v.id + " c"}) {
			blobs[name] = b
		}
		subjects = append(subjects, subject{v, blobs})
	}
	stop := make(chan struct{})
	var readers, others sync.WaitGroup
	others.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			switch i % 5 {
			case 0:
				c.PurgeVault(subjects[i%len(subjects)].req.VaultID)
			case 1:
				k.set(coded(wire.KMSThrottled))
			case 2:
				k.set(nil)
			case 3:
				c.Stats()
			case 4:
				if i%25 == 4 {
					c.PurgeAll()
				}
			}
		}
	})
	for range 6 {
		readers.Go(func() {
			dst := make([]byte, 0, 64)
			for range 400 {
				s := subjects[rand.IntN(len(subjects))]
				key, err := c.Get(context.Background(), &s.req)
				if err != nil {
					var e *wire.Error
					if !errors.As(err, &e) || e.Code != wire.KMSThrottled && e.Code != wire.Overloaded {
						t.Error(err)
					}
					continue
				}
				for name, blob := range s.blobs {
					plain, ok, err := key.OpenCached(dst, []byte(name), blob)
					if !ok {
						plain, err = key.Open(dst, []byte(name), blob)
					}
					if err != nil || string(plain) != s.id+" "+name {
						t.Errorf("%s: %q, %v", s.id, plain, err)
					}
				}
				key.Release()
			}
		})
	}
	readers.Wait()
	close(stop)
	others.Wait()
	c.Close()
	if st := c.Stats(); st.Keys != 0 || st.Contexts != 0 || st.Pending != 0 || st.Waiters != 0 {
		t.Errorf("%+v", st)
	}
}

// Waits that are cancelled while their answer comes: each is either cancelled or answered, never both or neither.
func TestCancelRacesWithTheAnswer(t *testing.T) {
	c := newCache(t, Config{}, &kms{})
	defer c.Close()
	v := newVault(t, "v_1")
	for range 300 {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				w := make(answerChan, 1)
				wait := c.Fetch(&v.req, w)
				if wait.Cancel() {
					select {
					case <-w:
						t.Error("cancelled and answered")
					default:
					}
					return
				}
				a := <-w
				if a.err != nil {
					t.Error(a.err)
					return
				}
				a.key.Release()
			})
		}
		wg.Wait()
		c.PurgeAll()
	}
}

func TestCloseRacesWithFetches(t *testing.T) {
	for range 50 {
		c := newCache(t, Config{}, &kms{})
		v := newVault(t, "v_1")
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					key, err := c.Get(context.Background(), &v.req)
					if err != nil {
						if codeOf(err) != wire.ShuttingDown {
							t.Error(err)
						}
						return
					}
					key.Release()
				}
			})
		}
		wg.Go(c.Close)
		wg.Wait()
	}
}
