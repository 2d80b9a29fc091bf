package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// flips calls f with b, of which one bit of each byte is another.
func flips(b []byte, f func(b []byte, i int)) {
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 1 << (i % 8)
		f(c, i)
	}
}

// accept is what the API checks of a created domain, without its attestation document: the record has the form of one,
// and each of its wraps opens to the secret of the descriptor.
func (w *writeWorld) accept(record []byte) error {
	rec, desc, err := domain.ParseRecord(record)
	if err != nil {
		return err
	}
	for i := range rec.Wraps {
		one := &rec.Wraps[i]
		_, bound, ok := bytes.Cut(one.DataKey, []byte(" "+desc.ID+" "))
		if !ok || len(bound) < domain.DataKeySize {
			return domain.ErrWrap
		}
		var ds [domain.SecretSize]byte
		if err := one.Open(ds[:], bound[len(bound)-domain.DataKeySize:], domain.Sum(rec.Descriptor)); err != nil {
			return err
		}
		k, err := domain.OpenKeys(rec.Descriptor, ds[:])
		if err != nil {
			return err
		}
		k.Destroy()
		secret.Wipe(ds[:])
	}
	return nil
}

func TestEachByteOfACreatedRecordCounts(t *testing.T) {
	w := newWriteWorld(t)
	m := w.creation("acme", 1)
	m.Suites, m.RequestSuites = []byte{uint8(sealed.P256)}, []byte{uint8(sealed.P256)}
	a, code := w.create(m)
	if code != wire.OK {
		t.Fatal(code)
	}
	if err := w.accept(a.Record); err != nil {
		t.Fatal(err)
	}
	rec, _, err := domain.ParseRecord(a.Record)
	if err != nil {
		t.Fatal(err)
	}
	bound := map[int]bool{} // the fake KMS's ciphertext of a data key, of which it binds all but the length of numbers
	for _, wrap := range rec.Wraps {
		at := bytes.Index(a.Record, wrap.DataKey)
		for i := range len(wrap.DataKey) - domain.DataKeySize {
			bound[at+i] = true
		}
	}
	flips(a.Record, func(b []byte, i int) {
		if !bound[i] && w.accept(b) == nil {
			t.Errorf("byte %d of %d", i, len(b))
		}
	})
}

func TestEachByteOfAMintedKeyCounts(t *testing.T) {
	w := newWriteWorld(t)
	d := w.make("acme", 1)
	for _, suite := range all {
		minted, code := w.mint(d, suite, 1)
		if code != wire.OK {
			t.Fatal(code)
		}
		k := minted[0]
		check := func(m wire.Minted) error {
			return domain.VerifyKey(d.raw, domain.Made, string(m.VaultID), m.Key.Wrapped, m.Key.Public, signature(m.Key.Statement))
		}
		if err := check(k); err != nil {
			t.Fatal(err)
		}
		for part, f := range map[string]struct {
			b   []byte
			set func(m *wire.Minted, b []byte)
		}{
			"id":        {k.VaultID, func(m *wire.Minted, b []byte) { m.VaultID = b }},
			"wrapped":   {k.Key.Wrapped, func(m *wire.Minted, b []byte) { m.Key.Wrapped = b }},
			"public":    {k.Key.Public, func(m *wire.Minted, b []byte) { m.Key.Public = b }},
			"statement": {k.Key.Statement, func(m *wire.Minted, b []byte) { m.Key.Statement = b }},
		} {
			flips(f.b, func(b []byte, i int) {
				m := k
				f.set(&m, b)
				if err := check(m); !errors.Is(err, domain.ErrStatement) && !errors.Is(err, domain.ErrVaultKey) {
					t.Errorf("suite %d, byte %d of %s: %v", suite, i, part, err)
				}
			})
		}
	}
}

