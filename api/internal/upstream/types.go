package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/parentapi"
)

// Request asks for the fields of one vault. Blobs are of encoding 2, 3 or 4, as stored. They are borrowed.
type Request struct {
	VaultID    string
	SuiteID    []byte
	WrappedKey []byte
	Encoding   int
	KeyContext bool
	Fields     map[string][]byte
	// Domain is the hash of the domain's descriptor, domain.HashSize bytes, of a vault whose key the enclave made. Its
	// fields are of encoding 4, and Encs are the encapsulated keys that they name, by reference in lower-case hex. nil:
	// KMS made the key.
	Domain []byte
	Encs   map[string][]byte
	// Records gives the domain's record if the enclave asks for it; nil without a Domain.
	Records     Records
	Expressions map[string]string // CEL sources by name
	Include     *[]string         // raw fields to return; nil leaves it to the enclave
	Compat      bool
	ReplyKey    *ReplyKey
}

// Records gives the record of a domain that the enclave has not opened, by the hash of its descriptor. A request is
// repeated with it, once for each domain.
type Records func(ctx context.Context, descriptor domain.Hash) ([]byte, error)

// Mint asks the enclave for keys of new vaults.
type Mint struct {
	Domain  domain.Hash // of the descriptor
	Suite   string      // name of the suite; empty: the domain's default
	Count   int         // 1 to parentapi.MaxMint
	Records Records
}

// Reseal asks the enclave to move a vault's fields to a new key.
type Reseal struct {
	// Old is the vault as it is, with all fields that are to stay. Its Records give those of both domains. It has
	// neither expressions nor a reply key.
	Old   *Request
	To    domain.Hash // of the descriptor of the domain that the key is to be in
	Suite string      // name of the suite; empty: the domain's default
	Epoch uint16      // of the new key, above the old one's
}

// ReplyKey is a caller's public key, passed through untouched.
type ReplyKey = parentapi.ReplyKey

// FieldError is why one field or expression has no value.
type FieldError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	// Kind and Position say why an expression failed and where, if that depends on no value; see wire.ExpressionKind.
	Kind     string    `json:"kind,omitempty" enum:"too_long,syntax,too_complex,undeclared_name,unknown_function,cycle,dependency"` //nolint:lll // one tag
	Position *Position `json:"position,omitempty"`
}

// Position is a place in an expression's source, from 1.
type Position struct {
	Line   int `json:"line"`
	Column int `json:"column" doc:"In bytes of UTF-8"`
}

// Result is the parent's answer.
type Result struct {
	Fields map[string]json.RawMessage `json:"fields"`
	Sealed map[string]string          `json:"sealed,omitempty"`
	Errors map[string]FieldError      `json:"errors"`
	// Access says, by name, what each expression reads. It is nil if the parent or the enclave makes no reports.
	Access map[string]Access `json:"access"`
}

// Access lists the fields that an expression reads, itself or through others, and those of them that its result may
// hold unchanged.
type Access struct {
	Reads []string `json:"reads"`
	Raw   []string `json:"raw"`
}

// Wipe overwrites the values.
func (r *Result) Wipe() {
	for _, v := range r.Fields {
		clear(v)
	}
	clear(r.Fields)
}

// Error is a decrypt that returned no value.
type Error struct {
	Code       wire.Code
	RetryAfter time.Duration // 0 if the parent named none
	// Domain is the name of the domain that the enclave has not opened; empty if the code is not wire.DomainUnknown, and
	// where the record was of no use.
	Domain string
	// Fields are those that do not open, of a reseal that failed with wire.DecryptFailed.
	Fields []string
	Err    error // cause, nil for an answer of the parent
}

func (e *Error) Error() string {
	if e.Err == nil {
		return "upstream: " + e.Code.String()
	}
	return fmt.Sprintf("upstream: %s: %v", e.Name(), e.Err)
}

// Name is one word for what happened, for answers, logs and metrics: the code, or a word for what no code of the wire
// expresses.
func (e *Error) Name() string {
	switch {
	case errors.Is(e.Err, ErrNoEnclave):
		return codeNoEnclave
	case errors.Is(e.Err, ErrUnavailable):
		return "parent_unavailable"
	}
	return e.Code.String()
}

func (e *Error) Unwrap() error { return e.Err }
