package auth

import (
	"errors"
	"slices"
	"strings"
)

// Operation is something a caller may do.
type Operation string

// The operations.
const (
	OpCreate  Operation = "create"  // make a vault with these fields
	OpRead    Operation = "read"    // see which fields a vault has
	OpUpdate  Operation = "update"  // write these fields
	OpDelete  Operation = "delete"  // remove these fields; all of them to remove the vault or to change its time to live
	OpDecrypt Operation = "decrypt" // open these fields
	OpList    Operation = "list"    // list vaults
	OpAudit   Operation = "audit"   // read audit logs
)

// Operations lists them all.
func Operations() []Operation {
	return []Operation{OpCreate, OpRead, OpUpdate, OpDelete, OpDecrypt, OpList, OpAudit}
}

// Errors.
var (
	// ErrUnauthenticated reports a missing or wrong credential.
	ErrUnauthenticated = errors.New("auth: not authenticated")
	// ErrForbidden reports an operation or a field that the caller may not use.
	ErrForbidden = errors.New("auth: not allowed")
)

// AllFields stands for every field in a grant, and for a whole vault in a request.
const AllFields = "*"

// Grant allows operations on fields. "*" stands for all operations, or all fields.
type Grant struct {
	// Operations are what may be done: create, read, update, delete, decrypt, list and audit, or "*" for all. At
	// least one. To remove a vault, or to change its time to live, a caller needs delete on the fields "*". To
	// create, update or delete a field, a caller also needs the right to the fields that the schema derives from it.
	Operations []string `yaml:"operations" json:"operations"`
	// Fields are the names of the schema's fields to which the operations apply, or "*" for all.
	Fields []string `yaml:"fields" json:"fields"`
}

func (g *Grant) operation(op Operation) bool {
	return slices.Contains(g.Operations, string(op)) || slices.Contains(g.Operations, "*")
}

func (g *Grant) field(name string) bool {
	return slices.Contains(g.Fields, AllFields) || slices.Contains(g.Fields, name)
}

// permits reports whether the grant allows the operation on every field.
func (g *Grant) permits(op Operation, fields []string) bool {
	return g.operation(op) && !slices.ContainsFunc(fields, func(f string) bool { return !g.field(f) })
}

func (g *Grant) check() error {
	if len(g.Operations) == 0 {
		return errors.New("auth: a grant without operations")
	}
	for _, op := range g.Operations {
		if op != "*" && !slices.Contains(Operations(), Operation(op)) {
			return errors.New("auth: unknown operation " + strings.ToValidUTF8(op, "?"))
		}
	}
	return nil
}

// Principal is an authenticated caller.
type Principal struct {
	// Name is "kind:name", as "key:billing", "oidc:https://issuer|subject", "mtls:spiffe://…", "gateway:…".
	Name string
	// Groups come from the token or the authorizer, as "group:NAME".
	Groups []string
	// Operator says that the caller is the operator of the service's host, by a command there. No authenticator sets
	// it. An operator, who may also replace the store, may do everything, whatever the policy says.
	Operator bool
	// Scope bounds what any policy may allow. nil sets no bound.
	Scope *Grant
	// Rate limits the principal's decrypts, in place of the policy's rate. nil sets no limit.
	Rate *Rate
}

// Anonymous is every caller of a server without authentication.
func Anonymous() Principal { return Principal{Name: "anonymous", Scope: &everything} }

// everything must not be changed.
var everything = Grant{Operations: []string{"*"}, Fields: []string{AllFields}}

// matches reports whether a pattern names the principal or one of its groups. A pattern may end in "*".
func (p *Principal) matches(pattern string) bool {
	match := func(name string) bool {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			return strings.HasPrefix(name, prefix)
		}
		return name == pattern
	}
	return match(p.Name) || slices.ContainsFunc(p.Groups, match)
}
