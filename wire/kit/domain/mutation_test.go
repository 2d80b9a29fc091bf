package domain

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"redoubt/wire/kit/sealed"
)

// outcomes counts the errors that flipped bytes gave, by the part of the format in which the byte is.
type part struct {
	name string
	size int
	want []error // any of these
}

// flip flips a bit of each byte of b in turn, and wants the error of the byte's part. Parts without a size have what is
// left over.
func flip(t *testing.T, b []byte, parts []part, try func(b []byte) error) {
	t.Helper()
	fixed := 0
	for _, p := range parts {
		fixed += p.size
	}
	if err := try(b); err != nil {
		t.Fatalf("unchanged: %v", err)
	}
	at := 0
	for _, p := range parts {
		size := p.size
		if size == 0 {
			size = len(b) - fixed
		}
		for i := at; i < at+size; i++ {
			bit := byte(1) << (i % 8)
			b[i] ^= bit
			err := try(b)
			b[i] ^= bit
			ok := false
			for _, want := range p.want {
				ok = ok || err == want //nolint:errorlint // as it stands: an error says no more than its kind
			}
			if !ok {
				t.Errorf("%s, byte %d (%d of the whole): %v, want %v", p.name, i-at, i, err, p.want)
			}
		}
		at += size
	}
	if at != len(b) {
		t.Fatalf("the parts have %d bytes, want %d", at, len(b))
	}
}

// Each byte of a descriptor: it is malformed, or it is not the descriptor of the secret. A generation, an id and a time
// are not checked against anything else, so there it is the derived keys, or dh alone, that differ.
func TestEachByteOfADescriptorCounts(t *testing.T) {
	v := readVectors(t, "vectors.json")
	descriptor, ds, dh := v.hex(t, "descriptor"), v.hex(t, "domain_secret"), Hash(v.hex(t, "dh"))
	other := errors.New("the domain has another dh")
	form, keys := ErrDescriptor, ErrSecret
	flip(t, descriptor, []part{
		{"magic", 4, []error{form}},
		{"generation", 2, []error{keys}},
		{"length of id", 2, []error{form}},
		{"id", 8, []error{form, keys}},
		{"created", 8, []error{other}},
		{"n", 1, []error{form}},
		{"suites", 2, []error{form, other}},
		{"statement key", 32, []error{keys}},
		{"m", 1, []error{form}},
		{"suite of a request key", 1, []error{form}},
		{"length of a request key", 2, []error{form}},
		{"request key", 97, []error{form}},
		{"suite of a request key", 1, []error{form}},
		{"length of a request key", 2, []error{form}},
		{"request key", 1216, []error{form, keys}},
	}, func(b []byte) error {
		k, err := OpenKeys(b, ds)
		if err != nil {
			return err
		}
		defer k.Destroy()
		if k.Hash() != dh {
			return other // a wrap of the domain does not open under it: see below
		}
		return nil
	})
}

func TestEachByteOfARecordCounts(t *testing.T) {
	v := readVectors(t, "more.json")
	descriptor := v.hex(t, "descriptor")
	arn, blob := v["arn_2"], v.hex(t, "data_key_blob_2")
	first := 2 + len(v["arn"]) + 2 + len(v.hex(t, "data_key_blob")) + 32 + 48
	dk, dh := v.hex(t, "data_key_2"), Hash(v.hex(t, "dh"))
	absent := errors.New("no wrap of the key")
	ignored := errors.New("another wrap, or the blob that KMS judges")
	want := v.hex(t, "domain_record")
	flip(t, bytes.Clone(want), []part{
		{"length of the descriptor", 2, []error{ErrRecord}},
		{"descriptor", len(descriptor), []error{ErrDescriptor, ErrWrap}},
		{"n", 1, []error{ErrRecord}},
		{"first wrap", first, []error{ErrRecord, ignored}},
		{"length of the ARN", 2, []error{ErrRecord}},
		{"ARN", len(arn), []error{ErrRecord, absent}},
		{"length of the blob", 2, []error{ErrRecord}},
		{"blob", len(blob), []error{ignored}},
		{"salt", 32, []error{ErrWrap}},
		{"sealed secret", 48, []error{ErrWrap}},
	}, func(b []byte) error {
		r, _, err := ParseRecord(b)
		if err != nil {
			return err
		}
		w := r.Find(arn)
		if w == nil {
			return absent
		}
		ds := bytes.Repeat([]byte{1}, SecretSize)
		if err := w.Open(ds, dk, Sum(r.Descriptor)); err != nil {
			if !bytes.Equal(ds, make([]byte, SecretSize)) {
				t.Error("the secret is not wiped")
			}
			return err
		}
		k, err := OpenKeys(r.Descriptor, ds)
		if err != nil {
			return err
		}
		k.Destroy()
		if k.Hash() != dh || !bytes.Equal(b, want) {
			return ignored
		}
		return nil
	})
}

