// Package parentapi is the parent's HTTP contract in Go: the paths that open fields, the JSON of a request, and the
// bounds of a body. The parent, the API and our own tools share it, so that a member has one name.
//
// Package parent/internal/front says what each member means and what is answered; its tests hold this package to its
// decoder. Error codes are those of [redoubt/wire.Code]. Clients that are to be independent of this code (scripts, and
// tests that send the reference's own JSON) write their requests literally.
package parentapi

import (
	"bytes"
	"encoding/json"
	"net/http"
)

// Paths of the routes that open fields.
const (
	// PathDecrypt is the reference's.
	PathDecrypt   = "/decrypt"
	PathV1Decrypt = "/v1/decrypt"
	PathBatch     = "/v1/decrypt/batch"
)

// Route is a route of the parent's front.
type Route struct {
	Method, Path string
	// Open routes need no authentication.
	Open bool
}

// Routes are all of them; a test of package front holds the list to what is served.
var Routes = []Route{
	{http.MethodPost, PathDecrypt, false},
	{http.MethodPost, PathV1Decrypt, false},
	{http.MethodPost, PathBatch, false},
	{http.MethodPost, PathDomains, false},
	{http.MethodPost, PathDomainWrap, false},
	{http.MethodPost, PathVaultKeys, false},
	{http.MethodPost, PathReseal, false},
	{http.MethodGet, "/v1/attestation", false},
	{http.MethodGet, "/enclaves", false},
	{http.MethodGet, "/health", true},
	{http.MethodGet, "/ready", true},
}

// Bounds of bodies in bytes. A larger body is answered 413.
const (
	MaxBody      = 1 << 20
	MaxBatchBody = 8 << 20
)

// Request asks for fields of one vault. B is []byte for callers that have raw bytes, which JSON carries in standard
// base64. It is string for callers that write this text themselves: fields of encoding 1 are hexadecimal text, not
// base64.
//
// Only /v1 knows the three members of domains and those from Include on: /decrypt ignores them.
type Request[B string | []byte] struct {
	VaultID    string       `json:"vault_id"`
	Region     string       `json:"region"`
	Fields     map[string]B `json:"fields"`
	SuiteID    B            `json:"suite_id"`
	WrappedKey B            `json:"encrypted_private_key"`
	// Encoding is 1, 2, 3 or 4 as text; absent, 2. It is 4 if and only if there is a Domain.
	Encoding string `json:"encoding,omitempty"`
	// Domain names the domain of a vault whose key the enclave made: the first 32 bytes of the SHA-384 of its
	// descriptor, in lower-case hex. Such a request has no region and no key context.
	Domain string `json:"domain,omitempty"`
	// Encs are the encapsulated keys to which fields of encoding 4 are sealed, by the first 8 bytes of their SHA-256 in
	// lower-case hex; at most 32.
	Encs map[string]B `json:"encs,omitempty"`
	// DomainRecords are the records of domains that an answer said to be unknown ([MemberDomain]).
	DomainRecords []B `json:"domain_records,omitempty"`
	// KeyContext is 1 when the key was wrapped with the vault's id as encryption context.
	KeyContext int `json:"key_context,omitempty"`
	// Expressions are CEL sources by name.
	Expressions map[string]string `json:"expressions,omitempty"`
	// Include names the raw fields to return. An empty list returns none; nil is absent, and leaves it to the enclave.
	Include      []string  `json:"include,omitzero"`
	Compat       bool      `json:"compat,omitempty"`
	ReplyKey     *ReplyKey `json:"reply_key,omitempty"`
	ReportAccess bool      `json:"report_access,omitempty"`
}

// ReplyKey is a caller's public key, to which the enclave seals the results: both members in standard base64.
type ReplyKey struct {
	SuiteID   string `json:"suite_id"`
	PublicKey string `json:"public_key"`
}

// Batch is the body of [PathBatch].
type Batch[B string | []byte] struct {
	Items []*Request[B] `json:"items"`
}

// JSON is the request as JSON, without encoding/json's escapes for HTML, which turn one byte of a source into six.
func (r *Request[B]) JSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(r)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
