package httpapi

import (
	"encoding/hex"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"redoubt/api/internal/domains"
	"redoubt/api/internal/schema"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/domain"
)

// DomainBody is a generation of a domain.
type DomainBody struct {
	ID         string   `json:"id" doc:"Id of the domain" example:"acme"`
	Generation uint16   `json:"generation"`
	Hash       string   `json:"hash" doc:"SHA-384 of the descriptor, in hex; names the domain and its generation"`
	State      string   `json:"state" enum:"active,retired" doc:"Nothing new is put under a retired generation"`
	Created    uint64   `json:"created_ms" doc:"When an enclave made it, in milliseconds since 1970"`
	Suites     []string `json:"suites" doc:"Those of vaults; the first is the default"`
	Record     []byte   `json:"record" doc:"Descriptor and wraps: to be handed to an enclave that has not opened it"`
}

func domainBody(d *domains.Domain) *DomainBody {
	out := &DomainBody{
		ID: d.Descriptor.ID, Generation: d.Descriptor.Generation, Hash: hex.EncodeToString(d.Hash[:]), State: d.State,
		Created: d.Descriptor.CreatedMS, Record: d.Encoded,
	}
	for _, s := range d.Descriptor.Suites {
		out.Suites = append(out.Suites, s.String())
	}
	return out
}

// domainByHash answers with the domain that the path names.
func domainByHash(c *call) (*reply, error) {
	raw, err := hex.DecodeString(c.id)
	if err != nil || len(raw) != domain.HashSize || hex.EncodeToString(raw) != c.id {
		return nil, vault.ErrNoDomain
	}
	d, err := c.server.vault.DomainByHash(c.Context(), &c.caller, domain.Hash(raw))
	if err != nil {
		return nil, err
	}
	return ok(domainBody(d)), nil
}

// domainByID answers with the generation that the query names.
func domainByID(c *call) (*reply, error) {
	id, given := c.query["id"]
	if !given || !domain.ValidID(id) {
		return nil, schema.FieldErrors{{Field: "id", Text: "must be a domain's id"}}
	}
	generation := 0
	if text, given := c.query["generation"]; given {
		var err error
		if generation, err = strconv.Atoi(text); err != nil || generation < 1 || generation > maxGeneration {
			return nil, schema.FieldErrors{{Field: "generation", Text: "must be 1 to " + strconv.Itoa(maxGeneration)}}
		}
	}
	d, err := c.server.vault.Domain(c.Context(), &c.caller, id, uint16(generation))
	if err != nil {
		return nil, err
	}
	return ok(domainBody(d)), nil
}

const maxGeneration = 1<<16 - 1

// domainRoutes are the routes of domains.
func domainRoutes() []*route {
	const failed = "Unable to get domain"
	return []*route{
		{
			method: http.MethodGet, path: "/domains", id: "getDomain", tag: "domains", summary: "Read a domain",
			doc: "The highest active generation of a domain, or the one that is named. For callers that ask an enclave " +
				"themselves: they hand the record over.",
			query:   []string{"id", "generation"},
			request: domainRequest, answer: domainAnswer, failed: failed, statuses: []int{http.StatusNotFound},
			handle: domainByID,
		},
		{
			method: http.MethodGet, path: "/domains/{dh}", id: "getDomainByHash", tag: "domains",
			summary: "Read a domain by its descriptor",
			answer:  domainAnswer, failed: failed, statuses: []int{http.StatusNotFound}, handle: domainByHash,
		},
	}
}

func domainRequest(*document) *requestDoc {
	return &requestDoc{params: []*huma.Param{
		{Name: "id", In: "query", Required: true, Description: "Id of the domain", Schema: &huma.Schema{
			Type: "string", Pattern: "^[a-z0-9._-]{1,63}$",
		}},
		{Name: "generation", In: "query", Description: "Generation; absent: the highest active one", Schema: &huma.Schema{
			Type: "integer", Minimum: ptr(1.0), Maximum: ptr(float64(maxGeneration)),
		}},
	}}
}

func domainAnswer(d *document) *answerDoc { return &answerDoc{body: d.of(DomainBody{})} }
