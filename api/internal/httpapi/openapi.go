package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
	"redoubt/api/internal/vault"
)

// document builds the OpenAPI document from the table of routes.
type document struct {
	schema *schema.Schema
	types  huma.Registry
}

// requestDoc and answerDoc describe a route's request and answer.
type (
	requestDoc struct {
		params []*huma.Param
		body   *huma.Schema
	}
	answerDoc struct {
		body    *huma.Schema
		kind    string
		headers map[string]string // name: description
		other   []int             // further statuses with the same body
	}
)

func (s *Server) document() ([]byte, error) {
	d := &document{
		schema: s.vault.Schema(), types: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
	}
	api := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Redoubt vault API", Version: s.cfg.Version,
			Description: "Stores personal data sealed; opens it in attested enclaves only. Every path is served without " +
				"/v1 too, GET routes answer HEAD, and a method that a path does not have is answered 405 with Allow.",
			License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
		},
		Servers: []*huma.Server{{URL: "/v1"}, {URL: "/"}},
		Tags:    []*huma.Tag{{Name: "vaults"}, {Name: "audit"}, {Name: "domains"}, {Name: "service"}},
		Components: &huma.Components{
			Schemas: d.types,
			Responses: map[string]*huma.Response{
				"MethodNotAllowed": d.failure(http.StatusMethodNotAllowed),
			},
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"bearer": {Type: "http", Scheme: "bearer", Description: "An API key or an OIDC token."},
				"mtls": {
					Type: "mutualTLS", Description: "A client certificate, where the server asks for one; without bearer.",
				},
			},
		},
	}
	for _, r := range s.router.table {
		api.AddOperation(d.operation(r, len(s.cfg.Authenticators) > 0))
	}
	data, err := json.Marshal(api)
	if err != nil {
		return nil, fmt.Errorf("httpapi: %w", err)
	}
	return data, nil
}

// common are the errors that any authenticated route may give.
var common = []int{
	http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusInternalServerError,
	http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

func (d *document) operation(r *route, authenticated bool) *huma.Operation {
	op := &huma.Operation{
		OperationID: r.id, Method: r.method, Path: r.path, Summary: r.summary, Description: r.doc, Tags: []string{r.tag},
		Responses: map[string]*huma.Response{}, Parameters: []*huma.Param{
			header(requestID, "Names the request in logs and in the audit log; "+
				"the API makes one up if it is absent or malformed"),
		},
	}
	if authenticated && !r.open {
		op.Security = []map[string][]string{{"bearer": {}}, {"mtls": {}}}
	}
	if strings.Contains(r.path, "{id}") {
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: "id", In: "path", Required: true, Description: "Vault id",
			Schema: &huma.Schema{Type: "string", Pattern: "^[A-Za-z0-9_-]{1,256}$"},
		})
	}
	if strings.Contains(r.path, "{dh}") {
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: "dh", In: "path", Required: true, Description: "SHA-384 of the domain's descriptor, in hex",
			Schema: &huma.Schema{Type: "string", Pattern: "^[0-9a-f]{96}$"},
		})
	}
	errors := slices.Concat(common, r.statuses)
	if r.request != nil {
		in := r.request(d)
		op.Parameters = append(op.Parameters, in.params...)
		if in.body != nil {
			op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
				"application/json": {Schema: in.body},
			}}
			errors = append(errors, http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge,
				http.StatusUnsupportedMediaType)
		}
	}
	for _, status := range errors {
		op.Responses[strconv.Itoa(status)] = d.failure(status)
	}
	if slices.Contains(r.statuses, http.StatusNotModified) {
		op.Responses["304"] = &huma.Response{
			Description: http.StatusText(http.StatusNotModified),
			Headers:     map[string]*huma.Param{tagHeader: answered("The vault's revision")},
		}
	}
	answer := r.answer(d)
	for _, status := range append([]int{http.StatusOK}, answer.other...) {
		op.Responses[strconv.Itoa(status)] = success(status, answer)
	}
	return op
}

