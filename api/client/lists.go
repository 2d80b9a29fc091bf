package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Page asks for a page of a list. Cursor is empty for the first.
type Page struct {
	Cursor string
	Limit  int
}

func (p Page) query() url.Values {
	q := url.Values{}
	if p.Cursor != "" {
		q.Set("cursor", p.Cursor)
	}
	if p.Limit > 0 {
		q.Set("limit", strconv.Itoa(p.Limit))
	}
	return q
}

// Vault is a line of a list.
type Vault struct {
	ID        string     `json:"id"`
	Created   time.Time  `json:"created_at"`
	Modified  time.Time  `json:"modified_at"`
	ExpiresAt *time.Time `json:"expires_at"`
}

// List returns a page of vaults and the next cursor, which is empty on the last page.
func (c *Client) List(ctx context.Context, p Page) ([]Vault, string, error) {
	var out struct {
		Vaults []Vault `json:"vaults"`
		Next   string  `json:"next"`
	}
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/vaults", query: p.query(), out: &out})
	return out.Vaults, out.Next, err
}

// AuditEntry is a line of a vault's audit log.
type AuditEntry struct {
	Time        time.Time `json:"time"`
	Event       string    `json:"event"`
	Outcome     string    `json:"outcome"`
	Code        string    `json:"code"`
	Principal   string    `json:"principal"`
	Source      string    `json:"source"`
	RequestID   string    `json:"request_id"`
	Reason      string    `json:"reason"`
	Fields      []string  `json:"fields"`
	Expressions []string  `json:"expressions"`
	// Released are the fields whose values left as they are. It is nil if that was not recorded. Access says what
	// each expression may have let out.
	Released []string          `json:"released"`
	Access   map[string]Access `json:"access"`
	Key      *KeyChange        `json:"key"`
	Omitted  uint64            `json:"omitted"` // refusals before this one that were only counted
	Chain    string            `json:"chain"`
	Seq      uint64            `json:"seq"`
	Hash     []byte            `json:"hash"`
}

// KeyChange says what became of the keys of a vault under a domain. Of the members only those that the event has are
// set.
type KeyChange struct {
	Domain  string   `json:"domain"`  // hash of the descriptor, in hex
	From    string   `json:"from"`    // with a new key: the domain before, or kms
	Epoch   uint16   `json:"epoch"`   // number of the vault's key: of the new one, or of the one that was erased
	Dropped []uint16 `json:"dropped"` // numbers of older keys that went
	Lost    []string `json:"lost"`    // fields that did not open and were given up
	Erased  [][]byte `json:"erased"`  // SHA-384 of each wrapped key that was erased
	// Since is when, at the latest, an erased vault came under a domain. Window is the time in seconds after an erasure
	// until the store has no copy of its own.
	Since  *time.Time `json:"since"`
	Window int64      `json:"window"`
}

// Access says what the result of one expression may tell of fields.
type Access struct {
	Reads     []string `json:"reads"`      // fields that it reads, itself or through other expressions
	Raw       []string `json:"raw"`        // those that its result may hold unchanged
	Unknown   bool     `json:"unknown"`    // no enclave reported it: every requested field counts as raw
	SourceMAC string   `json:"source_mac"` // keyed hash of its source, in hex: equal for equal sources
}

// Audit returns a page of a vault's audit log, oldest first, and the next cursor.
func (c *Client) Audit(ctx context.Context, id string, p Page) ([]AuditEntry, string, error) {
	var out struct {
		Entries []AuditEntry `json:"entries"`
		Next    string       `json:"next"`
	}
	_, err := c.do(ctx, call{method: http.MethodGet, path: vaultPath(id) + "/audit", query: p.query(), out: &out})
	return out.Entries, out.Next, err
}

// Schema describes what a vault can hold.
type Schema struct {
	Name   string  `json:"name"`
	Fields []Field `json:"fields"`
}

// Field is one field of a schema.
type Field struct {
	Name        string  `json:"name"`
	Description string  `json:"description"`
	Pattern     string  `json:"pattern"`    // RE2, of the whole trimmed value; empty: any text
	MinLength   int     `json:"min_length"` // characters
	MaxLength   int     `json:"max_length"`
	Derive      *Derive `json:"derive"` // how it follows from another field, if that is given and this one is not
}

// Derive names the other field, and how many characters of its beginning or of its end are taken.
type Derive struct {
	From  string `json:"from"`
	First int    `json:"first"`
	Last  int    `json:"last"`
}

// Schema returns the API's schema.
func (c *Client) Schema(ctx context.Context) (*Schema, error) {
	var out Schema
	if _, err := c.do(ctx, call{method: http.MethodGet, path: "/schema", out: &out}); err != nil {
		return nil, err
	}
	return &out, nil
}

// Ready returns nil if the API says that it can serve.
func (c *Client) Ready(ctx context.Context) error {
	var out struct{}
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/ready", out: &out})
	return err
}
