package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"redoubt/api/internal/auth"
	"redoubt/api/internal/schema"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/h1"
)

// route is one operation, as the mux, the metrics and the OpenAPI document need it.
type route struct {
	method, path string
	id           string // operation id
	summary      string
	doc          string
	tag          string
	open         bool     // served without authentication
	query        []string // parameters of the query string
	request      func(*document) *requestDoc
	answer       func(*document) *answerDoc
	failed       string // the reference's text for an internal error
	statuses     []int  // statuses of errors beyond the common ones
	// operation must be granted to a caller before its large body is read.
	operation auth.Operation
	// values bounds the JSON values of a body.
	values int
	handle func(*call) (*reply, error)
}

// These count the values of the largest useful bodies, and some more, so that one too many, or an unknown one, can be
// named.
const (
	writeValues   = 1 + schema.MaxFields + schema.MaxProblems
	removeValues  = 3 + vault.MaxFields + schema.MaxProblems
	decryptValues = 9 + 2*vault.MaxFields + vault.MaxExpressions + schema.MaxProblems
)

// routes is the API, in the order of the documentation.
func routes() []*route { return slices.Concat(vaultRoutes(), domainRoutes(), serviceRoutes()) }

// vaultRoutes are the routes of vaults and their audit logs.
func vaultRoutes() []*route {
	const get, set = "Unable to get vault", "Unable to update vault"
	changing := []int{
		http.StatusNotFound, http.StatusGone, http.StatusConflict, http.StatusBadGateway, http.StatusPreconditionFailed,
		http.StatusTooManyRequests,
	}
	return []*route{
		{
			method: http.MethodPost, path: "/vaults", id: "createVault", tag: "vaults", summary: "Create a vault",
			query: []string{"ttl"},
			doc: "Makes a key pair, seals the fields to it and stores them. The body may be empty: `{}`. Writing a field " +
				"from which others are derived needs the right to these too.",
			request: createRequest, answer: createAnswer, failed: "Unable to create vault",
			statuses: []int{http.StatusConflict, http.StatusGone}, operation: auth.OpCreate, values: writeValues, handle: create,
		},
		{
			method: http.MethodGet, path: "/vaults", id: "listVaults", tag: "vaults", summary: "List vaults",
			doc:     "Ids and times, page by page. The order is the store's.",
			query:   []string{"cursor", "limit"},
			request: pageRequest, answer: listAnswer, failed: get, handle: list,
		},
		{
			method: http.MethodGet, path: "/vaults/{id}", id: "getVault", tag: "vaults", summary: "See which fields a vault has",
			doc:     "Fields that the schema does not know are left out of the answer.",
			query:   []string{"fields"},
			request: presenceRequest, answer: presenceAnswer, failed: get,
			statuses: []int{
				http.StatusNotFound, http.StatusGone, http.StatusNotModified, http.StatusPreconditionFailed,
			}, handle: presence,
		},
		{
			method: http.MethodPatch, path: "/vaults/{id}", id: "updateVault", tag: "vaults", summary: "Write fields",
			doc: "Seals the fields to the vault's public key, after checking that it is the one we made. Changing the time " +
				"to live needs the right to delete the vault: the operation delete on all fields. Writing a field from which " +
				"others are derived needs the right to these too.",
			query:   []string{"ttl"},
			request: patchRequest, answer: emptyAnswer, failed: set, statuses: changing, operation: auth.OpUpdate,
			values: writeValues, handle: patch,
		},
		{
			method: http.MethodDelete, path: "/vaults/{id}", id: "deleteVault", tag: "vaults",
			summary: "Remove fields, or the vault",
			doc: "`delete_all` wins over `fields`; with neither nothing is removed. The fields derived from a field " +
				"are removed with it, unless a caller gave them; that needs the right to remove these too.",
			request: deleteRequest, answer: emptyAnswer, failed: set, statuses: changing, operation: auth.OpDelete,
			values: removeValues, handle: remove,
		},
		{
			method: http.MethodPost, path: "/vaults/{id}/decrypt", id: "decryptVault", tag: "vaults", summary: "Open fields",
			doc: "Opens fields inside the enclave and evaluates expressions over them. An audit entry is stored " +
				"before the values are sent.",
			request: decryptRequest, answer: decryptAnswer, failed: "Unable to decrypt values",
			statuses: []int{
				http.StatusNotFound, http.StatusGone, http.StatusConflict, http.StatusTooManyRequests, http.StatusBadGateway,
			}, operation: auth.OpDecrypt, values: decryptValues, handle: decrypt,
		},
		{
			method: http.MethodGet, path: "/vaults/{id}/audit", id: "getAudit", tag: "audit",
			summary: "Read a vault's audit log",
			doc: "Oldest entries first. A vault that was removed keeps its log. A page has 2.5 MB at most, and may be " +
				"shorter than `limit`.",
			query:   []string{"cursor", "limit"},
			request: pageRequest, answer: auditAnswer, failed: get,
			statuses: []int{http.StatusNotFound}, handle: auditLog,
		},
	}
}