func success(status int, a *answerDoc) *huma.Response {
	if a.kind == "" {
		a.kind = "application/json"
	}
	out := &huma.Response{
		Description: http.StatusText(status), Content: map[string]*huma.MediaType{a.kind: {Schema: a.body}},
	}
	out.Headers = map[string]*huma.Param{requestID: answered("The request's id")}
	for name, doc := range a.headers {
		out.Headers[name] = answered(doc)
	}
	return out
}

// answered describes a header of an answer.
func answered(doc string) *huma.Param {
	return &huma.Param{Description: doc, Schema: &huma.Schema{Type: "string"}}
}

// failureHeaders are the headers of errors beside the request's id.
var failureHeaders = map[int][2]string{
	http.StatusUnauthorized:       {"WWW-Authenticate", "How to authenticate"},
	http.StatusMethodNotAllowed:   {"Allow", "The path's methods"},
	http.StatusTooManyRequests:    {"Retry-After", "Seconds to wait"},
	http.StatusServiceUnavailable: {"Retry-After", "Seconds to wait"},
}

func (d *document) failure(status int) *huma.Response {
	out := &huma.Response{
		Description: http.StatusText(status),
		Content:     map[string]*huma.MediaType{"application/json": {Schema: d.of(ErrorBody{})}},
	}
	out.Headers = map[string]*huma.Param{requestID: answered("The request's id")}
	if h, ok := failureHeaders[status]; ok {
		out.Headers[h[0]] = answered(h[1])
	}
	return out
}

// of makes the schema of a Go type.
func (d *document) of(v any) *huma.Schema {
	return d.types.Schema(reflect.TypeOf(v), true, "")
}

func ptr[T any](v T) *T { return &v }

func header(name, doc string) *huma.Param {
	return &huma.Param{Name: name, In: "header", Description: doc, Schema: &huma.Schema{Type: "string"}}
}

func ttlParam(least float64) *huma.Param {
	return &huma.Param{
		Name: "ttl", In: "query", Description: "Time to live in seconds; the vault is absent from then on",
		Schema: &huma.Schema{Type: "integer", Minimum: ptr(least), Maximum: ptr(vault.MaxTTL.Seconds())},
	}
}

func conditions(known string) []*huma.Param {
	const list = "Entity tags with commas between them, or *; "
	return []*huma.Param{
		header("If-Match", list+"if none is the vault's: 412"), header("If-None-Match", list+"if one is the vault's: "+known),
	}
}

func createRequest(d *document) *requestDoc {
	key := header("Idempotency-Key", "A retry with the same key and content gives the same vault, for 24 hours")
	key.Schema.MinLength, key.Schema.MaxLength = ptr(1), ptr(vault.MaxIdempotency)
	key.Schema.Pattern = `^[ -~]*$`
	return &requestDoc{params: []*huma.Param{key, ttlParam(1)}, body: d.content()}
}

func patchRequest(d *document) *requestDoc {
	ttl := ttlParam(0)
	ttl.Description += "; 0 removes it. Needs the right to remove the vault"
	return &requestDoc{params: append(conditions("412"), ttl), body: d.content()}
}

func presenceRequest(*document) *requestDoc {
	return &requestDoc{params: append(conditions("304"), &huma.Param{
		Name: "fields", In: "query", Description: "Field names, separated by commas",
		Schema: &huma.Schema{Type: "string", MaxLength: ptr(maxFieldsQuery)},
	})}
}

func pageRequest(*document) *requestDoc {
	return &requestDoc{params: []*huma.Param{
		{Name: "cursor", In: "query", Description: "Where the page before ended", Schema: &huma.Schema{Type: "string"}},
		{Name: "limit", In: "query", Description: "Entries of a page", Schema: &huma.Schema{
			Type: "integer", Minimum: ptr(1.0), Maximum: ptr(float64(store.MaxPage)), Default: store.DefaultPage,
		}},
	}}
}

