package keys

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

func TestARecordCostsOneDerivation(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		fields := map[string]string{"a": "1", "b": "2", "c": "3", "d": "4", "e": "5"}
		key, err := c.Get(context.Background(), &v.req)
		if err != nil {
			t.Fatal(err)
		}
		defer key.Release()
		for round := range 2 {
			for name, blob := range v.seal(t, sealed.EncodingRecord, fields) {
				if plain, err := key.Open([]byte("="), []byte(name), blob); err != nil || string(plain) != "="+fields[name] {
					t.Error(err)
				}
			}
			n := round + 1
			if st := c.Stats(); int(st.ContextMisses) != n || int(st.ContextHits) != 4*n || st.Contexts != n {
				t.Errorf("%+v", st)
			}
		}
		for name, blob := range v.seal(t, sealed.EncodingField, fields) {
			if _, ok, _ := key.OpenCached(nil, []byte(name), blob); ok {
				t.Error("a context from nowhere")
			}
			if _, err := key.Open(nil, []byte(name), blob); err != nil {
				t.Error(err)
			}
			if plain, ok, err := key.OpenCached(nil, []byte(name), blob); !ok || err != nil || string(plain) != fields[name] {
				t.Error(ok, err)
			}
		}
		if st := c.Stats(); st.Contexts != 7 {
			t.Errorf("%+v", st)
		}
	})
}

func TestAContextIsKeptOnlyAfterASuccessfulOpen(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		blob := v.seal(t, sealed.EncodingRecord, map[string]string{"ssn": "1"})["ssn"]
		key, err := c.Get(context.Background(), &v.req)
		if err != nil {
			t.Fatal(err)
		}
		defer key.Release()
		if _, err := key.Open(nil, []byte("dob"), blob); !errors.Is(err, sealed.ErrOpen) {
			t.Error(err)
		}
		bad := blob
		bad.Enc = bytes.Clone(blob.Enc)
		bad.Enc[20] ^= 1
		if _, err := key.Open(nil, []byte("ssn"), bad); !errors.Is(err, sealed.ErrOpen) {
			t.Error(err)
		}
		if c.Stats().Contexts != 0 || c.contexts.arena.InUse() != 0 {
			t.Error("kept after a failure")
		}
		if _, err := key.Open(nil, []byte("ssn"), blob); err != nil || c.Stats().Contexts != 1 {
			t.Error("not kept after a success", err)
		}
		// A kept context opens no more than the key does.
		if _, ok, err := key.OpenCached(nil, []byte("dob"), blob); !ok || !errors.Is(err, sealed.ErrOpen) {
			t.Error(ok, err)
		}
	})
}

// SECURITY.md, check 25: the context of a vault is no use to another, even with the same wrapped key and the same field.
func TestContextsBelongToTheirKeyAndVault(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		blob := openOne(t, c, v)
		thief := v
		thief.req.VaultID = []byte("v_2")
		key, err := c.Get(context.Background(), &thief.req)
		if err != nil {
			t.Fatal(err)
		}
		defer key.Release()
		if _, ok, _ := key.OpenCached(nil, []byte("ssn"), blob); ok {
			t.Error("another vault uses the context")
		}
		if _, err := key.Open(nil, []byte("ssn"), blob); !errors.Is(err, sealed.ErrOpen) {
			t.Error(err)
		}
	})
}

// The second read of a field exports its key, the third finds it; a field that does not open leaves nothing.
func TestAFieldReadAgainIsOpenedWithItsOwnKey(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		blobs := v.seal(t, sealed.EncodingRecord, map[string]string{"ssn": "1", "dob": "2"})
		key, err := c.Get(context.Background(), &v.req)
		if err != nil {
			t.Fatal(err)
		}
		defer key.Release()
		if _, err := key.Open(nil, []byte("ssn"), blobs["ssn"]); err != nil {
			t.Fatal(err)
		}
		read := func(name string, blob sealed.Blob, fields int, hits uint64, want error) {
			t.Helper()
			plain, ok, err := key.OpenCached([]byte("="), []byte(name), blob)
			if !ok || !errors.Is(err, want) || err == nil && string(plain) != map[string]string{"ssn": "=1", "dob": "=2"}[name] {
				t.Errorf("%q, %v, %v", plain, ok, err)
			}
			if st := c.Stats(); st.Fields != fields || st.FieldHits != hits || c.fields.arena.InUse() != fields {
				t.Errorf("%+v", st)
			}
		}
		read("ssn", blobs["ssn"], 1, 0, nil)
		read("ssn", blobs["ssn"], 1, 1, nil)
		read("dob", blobs["ssn"], 1, 1, sealed.ErrOpen) // refused, and not kept
		read("dob", blobs["dob"], 2, 1, nil)
		read("dob", blobs["dob"], 2, 2, nil)
		swapped := blobs["ssn"]
		swapped.CT = blobs["dob"].CT
		read("ssn", swapped, 2, 3, sealed.ErrOpen) // by a key that is kept, too
		read("ssn", blobs["ssn"], 2, 4, nil)
		c.PurgeVault([]byte("v_1"))
		if c.Stats().Fields != 0 || c.fields.arena.InUse() != 0 {
			t.Error("a purge left the keys of fields")
		}
	})
}

