package upstream

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

const (
	// roomHead is enough for the JSON of a request without its fields, key and expressions.
	roomHead = 4 << 10
	// maxMessage bounds the size of a request between parent and enclave, minus some room for extensions.
	maxMessage = wire.MaxBody - 1<<10
	// maxBeside is that bound for a request whose answer holds all values too. Results take at most another 1 MiB.
	maxBeside = maxMessage - 1<<20
)

// TooLargeError reports a decrypt whose expressions need more at once than one request can carry. Sizes are in bytes.
type TooLargeError struct {
	Size, Limit int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("upstream: expressions need %d bytes of fields and sources in one request, at most %d fit", e.Size,
		e.Limit)
}

// split divides a request into some that the parent accepts: fields in groups, and expressions in one request with
// all fields, since each may read any. That request asks for no raw field, except in the reference's manner (Compat),
// in which the answer holds everything. Error: [*TooLargeError].
func split(r *Request) ([]*Request, error) {
	groups := group(r)
	if len(groups) == 1 && len(r.Expressions) == 0 {
		return []*Request{r}, nil
	}
	if len(r.Expressions) == 0 {
		return parts(r, groups), nil
	}
	limit, whole := maxMessage, r.Compat || r.Include == nil
	if whole {
		limit = maxBeside
	}
	if size := messageSize(r); size > limit {
		return nil, &TooLargeError{Size: size, Limit: limit}
	}
	if len(groups) == 1 || whole {
		return []*Request{r}, nil
	}
	alone := *r
	alone.Include = &[]string{}
	raw := *r
	raw.Expressions, raw.Fields = nil, wanted(r)
	if len(raw.Fields) == 0 {
		return []*Request{&alone}, nil
	}
	return append([]*Request{&alone}, parts(&raw, group(&raw))...), nil
}

// wanted are the fields whose values are asked for. A field that shares its name with an expression is not among
// them, since the answer has one value for a name.
func wanted(r *Request) map[string][]byte {
	out := map[string][]byte{}
	for _, name := range *r.Include {
		if _, is := r.Expressions[name]; !is {
			out[name] = r.Fields[name]
		}
	}
	return out
}

// parts are requests for groups of r's fields.
func parts(r *Request, groups [][]string) []*Request {
	var out []*Request
	for _, names := range groups {
		part := *r
		part.Fields = make(map[string][]byte, len(names))
		for _, name := range names {
			part.Fields[name] = r.Fields[name]
		}
		if r.Include != nil {
			include := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !slices.Contains(*r.Include, n) })
			part.Include = &include
		}
		out = append(out, &part)
	}
	return out
}

// group divides the fields, in the order of names, so that each group fits one request. There is at least one group.
func group(r *Request) [][]string {
	room := roomFor(r)
	groups, left := [][]string{{}}, room
	encs := map[sealed.Ref]bool{} // of the group
	for _, name := range slices.Sorted(maps.Keys(r.Fields)) {
		blob := r.Fields[name]
		need := needs(name, blob) + encNeeds(r, blob, encs)
		last := len(groups) - 1
		if need > left && len(groups[last]) > 0 {
			groups, left = append(groups, nil), room
			last++
			clear(encs)
			need = needs(name, blob) + encNeeds(r, blob, encs)
		}
		groups[last] = append(groups[last], name)
		left -= need
	}
	return groups
}

// fits reports whether all fields are one group.
func fits(r *Request) bool {
	left := roomFor(r)
	for name, blob := range r.Fields {
		left -= needs(name, blob)
	}
	for ref, enc := range r.Encs {
		left -= needs(ref, enc)
	}
	return left >= 0
}

// roomFor is the room for the fields of a request, in bytes of JSON. needs is how much of it a field takes.
func roomFor(r *Request) int {
	room := parentapi.MaxBody - roomHead - base64.StdEncoding.EncodedLen(len(r.WrappedKey)) - len(r.VaultID)
	if r.ReplyKey != nil {
		room -= len(r.ReplyKey.SuiteID) + len(r.ReplyKey.PublicKey)
	}
	if r.Domain != nil {
		room -= base64.StdEncoding.EncodedLen(wire.MaxDomainRecord) // it may have to be handed over
	}
	return room
}

func needs(name string, blob []byte) int {
	return 2*len(name) + 16 + base64.StdEncoding.EncodedLen(len(blob)) // include repeats the name
}

// messageSize bounds the size of the message that the parent makes of a request, as wire.DecryptRequest.Validate
// counts.
func messageSize(r *Request) int {
	n := 64 + len(r.VaultID) + wire.MaxRegion + len(r.WrappedKey) + wire.MaxReplyKey + wire.DomainNameSize
	for _, enc := range r.Encs {
		n += 2 + len(enc)
	}
	for name, blob := range r.Fields {
		n += 9 + len(name) + len(blob)
	}
	for name, source := range r.Expressions {
		n += 8 + len(name) + len(source)
	}
	return n
}

// merge joins the answers to all parts of a request. A part of which no field opened is an error if it is the only
// one. Beside others its fields have failed.
type merge struct {
	Result
	opened bool  // some part has an answer
	lost   error // the error of the last part of which nothing opened
}

func (m *merge) add(part *Request, res *Result, err error) error {
	var e *Error
	switch {
	case errors.As(err, &e) && e.Code == wire.DecryptFailed && len(part.Expressions) == 0 && part.ReplyKey == nil:
		m.lost = err
		for name := range part.Fields {
			m.fail(name, part)
		}
		return nil
	case err != nil:
		return err
	}
	m.opened = true
	maps.Copy(m.Fields, res.Fields)
	maps.Copy(m.Errors, res.Errors)
	if res.Sealed != nil && m.Sealed == nil {
		m.Sealed = map[string]string{}
	}
	maps.Copy(m.Sealed, res.Sealed)
	if len(part.Expressions) > 0 {
		m.Access = res.Access
	}
	return nil
}

func (m *merge) fail(name string, part *Request) {
	if part.Include == nil || slices.Contains(*part.Include, name) {
		m.Fields[name] = json.RawMessage("null")
	}
	m.Errors[name] = FieldError{Code: wire.DecryptFailed.String(), Message: wire.DecryptFailed.Text()}
}

// These frame a batch of one.
const (
	batchHead = `{"items":[`
	batchTail = `]}`
)

// onlyItem reads the answer to a batch of one. The error is an [*Error].
func onlyItem(answer []byte) (*Result, error) {
	var out struct {
		Items []struct {
			Status int             `json:"status"`
			Error  json.RawMessage `json:"error"`
			Result
		} `json:"items"`
	}
	switch err := json.Unmarshal(answer, &out); {
	case err != nil || len(out.Items) != 1:
	case out.Items[0].Status != http.StatusOK:
		return nil, statusError(out.Items[0].Status, "", out.Items[0].Error)
	case out.Items[0].Fields != nil:
		return &out.Items[0].Result, nil
	}
	return nil, &Error{Code: wire.Internal, Err: errAnswer}
}
