package envelope

import (
	"time"

	"golang.org/x/crypto/cryptobyte"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

const (
	// MaxAnswer bounds a sealed answer in bytes.
	MaxAnswer = 4 << 20
	// KindRefusal is the message kind of a [Refusal].
	KindRefusal = 254
	// MaxText bounds the text and the detail of a refusal, in bytes.
	MaxText = 1 << 10

	answerRoom  = 8 + 4 + 1 + 4 + 1 // an answer's body without message, receipt and padding
	receiptSize = 16 + 8 + 32
)

// Answer is what the enclave says. Message borrows.
type Answer struct {
	// Time is the enclave's, in milliseconds since 1970.
	Time uint64
	// Policy is the version of the policy by which it judged, 0 for none.
	Policy uint32
	// Kind is the message's: a number of a frame on the wire, or [KindRefusal]. Message is the frame's body, or what
	// [Refusal.Append] makes.
	Kind    uint8
	Message []byte
	// Receipt says where the ledger has the opening. It is nil without a ledger.
	Receipt *Receipt
}

// Receipt is the place of an entry in an enclave's ledger.
type Receipt struct {
	Boot  [16]byte
	Index uint64
	Leaf  [32]byte
}

// Refusal says why there is no answer.
type Refusal struct {
	// Code is a code of the wire.
	Code uint16
	// RetryAfter is when the caller may try again. It is 0 where that makes no difference, and has whole milliseconds.
	RetryAfter time.Duration
	// Text is static. Detail names what the code is about, where it is about something.
	Text, Detail string
}

// Append appends a refusal as a message. Error: [ErrTooLarge]; dst is then unchanged.
func (r *Refusal) Append(dst []byte) ([]byte, error) {
	ms := r.RetryAfter.Milliseconds()
	if len(r.Text) > MaxText || len(r.Detail) > MaxText || ms < 0 || ms > 1<<32-1 {
		return dst, ErrTooLarge
	}
	return appendL(appendL(appendU32(appendU16(dst, r.Code), uint32(ms)), r.Text), r.Detail), nil
}

// ParseRefusal reads the message of a refusal. Error: [ErrAnswer].
func ParseRefusal(message []byte) (Refusal, error) {
	in := cryptobyte.String(message)
	var r Refusal
	var ms uint32
	var text, detail cryptobyte.String
	if !in.ReadUint16(&r.Code) || !in.ReadUint32(&ms) || !in.ReadUint16LengthPrefixed(&text) ||
		!in.ReadUint16LengthPrefixed(&detail) || len(text) > MaxText || len(detail) > MaxText || !in.Empty() {
		return Refusal{}, ErrAnswer
	}
	r.RetryAfter, r.Text, r.Detail = time.Duration(ms)*time.Millisecond, string(text), string(detail)
	return r, nil
}

func (a *Answer) size() (int, error) {
	n := answerRoom + len(a.Message)
	if a.Receipt != nil {
		n += receiptSize
	}
	if n = bodySize(n); len(a.Message) > MaxAnswer || SaltSize+n+sealed.TagSize > MaxAnswer {
		return 0, ErrTooLarge
	}
	return n, nil
}

// append appends the body with its padding to dst, which has room for it.
func (a *Answer) append(dst []byte, size int) []byte {
	end := len(dst) + size
	dst = append(appendU32(appendU64(dst, a.Time), a.Policy), a.Kind)
	dst = append(appendU32(dst, uint32(len(a.Message))), a.Message...)
	if r := a.Receipt; r == nil {
		dst = append(dst, 0)
	} else {
		dst = append(appendU64(append(append(dst, 1), r.Boot[:]...), r.Index), r.Leaf[:]...)
	}
	at := len(dst)
	dst = dst[:end]
	clear(dst[at:])
	return dst
}

// parseAnswer reads a body that was opened. Error: [ErrAnswer].
func parseAnswer(plain []byte) (a Answer, err error) {
	in := cryptobyte.String(plain)
	var n uint32
	var receipt uint8
	if !in.ReadUint64(&a.Time) || !in.ReadUint32(&a.Policy) || !in.ReadUint8(&a.Kind) || !in.ReadUint32(&n) ||
		!readBytes(&in, &a.Message, n) || !in.ReadUint8(&receipt) {
		return Answer{}, ErrAnswer
	}
	switch receipt {
	case 0:
	case 1:
		r := &Receipt{}
		if !in.CopyBytes(r.Boot[:]) || !in.ReadUint64(&r.Index) || !in.CopyBytes(r.Leaf[:]) {
			return Answer{}, ErrAnswer
		}
		a.Receipt = r
	default:
		return Answer{}, ErrAnswer
	}
	if !padded(plain, in) {
		return Answer{}, ErrAnswer
	}
	return a, nil
}

// Wipe wipes the message.
func (a *Answer) Wipe() { secret.Wipe(a.Message) }
