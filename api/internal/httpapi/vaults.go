package httpapi

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
	"redoubt/api/internal/strictjson"
	"redoubt/api/internal/upstream"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/jsonscan"
)

const (
	maxFieldsQuery = 1024 // characters, the reference's
	maxKeyText     = 8192
)

// These are the bodies of answers.
type (
	// CreateBody answers a create.
	CreateBody struct {
		ID string `json:"id" doc:"Vault id" example:"v_2TsLsJ3iPbbLpWYMKyxtSGZdSDK"`
	}
	// EmptyBody answers writes.
	EmptyBody struct{}
	// DecryptBody answers a decrypt.
	DecryptBody struct {
		Data   map[string]any    `json:"data" doc:"Values by field or expression name; null for what failed or is absent"`
		Errors []string          `json:"errors" doc:"What failed, as \"[name] text\""`
		Absent []string          `json:"absent,omitempty" doc:"Requested fields that the vault does not have"`
		Sealed map[string]string `json:"sealed,omitempty" doc:"With reply_key: each result or failure, sealed to it; base64"`
		// Failures repeats Errors for programs.
		Failures map[string]upstream.FieldError `json:"failures,omitempty" doc:"What failed, by field or expression name"`
	}
	// ListBody is a page of vaults.
	ListBody struct {
		Vaults []VaultLine `json:"vaults"`
		Next   string      `json:"next,omitempty" doc:"Cursor of the next page; absent on the last"`
	}
	// VaultLine is a vault in a list.
	VaultLine struct {
		ID        string     `json:"id"`
		Created   time.Time  `json:"created_at"`
		Modified  time.Time  `json:"modified_at"`
		ExpiresAt *time.Time `json:"expires_at,omitempty"`
	}
	// AuditBody is a page of a vault's audit log.
	AuditBody struct {
		Entries []AuditLine `json:"entries"`
		Next    string      `json:"next,omitempty" doc:"Cursor of the next page; absent on the last"`
	}
	// AuditLine is an audit entry. Entries that the reference wrote have no principal, outcome and chain.
	AuditLine struct {
		Time        time.Time `json:"time"`
		Event       string    `json:"event" enum:"CreateVault,UpdateVault,DeleteVault,DecryptVault,ResealVault,CreateDomain,WrapDomain,ImportDomain,RetireDomain,(unreadable)" doc:"(unreadable): this entry is damaged"` //nolint:lll // one tag
		Outcome     string    `json:"outcome,omitempty" enum:"ok,partial,failed,refused"`
		Code        string    `json:"code,omitempty"`
		Principal   string    `json:"principal,omitempty"`
		Source      string    `json:"source,omitempty"`
		RequestID   string    `json:"request_id,omitempty"`
		Reason      string    `json:"reason,omitempty"`
		Fields      []string  `json:"fields,omitempty"`
		Expressions []string  `json:"expressions,omitempty"`
		Released    []string  `json:"released,omitzero" doc:"Fields whose values left as they are; absent if not recorded"`
		// Access is keyed by the name of the expression.
		Access  map[string]AccessLine `json:"access,omitempty" doc:"What each expression may have let out, by its name"`
		Omitted uint64                `json:"omitted,omitempty" doc:"Refusals before this one that were counted only"`
		Chain   string                `json:"chain,omitempty"`
		Seq     uint64                `json:"seq,omitempty"`
		Hash    []byte                `json:"hash,omitempty"`
		Key     *KeyLine              `json:"key,omitempty" doc:"What became of the keys of a vault under a domain"`
	}
)

// KeyLine says what became of the keys of a vault under a domain.
type KeyLine struct {
	Domain  string   `json:"domain" doc:"SHA-384 of the domain's descriptor, in hex"`
	From    string   `json:"from,omitempty" doc:"With a new key: the domain before, or kms"`
	Epoch   uint16   `json:"epoch" doc:"Number of the vault's key: of the new one, or of the one that was erased"`
	Dropped []uint16 `json:"dropped,omitempty" doc:"Numbers of older keys that went"`
	Lost    []string `json:"lost,omitempty" doc:"Fields that did not open and were given up"`
	Erased  [][]byte `json:"erased,omitempty" doc:"SHA-384 of each wrapped key that was erased"`
	// Since is a pointer since only erasures have it.
	Since  *time.Time `json:"since,omitempty" doc:"Since when, at least, an erased vault was under a domain"`
	Window int64      `json:"window,omitempty" doc:"Seconds after an erasure until the store has no copy of its own"`
}

// AccessLine says what the result of one expression may tell of fields.
type AccessLine struct {
	Reads     []string `json:"reads" doc:"Fields that it reads, itself or through other expressions"`
	Raw       []string `json:"raw" doc:"Those that its result may hold unchanged"`
	Unknown   bool     `json:"unknown,omitempty" doc:"No enclave reported it: every requested field counts as raw"`
	SourceMAC string   `json:"source_mac" doc:"Keyed hash of its source, in hex: equal for equal sources"`
}

