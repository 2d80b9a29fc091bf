package envelope

import (
	"time"

	"golang.org/x/crypto/cryptobyte"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/sealed/reply"
	"redoubt/wire/kit/secret"
)

const (
	// MaxRequest bounds a sealed request in bytes, without the domain records before it.
	MaxRequest = 2 << 20
	// MaxAuth bounds a block of authentication in bytes.
	MaxAuth = 16 << 10
	// MaxSkew is how far the time in a request may be from the enclave's.
	MaxSkew = 5 * time.Minute
	// NameSize is the size of the name by which a request names its domain: the beginning of dh.
	NameSize = 32
	// SaltSize is the size of the salts of requests and answers.
	SaltSize = 16

	magic    = "RDS1"
	fixed    = len(magic) + 1 + NameSize + 2 + SaltSize // the head without enc
	minBody  = 256                                      // the least size of a body
	bodyRoom = 8 + 1 + 2 + 1 + 4                        // a body without auth, message and padding
)

// Request is a sealed request taken apart. It borrows from the bytes that [Parse] was given.
type Request struct {
	// Suite is the suite of the domain's request key.
	Suite sealed.Suite
	// Domain is the beginning of the hash of the domain's descriptor, NameSize bytes.
	Domain []byte
	// Enc is the encapsulated key: requests of the same suite, domain and enc have one context.
	Enc []byte

	whole []byte
	head  int // bytes of whole
}

// Parse takes a sealed request apart, without domain records before it. It looks at nothing secret. Error:
// [ErrMalformed], also for a suite that this release does not know.
func Parse(b []byte) (Request, error) {
	if len(b) < fixed || len(b) > MaxRequest || string(b[:len(magic)]) != magic {
		return Request{}, ErrMalformed
	}
	r := Request{Suite: sealed.Suite(b[len(magic)]), whole: b[:len(b):len(b)]}
	n := r.Suite.EncSize()
	r.head = fixed + n
	at := len(magic) + 1 + NameSize
	if n == 0 || int(b[at])<<8|int(b[at+1]) != n || len(b) < r.head+minBody+sealed.TagSize {
		return Request{}, ErrMalformed
	}
	r.Domain = b[at-NameSize : at : at]
	r.Enc = b[at+2 : at+2+n : at+2+n]
	return r, nil
}

// Salt is a counter of the sender's, and random bytes.
func (r Request) Salt() []byte { return r.whole[r.head-SaltSize : r.head : r.head] }

// Tag is the end of the request. With the head it names the request: see [Request.ID].
func (r Request) Tag() []byte { return r.whole[len(r.whole)-sealed.TagSize:] }

func (r Request) headBytes() []byte { return r.whole[:r.head:r.head] }

// Body is what a request says. Auth.Block and Message borrow.
type Body struct {
	// Created is when the request was made, in milliseconds since 1970, by the sender's clock.
	Created uint64
	// Auth says who asks.
	Auth Auth
	// Kind is the message's: a number of a frame on the wire. Message is the frame's body.
	Kind    uint8
	Message []byte
}

// CheckTime returns [ErrSkew] if the request was made more than [MaxSkew] from now.
func (b *Body) CheckTime(now time.Time) error {
	ms := uint64(max(0, now.UnixMilli()))
	if max(b.Created, ms)-min(b.Created, ms) > uint64(MaxSkew.Milliseconds()) {
		return ErrSkew
	}
	return nil
}

// bodySize is the size of a body with its padding: from minBody on, that of its class.
func bodySize(n int) int { return reply.Padme(max(minBody, n)) }

func (b *Body) size() (int, error) {
	if len(b.Auth.Block) > MaxAuth || len(b.Message) > MaxRequest {
		return 0, ErrTooLarge
	}
	return bodySize(bodyRoom + len(b.Auth.Block) + len(b.Message)), nil
}

// append appends the body with its padding to dst, which has room for it.
func (b *Body) append(dst []byte, size int) []byte {
	end := len(dst) + size
	dst = appendU64(dst, b.Created)
	dst = append(appendL(append(dst, byte(b.Auth.Kind)), b.Auth.Block), b.Kind)
	dst = append(appendU32(dst, uint32(len(b.Message))), b.Message...)
	at := len(dst)
	dst = dst[:end]
	clear(dst[at:])
	return dst
}

// parseBody reads a body that was opened. Error: [ErrBody].
func parseBody(plain []byte) (b Body, err error) {
	in := cryptobyte.String(plain)
	var kind uint8
	var auth cryptobyte.String
	var n uint32
	if !in.ReadUint64(&b.Created) || !in.ReadUint8(&kind) || !in.ReadUint16LengthPrefixed(&auth) ||
		len(auth) > MaxAuth || !in.ReadUint8(&b.Kind) || !in.ReadUint32(&n) || !readBytes(&in, &b.Message, n) ||
		!padded(plain, in) {
		return Body{}, ErrBody
	}
	b.Auth = Auth{Kind: AuthKind(kind), Block: auth[:len(auth):len(auth)]}
	b.Message = b.Message[:n:n]
	return b, nil
}

// padded reports whether rest, the end of a body, is the padding that the rest of the body asks for: a body has one
// encoding.
func padded(body, rest []byte) bool {
	var some byte
	for _, b := range rest {
		some |= b
	}
	return some == 0 && bodySize(len(body)-len(rest)) == len(body)
}

// Wipe wipes what a body holds of its caller's: the block of authentication, and the message.
func (b *Body) Wipe() {
	secret.Wipe(b.Auth.Block)
	secret.Wipe(b.Message)
}
