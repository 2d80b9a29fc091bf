package sealed

import "redoubt/wire/kit/secret"

// ContextSize is the number of bytes of memory that a [Context] needs: AEAD key, base nonce, exporter secret.
const ContextSize = keySize + nonceSize + maxHashSize

// Context opens what was sealed with one encapsulated key, without public-key work. It is a small value over
// [ContextSize] bytes that belong to the caller, which keeps them in secret memory and wipes them. Several goroutines
// may call its methods as long as none writes to that memory. It prints as [secret.Redacted].
type Context struct {
	suite Suite
	mem   []byte
}

// LoadContext makes a Context of ContextSize bytes that [PrivateKey.Derive] has filled for the same suite.
func LoadContext(suite Suite, mem []byte) Context { return Context{suite: suite, mem: mem} }

func (c Context) key() []byte       { return c.mem[:keySize] }
func (c Context) baseNonce() []byte { return c.mem[keySize : keySize+nonceSize] }
func (c Context) exporter() []byte  { return c.mem[keySize+nonceSize:][:c.suite.params().nh] }

// Derive does the key agreement of k with the encapsulated key enc (one ECDH) and the key schedule of RFC 9180,
// section 5.1, mode_base. It writes the result into mem, ContextSize bytes. info is the vault id. info and enc are
// borrowed. An enc that is not a point of the curve takes as much time as one that is. Error: [ErrOpen]; mem is then
// wiped.
func (k *PrivateKey) Derive(mem, info, enc []byte) (Context, error) {
	p := k.suite.params()
	if p == nil || len(mem) < ContextSize {
		return Context{}, ErrOpen
	}
	mem = mem[:ContextSize:ContextSize]
	ok := false
	p.erasing(func() { ok = k.derive(p, mem, info, enc) })
	if !ok {
		secret.Wipe(mem)
		return Context{}, ErrOpen
	}
	return Context{suite: k.suite, mem: mem}, nil
}

func (k *PrivateKey) derive(p *params, mem, info, enc []byte) bool {
	var buf [maxHashSize]byte
	defer secret.Wipe(buf[:])
	shared := buf[:p.nh]
	valid, ok := k.share(p, shared, enc)
	return ok && p.fillContext(mem, shared, info) && valid
}

// share is Decap of RFC 9180, section 4: it writes the shared secret, nh bytes, to dst. valid is false for an enc that
// is not one of the suite; dst then holds something else, and the caller goes on, so that time does not tell failures
// apart.
func (k *PrivateKey) share(p *params, dst, enc []byte) (valid, ok bool) {
	if p.curve == nil {
		if k.xwing == nil || len(enc) != p.encSize {
			return false, false
		}
		k.xwing.DecapsulateTo(dst, enc)
		return true, true
	}
	var buf [maxScalarSize]byte
	defer secret.Wipe(buf[:])
	dh := buf[:p.scalar]
	valid = k.agree(dh, enc)
	// Whether enc is on the curve is no secret, but time must not tell failures apart.
	if !valid && !k.agree(dh, k.point) {
		return false, false
	}
	return valid, p.shareDH(dst, dh, enc, k.point)
}

// Open decrypts blob, whose Enc MUST be the one from which the context was derived, and appends the plaintext to dst.
// name is the field's name in lower case. dst's spare capacity is used if it suffices (len(blob.CT) - [TagSize]
// bytes). It MUST NOT overlap the blob. The error is [ErrOpen], whatever is wrong; dst is then as before.
func (c Context) Open(dst, name []byte, blob Blob) ([]byte, error) {
	return c.OpenFor(nil, dst, name, blob)
}

// OpenFor is Open that also fills keep, if it succeeds. keep may be nil.
func (c Context) OpenFor(keep *Cipher, dst, name []byte, blob Blob) ([]byte, error) {
	switch blob.Encoding {
	case EncodingHex, EncodingField:
		if !c.valid() {
			return dst, ErrOpen
		}
		// There is one message per encapsulation: its sequence number is 0, and its nonce the base nonce.
		return openAEAD(keep, dst, c.key(), c.baseNonce(), blob.CT, name)
	case EncodingRecord:
		var mem [FieldSize]byte
		defer secret.Wipe(mem[:])
		f, err := c.Field(mem[:], name)
		if err != nil {
			return dst, err
		}
		return f.OpenFor(keep, dst, name, blob)
	}
	return dst, ErrOpen
}

func (c Context) valid() bool { return len(c.mem) == ContextSize && c.suite.Valid() }

// erasing runs f. For the suites for which that costs little it does so under [secret.Do]. For the others it overwrites
// the stack, on which the hash functions leave their results.
func (p *params) erasing(f func()) {
	if p.erase {
		secret.Do(f)
		return
	}
	f()
	wipeStack()
}