func TestEachByteOfAWrappedKeyCounts(t *testing.T) {
	v := readVectors(t, "more.json")
	k := v.open(t)
	for s := range files["more.json"] {
		t.Run(s.String(), func(t *testing.T) {
			flip(t, v.hex(t, fmt.Sprintf("wrapped_key_%d", s)), []part{
				{"mark", 1, []error{ErrVaultKey}},
				{"suite", 1, []error{ErrVaultKey, ErrUnwrap}}, // P-256 and X-Wing have keys of one size
				{"generation", 2, []error{ErrGeneration}},
				{"epoch", 2, []error{ErrUnwrap}},
				{"salt", 16, []error{ErrUnwrap}},
				{"hash of the public key", 32, []error{ErrUnwrap}},
				{"sealed key", 0, []error{ErrUnwrap}},
			}, func(b []byte) error {
				raw := make([]byte, sealed.MaxPrivateSize)
				key, err := k.Open(raw, v["vault_id"], b)
				if err != nil {
					if key != nil || !bytes.Equal(raw, make([]byte, len(raw))) {
						t.Error("something of the key was given out")
					}
					return err
				}
				key.Destroy()
				return nil
			})
		})
	}
}

func TestAWrappedKeyIsOfOneVaultDomainAndGeneration(t *testing.T) {
	v := readVectors(t, "vectors.json")
	k := v.open(t)
	wrapped := v.hex(t, "wrapped_key_4")
	for id, want := range map[string]error{
		v["vault_id"]: nil, "v_2": ErrUnwrap, "": ErrUnwrap, v["vault_id"] + "x": ErrUnwrap,
		string(make([]byte, MaxVaultID+1)): ErrUnwrap,
	} {
		if key, err := k.Open(nil, id, wrapped); !errors.Is(err, want) || (key == nil) != (want != nil) {
			t.Errorf("%q: %v, want %v", id, err, want)
		}
	}
	other := func(id string, generation uint16, suites ...sealed.Suite) *Keys {
		descriptor, err := Describe(v.hex(t, "domain_secret"), id, generation, 1, suites, nil)
		if err != nil {
			t.Fatal(err)
		}
		o, err := OpenKeys(descriptor, v.hex(t, "domain_secret"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(o.Destroy)
		return o
	}
	for what, c := range map[string]struct {
		k    *Keys
		want error
	}{
		"another generation":          {other("acme.pii", 2, sealed.XWing), ErrGeneration},
		"another domain, same secret": {other("acme.pi1", 1, sealed.XWing), ErrUnwrap},
		"a suite that is not allowed": {other("acme.pii", 1, sealed.P384), ErrSuite},
		"another descriptor alone":    {other("acme.pii", 1, sealed.XWing), nil}, // same keys: dh is in the statement
	} {
		if _, err := c.k.Open(nil, v["vault_id"], wrapped); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	for _, bad := range [][]byte{nil, {0xD1}, wrapped[:53], wrapped[:54], wrapped[:101], append(bytes.Clone(wrapped), 0)} {
		if _, err := k.Open(nil, v["vault_id"], bad); !errors.Is(err, ErrVaultKey) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
}

// A wrapped key whose public key is another's unwraps only for an attacker that has K_vault; the comparison is the last
// defence.
func TestAHeadOfAnotherPublicKeyIsRefusedAlsoWhenItIsGenuine(t *testing.T) {
	v := readVectors(t, "vectors.json")
	k := v.open(t)
	h, err := ParseHead(v.hex(t, "wrapped_key_4"))
	if err != nil {
		t.Fatal(err)
	}
	raw := v.hex(t, "vault_sk_4")
	if key, err := k.Open(nil, v["vault_id"], k.wrap(&h, v["vault_id"], raw)); err != nil {
		t.Fatal(err)
	} else {
		key.Destroy()
	}
	h.Public[31] ^= 1
	if _, err := k.Open(nil, v["vault_id"], k.wrap(&h, v["vault_id"], raw)); !errors.Is(err, ErrUnwrap) {
		t.Errorf("%v", err)
	}
	// A key that is none, which no wrap of ours has.
	h.Suite = sealed.P384
	if _, err := k.Open(nil, v["vault_id"], k.wrap(&h, v["vault_id"], make([]byte, 48))); !errors.Is(err, ErrUnwrap) {
		t.Errorf("scalar 0: %v", err)
	}
}

func TestEachByteOfAStatementCounts(t *testing.T) {
	v := readVectors(t, "vectors.json")
	k := v.open(t)
	d, dh, id := k.Descriptor(), k.Hash(), v["vault_id"]
	m, err := k.Mint(fixed(count(1, 48)), Made, id, sealed.XWing, 7)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(dh Hash, kind Kind, id string, wrapped, public, signature []byte) error {
		return d.VerifyKey(dh, kind, id, wrapped, public, [SignatureSize]byte(signature))
	}
	flip(t, bytes.Clone(m.Statement[:]), []part{{"signature", 0, []error{ErrStatement}}}, func(b []byte) error {
		return verify(dh, Made, id, m.Wrapped, m.Public, b)
	})
	flip(t, bytes.Clone(m.Public), []part{{"public key", 0, []error{ErrStatement}}}, func(b []byte) error {
		return verify(dh, Made, id, m.Wrapped, b, m.Statement[:])
	})
	flip(t, bytes.Clone(m.Wrapped), []part{
		{"mark and suite", 2, []error{ErrVaultKey, ErrStatement}}, {"the rest", 0, []error{ErrStatement}},
	}, func(b []byte) error {
		return verify(dh, Made, id, b, m.Public, m.Statement[:])
	})
	flip(t, bytes.Clone(dh[:]), []part{{"dh", 0, []error{ErrStatement}}}, func(b []byte) error {
		return verify(Hash(b), Made, id, m.Wrapped, m.Public, m.Statement[:])
	})
	for what, err := range map[string]error{
		"another vault":   verify(dh, Made, "v_2", m.Wrapped, m.Public, m.Statement[:]),
		"no vault":        verify(dh, Made, "", m.Wrapped, m.Public, m.Statement[:]),
		"the other kind":  verify(dh, Moved, id, m.Wrapped, m.Public, m.Statement[:]),
		"an unknown kind": verify(dh, 2, id, m.Wrapped, m.Public, m.Statement[:]),
		"no public key":   verify(dh, Made, id, m.Wrapped, nil, m.Statement[:]),
	} {
		if !errors.Is(err, ErrStatement) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A signature of the domain for a suite that the descriptor does not allow, or another generation, is no statement.
	narrow := *d
	narrow.Suites = []sealed.Suite{sealed.P384}
	if err := narrow.VerifyKey(dh, Made, id, m.Wrapped, m.Public, m.Statement); !errors.Is(err, ErrStatement) {
		t.Errorf("a suite that is not allowed: %v", err)
	}
	later := *d
	later.Generation++
	if err := later.VerifyKey(dh, Made, id, m.Wrapped, m.Public, m.Statement); !errors.Is(err, ErrStatement) {
		t.Errorf("another generation: %v", err)
	}
}

// Each byte of an answer to a reseal: new wrapped key, fields, enc, and the statement over them and over what was sent.
func TestEachByteOfAResealsAnswerCounts(t *testing.T) {
	v := readVectors(t, "vectors.json")
	k := v.open(t)
	id := v["vault_id"]
	m, key, err := k.MintKey(fixed(count(1, 48)), Made, id, sealed.P384, 8)
	if err != nil {
		t.Fatal(err)
	}
	defer key.Destroy()
	w, err := sealed.SealRefs(sealed.P384, key.Public(), id, map[string][]byte{"dob": []byte("1"), "ssn": []byte("22")})
	if err != nil {
		t.Fatal(err)
	}
	old := v.hashOf(t, sealed.XWing)
	hash := func(id string, wrapped []byte, w sealed.Write) Hash {
		fields, err := Fields(w)
		if err != nil {
			return Hash{}
		}
		h, err := HashRecord(id, wrapped, fields)
		if err != nil {
			return Hash{}
		}
		return h
	}
	sig := k.SignReseal(old, hash(id, m.Wrapped, w))
	verify := func(old, fresh Hash, sig []byte) error {
		return k.Descriptor().VerifyReseal(k.Hash(), old, fresh, [SignatureSize]byte(sig))
	}
	all := func(name string, size int) []part { return []part{{name, size, []error{ErrReseal}}} }
	flip(t, bytes.Clone(sig[:]), all("signature", 64), func(b []byte) error {
		return verify(old, hash(id, m.Wrapped, w), b)
	})
	flip(t, bytes.Clone(m.Wrapped), all("wrapped key", 0), func(b []byte) error { return verify(old, hash(id, b, w), sig[:]) })
	flip(t, bytes.Clone(w.Enc), all("enc", 0), func(b []byte) error {
		return verify(old, hash(id, m.Wrapped, sealed.Write{Enc: b, Fields: w.Fields}), sig[:])
	})
	flip(t, bytes.Clone(old[:]), all("what was sent", 0), func(b []byte) error {
		return verify(Hash(b), hash(id, m.Wrapped, w), sig[:])
	})
	flip(t, bytes.Clone(w.Fields["ssn"]), all("field", 0), func(b []byte) error {
		return verify(old, hash(id, m.Wrapped, sealed.Write{
			Enc: w.Enc, Fields: map[string][]byte{"dob": w.Fields["dob"], "ssn": b},
		}), sig[:])
	})
	for what, fields := range map[string]map[string][]byte{
		"a field less":   {"ssn": w.Fields["ssn"]},
		"another name":   {"ssn": w.Fields["ssn"], "doc": w.Fields["dob"]},
		"fields swapped": {"ssn": w.Fields["dob"], "dob": w.Fields["ssn"]},
		"a field more":   {"ssn": w.Fields["ssn"], "dob": w.Fields["dob"], "x": w.Fields["dob"]},
	} {
		if err := verify(old, hash(id, m.Wrapped, sealed.Write{Enc: w.Enc, Fields: fields}), sig[:]); !errors.Is(err, ErrReseal) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := verify(old, hash("v_2", m.Wrapped, w), sig[:]); !errors.Is(err, ErrReseal) {
		t.Errorf("another vault: %v", err)
	}
	if err := verify(hash(id, m.Wrapped, w), old, sig[:]); !errors.Is(err, ErrReseal) {
		t.Errorf("old for new: %v", err)
	}
}
