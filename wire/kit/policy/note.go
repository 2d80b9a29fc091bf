package policy

import (
	"errors"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Errors of loading a policy. None holds input.
var (
	// ErrKeys reports keys or a threshold that cannot verify policies.
	ErrKeys = errors.New("policy: keys are malformed, stand twice, or are fewer than the threshold")
	// ErrSignatures reports text that too few of the keys signed.
	ErrSignatures = errors.New("policy: too few of the policy keys have signed it")
	// ErrVersion reports a policy that is older than the one that is held, of the same version with another text, or
	// below the least version.
	ErrVersion = errors.New("policy: its version is not above the one that is held, or is below the least one")
	// ErrTime reports a policy that has ended, is too old, or is of the future.
	ErrTime = errors.New("policy: it has ended, is older than policies may be, or is of the future")
)

// MaxFuture is how far ahead the time of issue may be.
const MaxFuture = 5 * time.Minute

// Trust says which policies count. It comes from a measured file, or from an operator.
type Trust struct {
	verifiers  note.Verifiers
	threshold  int
	minVersion uint32
	maxAge     time.Duration
}

// NewTrust makes a Trust: threshold of the keys (C2SP signed-note, Ed25519, each another) must have signed a policy, of
// at least minVersion, and not older than maxAge; 0 is no bound. Error: [ErrKeys].
func NewTrust(keys []string, threshold int, minVersion uint32, maxAge time.Duration) (*Trust, error) {
	if threshold < 1 || threshold > len(keys) || len(keys) > 32 || maxAge < 0 {
		return nil, ErrKeys
	}
	var list []note.Verifier
	seen := map[[32]byte]bool{}
	for _, text := range keys {
		v, public, err := verifier(text)
		if err != nil || seen[public] { // one key under two names would sign twice
			return nil, ErrKeys
		}
		seen[public] = true
		list = append(list, v)
	}
	t := &Trust{verifiers: note.VerifierList(list...), threshold: threshold, minVersion: minVersion, maxAge: maxAge}
	return t, nil
}

// Open verifies a signed policy and compiles it. held is the policy that it would replace, or nil: the new one's
// version must be higher, or its text the same; held is then returned. Errors: [ErrSignatures], [ErrVersion],
// [ErrTime], *[Error].
func (t *Trust) Open(signed []byte, held *Policy, now time.Time) (*Policy, error) {
	if len(signed) > MaxText {
		return nil, ErrSignatures
	}
	n, err := note.Open(signed, t.verifiers)
	if err != nil || len(n.Sigs) < t.threshold {
		return nil, ErrSignatures
	}
	d, err := ParseDocument(n.Text)
	if err != nil {
		return nil, err
	}
	switch {
	case d.Version < t.minVersion, held != nil && d.Version < held.doc.Version,
		held != nil && d.Version == held.doc.Version && n.Text != held.text:
		return nil, ErrVersion
	}
	p := held
	if held == nil || d.Version != held.doc.Version {
		if p, err = compile(d); err != nil {
			return nil, err
		}
		p.text, p.maxAge = n.Text, t.maxAge
	}
	if err := p.Valid(now); err != nil {
		return nil, err
	}
	return p, nil
}

// Valid returns [ErrTime] unless now is within the policy's time. It allocates nothing.
func (p *Policy) Valid(now time.Time) error {
	if !now.Before(p.doc.NotAfter) || p.doc.Issued.Sub(now) > MaxFuture ||
		p.maxAge > 0 && now.Sub(p.doc.Issued) > p.maxAge {
		return ErrTime
	}
	return nil
}

// Sign signs a policy with keys of signed notes (PRIVATE+KEY+…). data is its text, or a signed policy, whose
// signatures stay. The text is parsed first. Errors: [ErrKeys], *[Error].
func Sign(data []byte, signers ...note.Signer) ([]byte, error) {
	n := unverified(data)
	if _, err := ParseDocument(n.Text); err != nil {
		return nil, err
	}
	out, err := note.Sign(n, signers...)
	if err != nil || len(signers) == 0 {
		return nil, ErrKeys
	}
	return out, nil
}

// Text returns the text of a policy that may be signed, and the names of those who say that they have signed it. It
// verifies nothing. [ParseDocument] reads the text.
func Text(data []byte) (text string, signers []string) {
	n := unverified(data)
	for _, s := range n.UnverifiedSigs {
		signers = append(signers, s.Name)
	}
	return n.Text, signers
}

func unverified(data []byte) *note.Note {
	var signed *note.UnverifiedNoteError
	if _, err := note.Open(data, note.VerifierList()); errors.As(err, &signed) {
		return signed.Note
	}
	return &note.Note{Text: string(data)}
}

func itoa(n int) string { return strconv.Itoa(n) }
