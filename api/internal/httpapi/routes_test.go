package httpapi_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/vault"
)

// access is what a route asks of its caller.
type access uint8

const (
	granted access = iota // a credential, and that the policy grants it what it does
	known                 // a credential
	open                  // nothing
)

// examples has a request for each operation, which it takes, and what it asks of its caller. A route that is added to
// the API is added here too: the tests below then hold it to what all routes promise.
var examples = map[string]struct {
	body   string
	query  string
	access access
	event  string // of the audit log, for a refusal too; empty: it is not audited
}{
	"createVault":  {body: `{"city":"Bern"}`},
	"listVaults":   {},
	"getVault":     {},
	"updateVault":  {body: `{"city":"x"}`, event: "UpdateVault"},
	"deleteVault":  {body: `{"delete_all":true}`, event: "DeleteVault"},
	"decryptVault": {body: `{"fields":["email"],"reason":"test"}`, event: "DecryptVault"},
	"getAudit":     {},
	"getSchema":    {access: known},

	"getDomain":       {query: "?id=acme"},
	"getDomainByHash": {},

	"getHealth":  {access: open},
	"getReady":   {access: open},
	"getOpenAPI": {access: open},
	"getDocs":    {access: open},
	"getSwagger": {access: open},
}

// operation is one of the OpenAPI document's.
type operation struct {
	id, method, path string
}

// at is the operation's path with the id of a vault, or the hash of a domain's descriptor, in it.
func (o operation) at(id string) string {
	return "/v1" + strings.NewReplacer("{id}", id, "{dh}", strings.Repeat("0f", 48)).Replace(o.path)
}

func operations(t *testing.T, spec []byte) (all []operation) {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			ID string `json:"operationId"`
		}
	}
	if err := json.Unmarshal(spec, &doc); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			if _, known := examples[o.ID]; !known {
				t.Fatalf("%s %s: examples has no request of %s", method, path, o.ID)
			}
			all = append(all, operation{o.ID, strings.ToUpper(method), path})
		}
	}
	if len(all) != len(examples) {
		t.Fatalf("%d operations and %d examples", len(all), len(examples))
	}
	return all
}

// TestEveryRouteAsksWhoCalls: without a right credential it is 401, without a grant 403, and both before anything is
// done; a refusal of what is audited is in the log.
func TestEveryRouteAsksWhoCalls(t *testing.T) {
	policy, err := auth.ParsePolicy([]byte(`rules: [{principals: [owner], operations: ["*"], fields: ["*"]}]`))
	if err != nil {
		t.Fatal(err)
	}
	a := apitest.New(t, func(v *vault.Config, h *httpapi.Config) {
		v.Policy = policy
		h.Authenticators = []httpapi.Authenticator{keyring{"o": {Name: "owner"}, "n": {Name: "nobody"}}}
	})
	owner := []string{"Authorization", "Bearer o"}
	for _, o := range operations(t, a.Spec) {
		id := strings.Split(a.Do("POST", "/v1/vaults", person, owner...).WantStatus(200).Body, `"`)[3]
		example := examples[o.id]
		path := o.at(id) + example.query
		want := map[access][2]int{granted: {401, 403}, known: {401, 200}, open: {200, 200}}[example.access]
		for _, bad := range []string{"", "Bearer wrong", "Basic dzp3"} {
			r := a.Do(o.method, path, example.body, "Authorization", bad).WantStatus(want[0])
			if r.Status == 401 && r.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: no challenge", o.id)
			}
		}
		a.Do(o.method, path, example.body, "Authorization", "Bearer n").WantStatus(want[1])
		if !strings.Contains(o.path, "{id}") {
			continue
		}
		var log httpapi.AuditBody
		if err := json.Unmarshal([]byte(a.Do("GET", "/v1/vaults/"+id+"/audit", "", owner...).WantStatus(200).Body), &log); err != nil {
			t.Fatal(err)
		}
		var events []string
		for _, e := range log.Entries[1:] {
			events = append(events, e.Event+" "+e.Outcome)
		}
		if wanted := example.event + " refused"; example.event == "" && len(events) > 0 ||
			example.event != "" && !slices.Equal(events, []string{wanted}) {
			t.Errorf("%s: the log has %q after a refusal", o.id, events)
		}
	}
}

// TestNoRouteTakesAnUnknownParameter of the query string.
func TestNoRouteTakesAnUnknownParameter(t *testing.T) {
	a := apitest.New(t)
	id := create(t, a, person)
	for _, o := range operations(t, a.Spec) {
		wantProblem(t, a, o.method, o.at(id)+"?dry_run=true", "dry_run")
	}
	a.Do("GET", "/v1/vaults/"+id+"?fields=dob", "").Want(200, `{"dob":true}`)
	a.Do("GET", "/health?", "").WantStatus(200)
}

// ofTheReference are the operations that callers of the reference know.
var ofTheReference = []string{
	"createVault", "getVault", "updateVault", "deleteVault", "decryptVault", "getDocs", "getSwagger",
}

// TestThePageForThoseWhoComeFromTheReferenceHasEachNewRoute.
func TestThePageForThoseWhoComeFromTheReferenceHasEachNewRoute(t *testing.T) {
	page, err := os.ReadFile("../../MIGRATING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "| new |")
	row, _, _ := strings.Cut(rest, "\n")
	for _, o := range operations(t, apitest.New(t).Spec) {
		if !slices.Contains(ofTheReference, o.id) && !strings.Contains(row, o.path+"`") {
			t.Errorf("%s is not in MIGRATING.md", o.path)
		}
	}
}
