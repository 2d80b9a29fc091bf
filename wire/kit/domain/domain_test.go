package domain

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// newDomain makes a domain of all suites.
func newDomain(t testing.TB) *Keys {
	t.Helper()
	ds := make([]byte, SecretSize)
	_, _ = rand.Read(ds)
	descriptor, err := Describe(ds, "acme", 3, 1, []sealed.Suite{sealed.XWing, sealed.P256, sealed.P384, sealed.P521},
		[]sealed.Suite{sealed.P384, sealed.XWing})
	if err != nil {
		t.Fatal(err)
	}
	k, err := OpenKeys(descriptor, ds)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Destroy)
	return k
}

func TestMintedKeysOpenAndOpenWhatIsSealedToThem(t *testing.T) {
	k := newDomain(t)
	for _, s := range sealed.DomainSuites() {
		m, err := k.Mint(rand.Reader, Made, "v_1", s, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Descriptor().VerifyKey(k.Hash(), Made, "v_1", m.Wrapped, m.Public, m.Statement); err != nil {
			t.Error(err)
		}
		pk, err := sealed.NewPublicKey(s, m.Public)
		if err != nil {
			t.Fatal(err)
		}
		w, err := sealed.SealRefs(s, pk, "v_1", map[string][]byte{"a": []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		sk, err := k.Open(nil, "v_1", m.Wrapped)
		if err != nil {
			t.Fatal(err)
		}
		blob, err := sealed.JoinBlob(s, w.Fields["a"], w.Enc)
		if err != nil {
			t.Fatal(err)
		}
		var mem [sealed.RecordSize]byte
		r, err := sk.DeriveRecord(mem[:], []byte("v_1"), w.Enc)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := r.Open(nil, []byte("a"), blob); err != nil || string(plain) != "x" {
			t.Errorf("%v: %v", s, err)
		}
		sk.Destroy()
		if n := len(m.Wrapped); n != HeadSize+s.PrivateSize()+16 || n > MaxVaultKey {
			t.Errorf("%v: %d bytes", s, len(m.Wrapped))
		}
	}
}

// A generator that always gives the same makes the same key for the same vault and epoch, and another for another.
func TestAFailingGeneratorSharesNoKeyBetweenVaultsEpochsAndDomains(t *testing.T) {
	k, other := newDomain(t), newDomain(t)
	seen := map[string]string{}
	for _, c := range []struct {
		what  string
		k     *Keys
		id    string
		s     sealed.Suite
		epoch uint16
	}{
		{"first", k, "v_1", sealed.XWing, 1},
		{"another vault", k, "v_2", sealed.XWing, 1},
		{"another epoch", k, "v_1", sealed.XWing, 2},
		{"another suite", k, "v_1", sealed.P256, 1},
		{"another domain", other, "v_1", sealed.XWing, 1},
	} {
		m, err := c.k.Mint(bytes.NewReader(make([]byte, 64)), Made, c.id, c.s, c.epoch)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []string{string(m.Public), string(m.Wrapped[HeadSize:])} {
			if before, ok := seen[x]; ok {
				t.Errorf("%s has what %s has", c.what, before)
			}
			seen[x] = c.what
		}
	}
}

func TestMintRefuses(t *testing.T) {
	v := readVectors(t, "vectors.json")
	k := v.open(t) // X-Wing and P-384
	for what, c := range map[string]struct {
		random io.Reader
		id     string
		s      sealed.Suite
		epoch  uint16
		want   error
	}{
		"no vault":            {rand.Reader, "", sealed.XWing, 1, ErrID},
		"too long a vault id": {rand.Reader, strings.Repeat("v", MaxVaultID+1), sealed.XWing, 1, ErrID},
		"not allowed":         {rand.Reader, "v_1", sealed.P256, 1, ErrSuite},
		"no suite":            {rand.Reader, "v_1", 0, 1, ErrSuite},
		"epoch 0":             {rand.Reader, "v_1", sealed.XWing, 0, ErrEpoch},
		"no entropy":          {bytes.NewReader(make([]byte, 47)), "v_1", sealed.XWing, 1, io.ErrUnexpectedEOF},
	} {
		if m, err := k.Mint(c.random, Made, c.id, c.s, c.epoch); !errors.Is(err, c.want) || m.Wrapped != nil {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}

func TestSecretsOfOtherSizesAreRefused(t *testing.T) {
	v := readVectors(t, "vectors.json")
	b := make([]byte, 33)
	var ds [SecretSize]byte
	for what, err := range map[string]error{
		"hardware":   NewSecret(ds[:], b[:31], b[:32], [][]byte{b[:32]}, "a", 1),
		"system":     NewSecret(ds[:], b[:32], b[:33], [][]byte{b[:32]}, "a", 1),
		"data key":   NewSecret(ds[:], b[:32], b[:32], [][]byte{b[:32], b[:16]}, "a", 1),
		"none":       NewSecret(ds[:], b[:32], b[:32], nil, "a", 1),
		"dst":        NewSecret(b, b[:32], b[:32], [][]byte{b[:32]}, "a", 1),
		"generation": NewSecret(ds[:], b[:32], b[:32], [][]byte{b[:32]}, "a", 0),
		"opening": func() error {
			_, err := OpenKeys(v.hex(t, "descriptor"), b[:31])
			return err
		}(),
		"another secret": func() error {
			_, err := OpenKeys(v.hex(t, "descriptor"), b[:32])
			return err
		}(),
	} {
		if !errors.Is(err, ErrSecret) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := NewSecret(ds[:], b[:32], b[:32], [][]byte{b[:32]}, "A", 1); !errors.Is(err, ErrID) {
		t.Error(err)
	}
	w := Wrap{}
	if err := w.Open(ds[:], b[:16], Hash{}); !errors.Is(err, ErrWrap) {
		t.Error(err)
	}
	if _, err := SealSecret(b[:16], [32]byte{}, Hash{}, "arn", b, ds[:]); !errors.Is(err, ErrSecret) {
		t.Error(err)
	}
}

// Each input of a domain's secret changes it.
func TestASecretNeedsAllItIsMadeOf(t *testing.T) {
	make1 := func(hardware, system, dk1, dk2 byte, id string, generation uint16) string {
		var ds [SecretSize]byte
		fill := func(c byte) []byte { return bytes.Repeat([]byte{c}, 32) }
		if err := NewSecret(ds[:], fill(hardware), fill(system), [][]byte{fill(dk1), fill(dk2)}, id, generation); err != nil {
			t.Fatal(err)
		}
		return string(ds[:])
	}
	seen := map[string]bool{}
	for _, ds := range []string{
		make1(1, 2, 3, 4, "a", 1), make1(9, 2, 3, 4, "a", 1), make1(1, 9, 3, 4, "a", 1), make1(1, 2, 9, 4, "a", 1),
		make1(1, 2, 3, 9, "a", 1), make1(1, 2, 3, 4, "b", 1), make1(1, 2, 3, 4, "a", 2),
	} {
		if seen[ds] {
			t.Error("two secrets are equal")
		}
		seen[ds] = true
	}
}

func TestDescriptorsThatMayNotBe(t *testing.T) {
	good := func() *Descriptor { d := *newDomain(t).Descriptor(); return &d }
	for what, spoil := range map[string]func(d *Descriptor){
		"generation 0":              func(d *Descriptor) { d.Generation = 0 },
		"no id":                     func(d *Descriptor) { d.ID = "" },
		"a long id":                 func(d *Descriptor) { d.ID = strings.Repeat("a", 64) },
		"an id in capitals":         func(d *Descriptor) { d.ID = "Acme" },
		"an id with a slash":        func(d *Descriptor) { d.ID = "a/b" },
		"an id with a zero":         func(d *Descriptor) { d.ID = "a\x00" },
		"no suite":                  func(d *Descriptor) { d.Suites = nil },
		"an unknown suite":          func(d *Descriptor) { d.Suites = []sealed.Suite{5} },
		"suite 0":                   func(d *Descriptor) { d.Suites = []sealed.Suite{0, 1} },
		"a suite twice":             func(d *Descriptor) { d.Suites = []sealed.Suite{2, 1, 1} },
		"the default twice":         func(d *Descriptor) { d.Suites = []sealed.Suite{2, 1, 2} },
		"suites that descend":       func(d *Descriptor) { d.Suites = []sealed.Suite{4, 2, 1} },
		"request keys that descend": func(d *Descriptor) { d.Requests = []RequestKey{d.Requests[1], d.Requests[0]} },
		"a request key twice":       func(d *Descriptor) { d.Requests = []RequestKey{d.Requests[1], d.Requests[1]} },
		"three request keys":        func(d *Descriptor) { d.Requests = append(d.Requests, d.Requests[0]) },
		"a request key of another suite": func(d *Descriptor) {
			d.Requests = []RequestKey{{sealed.P256, d.Requests[0].Public}}
		},
		"a request key that is no point": func(d *Descriptor) {
			d.Requests = []RequestKey{{sealed.P384, append([]byte{4}, make([]byte, 96)...)}}
		},
		"a statement key of zeros":   func(d *Descriptor) { d.Statements = [32]byte{} },
		"a key that is no canonical": func(d *Descriptor) { d.Statements = [32]byte(bytes.Repeat([]byte{0xff}, 32)) },
	} {
		d := good()
		spoil(d)
		if out, err := d.Append(nil); !errors.Is(err, ErrDescriptor) || out != nil {
			t.Errorf("%s: written, %v", what, err)
		}
		if _, err := ParseDescriptor(encode(d)); !errors.Is(err, ErrDescriptor) {
			t.Errorf("%s: read, %v", what, err)
		}
	}
	whole := encode(good())
	if _, err := ParseDescriptor(whole); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, err := ParseDescriptor(whole[:n]); !errors.Is(err, ErrDescriptor) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	for _, more := range []int{1, MaxDescriptor} {
		if _, err := ParseDescriptor(append(bytes.Clone(whole), make([]byte, more)...)); !errors.Is(err, ErrDescriptor) {
			t.Errorf("%d bytes after the end: %v", more, err)
		}
	}
}

// encode is Append without its checks.
func encode(d *Descriptor) []byte {
	b := appendL(append([]byte("RDD1"), byte(d.Generation>>8), byte(d.Generation)), d.ID)
	b = append(b, make([]byte, 8)...)
	b = append(b, byte(len(d.Suites)))
	for _, s := range d.Suites {
		b = append(b, byte(s))
	}
	b = append(append(b, d.Statements[:]...), byte(len(d.Requests)))
	for _, r := range d.Requests {
		b = appendL(append(b, byte(r.Suite)), r.Public)
	}
	return b
}

func TestRecordsThatMayNotBe(t *testing.T) {
	v := readVectors(t, "more.json")
	good, _, err := ParseRecord(v.hex(t, "domain_record"))
	if err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(r *Record){
		"no wrap":              func(r *Record) { r.Wraps = nil },
		"two wraps of one ARN": func(r *Record) { r.Wraps[1].ARN = r.Wraps[0].ARN },
		"no ARN":               func(r *Record) { r.Wraps[0].ARN = "" },
		"an ARN with a space":  func(r *Record) { r.Wraps[0].ARN = "arn a" },
		"an ARN in Greek":      func(r *Record) { r.Wraps[0].ARN = "αρν" },
		"a long ARN":           func(r *Record) { r.Wraps[0].ARN = strings.Repeat("a", MaxARN+1) },
		"no data key":          func(r *Record) { r.Wraps[0].DataKey = nil },
		"a long data key":      func(r *Record) { r.Wraps[0].DataKey = make([]byte, MaxDataKey+1) },
		"too large a record": func(r *Record) {
			for i := range r.Wraps {
				r.Wraps[i].DataKey = make([]byte, MaxDataKey)
			}
			w := r.Wraps[0]
			w.ARN = "third"
			r.Wraps = append(r.Wraps, w)
		},
	} {
		r := &Record{Descriptor: good.Descriptor, Wraps: append([]Wrap(nil), good.Wraps...)}
		spoil(r)
		if out, err := r.Append([]byte("x")); !errors.Is(err, ErrRecord) || string(out) != "x" {
			t.Errorf("%s: written, %v", what, err)
		}
		b := append(appendL(nil, r.Descriptor), byte(len(r.Wraps)))
		for _, w := range r.Wraps {
			b = append(append(appendL(appendL(b, w.ARN), w.DataKey), w.Salt[:]...), w.Sealed[:]...)
		}
		if _, _, err := ParseRecord(b); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: read, %v", what, err)
		}
	}
	whole := v.hex(t, "domain_record")
	for n := range whole {
		if _, _, err := ParseRecord(whole[:n]); !errors.Is(err, ErrRecord) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	if _, _, err := ParseRecord(append(whole, 0)); !errors.Is(err, ErrRecord) {
		t.Errorf("a byte after the end: %v", err)
	}
}

// With a key of small order a signature that nobody made verifies for many messages; each key of the list is one, and a
// descriptor with it is refused.
func TestKeysOfSmallOrderAreRefused(t *testing.T) {
	identity := append([]byte{1}, make([]byte, 63)...) // R the neutral point, S = 0
	for _, y := range smallOrder {
		for _, sign := range []byte{0, 0x80} {
			key := y
			key[31] |= sign
			if StrongKey(key) {
				t.Errorf("%x is taken", key)
			}
			forged := 0
			for i := range 200 {
				if ed25519.Verify(key[:], fmt.Append(nil, i), identity) {
					forged++
				}
			}
			// x = 0 has no negative: those two encodings are no points, and nothing verifies.
			if point := sign == 0 || y != smallOrder[1] && y != minusOne; point && forged == 0 {
				t.Errorf("%x is not of small order", key)
			}
		}
	}
	for _, low := range []byte{0xed, 0xee, 0xff} { // p, p + 1 and the last that 255 bits hold
		key := minusOne
		key[0] = low
		if StrongKey(key) {
			t.Errorf("y = 2^255 - %d is taken", 256-int(low))
		}
	}
	for range 100 {
		public, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil || !StrongKey([32]byte(public)) {
			t.Fatalf("%x is refused, %v", public, err)
		}
	}
}

func TestHashRecordRefuses(t *testing.T) {
	one := []SealedField{{"a", nil, nil}}
	for what, c := range map[string]struct {
		id      string
		wrapped []byte
		fields  []SealedField
	}{
		"no vault":           {"", nil, one},
		"a name twice":       {"v", nil, []SealedField{{"a", nil, nil}, {"b", nil, nil}, {"a", nil, nil}}},
		"no name":            {"v", nil, []SealedField{{"", nil, nil}}},
		"a long name":        {"v", nil, []SealedField{{strings.Repeat("a", 256), nil, nil}}},
		"a long enc":         {"v", nil, []SealedField{{"a", make([]byte, 1<<16), nil}}},
		"a long wrapped key": {"v", make([]byte, 1<<16), one},
		"too many fields":    {"v", nil, make([]SealedField, 1<<16)},
	} {
		if h, err := HashRecord(c.id, c.wrapped, c.fields); !errors.Is(err, ErrID) || h != (Hash{}) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Where one part ends and the next begins counts: no two records have one hash.
func TestTheHashOfARecordIsInjective(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) [4]string {
		return [4]string{
			rapid.StringMatching(`[ab]{1,2}`).Draw(t, "id"), rapid.StringMatching(`[ab]{0,2}`).Draw(t, "key"),
			rapid.StringMatching(`[ab]{0,2}`).Draw(t, "enc"), rapid.StringMatching(`[ab]{0,2}`).Draw(t, "ct"),
		}
	})
	hash := func(x [4]string) Hash {
		h, err := HashRecord(x[0], []byte(x[1]), []SealedField{{"a", []byte(x[2]), []byte(x[3])}})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		if (a == b) != (hash(a) == hash(b)) {
			t.Fatalf("%q and %q", a, b)
		}
	})
}

func TestCodecsGiveBackWhatTheyWrote(t *testing.T) {
	base := newDomain(t).Descriptor()
	rapid.Check(t, func(t *rapid.T) {
		d := Descriptor{
			Generation: rapid.Uint16Min(1).Draw(t, "generation"), ID: rapid.StringMatching(`[a-z0-9._-]{1,63}`).Draw(t, "id"),
			CreatedMS: rapid.Uint64().Draw(t, "created"), Statements: base.Statements,
			Suites:   rapid.SampledFrom([][]sealed.Suite{{4}, {2, 1}, {1, 2, 3, 4}, {4, 2, 3}}).Draw(t, "suites"),
			Requests: rapid.SampledFrom([][]RequestKey{nil, base.Requests[:1], base.Requests[1:], base.Requests}).Draw(t, "requests"),
		}
		b, err := d.Append([]byte("-"))
		if err != nil || len(b)-1 > MaxDescriptor {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		got, err := ParseDescriptor(b[1:])
		if err != nil || fmt.Sprintf("%#v", *got) != fmt.Sprintf("%#v", d) && len(d.Requests) > 0 {
			t.Fatalf("%v", err)
		}
		if again, err := got.Append(nil); err != nil || !bytes.Equal(again, b[1:]) {
			t.Fatal("another encoding")
		}
		r := Record{Descriptor: b[1:]}
		for i := range rapid.IntRange(1, 4).Draw(t, "wraps") {
			r.Wraps = append(r.Wraps, Wrap{
				ARN:     fmt.Sprint(i) + rapid.StringMatching(`[!-~]{0,60}`).Draw(t, "arn"),
				DataKey: rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "data key"),
				Salt:    [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "salt")),
			})
		}
		b, err = r.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		rec, _, err := ParseRecord(b)
		if err != nil || fmt.Sprintf("%v", *rec) != fmt.Sprintf("%v", r) {
			t.Fatal(err)
		}
		h := Head{
			Suite:      rapid.SampledFrom(sealed.DomainSuites()).Draw(t, "suite"),
			Generation: rapid.Uint16Min(1).Draw(t, "of"), Epoch: rapid.Uint16Min(1).Draw(t, "epoch"),
			Salt: [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "salt")),
		}
		if got, err := ParseHead(append(h.append(nil), make([]byte, h.Suite.PrivateSize()+16)...)); err != nil || got != h {
			t.Fatal(err)
		}
	})
}

func TestKeysPrintNothing(t *testing.T) {
	k := newDomain(t)
	j, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "k", k)
	for _, s := range []string{fmt.Sprintf("%v %+v %#v %x %s", k, k, k, k, k), string(j), log.String()} {
		if !strings.Contains(s, secret.Redacted) || strings.Contains(s, fmt.Sprintf("%x", k.key(0)[:4])) {
			t.Error(s)
		}
	}
}

// A domain's keys lock one page of the process's budget.
func TestKeysAreOnePageAndGoWithDestroy(t *testing.T) {
	before := secret.Stats().Mapped
	k := newDomain(t)
	if n := secret.Stats().Mapped - before; n != 4096 {
		t.Errorf("%d bytes", n)
	}
	k.Destroy()
	if n := secret.Stats().Mapped - before; n != 0 {
		t.Errorf("%d bytes are left", n)
	}
}

func FuzzParseDescriptor(f *testing.F) {
	for name := range files {
		f.Add(readVectors(f, name).hex(f, "descriptor"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseDescriptor(b)
		if err != nil {
			if d != nil || !errors.Is(err, ErrDescriptor) {
				t.Fatal("another error, or a descriptor beside it")
			}
			return
		}
		if again, err := d.Append(nil); err != nil || !bytes.Equal(again, b) {
			t.Fatal("not the same when written again")
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	for name := range files {
		f.Add(readVectors(f, name).hex(f, "domain_record"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, d, err := ParseRecord(b)
		if err != nil {
			if r != nil || d != nil || !errors.Is(err, ErrDescriptor) && !errors.Is(err, ErrRecord) {
				t.Fatal("another error, or a record beside it")
			}
			return
		}
		if again, err := r.Append(nil); err != nil || !bytes.Equal(again, b) {
			t.Fatal("not the same when written again")
		}
	})
}

func FuzzOpenVaultKey(f *testing.F) {
	v := readVectors(f, "vectors.json")
	k := v.open(f)
	f.Add(v["vault_id"], v.hex(f, "wrapped_key_4"))
	f.Add(v["vault_id"], v.hex(f, "wrapped_key_2"))
	f.Fuzz(func(t *testing.T, id string, wrapped []byte) {
		h, err := ParseHead(wrapped)
		if err == nil && !bytes.Equal(h.append(nil), wrapped[:HeadSize]) || err != nil && !errors.Is(err, ErrVaultKey) {
			t.Fatalf("%v", err)
		}
		key, err := k.Open(nil, id, wrapped)
		if err != nil {
			return
		}
		key.Destroy()
		if id != v["vault_id"] {
			t.Fatal("the key of another vault opened")
		}
	})
}

func FuzzVerifyKey(f *testing.F) {
	v := readVectors(f, "vectors.json")
	k := v.open(f)
	m, err := k.Mint(fixed(count(1, 48)), Made, "v_1", sealed.P384, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(0), "v_1", m.Wrapped, m.Public, m.Statement[:])
	f.Fuzz(func(t *testing.T, kind uint8, id string, wrapped, public, signature []byte) {
		if len(signature) != SignatureSize {
			return
		}
		err := k.Descriptor().VerifyKey(k.Hash(), Kind(kind), id, wrapped, public, [SignatureSize]byte(signature))
		genuine := kind == 0 && id == "v_1" && bytes.Equal(wrapped, m.Wrapped) && bytes.Equal(public, m.Public) &&
			bytes.Equal(signature, m.Statement[:])
		if genuine != (err == nil) || err != nil && !errors.Is(err, ErrStatement) && !errors.Is(err, ErrVaultKey) {
			t.Fatalf("%v", err)
		}
	})
}

func BenchmarkMint(b *testing.B) {
	benchSuites(b, func(b *testing.B, k *Keys, s sealed.Suite) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := k.Mint(rand.Reader, Made, "v_2Xb1Zy8kJmQp4rT6wN0cVfHsLdE", s, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	benchSuites(b, func(b *testing.B, k *Keys, s sealed.Suite) {
		m, err := k.Mint(rand.Reader, Made, "v_1", s, 1)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			key, err := k.Open(nil, "v_1", m.Wrapped)
			if err != nil {
				b.Fatal(err)
			}
			key.Destroy()
		}
	})
}

func benchSuites(b *testing.B, run func(b *testing.B, k *Keys, s sealed.Suite)) {
	k := newDomain(b)
	for _, s := range sealed.DomainSuites() {
		b.Run(s.String(), func(b *testing.B) { run(b, k, s) })
	}
}
