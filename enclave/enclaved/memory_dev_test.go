//go:build dev

package enclaved

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// needles are what must not stay in the enclave's memory.
func (r *rig) needles(p *keyPair, fields map[string][]byte, contexts ...[]byte) map[string][]byte {
	scalar := p.private.Bytes()
	swapped := bytes.Clone(scalar) // as limbs of a little-endian machine
	slices.Reverse(swapped)
	n := map[string][]byte{
		"scalar": scalar, "scalar, swapped": swapped, "half a scalar": scalar[:24], "pkcs8": p.der[:40],
		"credential": []byte(r.secret), "signing credential": []byte("AWS4" + r.secret),
	}
	for name, v := range fields {
		n["plaintext "+name] = v
	}
	for i, c := range contexts {
		n[fmt.Sprintf("aead key %d", i)] = c[:32]
	}
	return n
}

// collect runs the process's garbage collector.
func (r *rig) collect() {
	r.t.Helper()
	before := strings.Count(r.out.String(), "collected")
	if err := r.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		r.t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); strings.Count(r.out.String(), "collected") == before; {
		if time.Now().After(end) {
			r.t.Fatal("the garbage collector did not run")
		}
		time.Sleep(time.Millisecond)
	}
}

func (r *rig) look(when string, needles map[string][]byte) map[string]int {
	r.t.Helper()
	found := search(r.t, r.cmd.Process.Pid, needles)
	for _, k := range slices.Sorted(maps.Keys(found)) {
		r.t.Logf("%s: %s × %d", when, k, found[k])
	}
	return found
}

// gone fails if one of the named needles was found.
func gone(t *testing.T, when string, found map[string]int, names ...string) {
	t.Helper()
	for k, n := range found {
		for _, name := range names {
			if strings.HasPrefix(k, name) {
				t.Errorf("%s: %s × %d", when, k, n)
			}
		}
	}
}

// credentialCopies are those of the package's doc: the one in use, and what signing with it left.
const credentialCopies = 2

// few fails if a needle was found more often than the buffers of libraries can account for.
func few(t *testing.T, when string, found map[string]int) {
	t.Helper()
	for k, n := range found {
		if limit := 16; !strings.HasPrefix(k, "aead key") && n > limit {
			t.Errorf("%s: %s × %d, more than %d", when, k, n, limit)
		}
	}
}

// ownKeys are what this project holds; with them the experiment runtime/secret also clears what libraries held.
func ownKeys() []string {
	if secret.Erasing {
		return []string{"scalar", "half", "pkcs8", "aead"}
	}
	return []string{"scalar", "half", "pkcs8"}
}

