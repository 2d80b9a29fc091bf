package httpload

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"redoubt/bench/internal/corpus"
	"redoubt/wire/parentapi"
)

// Request is one request as it is sent, with the answer that it must get.
type Request struct {
	raw   []byte
	want  []map[string]string // one for each item of a batch, else one
	batch bool
	seen  atomic.Pointer[[]byte] // an answer that was found right
}

// ErrAnswer reports an answer that is not what was sealed.
var ErrAnswer = errors.New("an answer is not what was sealed")

// check compares a body with what is wanted.
func (r *Request) check(body []byte) error {
	if seen := r.seen.Load(); seen != nil && bytes.Equal(*seen, body) {
		return nil
	}
	if err := r.decode(body); err != nil {
		return err
	}
	right := bytes.Clone(body)
	r.seen.Store(&right)
	return nil
}

// answer takes in a parent's and an API's body.
type answer struct {
	Status int               `json:"status"`
	Fields map[string]string `json:"fields"`
	Data   map[string]string `json:"data"`
	Errors json.RawMessage   `json:"errors"`
}

func (a *answer) right(want map[string]string) bool {
	got := a.Fields
	if a.Data != nil {
		got = a.Data
	}
	return maps.Equal(got, want) && len(bytes.Trim(a.Errors, "{}[] ")) == 0
}

func (r *Request) decode(body []byte) error {
	var a struct {
		answer
		Items []answer `json:"items"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return ErrAnswer
	}
	if !r.batch {
		a.Items = []answer{a.answer}
	}
	if len(a.Items) != len(r.want) {
		return ErrAnswer
	}
	for i := range a.Items {
		if r.batch && a.Items[i].Status != 200 || !a.Items[i].right(r.want[i]) {
			return ErrAnswer
		}
	}
	return nil
}

// Expression is asked for beside a field: its source over FIELD, and the result for a plaintext.
type Expression struct {
	Name   string
	Source string // with FIELD for the field's name
	Result func(plain string) string
}

// Expressions that the mix of that name uses.
var Expressions = []Expression{
	{"upper", "FIELD.to_uppercase()", strings.ToUpper},
	{"marked", "FIELD + '!'", func(p string) string { return p + "!" }},
}

// item is the request for one write of a vault.
type item struct {
	vault       *corpus.Vault
	write       int
	fields      []string
	expressions []Expression
}

func (i *item) render(c *corpus.Corpus) (*parentapi.Request[string], map[string]string) {
	suite := c.Suite.ID()
	b := &parentapi.Request[string]{
		VaultID: i.vault.ID, Region: c.Region, Fields: make(map[string]string, len(i.fields)),
		SuiteID:    base64.StdEncoding.EncodeToString(suite[:]),
		WrappedKey: base64.StdEncoding.EncodeToString(i.vault.Wrapped),
		Encoding:   string('0' + rune(c.Encoding)),
	}
	if i.vault.Context {
		b.KeyContext = 1
	}
	want := make(map[string]string, len(i.fields))
	for _, name := range i.fields {
		b.Fields[name] = base64.StdEncoding.EncodeToString(i.vault.Writes[i.write][name])
		want[name] = corpus.Plain(i.vault.ID, i.write, name)
	}
	if len(i.expressions) == 0 {
		return b, want
	}
	b.Expressions, b.Include = make(map[string]string), slices.Sorted(maps.Keys(b.Fields))
	for _, x := range i.expressions {
		b.Expressions[x.Name] = strings.ReplaceAll(x.Source, "FIELD", i.fields[0])
		want[x.Name] = x.Result(want[i.fields[0]])
	}
	return b, want
}

// Target is a path of an endpoint, with the header that it needs.
type Target struct {
	Endpoint *Endpoint
	Bearer   string // empty: no Authorization header
}

func (t *Target) post(path string, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	auth := ""
	if t.Bearer != "" {
		auth = "Authorization: Bearer " + t.Bearer + "\r\n"
	}
	head := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\n%sContent-Type: application/json\r\n", path,
		t.Endpoint.host, auth)
	return fmt.Appendf(head, "Content-Length: %d\r\n\r\n%s", len(b), b), nil
}

// ask is the body of an API's decrypt.
type ask struct {
	Fields      []string          `json:"fields"`
	Reason      string            `json:"reason"`
	Expressions map[string]string `json:"expressions,omitempty"`
}

// vault makes a request to an API.
func (t *Target) vault(i item) (*Request, error) {
	a := ask{Fields: i.fields, Reason: "load"}
	want := make(map[string]string)
	for _, name := range i.fields {
		want[name] = corpus.Plain(i.vault.Label, 0, name)
	}
	for _, x := range i.expressions {
		if a.Expressions == nil {
			a.Expressions = make(map[string]string)
		}
		a.Expressions[x.Name] = strings.ReplaceAll(x.Source, "FIELD", i.fields[0])
		want[x.Name] = x.Result(want[i.fields[0]])
	}
	raw, err := t.post("/vaults/"+i.vault.ID+"/decrypt", &a)
	return &Request{raw: raw, want: []map[string]string{want}}, err
}

// single makes a request for one item.
func (t *Target) single(c *corpus.Corpus, i item) (*Request, error) {
	if c.API {
		return t.vault(i)
	}
	b, want := i.render(c)
	raw, err := t.post(parentapi.PathV1Decrypt, b)
	return &Request{raw: raw, want: []map[string]string{want}}, err
}

// many makes a batch.
func (t *Target) many(c *corpus.Corpus, items []item) (*Request, error) {
	r := &Request{batch: true}
	var bodies parentapi.Batch[string]
	for _, i := range items {
		b, want := i.render(c)
		bodies.Items, r.want = append(bodies.Items, b), append(r.want, want)
	}
	var err error
	r.raw, err = t.post(parentapi.PathBatch, &bodies)
	return r, err
}