func create(c *call) (*reply, error) {
	o, err := c.readBody()
	if err != nil {
		return nil, err
	}
	req := &vault.CreateRequest{Values: o.All()}
	if err := o.Done(); err != nil {
		return nil, err
	}
	ttl, err := c.ttl(1)
	if err != nil {
		return nil, err
	}
	if ttl != nil {
		req.TTL = *ttl
	}
	if keys, sent := c.Header["Idempotency-Key"]; sent {
		if req.IdempotencyKey = keys[0]; len(keys) > 1 || !validKey(req.IdempotencyKey) {
			return nil, schema.FieldErrors{{Field: "idempotency-key", Text: "must be one, with 1 to 255 printable characters"}}
		}
	}
	out, err := c.server.vault.Create(c.Context(), &c.caller, req)
	if err != nil {
		return nil, err
	}
	r := ok(&CreateBody{ID: out.ID})
	r.tag = out.Tag
	if out.Replayed {
		r.header = map[string]string{replayed: "true"}
	}
	return r, nil
}

func validKey(key string) bool {
	return key != "" && len(key) <= vault.MaxIdempotency &&
		!strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' })
}

func presence(c *call) (*reply, error) {
	var names []string
	if list, ok := c.query["fields"]; ok {
		if len([]rune(list)) > maxFieldsQuery {
			return nil, schema.FieldErrors{{Field: "fields", Text: schema.TextLong}}
		}
		names = strings.Split(list, ",")
	}
	when, err := c.conditions()
	if err != nil {
		return nil, err
	}
	out, tag, err := c.server.vault.Presence(c.Context(), &c.caller, c.id, names)
	if err != nil {
		return nil, err
	}
	switch {
	case !when.Matched(tag):
		return nil, vault.ErrPrecondition
	case when.Known(tag):
		return &reply{status: http.StatusNotModified, tag: tag}, nil
	}
	r := ok(out)
	r.tag = tag
	return r, nil
}

func patch(c *call) (*reply, error) {
	o, err := c.readBody()
	if err != nil {
		return nil, err
	}
	req := &vault.PatchRequest{ID: c.id, Values: o.All()}
	if err := o.Done(); err != nil {
		return nil, err
	}
	if req.If, err = c.conditions(); err != nil {
		return nil, err
	}
	if req.TTL, err = c.ttl(0); err != nil {
		return nil, err
	}
	tag, err := c.server.vault.Patch(c.Context(), &c.caller, req)
	if err != nil {
		return nil, err
	}
	r := ok(&EmptyBody{})
	r.tag = tag
	return r, nil
}

func remove(c *call) (*reply, error) {
	o, err := c.readBody()
	if err != nil {
		return nil, err
	}
	req := &vault.DeleteRequest{ID: c.id}
	if req.If, err = c.conditions(); err != nil {
		return nil, err
	}
	req.All = o.Bool("delete_all")
	req.Fields = o.Strings("fields", false, vault.MaxFields)
	if err := o.Done(); err != nil {
		return nil, err
	}
	if err := c.server.vault.Delete(c.Context(), &c.caller, req); err != nil {
		return nil, err
	}
	return ok(&EmptyBody{}), nil
}

func decrypt(c *call) (*reply, error) {
	o, err := c.readBody()
	if err != nil {
		return nil, err
	}
	req := &vault.DecryptRequest{ID: c.id}
	req.Fields = o.Strings("fields", true, vault.MaxFields)
	req.Reason = o.String("reason", true, vault.MaxReason)
	req.Expressions = o.StringMap("expressions", vault.MaxExpressions)
	if include := o.Strings("include", false, vault.MaxFields); include != nil {
		req.Include = &include
	}
	req.Compat = o.Bool("compat")
	req.ReplyKey = replyKey(o)
	if err := o.Done(); err != nil {
		return nil, err
	}
	out, err := c.server.vault.Decrypt(c.Context(), &c.caller, req)
	if err != nil {
		return nil, err
	}
	r := ok(&decryptedBody{
		Data: out.Data, Errors: out.Errors, Absent: out.Absent, Sealed: out.Sealed, Failures: out.Failures,
	})
	r.wipe = out.Wipe
	return r, nil
}

// decryptedBody is DecryptBody with the values as the enclave wrote them.
type decryptedBody struct {
	Data map[string]json.RawMessage `json:"-"`

	Errors   []string                       `json:"errors"`
	Absent   []string                       `json:"absent,omitempty"`
	Sealed   map[string]string              `json:"sealed,omitempty"`
	Failures map[string]upstream.FieldError `json:"failures,omitempty"`
}

