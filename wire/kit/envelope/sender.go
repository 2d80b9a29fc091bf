package envelope

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// MaxAge is how long a [Sender] may be used.
const MaxAge = time.Hour

// Sender seals requests to one domain under one encapsulation, and opens the answers. Its secrets are in locked memory.
// Several goroutines may use it. It prints as [secret.Redacted].
type Sender struct {
	suite   sealed.Suite
	hash    domain.Hash
	enc     []byte
	made    time.Time
	counter atomic.Uint64

	mu  sync.RWMutex // held while the memory is used, and by Destroy
	mem *secret.Buffer
}

// NewSender makes an encapsulation to the domain's request key of the suite. The caller MUST believe the descriptor by
// other means, and MUST Destroy the sender. now is the time from which [MaxAge] counts. Errors: [domain.ErrDescriptor],
// [ErrKey], those of locked memory.
func NewSender(descriptor []byte, suite sealed.Suite, now time.Time) (*Sender, error) {
	d, err := domain.ParseDescriptor(descriptor)
	if err != nil {
		return nil, err
	}
	for _, r := range d.Requests {
		if r.Suite == suite {
			return newSender(r, domain.Sum(descriptor), now)
		}
	}
	return nil, ErrKey
}

func newSender(r domain.RequestKey, hash domain.Hash, now time.Time) (*Sender, error) {
	public, err := sealed.NewPublicKey(r.Suite, r.Public)
	if err != nil {
		return nil, ErrKey
	}
	mem, err := secret.New(ContextSize)
	if err != nil {
		return nil, err
	}
	enc, err := sealed.SetupExports(mem.Bytes(), public, string(info(hash)), requestLabel, answerLabel)
	if err != nil {
		mem.Destroy()
		return nil, ErrKey
	}
	return &Sender{suite: r.Suite, hash: hash, enc: enc, made: now, mem: mem}, nil
}

// Hash is that of the domain's descriptor.
func (s *Sender) Hash() domain.Hash { return s.hash }

// Enc is the encapsulated key, which MUST NOT be changed. [SignatureAuth] signs it.
func (s *Sender) Enc() []byte { return s.enc }

// Spent reports whether the sender must be replaced by another.
func (s *Sender) Spent(now time.Time) bool {
	return now.Sub(s.made) >= MaxAge || now.Before(s.made.Add(-MaxSkew))
}

// Pending is a request whose answer is awaited. It holds no secret.
type Pending struct {
	salt [SaltSize]byte
	tag  [sealed.TagSize]byte
}

// Seal appends a sealed request to dst. It is a new one also for a body that was sealed before. Errors: [ErrTooLarge],
// [ErrSpent]; dst is then unchanged.
func (s *Sender) Seal(dst []byte, b *Body, now time.Time) ([]byte, Pending, error) {
	if s.Spent(now) {
		return dst, Pending{}, ErrSpent
	}
	var salt [SaltSize]byte
	binary.BigEndian.PutUint64(salt[:], s.counter.Add(1))
	_, _ = rand.Read(salt[8:]) // never fails (crypto/rand)
	return s.seal(dst, salt, b)
}

func (s *Sender) seal(dst []byte, salt [SaltSize]byte, b *Body) ([]byte, Pending, error) {
	size, err := b.size()
	head := fixed + len(s.enc)
	if err != nil || head+size+sealed.TagSize > MaxRequest {
		return dst, Pending{}, ErrTooLarge
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	mem := s.mem.Bytes()
	if mem == nil {
		return dst, Pending{}, ErrSpent
	}
	out := s.appendHead(slices.Grow(dst, head+size+sealed.TagSize), salt)
	at := len(out)
	out = b.append(out, size)
	var buf [maxInfo]byte
	out, err = sealed.SealOnce(out[:at], Context{mem}.request(), requestInfo(&buf, salt[:]), out[at:], out[at-head:at])
	if err != nil {
		secret.Wipe(out[:at+size][len(dst):])
		return dst, Pending{}, ErrSpent
	}
	return out, Pending{salt: salt, tag: [sealed.TagSize]byte(out[len(out)-sealed.TagSize:])}, nil
}

func (s *Sender) appendHead(dst []byte, salt [SaltSize]byte) []byte {
	dst = append(append(dst, magic...), byte(s.suite))
	return append(appendL(append(dst, s.hash[:NameSize]...), s.enc), salt[:]...)
}

// Open opens the answer to a request. The result borrows from dst's memory if its spare capacity suffices, and from new
// memory otherwise. A refusal is an answer too ([KindRefusal]). Errors: [ErrAnswer], [ErrSpent] after Destroy.
func (s *Sender) Open(dst []byte, p Pending, answer []byte) (Answer, error) {
	return s.open(dst, p, answer)
}

// OpenInPlace is Open into the answer's own memory, which is overwritten, also if it fails.
func (s *Sender) OpenInPlace(p Pending, answer []byte) (Answer, error) {
	return s.open(answer[min(SaltSize, len(answer)):][:0], p, answer)
}

func (s *Sender) open(dst []byte, p Pending, answer []byte) (Answer, error) {
	if len(answer) < Overhead+minBody || len(answer) > MaxAnswer {
		return Answer{}, ErrAnswer
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	mem := s.mem.Bytes()
	if mem == nil {
		return Answer{}, ErrSpent
	}
	salt2 := [SaltSize]byte(answer)
	room := aadPool.Get().(*[maxAAD]byte)
	defer aadPool.Put(room)
	aad := append(s.appendHead(room[:0], p.salt), p.tag[:]...)
	var buf [maxInfo]byte
	info := answerInfo(&buf, p.salt[:], salt2[:])
	plain, err := sealed.OpenOnce(dst, Context{mem}.answer(), info, answer[SaltSize:], aad)
	if err != nil {
		return Answer{}, ErrAnswer
	}
	plain = plain[len(dst):]
	a, err := parseAnswer(plain)
	if err != nil {
		secret.Wipe(plain)
	}
	return a, err
}

// Destroy wipes the secrets. It waits for calls that use them. It is safe to call more than once.
func (s *Sender) Destroy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mem.Destroy()
}