// The third read of a context, or of a field's own key, keeps AES-GCM set up, the next ones need nothing else, and what
// does not open leaves nothing.
func TestAFieldReadOftenIsOpenedWithoutSettingUp(t *testing.T) {
	for _, e := range []sealed.Encoding{sealed.EncodingField, sealed.EncodingRecord} {
		bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
			v := newVault(t, "v_1")
			blob := v.seal(t, e, map[string]string{"ssn": "1"})["ssn"]
			broken := blob
			broken.CT = append([]byte{}, blob.CT...)
			broken.CT[0] ^= 1
			key, err := c.Get(context.Background(), &v.req)
			if err != nil {
				t.Fatal(err)
			}
			defer key.Release()
			if _, err := key.Open(nil, []byte("ssn"), blob); err != nil {
				t.Fatal(err)
			}
			read := func(blob sealed.Blob, want error) {
				t.Helper()
				plain, ok, err := key.OpenCached([]byte("="), []byte("ssn"), blob)
				if !ok || !errors.Is(err, want) || err == nil && string(plain) != "=1" {
					t.Errorf("%q, %v, %v", plain, ok, err)
				}
			}
			read(blob, nil)
			if e == sealed.EncodingRecord {
				read(blob, nil) // the first read has exported the field's key
			}
			read(broken, sealed.ErrOpen)
			if n := c.ciphers.arena.InUse(); n != 0 {
				t.Errorf("%d kept too early", n)
			}
			read(blob, nil)
			if n := c.ciphers.arena.InUse(); n != 1 || c.ciphers.count.Load() != 1 {
				t.Fatalf("%d kept", n)
			}
			before := c.Stats()
			wipeAll(c.contexts.arena, &c.contexts)
			wipeAll(c.fields.arena, &c.fields)
			read(blob, nil) // nothing else is needed
			read(broken, sealed.ErrOpen)
			if _, _, err := key.OpenCached(nil, []byte("dob"), blob); !errors.Is(err, sealed.ErrOpen) {
				t.Error("a field opens under another name", err)
			}
			st := c.Stats()
			if st.ContextHits+st.FieldHits-before.ContextHits-before.FieldHits != 3 || st.Derivations != 1 {
				t.Errorf("%+v, before %+v", st, before)
			}
			c.PurgeVault([]byte("v_1"))
			if c.ciphers.count.Load() != 0 || c.ciphers.arena.InUse() != 0 {
				t.Error("a purge left AES-GCM set up")
			}
		})
	}
}

// wipeAll wipes what is kept, so that nothing opens with it.
func wipeAll(a *secret.Arena, c *contexts) {
	for i := range c.shards {
		for at := c.shards[i].head; at != none; at = c.shards[i].nodes[at].next {
			secret.Wipe(a.Bytes(c.shards[i].nodes[at].slot))
		}
	}
}

func TestContextsDoNotOutliveTheirKeysEntry(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		v := newVault(t, "v_1")
		blob := openOne(t, c, v)
		c.PurgeAll()
		get(t, c, v) // the same key, a new entry
		if hasContext(t, c, v, blob) || c.contexts.arena.InUse() != 0 {
			t.Error("a context of the former entry")
		}
	})
}