// serviceRoutes are the routes of the service itself.
func serviceRoutes() []*route {
	return []*route{
		{
			method: http.MethodGet, path: "/schema", id: "getSchema", tag: "service", summary: "Read the schema of vaults",
			answer: schemaAnswer, handle: schemaBody,
		},
		{
			method: http.MethodGet, path: "/health", id: "getHealth", tag: "service", summary: "Is the process alive",
			open:   true,
			answer: healthAnswer, handle: health,
		},
		{
			method: http.MethodGet, path: "/ready", id: "getReady", tag: "service", summary: "Can requests be served",
			open:   true,
			doc:    "Asks the store, the parent and the key service.",
			answer: readyAnswer, handle: ready,
		},
		{
			method: http.MethodGet, path: "/openapi.json", id: "getOpenAPI", tag: "service", summary: "This document",
			open:   true,
			answer: anyAnswer, handle: openAPI,
		},
		{
			method: http.MethodGet, path: "/docs", id: "getDocs", tag: "service", summary: "This document, to read", open: true,
			answer: pageAnswer, handle: docs,
		},
		{
			method: http.MethodGet, path: "/swagger", id: "getSwagger", tag: "service",
			summary: "The same, at the reference's address",
			open:    true, answer: pageAnswer, handle: docs,
		},
	}
}

// router finds routes by path and method. The path is matched as it was sent: a path that would need decoding or
// cleaning is unknown, as it is to the rules of a firewall. Unlike http.ServeMux the router never redirects. A
// trailing slash is tolerated, as the reference does, and the stage prefix /v1 is optional.
type router struct {
	table []*route
	split [][]string
}

func newRouter(table []*route) *router {
	r := &router{table: table}
	for _, rt := range table {
		r.split = append(r.split, strings.Split(rt.path[1:], "/"))
	}
	return r
}

// find returns the route and the {id}, or {dh}, of a path, or the methods that the path has, which are none for an
// unknown path.
func (r *router) find(method, path string) (found *route, id string, allow []string) {
	path = strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/")
	if rest, ok := strings.CutPrefix(path, "v1/"); ok {
		path = rest
	}
	parts := strings.Split(path, "/")
	if method == http.MethodHead {
		method = http.MethodGet // net/http leaves the body out
	}
	for i, rt := range r.table {
		v, ok := match(r.split[i], parts)
		if !ok {
			continue
		}
		if rt.method == method {
			return rt, v, nil
		}
		allow = append(allow, rt.method)
	}
	slices.Sort(allow)
	return nil, "", allow
}

// sentPath is the path of a request as it was sent. Behind API Gateway it is the path in the event, which may have
// been decoded on its way.
func sentPath(r *http.Request) string {
	if r.RequestURI == "" {
		return r.URL.EscapedPath()
	}
	return h1.Path(r.RequestURI)
}

func match(pattern, parts []string) (id string, ok bool) {
	if len(pattern) != len(parts) {
		return "", false
	}
	for i, p := range pattern {
		switch {
		case strings.HasPrefix(p, "{"):
			if parts[i] == "" {
				return "", false
			}
			id = parts[i]
		case p != parts[i]:
			return "", false
		}
	}
	return id, true
}
