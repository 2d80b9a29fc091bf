package front

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"redoubt/wire"
	"redoubt/wire/kit/h1"
)

// Readiness is the answer of /ready.
type Readiness struct {
	Status  string   `json:"status"`
	Failing []string `json:"failing"`
	Checks  []Check  `json:"checks"`
}

// OK reports whether every condition holds.
func (r *Readiness) OK() bool { return len(r.Failing) == 0 }

// ConditionNotDraining is the condition of /ready that the front knows by itself. The others come from Options.Ready.
const ConditionNotDraining = "not_draining"

// ErrNoCondition reports an exclude that names no condition.
var ErrNoCondition = errors.New("exclude must name conditions of readiness")

// ErrQuery reports a query string of /ready that holds anything but exclude.
var ErrQuery = errors.New("query must hold exclude=NAME alone")

// Excluded reads the query string of /ready. If a misspelt exclude were ignored, a load balancer would take hosts out
// when KMS is unavailable.
func Excluded(query string) (lists []string, err error) {
	all, ok := h1.Query(query)
	for _, p := range all {
		ok = ok && p.Name == "exclude"
		lists = append(lists, p.Value)
	}
	if !ok {
		return nil, ErrQuery
	}
	return lists, nil
}

// Readiness evaluates every condition except the excluded ones. Each of exclude is a name, or a list of names
// separated by commas. What belongs to an excluded condition is excluded with it.
func (s *Server) Readiness(exclude ...string) (*Readiness, error) {
	checks := append(s.o.Ready(), Check{Name: ConditionNotDraining, OK: !s.draining.Load()})
	names := strings.FieldsFunc(strings.Join(exclude, ","), func(r rune) bool { return r == ',' })
	for _, name := range names {
		if !slices.ContainsFunc(checks, func(c Check) bool { return c.Name == name }) {
			return nil, ErrNoCondition
		}
	}
	checks = slices.DeleteFunc(checks, func(c Check) bool {
		return slices.Contains(names, c.Name) || c.Of != "" && slices.Contains(names, c.Of)
	})
	r := &Readiness{Status: "ready", Failing: []string{}, Checks: checks}
	for _, c := range checks {
		if !c.OK {
			r.Status, r.Failing = codeNotReady, append(r.Failing, c.Name)
		}
	}
	return r, nil
}

// ready answers GET /ready?exclude=: 200 if every condition holds, and otherwise 503 with the ones that fail.
func (s *Server) ready(x *exchange) *fault {
	exclude, err := Excluded(string(x.ctx.URI().QueryString()))
	if err != nil {
		return faultReadyQuery
	}
	r, err := s.Readiness(exclude...)
	if err != nil {
		return faultExclude
	}
	b, err := json.Marshal(r)
	if err != nil {
		return faultOf(wire.Internal, 0)
	}
	if !r.OK() {
		x.status, x.code = 503, codeNotReady
	}
	x.out.raw(b)
	return nil
}

// attestation answers GET /v1/attestation?nonce=.
func (s *Server) attestation(x *exchange) *fault {
	query, ok := h1.Query(string(x.ctx.URI().QueryString()))
	if !ok || len(query) > 1 || len(query) == 1 && query[0].Name != "nonce" {
		return faultQuery
	}
	if len(query) == 0 {
		return faultNonce
	}
	nonce, ok := parseNonce(query[0].Value)
	if !ok {
		return faultNonce
	}
	timeout, cancel := withDeadline(x.start.Add(s.o.RequestTimeout))
	defer cancel()
	x.begin(partEnclave)
	document, id, err := s.o.Upstream.Attest(timeout, nonce)
	if err != nil {
		return upstreamFault(err, x.route)
	}
	x.begin(partWrite)
	x.out.text(`{"document":`)
	x.out.base64(document)
	x.out.text(`,"enclave":`)
	x.out.str([]byte(id))
	x.out.text("}")
	return nil
}

// parseNonce reads 8 to 64 bytes, in hex, or else in base64url with or without padding.
func parseNonce(text string) ([]byte, bool) {
	nonce, err := hex.DecodeString(text)
	if err != nil {
		nonce, err = base64.RawURLEncoding.Strict().DecodeString(trimPadding(text))
	}
	return nonce, err == nil && len(nonce) >= wire.MinNonce && len(nonce) <= wire.MaxNonce
}

func trimPadding(s string) string {
	for range 2 {
		if len(s)%4 == 0 && len(s) > 0 && s[len(s)-1] == '=' || len(s)%4 == 3 && s[len(s)-1] == '=' {
			s = s[:len(s)-1]
		}
	}
	return s
}
