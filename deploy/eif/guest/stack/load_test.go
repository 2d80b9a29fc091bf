//go:build guest

package stack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/deploy/eif/guest/check"
	"redoubt/wire/kit/sealed"
)

func (s *stack) encodings(t *testing.T) {
	for _, suite := range sealed.Suites() {
		for encoding := 1; encoding <= 3; encoding++ {
			v, err := s.NewVault(t.Context(), fmt.Sprintf("v_%s_%d", suite, encoding), suite, encoding == 3)
			if err != nil {
				t.Fatal(err)
			}
			r, err := v.Seal(encoding, map[string]string{"email": "ada@example.org", "city": "London"})
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{"/v1/decrypt", "/decrypt"} {
				a, err := s.Open(t.Context(), path, r)
				if err != nil || a.Status != http.StatusOK || a.Fields["email"] != "ada@example.org" {
					t.Errorf("%s suite %s encoding %d: %+v, %v", path, suite, encoding, a, err)
				}
			}
		}
	}
}

// maxBody is the longest body that /v1/decrypt takes, bytes.
const maxBody = 1 << 20

// sizes also asks with a body of exactly the limit, and of one byte more.
func (s *stack) sizes(t *testing.T) {
	v, err := s.NewVault(t.Context(), "v_sizes", sealed.P256, true)
	if err != nil {
		t.Fatal(err)
	}
	const largest = 780_000 // base64 of it is just below maxBody
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{1, 1000, 16 << 10, 31 << 10, 31<<10 + 1, 64 << 10, 128 << 10, 300 << 10, largest} {
		raw := make([]byte, (size+1)/2)
		_, _ = random.Read(raw)
		value := hex.EncodeToString(raw)[:size]
		r, err := v.Seal(3, map[string]string{"blob": value})
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if size == largest {
			body = append(body, bytes.Repeat([]byte(" "), maxBody-len(body))...)
		}
		a, err := s.OpenBody(t.Context(), "/v1/decrypt", body)
		if err != nil || a.Status != http.StatusOK {
			t.Fatalf("%d bytes in a body of %d: %v", size, len(body), err)
		}
		got, _ := a.Fields["blob"].(string)
		if sha256.Sum256([]byte(got)) != sha256.Sum256([]byte(value)) {
			t.Errorf("%d bytes came back with another hash (%d bytes)", size, len(got))
		}
		if size == largest {
			a, err = s.OpenBody(t.Context(), "/v1/decrypt", append(body, ' '))
			if err != nil || a.Status != http.StatusRequestEntityTooLarge {
				t.Errorf("a body of %d bytes: %+v, %v", len(body)+1, a, err)
			}
		}
	}
}

// batch sends items of all sizes on the lane of batches, one of them with a wrapped key that is none.
func (s *stack) batch(t *testing.T) {
	v, err := s.NewVault(t.Context(), "v_batch", sealed.P256, true)
	if err != nil {
		t.Fatal(err)
	}
	const items, bad = 200, 77
	requests, want := make([]*check.Request, items), make([]string, items)
	random := rand.NewChaCha8([32]byte{2})
	for i := range requests {
		raw := make([]byte, 1+i*i/4)
		_, _ = random.Read(raw)
		want[i] = hex.EncodeToString(raw)
		if requests[i], err = v.Seal(3, map[string]string{"blob": want[i]}); err != nil {
			t.Fatal(err)
		}
	}
	requests[bad].WrappedKey = "AAAA"
	answers, err := s.OpenBatch(t.Context(), requests)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range answers {
		if i == bad {
			if a.Status != http.StatusForbidden || a.Error.Code != "key_denied" {
				t.Errorf("item %d: status %d code %q", i, a.Status, a.Error.Code)
			}
			continue
		}
		if a.Status != http.StatusOK || a.Fields["blob"] != want[i] {
			t.Errorf("item %d: status %d code %q, or not its own value", i, a.Status, a.Error.Code)
		}
	}
}

func (s *stack) many(t *testing.T) {
	const callers, total = 64, 10_000
	v, err := s.NewVault(t.Context(), "v_many", sealed.P256, true)
	if err != nil {
		t.Fatal(err)
	}
	var next, refused atomic.Int64
	took := make([][]time.Duration, callers)
	var wg sync.WaitGroup
	began := time.Now()
	for c := range callers {
		value := fmt.Sprintf("sentinel of caller %d", c)
		r, err := v.Seal(3, map[string]string{"city": value})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for next.Add(1) <= total {
				asked := time.Now()
				if err := s.openOwn(t, r, value, &refused); err != nil {
					t.Errorf("caller %d: %v", c, err)
				}
				took[c] = append(took[c], time.Since(asked))
			}
		})
	}
	wg.Wait()
	all := slices.Concat(took...)
	slices.Sort(all)
	t.Logf("%d requests by %d callers in %v; refused in time and asked again: %d; median %v, longest %v", len(all),
		callers, time.Since(began).Round(time.Millisecond), refused.Load(), all[len(all)/2].Round(time.Millisecond),
		all[len(all)-1].Round(time.Millisecond))
}

// openOwn asks until it is answered. An emulated machine is slow enough to refuse work by its expected wait; such a
// refusal is typed and may be asked again, a value of somebody else's may not be, ever.
func (s *stack) openOwn(t *testing.T, r *check.Request, want string, refused *atomic.Int64) error {
	for range 50 {
		a, err := s.Open(t.Context(), "/v1/decrypt", r)
		switch {
		case err != nil:
			return err
		case a.Status == http.StatusOK && a.Fields["city"] == want:
			return nil
		case a.Status != http.StatusServiceUnavailable || a.Code != "overloaded" || len(a.Fields) > 0:
			return fmt.Errorf("status %d, code %v, value %q", a.Status, a.Code, a.Fields["city"])
		}
		refused.Add(1)
		select {
		case <-t.Context().Done():
			return t.Context().Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return errors.New("refused as overloaded fifty times")
}