// TestEachByteOfAResealCounts flips each byte of what was sent and of what was answered: what the API checks of an answer
// then refuses it.
func TestEachByteOfAResealCounts(t *testing.T) {
	w := newWriteWorld(t)
	d := w.make("acme", 1)
	q := w.vaultIn(d, uint8(sealed.P256), map[string]string{"a": "1", "b": "22"})
	a, code := w.resealed(q, d, uint8(sealed.P384), 2)
	if code != wire.OK {
		t.Fatal(code)
	}
	check := func(q *wire.DecryptRequest, a *wire.ResealResponse) error {
		err := domain.VerifyKey(d.raw, domain.Made, string(q.VaultID), a.Key.Wrapped, a.Key.Public, signature(a.Key.Statement))
		if err != nil {
			return err
		}
		write := sealed.Write{Enc: a.Enc, Fields: map[string][]byte{}}
		for i, f := range a.Fields {
			write.Fields[string(q.Fields[i].Name)] = f
		}
		split, err := domain.Fields(write)
		if err != nil {
			return err
		}
		fresh, err := domain.HashRecord(string(q.VaultID), a.Key.Wrapped, split)
		if err != nil {
			return err
		}
		var old []domain.SealedField
		for i := range q.Fields {
			blob, err := sealed.JoinBlob(sealed.P256, q.Fields[i].Blob, q.Encs[0])
			if err != nil {
				return err
			}
			old = append(old, domain.SealedField{Name: string(q.Fields[i].Name), Enc: blob.Enc, CT: blob.CT})
		}
		was, err := domain.HashRecord(string(q.VaultID), q.WrappedKey, old)
		if err != nil {
			return err
		}
		return d.desc.VerifyReseal(d.hash, was, fresh, signature(a.Statement))
	}
	if err := check(q, &a); err != nil {
		t.Fatal(err)
	}
	for part, f := range map[string]struct {
		b   []byte
		set func(q *wire.DecryptRequest, a *wire.ResealResponse, b []byte)
	}{
		"wrapped":          {a.Key.Wrapped, func(_ *wire.DecryptRequest, a *wire.ResealResponse, b []byte) { a.Key.Wrapped = b }},
		"public":           {a.Key.Public, func(_ *wire.DecryptRequest, a *wire.ResealResponse, b []byte) { a.Key.Public = b }},
		"key's statement":  {a.Key.Statement, func(_ *wire.DecryptRequest, a *wire.ResealResponse, b []byte) { a.Key.Statement = b }},
		"enc":              {a.Enc, func(_ *wire.DecryptRequest, a *wire.ResealResponse, b []byte) { a.Enc = b }},
		"first field":      {a.Fields[0], func(_ *wire.DecryptRequest, a *wire.ResealResponse, b []byte) { a.Fields[0] = b }},
		"second field":     {a.Fields[1], func(_ *wire.DecryptRequest, a *wire.ResealResponse, b []byte) { a.Fields[1] = b }},
		"statement":        {a.Statement, func(_ *wire.DecryptRequest, a *wire.ResealResponse, b []byte) { a.Statement = b }},
		"vault id":         {q.VaultID, func(q *wire.DecryptRequest, _ *wire.ResealResponse, b []byte) { q.VaultID = b }},
		"old key":          {q.WrappedKey, func(q *wire.DecryptRequest, _ *wire.ResealResponse, b []byte) { q.WrappedKey = b }},
		"old enc":          {q.Encs[0], func(q *wire.DecryptRequest, _ *wire.ResealResponse, b []byte) { q.Encs = [][]byte{b} }},
		"old first field":  {q.Fields[0].Blob, func(q *wire.DecryptRequest, _ *wire.ResealResponse, b []byte) { q.Fields[0].Blob = b }},
		"name of a field":  {q.Fields[0].Name, func(q *wire.DecryptRequest, _ *wire.ResealResponse, b []byte) { q.Fields[0].Name = b }},
		"old second field": {q.Fields[1].Blob, func(q *wire.DecryptRequest, _ *wire.ResealResponse, b []byte) { q.Fields[1].Blob = b }},
	} {
		flips(f.b, func(b []byte, i int) {
			old, answer := *q, a
			old.Fields, answer.Fields = append([]wire.Field(nil), q.Fields...), append([][]byte(nil), a.Fields...)
			f.set(&old, &answer, b)
			if check(&old, &answer) == nil {
				t.Errorf("byte %d of %s", i, part)
			}
		})
	}
	// And the enclave itself refuses what was sent with a byte changed.
	body := (&wire.ResealRequest{To: d.name, Epoch: 2, Old: *q}).Append(nil)
	refused := 0
	flips(body, func(b []byte, i int) {
		kind, out, code := w.ask(wire.KindReseal, b)
		var m wire.ResealResponse
		switch {
		case code != wire.OK:
			refused++
		case kind != wire.KindResealed || m.Decode(out) != nil:
			t.Errorf("byte %d: kind %d", i, kind)
		case m.Code != wire.OK:
			refused++
		default: // the target's suite, the epoch, and a name's case are free
			if i > wire.DomainNameSize+2 && !bytes.EqualFold(body, b) {
				t.Errorf("byte %d of %d: resealed", i, len(b))
			}
		}
	})
	if refused < len(body)-5 {
		t.Errorf("%d of %d refused", refused, len(body))
	}
}

