package envelope

import (
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"sync"

	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

const (
	// ContextSize is the number of bytes of memory that a [Context] needs.
	ContextSize = 2 * sealed.ExportSize
	// Overhead is how much longer a sealed answer is than its padded body.
	Overhead = SaltSize + sealed.TagSize

	requestLabel = "redoubt/request/v1" // begins HPKE's info, and is the exporter context of Q
	answerLabel  = "redoubt/answer/v1"  // is that of R
)

// Context opens the requests of one encapsulated key, and seals the answers to them, without public-key work. It is a
// small value over ContextSize bytes that belong to the caller, which keeps them in secret memory and wipes them.
// Several goroutines may use it as long as none writes to that memory. It prints as [secret.Redacted].
type Context struct{ mem []byte }

// Derive does the key agreement of a domain's request key with the encapsulated key of a request, and writes the
// context to mem, ContextSize bytes. descriptor is the hash of the domain's descriptor; its beginning MUST be the
// request's Domain. Error: [ErrOpen]; mem is then wiped.
func Derive(mem []byte, key *sealed.PrivateKey, descriptor domain.Hash, enc []byte) (Context, error) {
	if len(mem) < ContextSize {
		return Context{}, ErrOpen
	}
	mem = mem[:ContextSize:ContextSize]
	if err := key.DeriveExports(mem, info(descriptor), enc, requestLabel, answerLabel); err != nil {
		return Context{}, ErrOpen
	}
	return Context{mem}, nil
}

// LoadContext makes a Context of ContextSize bytes that [Derive] has filled for the same descriptor and enc.
func LoadContext(mem []byte) Context { return Context{mem} }

func info(descriptor domain.Hash) []byte { return append([]byte(requestLabel), descriptor[:]...) }

func (c Context) request() []byte { return c.mem[:sealed.ExportSize] }
func (c Context) answer() []byte  { return c.mem[sealed.ExportSize:] }
func (c Context) valid() bool     { return len(c.mem) == ContextSize }

// Open opens a request. The body borrows from dst's memory if its spare capacity suffices, and from new memory
// otherwise: the caller wipes it ([Body.Wipe]). Errors: [ErrOpen]; [ErrBody], after which the answer goes inside. It
// judges neither time nor caller.
func (c Context) Open(dst []byte, r Request) (Body, error) { return c.open(dst, r) }

// OpenInPlace is Open into the request's own memory. Its Tag and head stay; what else was sealed is overwritten, also
// if it fails.
func (c Context) OpenInPlace(r Request) (Body, error) {
	return c.open(r.whole[r.head:r.head], r)
}

func (c Context) open(dst []byte, r Request) (Body, error) {
	if !c.valid() || r.head == 0 {
		return Body{}, ErrOpen
	}
	var buf [maxInfo]byte
	plain, err := sealed.OpenOnce(dst, c.request(), requestInfo(&buf, r.Salt()), r.whole[r.head:], r.headBytes())
	if err != nil {
		return Body{}, ErrOpen
	}
	plain = plain[len(dst):]
	b, err := parseBody(plain)
	if err != nil {
		secret.Wipe(plain)
	}
	return b, err
}

// Seal appends the sealed answer to a request to dst. The answer's message is copied, and its copy is sealed where it
// lies. Error: [ErrTooLarge], or [ErrAnswer] without a context; dst is then unchanged.
func (c Context) Seal(dst []byte, r Request, a *Answer) ([]byte, error) {
	var salt [SaltSize]byte
	_, _ = rand.Read(salt[:]) // never fails (crypto/rand)
	return c.seal(dst, salt, r, a)
}

func (c Context) seal(dst []byte, salt [SaltSize]byte, r Request, a *Answer) ([]byte, error) {
	size, err := a.size()
	if err != nil {
		return dst, err
	}
	if !c.valid() || r.head == 0 {
		return dst, ErrAnswer
	}
	out := append(slices.Grow(dst, size+Overhead), salt[:]...)
	at := len(out)
	out = a.append(out, size)
	var buf [maxInfo]byte
	room := aadPool.Get().(*[maxAAD]byte)
	defer aadPool.Put(room)
	aad := append(append(room[:0], r.headBytes()...), r.Tag()...)
	out, err = sealed.SealOnce(out[:at], c.answer(), answerInfo(&buf, r.Salt(), salt[:]), out[at:], aad)
	if err != nil {
		secret.Wipe(out[:at+size][len(dst):])
		return dst, ErrAnswer
	}
	return out, nil
}

const (
	maxInfo = len("request") + 2*SaltSize
	maxAAD  = fixed + sealed.MaxEncSize + sealed.TagSize
)

// aadPool saves the allocation of an answer's associated data, which escape into the AEAD, and are no secret.
var aadPool = sync.Pool{New: func() any { return new([maxAAD]byte) }}

func requestInfo(buf *[maxInfo]byte, salt []byte) []byte {
	return append(append(buf[:0], "request"...), salt...)
}

func answerInfo(buf *[maxInfo]byte, salt, salt2 []byte) []byte {
	return append(append(append(buf[:0], "answer"...), salt...), salt2...)
}

// ID names a request: SHA-256(head || tag), its first half. The ledger names it so. A replay has the same.
type ID [16]byte

// ID returns the request's.
func (r Request) ID() ID {
	var buf [maxAAD]byte
	sum := sha256.Sum256(append(append(buf[:0], r.headBytes()...), r.Tag()...))
	return ID(sum[:])
}
