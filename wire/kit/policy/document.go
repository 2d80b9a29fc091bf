package policy

import (
	"fmt"
	"time"

	"redoubt/wire/kit/jwt"
)

// Limits of a document. Each that is passed is an [Error].
const (
	// MaxText bounds a document with its signatures, in bytes.
	MaxText = 1_000_000
	// MaxRules bounds the rules.
	MaxRules = 1024
	// MaxCallers bounds the API keys, and the keys of callers.
	MaxCallers = 4096
	// MaxIssuers bounds the issuers of tokens.
	MaxIssuers = 16
	// MaxList bounds every other list and map.
	MaxList = 1024
	// MaxExpression bounds the text of a view, in bytes.
	MaxExpression = 4096
	// MaxName bounds a principal's name, a pattern and a purpose, in bytes.
	MaxName = 1024

	maxPattern = 1024 // of a schema, in bytes
	maxKeys    = 16   // of an issuer
)

// Document is what a policy's text says, checked. It is for those who show, test and explain a policy; [Policy] is what
// decides. Nothing of it may be changed.
type Document struct {
	// Version counts the policies of a deployment, from 1.
	Version uint32
	// Issued and NotAfter bound its time.
	Issued, NotAfter time.Time
	APIKeys          []APIKey
	Keys             []CallerKey
	Issuers          []Issuer
	// Schemas are patterns of fields by schema and field, for the operation validate.
	Schemas map[string]map[string]string
	// Audiences and Tenants are names that rules may list.
	Audiences, Tenants []string
	Classes            map[string]*Class
	// Revocations is nil without a list of revoked tokens.
	Revocations *Revocations
	Views       map[string]*View
	Rules       []Rule
	// DenyVaults is the SHA-256 of the list of denied vaults, if HasDenied.
	DenyVaults [32]byte
	HasDenied  bool
}

// APIKey is a caller that has a secret. The policy holds the secret's SHA-256, so the secret MUST be made at random.
type APIKey struct {
	// ID matches [A-Za-z0-9._-]{1,64}, as that of every caller.
	ID   string
	Hash [32]byte
	// Domains are patterns of those in whose envelopes the key may come: whoever opens one domain's secret reads it.
	Domains []string
}

// CallerKey is a caller that has an Ed25519 key.
type CallerKey struct {
	ID     string
	Public [32]byte
}

// Issuer makes OIDC tokens.
type Issuer struct {
	// Issuer and Audience are what iss must be, and aud must have.
	Issuer, Audience string
	Keys             *jwt.Set
	// Domains are patterns of those in whose envelopes tokens may come. None: all.
	Domains []string
}

// Class is a class of tokens. What the policy does not need to judge is not here.
type Class struct {
	Name, Kind, Domain, Type, Pattern string
	// Audience and Bind are none, optional or required.
	Audience, Bind string
	// Views are expressions by name, over the value.
	Views map[string]string
}

// Revocations says which list of revoked tokens counts.
type Revocations struct {
	// Key verifies the list: a key of a signed note.
	Key string
	// Least is the least counter of the list.
	Least uint64
}

// View is a named expression: what may leave in place of a raw field.
type View struct {
	Name string
	// From are the fields that it reads, at least one.
	From []string
	// CEL is the expression. Whoever loads the policy compiles it, and refuses the policy if it reads other fields.
	CEL string
}

// Rule allows something. What may be done is what all the rules that apply allow together.
type Rule struct {
	// Principals are patterns of names; at least one.
	Principals []string
	// Domains are patterns. Operations are those on vaults of these domains.
	Domains    []string
	Operations []Operation
	// Raw are patterns of fields that may leave as they are; Views are names of views.
	Raw, Views []string
	// Classes are operations on tokens by class.
	Classes map[string]*ClassRule
	// Tenants and Audiences are patterns. Without any, the rule is for tokens that have none.
	Tenants, Audiences []string
	// Purposes are patterns. Without any, the rule is for every purpose.
	Purposes []string
	// Rate bounds the vaults that each of the principals opens. It is nil without a bound.
	Rate *Rate
}

// ClassRule is what a rule allows on tokens of a class.
type ClassRule struct {
	Operations []Operation
	// Raw says that values may leave as they are.
	Raw   bool
	Views []string
}

// Rate bounds vaults that are opened, in each enclave. A bound of 0 is none.
type Rate struct {
	// PerSecond is 0.000001 to 1,000,000. Burst is how many may come at once; at least PerSecond and 1.
	PerSecond float64
	Burst     int
	// PerDay is up to 10⁹. As many may come at once.
	PerDay int
}

// Error says what is wrong with a document, and where. It quotes nothing of it but the names of its members.
type Error struct {
	// Line counts from 1; 0 is the whole document.
	Line int
	// Path names the member, as rules[3].purposes.
	Path, Problem string
}

func (e *Error) Error() string {
	text := "policy: "
	if e.Line > 0 {
		text += fmt.Sprintf("line %d: ", e.Line)
	}
	if e.Path != "" {
		text += e.Path + ": "
	}
	return text + e.Problem
}

// Operation is something that a caller may do. The numbers are this package's own.
type Operation uint8

// The operations.
const (
	Decrypt Operation = iota
	Reseal
	Validate
	Index
	Search
	Tokenize
	Detokenize
	Retokenize
	Inspect
	Delete
	Bulk
	Revoke
	Import
	Mint
	DomainAdmin
	Audit
	operations
)

var operationNames = [operations]string{
	"decrypt", "reseal", "validate", "index", "search", "tokenize", "detokenize", "retokenize", "inspect", "delete",
	"bulk", "revoke", "import", "mint", "domain-admin", "audit",
}

// String returns the operation's name in a policy.
func (o Operation) String() string {
	if o < operations {
		return operationNames[o]
	}
	return "unknown"
}

// OperationNamed returns the operation of a name.
func OperationNamed(name string) (Operation, bool) {
	for o, n := range operationNames {
		if n == name {
			return Operation(o), true
		}
	}
	return 0, false
}
