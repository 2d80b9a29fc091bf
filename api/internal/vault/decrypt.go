package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
	"redoubt/api/internal/upstream"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

// DecryptRequest asks for values.
type DecryptRequest struct {
	ID          string
	Fields      []string
	Expressions map[string]string // CEL sources by name
	Reason      string            // kept trimmed; visible text, see schema.Plain; at most [MaxReason]
	Include     *[]string         // raw fields to return; nil: the requested ones
	Compat      bool
	ReplyKey    *upstream.ReplyKey
}

// Decrypted is the result of a decrypt. Its holder wipes it.
type Decrypted struct {
	Data   map[string]json.RawMessage
	Sealed map[string]string
	Errors []string // "[name] text", ordered by name
	// Failures are the same errors by name, for programs.
	Failures map[string]upstream.FieldError
	Absent   []string // requested fields that the vault does not have; null in Data

	failed wire.Code // the code of a failure, if Errors has any
	// released and report are for the audit: the fields that left as they are, and the parent's report on
	// expressions.
	released []string
	report   map[string]upstream.Access
}

// Wipe overwrites the values.
func (d *Decrypted) Wipe() {
	for _, v := range d.Data {
		clear(v)
	}
}

// Decrypt opens fields and evaluates expressions. Errors: schema.FieldErrors, [ErrNotFound], [*RateError], [ErrAudit],
// auth.ErrForbidden, [*upstream.Error], [*upstream.TooLargeError], the store's. Refused and failed attempts on an
// existing vault are audited.
func (s *Service) Decrypt(ctx context.Context, c *Caller, req *DecryptRequest) (*Decrypted, error) {
	reason, plain := plainReason(req.Reason)
	ev := &audit.Event{
		Caller: c.audit(), VaultID: req.ID, Name: audit.EventDecrypt, Reason: reason,
		Expressions: slices.DeleteFunc(req.expressionNames(), badExpressionName),
	}
	fields, include, err := s.checkDecrypt(req)
	if err == nil && !plain {
		err = schema.FieldErrors{{Field: "reason", Text: textReason}}
	}
	if err != nil {
		ev.Fields = s.cfg.Schema.Recordable(req.names())
		return nil, s.refuse(ctx, ev, codeInvalid, err)
	}
	ev.Fields = fields
	if err := s.permit(ctx, c, auth.OpDecrypt, fields, ev); err != nil {
		return nil, err
	}
	if wait := s.limiter.Wait(&c.Principal); wait > 0 {
		return nil, s.refuse(ctx, ev, codeRateLimited, &RateError{RetryAfter: wait})
	}
	r, err := s.get(ctx, req.ID)
	if err != nil {
		return nil, err
	}
	access, err := s.hashSources(ctx, ev.Expressions, req.Expressions)
	var out *Decrypted
	if err == nil {
		out, err = s.open(ctx, r, req, fields, include)
	}
	if err != nil {
		return nil, s.failed(ctx, ev, failure(ctx, err), err)
	}
	enter(access, ev.Expressions, fields, out.report)
	ev.Outcome, ev.Released, ev.Access = audit.OutcomeOK, out.released, access
	if len(out.Errors) > 0 {
		ev.Outcome, ev.Code = audit.OutcomePartial, out.failed.String()
	}
	if err := s.record(ctx, ev, nil); err != nil {
		out.Wipe()
		return nil, err
	}
	return out, nil
}

const textReason = "must be visible text, without control or bidirectional characters"

var plainText = regexp.MustCompile("^" + schema.Plain + "$")

// plainReason returns the reason as the audit log keeps it: trimmed. It returns false and no text for a reason that
// says nothing, or that could break the lines of a log or look there like something else.
func plainReason(reason string) (string, bool) {
	reason = strings.TrimSpace(reason)
	if reason == "" || !utf8.ValidString(reason) || !plainText.MatchString(reason) {
		return "", false
	}
	return reason, true
}

// checkDecrypt resolves names and checks limits. The error is a schema.FieldErrors.
func (s *Service) checkDecrypt(req *DecryptRequest) (fields []string, include *[]string, err error) {
	if fields, err = s.cfg.Schema.Resolve(req.Fields); err != nil {
		return nil, nil, err
	}
	if req.Include != nil {
		names, err := s.cfg.Schema.Resolve(*req.Include)
		if err != nil {
			return nil, nil, err
		}
		for _, n := range names {
			if !slices.Contains(fields, n) {
				return nil, nil, schema.FieldErrors{{Field: "include", Text: "names a field that is not requested"}}
			}
		}
		include = &names
	}
	var problems schema.FieldErrors
	for _, name := range req.expressionNames() {
		switch {
		case badExpressionName(name):
			problems.Add(schema.Problem{Field: "expressions", Text: "has a name that is too long, empty or reserved"})
		case len(req.Expressions[name]) > MaxExpression:
			problems.Add(schema.Problem{Field: "expressions." + schema.PublicName(name), Text: schema.TextLong})
		}
	}
	if len(problems) > 0 {
		return nil, nil, problems
	}
	return fields, include, nil
}