// What a reseal costs: ten fields, in a domain and from keys of KMS's.
func BenchmarkReseal(b *testing.B) {
	w := newWriteWorld(b)
	d := w.make("acme", 1)
	fields := map[string]string{}
	for i := range 10 {
		fields[string(rune('a'+i))] = "a value of thirty-two characters"
	}
	for name, q := range map[string]*wire.DecryptRequest{
		"X-Wing": w.vaultIn(d, uint8(sealed.XWing), fields), "P-384": w.vaultIn(d, uint8(sealed.P384), fields),
		"KMS's P-384, encoding 3": w.kmsVault(sealed.EncodingRecord, fields),
		"KMS's P-384, encoding 2": w.kmsVault(sealed.EncodingField, fields),
	} {
		b.Run(name, func(b *testing.B) {
			body := (&wire.ResealRequest{To: d.name, Epoch: 2, Old: *q}).Append(nil)
			n, before := 0, processCPU(b)
			for b.Loop() {
				w.cache.PurgeVault(q.VaultID) // no context is there
				if _, out, code := w.ask(wire.KindReseal, body); code != wire.OK || out[0] != 0 {
					b.Fatal(code)
				}
				n++
			}
			b.ReportMetric(float64((processCPU(b)-before).Microseconds())/float64(n), "cpu-µs/op")
		})
	}
}

func (w *writeWorld) kmsVault(e sealed.Encoding, fields map[string]string) *wire.DecryptRequest {
	v := w.vault("v_"+string('0'+rune(e)), sealed.P384, true)
	return v.request(e, w.seal(v, e, fields), sorted(fields)...)
}

// How many keys are minted in a second, on the workers of the pool: see keys/s and keys/s/core. "alone" is the same
// without engine and session, for comparison within one run.
func BenchmarkMint(b *testing.B) {
	t := newTenant(b)
	b.Run("X-Wing alone", func(b *testing.B) {
		made, before := 0, processCPU(b)
		for b.Loop() {
			if _, err := t.keys.Mint(rand.Reader, domain.Made, "v_2aAbCdEfGhIjKlMnOpQrStUvWxY", sealed.XWing, 1); err != nil {
				b.Fatal(err)
			}
			made++
		}
		b.ReportMetric(float64(made)/(processCPU(b)-before).Seconds(), "keys/s/core")
	})
	w := newWriteWorld(b)
	d := w.make("acme", 1)
	for _, suite := range []sealed.Suite{sealed.XWing, sealed.P384, sealed.P256} {
		b.Run(suite.String(), func(b *testing.B) {
			body := (&wire.MintRequest{Domain: d.name, Suite: uint8(suite), Count: wire.MaxMint}).Append(nil)
			made, before := 0, processCPU(b)
			for b.Loop() {
				c := w.client.NewCall()
				c.Kind, c.Body = wire.KindMint, append(c.Body, body...)
				if err := w.client.Do(context.Background(), c); err != nil {
					b.Fatal(err)
				}
				c.Release()
				made += wire.MaxMint
			}
			b.ReportMetric(float64(made)/b.Elapsed().Seconds(), "keys/s")
			b.ReportMetric(float64(made)/(processCPU(b)-before).Seconds(), "keys/s/core")
		})
	}
}

// processCPU is what the process has used, parent's end included.
func processCPU(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