// load makes requests from four goroutines until the returned function is called.
func (r *rig) load(qs []*wire.DecryptRequest, fields map[string][]byte) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				for _, q := range qs {
					if err := ask(r.client, q, fields); err != nil {
						r.t.Error(err)
						return
					}
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// sealedPair makes a key pair and requests for two fields of it, in the encodings 2 and 3.
func (r *rig) sealedPair() (*keyPair, map[string][]byte, []*wire.DecryptRequest) {
	p := r.keyPair("v_memory")
	fields := map[string][]byte{
		"a": []byte("plaintext sentinel a " + random(r.t)), "b": []byte("plaintext sentinel b " + random(r.t)),
	}
	return p, fields, []*wire.DecryptRequest{
		p.request(r.t, sealed.EncodingRecord, fields), p.request(r.t, sealed.EncodingField, fields),
	}
}

// TestMemoryOfTheEnclaveProcess looks for keys, credentials and plaintexts in the memory of an enclave's process: under
// load, after a purge, and after the session. What may be found, and why, is in the package's doc.
func TestMemoryOfTheEnclaveProcess(t *testing.T) {
	r := newRig(t, "")
	p, fields, qs := r.sealedPair()
	needles := r.needles(p, fields, r.contexts(p, qs)...)
	stop := r.load(qs, fields)
	requests := func() int64 {
		var m wire.Stats
		if err := r.client.Stats(t.Context(), &m); err != nil {
			t.Fatal(err)
		}
		n, _ := m.Value(wire.StatRequests)
		return n
	}
	for end := time.Now().Add(30 * time.Second); requests() < 1000; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no load")
		}
	}
	found := r.look("under load", needles)
	few(t, "under load", found)
	if n := found["scalar in mapping"] + found["scalar in heap"]; n == 0 || n > 4 {
		t.Errorf("the scalar in use was found %d times: does the search work?", n)
	}
	stop()
	if _, err := r.client.Purge(t.Context(), &wire.Purge{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	found = r.look("1 s after a purge", needles)
	few(t, "1 s after a purge", found)
	gone(t, "1 s after a purge", found, "scalar", "half", "pkcs8")
	r.collect()
	found = r.look("after a purge and a collection", needles)
	gone(t, "after a purge and a collection", found, ownKeys()...)
	_ = r.client.Close()
	found = r.settle("after the session", needles)
	gone(t, "after the session", found, ownKeys()...)
	for k, n := range found {
		limit := map[bool]int{true: r.threads(), false: 0}[strings.HasSuffix(k, inFrame)]
		if strings.HasPrefix(k, "plaintext") && n > limit {
			t.Errorf("after the session: %s × %d, more than %d", k, n, limit)
		}
	}
	if n := found["credential in mapping"] + found["credential in heap"]; n > credentialCopies {
		t.Errorf("after the session: the credential × %d, more than %d", n, credentialCopies)
	}
}

// settle looks until no plaintext is left but in signal frames, for ten seconds: the enclave learns of the session's
// end, and wipes what it held, a moment after the parent has ended it.
func (r *rig) settle(when string, needles map[string][]byte) map[string]int {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		r.collect()
		found := r.look(when, needles)
		held := slices.ContainsFunc(slices.Collect(maps.Keys(found)), func(k string) bool {
			return strings.HasPrefix(k, "plaintext") && !strings.HasSuffix(k, inFrame)
		})
		if !held || time.Now().After(end) {
			return found
		}
	}
}

// threads is how many the process has: each has one signal stack.
func (r *rig) threads() int {
	r.t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", r.cmd.Process.Pid))
	if err != nil {
		r.t.Fatal(err)
	}
	return len(tasks)
}

// TestAKeyIsGoneFromMemoryWhenItsTimeIsOver is the same after the TTL alone, without a purge.
func TestAKeyIsGoneFromMemoryWhenItsTimeIsOver(t *testing.T) {
	r := newRig(t, "cache: {key_ttl: 2s}\n")
	p, fields, qs := r.sealedPair()
	needles := r.needles(p, fields, r.contexts(p, qs)...)
	for _, q := range qs {
		if err := ask(r.client, q, fields); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		var m wire.Stats
		if err := r.client.Stats(t.Context(), &m); err != nil {
			t.Fatal(err)
		}
		if n, _ := m.Value(wire.StatGaugeKeys); n == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the key does not expire by itself")
		}
	}
	r.collect()
	gone(t, "after the TTL", r.look("after the TTL", needles), ownKeys()...)
}

// contexts derives what the enclave caches for the requests.
func (r *rig) contexts(p *keyPair, qs []*wire.DecryptRequest) [][]byte {
	r.t.Helper()
	key, err := sealed.ParsePrivateKey(sealed.P384, p.der)
	if err != nil {
		r.t.Fatal(err)
	}
	defer key.Destroy()
	var out [][]byte
	for _, q := range qs {
		for _, f := range q.Fields {
			blob, err := sealed.ParseBlob(sealed.P384, sealed.Encoding(q.Encoding), f.Blob)
			if err != nil {
				r.t.Fatal(err)
			}
			mem := make([]byte, sealed.ContextSize)
			if _, err := key.Derive(mem, q.VaultID, blob.Enc); err != nil {
				r.t.Fatal(err)
			}
			out = append(out, mem)
		}
	}
	return out
}