func TestContextsAreBoundedByCount(t *testing.T) {
	for _, most := range []int{1, 7, 16, 300, 5000} {
		c := newCache(t, Config{MaxContexts: most}, &kms{})
		e := entryOf(t, c, newVault(t, "v_1"))
		storeMany(c, e, 3*most, 0)
		st := c.Stats()
		if st.Contexts > most || st.Contexts < most*3/4 || c.contexts.arena.InUse() != st.Contexts || st.ContextRefused != 0 {
			t.Errorf("bound %d: %+v, %d slots", most, st, c.contexts.arena.InUse())
		}
		c.PurgeAll()
		if c.Stats().Contexts != 0 || c.contexts.arena.InUse() != 0 {
			t.Error("not purged", c.Stats().Contexts)
		}
		for i := range c.contexts.shards {
			s := &c.contexts.shards[i]
			if len(s.index) != 0 || len(s.byKey) != 0 || s.used != 0 || s.head != none || s.tail != none {
				t.Errorf("shard %d: %d in the index, %d keys, %d used", i, len(s.index), len(s.byKey), s.used)
			}
		}
		c.Close()
	}
}

// entryOf returns the cached entry of v.
func entryOf(t testing.TB, c *Cache, v vault) *entry {
	t.Helper()
	k, err := c.Get(context.Background(), &v.req)
	if err != nil {
		t.Fatal(err)
	}
	k.Release()
	return k.e
}

// storeMany keeps n made-up contexts, numbered from first, whose bytes tell them apart.
func storeMany(c *Cache, e *entry, n, first int) {
	mem := make([]byte, sealed.ContextSize)
	for i := first; i < first+n; i++ {
		enc := binary.BigEndian.AppendUint64(nil, uint64(i))
		copy(mem, enc)
		c.contexts.store(e, c.contexts.identify(e.id, enc), mem)
	}
}

// A model of the lists: after any sequence of stores, loads and purges, what is found is what was stored.
func TestContextListsStayWhole(t *testing.T) {
	c := newCache(t, Config{MaxContexts: 64}, &kms{})
	defer c.Close()
	a, b := entryOf(t, c, newVault(t, "v_a")), entryOf(t, c, newVault(t, "v_b"))
	mem := make([]byte, sealed.ContextSize)
	for round := range 200 {
		storeMany(c, a, 10, round*10)
		storeMany(c, b, 7, round*5)
		for i := range 40 {
			enc := binary.BigEndian.AppendUint64(nil, uint64(round*10-i))
			if c.contexts.load(mem, c.contexts.identify(a.id, enc)) && !bytes.Equal(mem[:8], enc) {
				t.Fatal("another context's secrets")
			}
		}
		if round%17 == 0 {
			c.contexts.purge(b.id)
		}
		total := 0
		for i := range c.contexts.shards {
			total += checkShard(t, &c.contexts.shards[i])
		}
		if total != c.Stats().Contexts || total != c.contexts.arena.InUse() {
			t.Fatalf("%d in the lists, %d counted, %d slots", total, c.Stats().Contexts, c.contexts.arena.InUse())
		}
	}
}

// checkShard walks a shard's lists forward and backward and returns how many contexts it has.
func checkShard(t *testing.T, s *contextShard) int {
	t.Helper()
	forward, backward, chained := 0, 0, 0
	for i := s.head; i != none; i = s.nodes[i].next {
		forward++
	}
	for i := s.tail; i != none; i = s.nodes[i].prev {
		backward++
	}
	for key, i := range s.byKey {
		for last := none; i != none; last, i = i, s.nodes[i].knext {
			if s.nodes[i].id.key != key || s.nodes[i].kprev != last {
				t.Fatal("chain of a key")
			}
			chained++
		}
	}
	if forward != backward || forward != chained || forward != len(s.index) || forward != s.used || forward > s.max {
		t.Fatalf("%d forward, %d backward, %d chained, %d indexed, %d used", forward, backward, chained, len(s.index), s.used)
	}
	return forward
}

// Where locked memory ends, fields still open; their contexts are just not kept.
func TestOpensGoOnWithoutMemoryForContexts(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Cache, k *kms) {
		full, err := secret.NewArena(sealed.ContextSize, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := full.Alloc(); err != nil {
			t.Fatal(err)
		}
		c.contexts.arena.Destroy()
		c.contexts.arena = full
		v := newVault(t, "v_1")
		openOne(t, c, v)
		openOne(t, c, v)
		if st := c.Stats(); st.Contexts != 0 || st.ContextRefused != 2 {
			t.Errorf("%+v", st)
		}
		synctest.Wait()
	})
}