func deleteRequest(d *document) *requestDoc {
	return &requestDoc{params: conditions("412"), body: &huma.Schema{
		Type: "object", AdditionalProperties: false, Properties: map[string]*huma.Schema{
			"delete_all": nullable(&huma.Schema{Type: "boolean", Description: "Remove the whole vault"}),
			"fields":     nullable(removedList()),
		},
	}}
}

func decryptRequest(d *document) *requestDoc {
	text := func(limit int) *huma.Schema { return &huma.Schema{Type: "string", MaxLength: ptr(limit)} }
	expressions := &huma.Schema{
		Type: "object", MaxProperties: ptr(vault.MaxExpressions), AdditionalProperties: text(vault.MaxExpression),
		Description: "CEL expressions by name, over the requested fields and one another; a field that the vault does not " +
			"have is null. A name has at most 256 bytes and is not that of a stored attribute, such as _sk",
		Extensions: map[string]any{"propertyNames": map[string]any{
			"minLength": 1, "maxLength": vault.MaxExpressionName,
		}},
	}
	return &requestDoc{body: &huma.Schema{
		Type: "object", AdditionalProperties: false, Required: []string{"fields", "reason"},
		Properties: map[string]*huma.Schema{
			"fields": d.fieldList(),
			"reason": {
				Type: "string", MaxLength: ptr(vault.MaxReason), Pattern: trimmed(schema.PlainVisible + schema.Plain),
				Description: "Kept in the audit log, trimmed. Visible text: not empty, no control or bidirectional " +
					"characters",
			},
			"expressions": nullable(expressions),
			"include":     nullable(d.fieldList()),
			"compat":      nullable(&huma.Schema{Type: "boolean", Description: "Answer as the reference did"}),
			"reply_key": nullable(&huma.Schema{
				Type: "object", AdditionalProperties: false, Required: []string{"suite_id", "public_key"},
				Description: "HPKE public key to which the enclave seals each result. data then holds only absent fields, and " +
					"errors only stored values that are malformed: every other failure is sealed as values are",
				Properties: map[string]*huma.Schema{
					"suite_id": text(maxKeyText), "public_key": text(maxKeyText),
				},
			}),
		},
	}}
}

// Headers of answers.
const (
	tagHeader = "ETag"
	requestID = "X-Request-Id"
	replayed  = "Idempotency-Replayed"
)

func tagged(body *huma.Schema) *answerDoc {
	return &answerDoc{body: body, headers: map[string]string{tagHeader: "The vault's revision"}}
}

func createAnswer(d *document) *answerDoc {
	a := tagged(d.of(CreateBody{}))
	a.headers[replayed] = "true if an earlier request with the same Idempotency-Key made the vault"
	return a
}

func emptyAnswer(d *document) *answerDoc   { return tagged(d.of(EmptyBody{})) }
func decryptAnswer(d *document) *answerDoc { return &answerDoc{body: d.of(DecryptBody{})} }
func listAnswer(d *document) *answerDoc    { return &answerDoc{body: d.of(ListBody{})} }
func auditAnswer(d *document) *answerDoc   { return &answerDoc{body: d.of(AuditBody{})} }
func schemaAnswer(d *document) *answerDoc  { return &answerDoc{body: d.of(schema.Schema{})} }
func healthAnswer(d *document) *answerDoc  { return &answerDoc{body: d.of(HealthBody{})} }

func readyAnswer(d *document) *answerDoc {
	return &answerDoc{body: d.of(ReadyBody{}), other: []int{http.StatusServiceUnavailable}}
}

func anyAnswer(*document) *answerDoc { return &answerDoc{body: &huma.Schema{Type: "object"}} }

func pageAnswer(*document) *answerDoc {
	return &answerDoc{body: &huma.Schema{Type: "string"}, kind: "text/html"}
}

func presenceAnswer(*document) *answerDoc {
	return tagged(&huma.Schema{
		Type: "object", AdditionalProperties: &huma.Schema{Type: "boolean"}, Description: "Whether the vault has each field",
	})
}

func openAPI(c *call) (*reply, error) {
	return &reply{status: http.StatusOK, raw: c.server.spec, kind: "application/json"}, nil
}
