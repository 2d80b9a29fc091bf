package envelope

import (
	"testing"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/proctest"
)

// exchangeOf is a request, its context and an answer, for measurements: a hot field of nine digits.
func exchangeOf(b testing.TB, suite sealed.Suite) (raw []byte, key *sealed.PrivateKey, r Request, c Context, a *Answer) {
	k, s := newSenderOf(b, suite)
	raw, _, err := s.Seal(nil, &Body{Auth: Auth{AuthKey, make([]byte, 60)}, Message: make([]byte, 300)}, testTime)
	if err != nil {
		b.Fatal(err)
	}
	if key, err = k.RequestKey(suite); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(key.Destroy)
	r, c = contextOf(b, k, raw)
	return raw, key, r, c, &Answer{Message: make([]byte, 60)}
}

// BenchmarkFirst is what the enclave pays more for the first message of a context: the derivation.
func BenchmarkFirst(b *testing.B) {
	for _, suite := range sealed.DomainSuites() {
		b.Run(suite.String(), func(b *testing.B) {
			_, key, r, _, _ := exchangeOf(b, suite)
			v := readVectors(b, designFile)
			h := v.open(b).Hash()
			mem := make([]byte, ContextSize)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Derive(mem, key, h, r.Enc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFurther is what it pays for a further one: to open the request, and to seal the answer.
func BenchmarkFurther(b *testing.B) {
	raw, _, _, c, a := exchangeOf(b, sealed.XWing)
	plain, out := make([]byte, 0, 4096), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		r, err := Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Open(plain, r); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Seal(out, r, a); err != nil {
			b.Fatal(err)
		}
	}
}

// AES-256-GCM is set up for each message, in two heap blocks. There is no other.
func TestAllocationsOfAFurtherMessage(t *testing.T) {
	raw, _, r, c, a := exchangeOf(t, sealed.XWing)
	plain, out := make([]byte, 0, 4096), make([]byte, 0, 4096)
	if proctest.Race {
		t.Skip("pools forget at random under the race detector")
	}
	for what, f := range map[string]struct {
		most float64
		f    func()
	}{
		"parse": {0, func() { _, _ = Parse(raw) }},
		"split": {0, func() { _, _, _ = SplitRecords(raw) }},
		"ID":    {0, func() { _ = r.ID() }},
		"open":  {2, func() { _, _ = c.Open(plain, r) }},
		"seal":  {2, func() { _, _ = c.Seal(out, r, a) }},
	} {
		if n := testing.AllocsPerRun(100, f.f); n > f.most {
			t.Errorf("%s: %v allocations, want %v at most", what, n, f.most)
		}
	}
}
