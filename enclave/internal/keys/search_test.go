package keys

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
	"redoubt/wire/kit/test/proctest"
)

// The keys of a memory search must never have been in the searching process but by the road under test, so another
// process makes them and hands them over by a pipe that is read straight into secret memory.
func makeKeyInChild(suite sealed.Suite) error {
	key, err := suite.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.PublicKey())
	if err != nil {
		return err
	}
	pub, err := sealed.ParsePublicKey(suite, spki)
	if err != nil {
		return err
	}
	out, err := sealed.SealRecord(suite, pub, "v_1", map[string][]byte{"ssn": []byte("123456789")})
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(slices.Concat([]byte{byte(len(der))}, der, key.Bytes(), out["ssn"]))
	return err
}

// runChild is the child's main; false in the test itself.
func runChild() bool {
	suite := os.Getenv("KEYS_TEST_CHILD")
	if suite == "" {
		return false
	}
	if err := makeKeyInChild(sealed.Suite(suite[0] - '0')); err != nil {
		panic(err)
	}
	return true
}

// foreign is what the child made: all of it in secret memory.
type foreign struct{ der, scalar, blob *secret.Buffer }

func foreignKey(t *testing.T, suite sealed.Suite) foreign {
	t.Helper()
	cmd := proctest.Command(t, os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "KEYS_TEST_CHILD="+string('0'+rune(suite)))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	read := func(n int) *secret.Buffer {
		b, err := secret.New(n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, b.Bytes()); err != nil {
			t.Fatal(err)
		}
		return b
	}
	size := read(1)
	defer size.Destroy()
	n := suite.EncSize()
	f := foreign{der: read(int(size.Bytes()[0])), scalar: read((n - 1) / 2), blob: read(1 + n + 9 + sealed.TagSize)}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return f
}

// memoryKMS hands the foreign DER out as KMS would: in a buffer that the cache destroys.
type memoryKMS struct{ der *secret.Buffer }

func (m memoryKMS) Unwrap(context.Context, Request) (*secret.Buffer, error) {
	b, err := secret.New(m.der.Len())
	if err == nil {
		copy(b.Bytes(), m.der.Bytes())
	}
	return b, err
}

// SECURITY.md, check 24. After the key has gone, by each of its roads, neither the scalar nor the context's secrets are in
// the process's memory; copies that a build may leave are named in mayRemain.
func TestKeyBytesAreGoneFromMemory(t *testing.T) {
	for _, road := range []string{"purge", "purge of the vault", "ttl", "close"} {
		t.Run(road, func(t *testing.T) { searchAfter(t, sealed.P384, road) })
	}
	for _, suite := range sealed.Suites() {
		t.Run(suite.String(), func(t *testing.T) { searchAfter(t, suite, "purge") })
	}
}

// mayRemain names what builds that do not erase leave: of a field of encoding 3, its key where a hash function put it on
// the dead part of the stack (package sealed overwrites that of P-256); of a scalar, the limbs that crypto/ecdh compares with the
// group order, on the stack of the goroutine that parsed it.
func mayRemain(suite sealed.Suite, what string) bool {
	switch what {
	case "field key":
		return !secret.Erasing && suite != sealed.P256
	case "limbs, first 16", "limbs, last 16":
		return !secret.Erasing
	}
	return false
}

// searchAfter fails if copies are left. In a build that does not erase, the runtime saves registers on the stack where it
// preempts a goroutine, which may be in the middle of a copy: so a second and a third key may be needed there.
func searchAfter(t *testing.T, suite sealed.Suite, road string) {
	left := leftAfter(t, suite, road)
	for tries := 1; len(left) > 0 && !secret.Erasing && tries < 3; tries++ {
		t.Log("a preemption may have left these copies:", left)
		left = leftAfter(t, suite, road)
	}
	for what, n := range left {
		t.Errorf("%s: %d copies left", what, n)
	}
}

func leftAfter(t *testing.T, suite sealed.Suite, road string) (left map[string]int) {
	f := foreignKey(t, suite)
	c := newCache(t, Config{}, memoryKMS{f.der})
	var ps patterns
	ps.addScalar(f.scalar.Bytes())
	f.scalar.Destroy()
	r := Request{Suite: suite, KeyARN: "arn", VaultID: []byte("v_1"), Wrapped: []byte("w")}
	useKey(t, c, &r, f.blob.Bytes())
	ps.addContext(t, c, suite)
	f.der.Destroy()
	during := search(t, ps)
	if during["scalar"] == 0 || during["exporter secret"] == 0 || during["AEAD key"] == 0 || during["field key"] == 0 {
		t.Fatalf("the search does not find what is there: %v", during)
	}
	switch road {
	case "purge":
		c.PurgeAll()
	case "purge of the vault":
		c.PurgeVault([]byte("v_1"))
	case "ttl":
		expireAll(c)
		for end := time.Now().Add(20 * time.Second); c.Stats().Keys > 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("not swept")
			}
		}
	case "close":
		c.Close()
	}
	runtime.GC()
	runtime.GC()
	after := search(t, ps)
	t.Logf("erasing build: %v; copies during: %v; after: %v", secret.Erasing, during, after)
	c.Close()
	f.blob.Destroy()
	maps.DeleteFunc(after, func(what string, n int) bool { return n == 0 || mayRemain(suite, what) })
	return after
}

// expireAll ends the time of every key now, however long the search before it took.
func expireAll(c *Cache) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for _, e := range s.keys {
			e.expires.Store(c.now())
		}
		s.mu.Unlock()
	}
}

// useKey fetches the key and reads a field with it, several times, on a goroutine of its own.
func useKey(t *testing.T, c *Cache, r *Request, raw []byte) {
	t.Helper()
	done := make(chan error)
	go func() {
		done <- func() error {
			blob, err := sealed.ParseBlob(r.Suite, sealed.EncodingRecord, raw)
			if err != nil {
				return err
			}
			dst := make([]byte, 0, 64)
			defer secret.Wipe(dst[:cap(dst)])
			for range 5 { // the fifth finds AES-GCM set up
				k, err := c.Get(context.Background(), r)
				if err != nil {
					return err
				}
				_, ok, err := k.OpenCached(dst, []byte("ssn"), blob)
				if !ok {
					_, err = k.Open(dst, []byte("ssn"), blob)
				}
				if err != nil {
					return err
				}
				k.Release()
			}
			return nil
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