// names lists everything that a request names as a field.
func (r *DecryptRequest) names() []string {
	if r.Include == nil {
		return r.Fields
	}
	return slices.Concat(r.Fields, *r.Include)
}

// expressionNames lists the names of the expressions, in order.
func (r *DecryptRequest) expressionNames() []string {
	if len(r.Expressions) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(r.Expressions))
}

// badExpressionName reports a name that an expression cannot have. The names of stored attributes would work, but
// would be misleading in the audit log.
func badExpressionName(name string) bool {
	return name == "" || len(name) > MaxExpressionName || schema.Attribute(name)
}

// open asks the parent for the fields that the record has.
func (s *Service) open(ctx context.Context, r *item, req *DecryptRequest, fields []string,
	include *[]string,
) (*Decrypted, error) {
	if err := s.allowed(r); err != nil {
		return nil, err
	}
	blobs, absent, broken := collect(r.Record, fields)
	var key *believed
	if r.keyed() {
		var err error
		if key, err = s.believe(ctx, r); err != nil {
			return nil, err
		}
		broken = append(broken, unnamed(r.Record, blobs)...)
	}
	out := &Decrypted{
		Data: map[string]json.RawMessage{}, Errors: []string{}, Absent: absent, released: []string{},
	}
	// A wanted field that the record lacks is null. A field that include leaves out is not in the answer at all.
	for _, name := range append(slices.Clone(absent), broken...) {
		if include == nil || slices.Contains(*include, name) {
			out.Data[name] = json.RawMessage("null")
		}
	}
	for _, name := range broken {
		out.failed = wire.DecryptFailed
		out.fail(name, upstream.FieldError{Code: wire.DecryptFailed.String(), Message: wire.DecryptFailed.Text()})
	}
	if len(blobs) == 0 && len(req.Expressions) == 0 {
		return out, nil
	}
	up := s.request(r.Record, req, fields, include, blobs)
	if key != nil {
		s.under(up, r, key)
	}
	nulls := addNulls(up, absent)
	res, err := s.cfg.Opener.Decrypt(ctx, up)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	for _, name := range nulls {
		delete(res.Fields, name)
		delete(res.Sealed, name)
		delete(res.Errors, name)
	}
	maps.Copy(out.Data, res.Fields)
	out.Sealed = res.Sealed
	out.released, out.report = released(res, fields, req.Expressions), res.Access
	for name, e := range res.Errors {
		out.fail(name, e)
		if e.Code != wire.ExpressionFailed.String() {
			out.failed = wire.DecryptFailed
		}
	}
	if out.failed == 0 {
		out.failed = wire.ExpressionFailed
	}
	slices.Sort(out.Errors)
	return out, nil
}

// fail adds the reason why name has no value.
func (d *Decrypted) fail(name string, e upstream.FieldError) {
	d.Errors = append(d.Errors, "["+name+"] "+e.Message)
	if d.Failures == nil {
		d.Failures = map[string]upstream.FieldError{}
	}
	d.Failures[name] = e
}

// request makes the parent's request. Like the reference it returns the requested fields beside the results, unless
// include says otherwise.
func (s *Service) request(r *store.Record, req *DecryptRequest, fields []string, include *[]string,
	blobs map[string][]byte,
) *upstream.Request {
	if include == nil {
		include = &fields
	}
	wanted := slices.DeleteFunc(slices.Clone(*include), func(n string) bool { return blobs[n] == nil })
	if wanted == nil {
		wanted = []string{}
	}
	encoding := r.Encoding
	if encoding == store.EncodingHex {
		encoding = store.EncodingBinary // collect turned the text into bytes
	}
	up := &upstream.Request{
		VaultID: r.ID, SuiteID: r.Suite, WrappedKey: r.WrappedKey, Encoding: encoding, KeyContext: r.KeyContext,
		Fields: blobs, Expressions: req.Expressions, Compat: req.Compat, ReplyKey: req.ReplyKey,
	}
	if !req.Compat {
		up.Include = &wanted
	}
	return up
}

// collect takes the wanted blobs out of a record, those of encoding 1 as bytes. It also returns which fields are
// absent, and which are not valid hex.
func collect(r *store.Record, fields []string) (blobs map[string][]byte, absent, broken []string) {
	blobs = make(map[string][]byte, len(fields))
	suite, suiteErr := sealed.ParseSuite(r.Suite)
	for _, name := range fields {
		v, ok := r.Fields[name]
		switch {
		case !ok:
			absent = append(absent, name)
		case !v.Text:
			blobs[name] = v.Blob
		default:
			blob, err := sealed.AppendHex(nil, suite, v.Blob)
			if err != nil || suiteErr != nil {
				broken = append(broken, name)
				continue
			}
			blobs[name] = blob
		}
	}
	return blobs, absent, broken
}

// RetryAfter says how long a caller should wait. It is 0 if that is unknown.
func RetryAfter(err error) time.Duration {
	var up *upstream.Error
	var rate *RateError
	var none *NoKeyError
	switch {
	case errors.As(err, &none):
		return none.RetryAfter
	case errors.As(err, &rate):
		return rate.RetryAfter
	case errors.As(err, &up):
		return up.RetryAfter
	}
	return 0
}
