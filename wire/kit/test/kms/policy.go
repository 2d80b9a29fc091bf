package kms

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Condition keys of attested calls, lower case as all keys are compared.
const (
	condImageSha384 = "kms:recipientattestation:imagesha384"
	condPCR         = "kms:recipientattestation:pcr"
)

// Policy is a parsed key policy: what IAM's policy language says of one key. Parsing refuses everything that it does
// not understand, so that no statement is ever silently without effect.
type Policy struct{ statements []statement }

type statement struct {
	deny       bool
	principals []string
	actions    []string
	notActions bool
	resources  []string
	conditions []condition
}

// Facts are what a policy is evaluated on.
type Facts struct {
	Principal string            // ARN of the caller
	Account   string            // account of the caller
	Action    string            // such as "kms:Decrypt"
	Resource  string            // ARN of the key
	Context   map[string]string // condition keys, lower case, with their values
}

// DefaultPolicy allows every call except Decrypt to every known credential. It allows Decrypt to callers whose
// request proves by an attestation document that it comes from an enclave. To limit which enclave, use
// [PolicyForPCRs].
func DefaultPolicy() []byte {
	return policyDocument(map[string]any{"Null": map[string]string{"kms:RecipientAttestation:ImageSha384": "false"}})
}

// PolicyForPCRs is DefaultPolicy with Decrypt further limited to enclaves with these measurements: PCR index to the
// allowed values in hex. An empty map or list is refused.
func PolicyForPCRs(allowed map[int][]string) ([]byte, error) {
	if len(allowed) == 0 {
		return nil, errors.New("no measurement is allowed: the policy would allow nothing")
	}
	equals := make(map[string][]string, len(allowed))
	for index, values := range allowed {
		equals[fmt.Sprintf("kms:RecipientAttestation:PCR%d", index)] = values
	}
	doc := policyDocument(map[string]any{"StringEqualsIgnoreCase": equals})
	if _, err := ParsePolicy(doc); err != nil {
		return nil, err
	}
	return doc, nil
}

func policyDocument(decryptConditions map[string]any) []byte {
	doc, err := json.MarshalIndent(map[string]any{
		"Version": "2012-10-17",
		"Statement": []map[string]any{{
			"Sid": "AllowAllButDecrypt", "Effect": "Allow", "Principal": "*", "NotAction": "kms:Decrypt", "Resource": "*",
		}, {
			"Sid": "AllowDecryptByEnclave", "Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt",
			"Resource": "*", "Condition": decryptConditions,
		}},
	}, "", "  ")
	if err != nil {
		panic("kms: a policy of strings does not marshal") // cannot happen: maps of strings only
	}
	return doc
}

// Allows evaluates as IAM does for a resource policy alone: an explicit deny wins; otherwise one allow is needed.
func (p *Policy) Allows(f *Facts) bool {
	allowed := false
	for i := range p.statements {
		st := &p.statements[i]
		if !st.applies(f) {
			continue
		}
		if st.deny {
			return false
		}
		allowed = true
	}
	return allowed
}

func (st *statement) applies(f *Facts) bool {
	if !slices.ContainsFunc(st.principals, func(p string) bool { return principalMatches(p, f) }) {
		return false
	}
	matches := slices.ContainsFunc(st.actions, func(a string) bool {
		return wildcard(strings.ToLower(a), strings.ToLower(f.Action))
	})
	if matches == st.notActions {
		return false
	}
	if !slices.ContainsFunc(st.resources, func(r string) bool { return wildcard(r, f.Resource) }) {
		return false
	}
	for i := range st.conditions {
		if !st.conditions[i].holds(f.Context) {
			return false
		}
	}
	return true
}

func principalMatches(p string, f *Facts) bool {
	return p == "*" || p == f.Principal || p == f.Account || p == "arn:aws:iam::"+f.Account+":root"
}

// ParsePolicy reads a policy document (JSON). Unknown elements, operators and malformed measurements are errors.
func ParsePolicy(document []byte) (*Policy, error) {
	var doc struct {
		Version   string
		ID        string `json:"Id"`
		Statement oneOrMore[json.RawMessage]
	}
	if err := strictJSON(document, &doc); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if doc.Version != "2012-10-17" || len(doc.Statement) == 0 {
		return nil, errors.New("policy: needs Version 2012-10-17 and a Statement")
	}
	p := &Policy{}
	for i, raw := range doc.Statement {
		st, err := parseStatement(raw)
		if err != nil {
			return nil, fmt.Errorf("policy: statement %d: %w", i, err)
		}
		p.statements = append(p.statements, *st)
	}
	return p, nil
}

func parseStatement(raw []byte) (*statement, error) {
	var in struct {
		Sid, Effect                 string
		Principal                   json.RawMessage
		Action, NotAction, Resource oneOrMore[string]
		Condition                   map[string]map[string]oneOrMore[string]
	}
	if err := strictJSON(raw, &in); err != nil {
		return nil, err
	}
	st := &statement{deny: in.Effect == "Deny", actions: in.Action, resources: in.Resource}
	if in.Effect != "Deny" && in.Effect != "Allow" {
		return nil, errors.New("effect must be Allow or Deny")
	}
	if (len(in.Action) == 0) == (len(in.NotAction) == 0) || len(in.Resource) == 0 {
		return nil, errors.New("needs Resource and one of Action and NotAction")
	}
	if len(in.NotAction) > 0 {
		st.actions, st.notActions = in.NotAction, true
	}
	var err error
	if st.principals, err = parsePrincipal(in.Principal); err != nil {
		return nil, err
	}
	for operator, keys := range in.Condition {
		if len(keys) == 0 {
			return nil, errors.New("a condition without a key")
		}
		for key, values := range keys {
			c, err := newCondition(operator, key, values)
			if err != nil {
				return nil, err
			}
			st.conditions = append(st.conditions, c)
		}
	}
	return st, nil
}

func parsePrincipal(raw []byte) ([]string, error) {
	if bytes.Equal(raw, []byte(`"*"`)) {
		return []string{"*"}, nil
	}
	var in struct {
		AWS oneOrMore[string]
	}
	if err := strictJSON(raw, &in); err != nil || len(in.AWS) == 0 {
		return nil, errors.New(`principal must be "*" or {"AWS": …}`)
	}
	return in.AWS, nil
}

// oneOrMore reads a JSON value or an array of them.
type oneOrMore[T any] []T

func (o *oneOrMore[T]) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		return json.Unmarshal(data, (*[]T)(o))
	}
	var one T
	if err := json.Unmarshal(data, &one); err != nil {
		return err
	}
	*o = oneOrMore[T]{one}
	return nil
}

func strictJSON(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if dec.More() {
		return errors.New("data after the document")
	}
	return nil
}

// checkMeasurement refuses what no enclave in production can have: a value that is not a SHA-384 digest, or the
// all-zero image measurement of an enclave in debug mode.
func checkMeasurement(key, value string) error {
	raw, err := hex.DecodeString(value)
	if err != nil || len(raw) != 48 {
		return fmt.Errorf("condition %s: a measurement is 96 hex digits", key)
	}
	image := key == condImageSha384 || key == condPCR+"0"
	if image && bytes.Equal(raw, make([]byte, 48)) {
		return fmt.Errorf("condition %s: all zeros is an enclave in debug mode", key)
	}
	return nil
}
