package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// CreateOptions of a create; the zero value has none.
type CreateOptions struct {
	IdempotencyKey string
	TTL            time.Duration // 0: for ever; rounded up to whole seconds
}

// Created is a new vault.
type Created struct {
	ID       string `json:"id"`
	Tag      string `json:"-"` // entity tag for IfMatch
	Replayed bool   `json:"-"` // an earlier request with the same key made it
}

// Create makes a vault with these fields.
func (c *Client) Create(ctx context.Context, fields map[string]string, o CreateOptions) (*Created, error) {
	if fields == nil {
		fields = map[string]string{}
	}
	var ttl *time.Duration
	if o.TTL != 0 {
		ttl = &o.TTL
	}
	var out Created
	h, err := c.do(ctx, call{
		method: http.MethodPost, path: "/vaults", query: ttlQuery(ttl), body: fields, out: &out,
		header: map[string]string{"Idempotency-Key": o.IdempotencyKey},
	})
	if err != nil {
		return nil, err
	}
	out.Tag, out.Replayed = h.Get("ETag"), h.Get("Idempotency-Replayed") == "true"
	return &out, nil
}

// ttlQuery rounds away from 0, which has a meaning of its own.
func ttlQuery(ttl *time.Duration) url.Values {
	if ttl == nil {
		return nil
	}
	n := int64(*ttl / time.Second)
	switch rest := *ttl % time.Second; {
	case rest > 0:
		n++
	case rest < 0:
		n--
	}
	return url.Values{"ttl": {strconv.FormatInt(n, 10)}}
}

// Get returns which of the fields a vault has, and its entity tag.
func (c *Client) Get(ctx context.Context, id string, fields ...string) (present map[string]bool, tag string,
	err error,
) {
	q := url.Values{}
	if len(fields) > 0 {
		q.Set("fields", strings.Join(fields, ","))
	}
	h, err := c.do(ctx, call{method: http.MethodGet, path: vaultPath(id), query: q, out: &present})
	if err != nil {
		return nil, "", err
	}
	return present, h.Get("ETag"), nil
}

// UpdateOptions of an update; the zero value has none.
type UpdateOptions struct {
	IfMatch string         // the entity tag that the vault must have
	TTL     *time.Duration // from now on, rounded up to whole seconds; 0: for ever; nil leaves it as it is
}

// Update writes fields and returns the new entity tag. With a TTL there need be no fields. Changing the TTL can end
// the vault, and needs the right to do so.
func (c *Client) Update(ctx context.Context, id string, fields map[string]string, o UpdateOptions) (tag string,
	err error,
) {
	if fields == nil {
		fields = map[string]string{}
	}
	var out struct{}
	h, err := c.do(ctx, call{
		method: http.MethodPatch, path: vaultPath(id), query: ttlQuery(o.TTL), body: fields, out: &out,
		header: map[string]string{"If-Match": o.IfMatch},
	})
	if err != nil {
		return "", err
	}
	return h.Get("ETag"), nil
}

// DeleteFields removes fields of a vault. ifMatch may be empty.
func (c *Client) DeleteFields(ctx context.Context, id string, fields []string, ifMatch string) error {
	if fields == nil {
		fields = []string{}
	}
	return c.remove(ctx, id, map[string]any{"fields": fields}, ifMatch)
}

// Delete removes a vault. ifMatch may be empty.
func (c *Client) Delete(ctx context.Context, id, ifMatch string) error {
	return c.remove(ctx, id, map[string]any{"delete_all": true}, ifMatch)
}

func (c *Client) remove(ctx context.Context, id string, body any, ifMatch string) error {
	var out struct{}
	_, err := c.do(ctx, call{
		method: http.MethodDelete, path: vaultPath(id), body: body, out: &out, header: map[string]string{"If-Match": ifMatch},
	})
	return err
}

// ReplyKey is an HPKE public key of the caller. The enclave seals each result to it, failures included, and results
// are then in Decrypted.Sealed alone. Open in package redoubt/wire/kit/sealed/reply opens them.
type ReplyKey struct {
	SuiteID   []byte `json:"suite_id"`
	PublicKey []byte `json:"public_key"` // DER SubjectPublicKeyInfo
}

// DecryptRequest asks for values. Reason is kept in the audit log. It must be visible text.
type DecryptRequest struct {
	Fields      []string          `json:"fields"`
	Reason      string            `json:"reason"`
	Expressions map[string]string `json:"expressions,omitempty"` // CEL sources by name
	Include     *[]string         `json:"include,omitempty"`     // raw fields to return; nil: the requested ones
	Compat      bool              `json:"compat,omitempty"`
	ReplyKey    *ReplyKey         `json:"reply_key,omitempty"`
}

// Decrypted is the answer.
type Decrypted struct {
	Data   map[string]json.RawMessage `json:"data"`   // values by field or expression name
	Errors []string                   `json:"errors"` // what failed, as "[name] text"
	Absent []string                   `json:"absent"` // requested fields that the vault does not have
	Sealed map[string][]byte          `json:"sealed"` // with ReplyKey: results by name
	// Failures says the same as Errors, by name, for programs.
	Failures map[string]Failure `json:"failures"`
}

// Failure is why a field or an expression has no value.
type Failure struct {
	Code    string `json:"code"` // decrypt_failed, expression_failed, deadline_exceeded or internal
	Message string `json:"message"`
	// Kind is why an expression failed, if that depends on no value: too_long, syntax, too_complex, undeclared_name,
	// unknown_function, cycle or dependency. Otherwise it is empty, since it would tell something of a value.
	Kind string `json:"kind"`
	// Position is the place in the source, if there is one.
	Position *Position `json:"position"`
}

// Position is a place in an expression's source, from 1; the column counts bytes of UTF-8.
type Position struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

// Text returns a value that is a string, and whether it is one.
func (d *Decrypted) Text(name string) (string, bool) {
	var s *string
	if json.Unmarshal(d.Data[name], &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}

// Decrypt opens fields of a vault.
func (c *Client) Decrypt(ctx context.Context, id string, r DecryptRequest) (*Decrypted, error) {
	if r.Fields == nil {
		r.Fields = []string{}
	}
	var out Decrypted
	_, err := c.do(ctx, call{
		method: http.MethodPost, path: vaultPath(id) + "/decrypt", body: r, out: &out,
		// Decrypting changes nothing, so net/http may repeat it on a dead connection. This header allows it to.
		header: map[string]string{"X-Idempotency-Key": "decrypt"},
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}
