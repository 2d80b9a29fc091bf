//go:build dev

package simulate

import (
	"encoding/json"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"

	"redoubt/wire/parentapi"
)

// operation is a route of the API's document.
type operation struct{ method, path string }

// readOperations asks the API for its document. It reports whether there is one.
func (r *run) readOperations() bool {
	a := r.get("/openapi.json")
	var document struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, &document) != nil {
		return false
	}
	for _, path := range sortedKeys(document.Paths) {
		for _, method := range sortedKeys(document.Paths[path]) {
			o := operation{strings.ToUpper(method), path}
			r.operations = append(r.operations, o)
			r.w.mu.Lock()
			r.w.counts[routeKind(callerAPI, o.method, o.path)] += 0
			r.w.mu.Unlock()
		}
	}
	return len(r.operations) > 0
}

// anyRoute asks for a route of the product's tables, knowing nothing of it but its name: so one that comes later is
// asked for from its first day. What has a body gets an empty object, which most routes refuse.
func (r *run) anyRoute(rng *mathrand.Rand, _ Event) {
	n := rng.IntN(len(parentapi.Routes) + len(r.operations))
	q := request{link: callerParent, malformed: true, header: jsonType}
	if n < len(parentapi.Routes) {
		q.method, q.path = parentapi.Routes[n].Method, parentapi.Routes[n].Path
	} else {
		o := r.operations[n-len(parentapi.Routes)]
		q.link, q.method, q.path = callerAPI, o.method, o.path
		if v := r.model.pick(rng); v != nil {
			q.path = strings.ReplaceAll(q.path, "{id}", v.id)
		}
		q.path = strings.NewReplacer("{", "", "}", "").Replace(q.path)
	}
	if !slices.Contains([]string{http.MethodGet, http.MethodHead}, q.method) {
		q.body = []byte("{}")
	}
	r.send(r.ctx(), q)
}