// appendTo appends the answer's JSON. It copies the values from the enclave's answer to this one and nowhere else.
// encoding/json would keep them in a buffer of its own, which it does not wipe.
func (d *decryptedBody) appendTo(b []byte) ([]byte, error) {
	rest, err := marshal(d)
	if err != nil {
		return b, err
	}
	room := len(`{"data":{},`) + len(rest)
	for name, value := range d.Data {
		room += len(`"":,`) + jsonscan.MaxEscaped*len(name) + len(value)
	}
	b = append(slices.Grow(b, room), `{"data":{`...) // at once: what growing leaves behind is not wiped
	for i, name := range slices.Sorted(maps.Keys(d.Data)) {
		if i > 0 {
			b = append(b, ',')
		}
		key, err := marshal(name)
		if err != nil {
			return b, err
		}
		b = append(append(append(b, bytes.TrimSuffix(key, newline)...), ':'), d.Data[name]...)
	}
	b = append(b, "},"...)
	return append(b, rest[1:]...), nil
}

func replyKey(o *strictjson.Object) *upstream.ReplyKey {
	in := o.Object("reply_key")
	if in == nil {
		return nil
	}
	k := &upstream.ReplyKey{
		SuiteID: in.String("suite_id", true, maxKeyText), PublicKey: in.String("public_key", true, maxKeyText),
	}
	in.Unknown()
	return k
}

func list(c *call) (*reply, error) {
	p, err := c.page()
	if err != nil {
		return nil, err
	}
	lines, next, err := c.server.vault.List(c.Context(), &c.caller, p)
	if err != nil {
		return nil, err
	}
	out := &ListBody{Vaults: make([]VaultLine, len(lines)), Next: next}
	for i, l := range lines {
		out.Vaults[i] = VaultLine{ID: l.ID, Created: micro(l.Created), Modified: micro(l.Modified), ExpiresAt: expiry(l)}
	}
	return ok(out), nil
}

func expiry(l store.Summary) *time.Time {
	if l.ExpireAt == 0 {
		return nil
	}
	t := time.Unix(min(l.ExpireAt, maxTime), 0).UTC()
	return &t
}

// maxTime is the last second that JSON's form of a time can express. A table may hold any number.
const maxTime = 253402300799

func micro(us int64) time.Time { return time.UnixMicro(min(max(us, -1), maxTime*1_000_000)).UTC() }

func auditLog(c *call) (*reply, error) {
	p, err := c.page()
	if err != nil {
		return nil, err
	}
	for {
		out, err := auditPage(c, p)
		if err != nil {
			return nil, err
		}
		n := fitting(out.Entries)
		if n == len(out.Entries) {
			return ok(out), nil
		}
		p.Limit = n // for the cursor after the lines that fit
	}
}

// maxPage bounds the bytes of a page of audit entries, unless the page has only one. Even with its quotes escaped the
// page must fit the 6 MB of an answer of AWS Lambda.
const maxPage = 2_500_000

// fitting returns how many of the lines fit a page, which is at least one.
func fitting(lines []AuditLine) int {
	size := 0
	for i := range lines {
		b, err := json.Marshal(&lines[i])
		if err != nil {
			continue
		}
		if size += len(b) + 1; size > maxPage && i > 0 {
			return i
		}
	}
	return len(lines)
}

func auditPage(c *call, p store.Page) (*AuditBody, error) {
	entries, next, err := c.server.vault.Audit(c.Context(), &c.caller, c.id, p)
	if err != nil {
		return nil, err
	}
	out := &AuditBody{Entries: make([]AuditLine, len(entries)), Next: next}
	for i, e := range entries {
		out.Entries[i] = AuditLine{
			Time: micro(e.Time), Event: e.Name, Outcome: e.Outcome, Code: e.Code, Principal: e.Principal, Source: e.Source,
			RequestID: e.RequestID, Reason: e.Reason, Fields: e.Fields, Expressions: e.Expressions,
			Omitted: e.Omitted, Chain: e.Chain, Seq: e.Seq, Hash: e.Hash, Released: e.Released, Access: accessLines(&e.Event),
			Key: keyLine(e.Key),
		}
	}
	return out, nil
}

func keyLine(k *audit.KeyChange) *KeyLine {
	if k == nil {
		return nil
	}
	out := &KeyLine{
		Domain: k.Domain, From: k.From, Epoch: k.Epoch, Dropped: k.Dropped, Lost: k.Lost, Erased: k.Erased, Window: k.Window,
	}
	if k.Since != 0 {
		since := time.UnixMilli(min(max(k.Since, 0), maxTime*1000)).UTC()
		out.Since = &since
	}
	return out
}

func accessLines(e *audit.Event) map[string]AccessLine {
	lines := make(map[string]AccessLine, len(e.Access))
	for i, a := range e.Access {
		lines[e.Expressions[i]] = AccessLine{
			Reads: append([]string{}, a.Reads...), Raw: append([]string{}, a.Raw...), Unknown: a.Unknown,
			SourceMAC: hex.EncodeToString(a.SourceMAC),
		}
	}
	return lines
}

func schemaBody(c *call) (*reply, error) {
	return &reply{status: http.StatusOK, body: c.server.vault.Schema()}, nil
}
