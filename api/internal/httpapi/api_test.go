package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/store"
	"redoubt/api/internal/upstream"
	"redoubt/api/internal/vault"
	"redoubt/wire"
	"redoubt/wire/kit/awsconfig"
)

const person = `{"email":"a@example.com","first_name":"Bob","ssn9":"123456789","dob":"1979-04-05"}`

func create(t *testing.T, a *apitest.API, body string) string {
	t.Helper()
	var out struct{ ID string }
	if err := json.Unmarshal([]byte(a.Do("POST", "/v1/vaults", body).WantStatus(200).Body), &out); err != nil {
		t.Fatal(err)
	}
	return out.ID
}

// The reference's routes, with its bodies and answers.
func TestReferencesRequestsAndAnswers(t *testing.T) {
	for _, base := range []string{"/v1/vaults", "/vaults"} {
		a := apitest.New(t)
		r := a.Do("POST", base, person).WantStatus(200)
		m := regexp.MustCompile(`^\{"id":"(v_[0-9A-Za-z]{27})"\}$`).FindStringSubmatch(r.Body)
		if m == nil {
			t.Fatalf("create answered %s", r.Body)
		}
		for name, want := range map[string]string{
			"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache", "Expires": "0",
			"X-Content-Type-Options": "nosniff", "Content-Type": "application/json",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		one := base + "/" + m[1]
		a.Do("GET", one, "").Want(200, `{}`)
		a.Do("GET", one+"?fields=email,%20SSN4,city,nope,_sk", "").Want(200, `{"city":false,"email":true,"ssn4":true}`)
		a.Do("PATCH", one, `{"city":"Bern"}`).Want(200, `{}`)
		a.Do("PATCH", one, `{}`).Want(200, `{}`)
		a.Do("POST", one+"/decrypt", `{"fields":["email","ssn9","ssn4","city"],"reason":"test"}`).
			Want(200, `{"data":{"city":"Bern","email":"a@example.com","ssn4":"6789","ssn9":"123456789"},"errors":[]}`)
		a.Do("POST", one+"/decrypt", `{"fields":["first_name"],"reason":"test","expressions":{"n":"len(first_name)"}}`).
			Want(200, `{"data":{"first_name":"Bob","n":3},"errors":[]}`)
		a.Do("DELETE", one, `{"fields":["ssn9"]}`).Want(200, `{}`)
		a.Do("GET", one+"?fields=ssn9,ssn4", "").Want(200, `{"ssn4":false,"ssn9":false}`)
		a.Do("DELETE", one, `{}`).Want(200, `{}`)
		a.Do("DELETE", one+"/", `{"delete_all":true}`).Want(200, `{}`)
		a.Do("GET", one, "").Want(404, `{"statusCode":404,"message":"Vault not found","code":"not_found"}`)
		a.Do("POST", one+"/decrypt", `{"fields":[],"reason":"test"}`).WantStatus(404)
		a.Do("POST", base, `{}`).WantStatus(200)
		a.Do("GET", "/v1/none", "").Want(404, `{"statusCode":404,"message":"Not found","code":"not_found"}`)
	}
}

// Reference bug 3: values of a refused request were logged.
func TestRefusedInputIsNamedAndNeverRepeated(t *testing.T) {
	const sentinel = "SENTINEL-2718281828"
	a := apitest.New(t)
	id := create(t, a, person)
	bodies := []struct{ method, path, body, field string }{
		{"POST", "/v1/vaults", `{"ssn9":"` + sentinel + `"}`, "ssn9"},
		{"POST", "/v1/vaults", `{"` + sentinel + `":"x"}`, "(unnamed)"},
		{"POST", "/v1/vaults", `{"email":{"x":"` + sentinel + `"}}`, "email"},
		{"POST", "/v1/vaults", `{"email":"` + sentinel, "body"},
		{"POST", "/v1/vaults", `["` + sentinel + `"]`, "body"},
		{"POST", "/v1/vaults", `{"dob":"x","dob":"` + sentinel + `"}`, "dob"},
		{"POST", "/v1/vaults?ttl=" + sentinel, `{}`, "ttl"},
		{"PATCH", "/v1/vaults/" + id, `{"country":"` + sentinel + `"}`, "country"},
		{"PATCH", "/v1/vaults/" + id, `{"_sk":"` + sentinel + `"}`, "_sk"},
		{"DELETE", "/v1/vaults/" + id, `{"fields":["` + sentinel + `"]}`, "(unnamed)"},
		{"DELETE", "/v1/vaults/" + id, `{"fields":["_sk"]}`, "_sk"},
		{"DELETE", "/v1/vaults/" + id, `{"delete_all":"` + sentinel + `"}`, "delete_all"},
		{"POST", "/v1/vaults/" + id + "/decrypt", `{"fields":["` + sentinel + `"],"reason":"x"}`, "(unnamed)"},
		{"POST", "/v1/vaults/" + id + "/decrypt", `{"fields":["_pk"],"reason":"x"}`, "_pk"},
		{"POST", "/v1/vaults/" + id + "/decrypt", `{"fields":[]}`, "reason"},
		{"POST", "/v1/vaults/" + id + "/decrypt", `{"fields":[],"reason":"x","expressions":{"` + strings.Repeat(sentinel, 20) + `":"1"}}`, "expressions"},
		{"POST", "/v1/vaults/" + id + "/decrypt", `{"fields":[],"reason":"x","reply_key":{"suite_id":"` + sentinel + `"}}`, "reply_key.public_key"},
		{"GET", "/v1/vaults?cursor=!" + sentinel, ``, "cursor"},
		{"GET", "/v1/vaults?limit=" + sentinel, ``, "limit"},
		{"GET", "/v1/vaults/" + id + "?fields=" + strings.Repeat(sentinel, 60), ``, "fields"},
	}
	for _, b := range bodies {
		r := a.Do(b.method, b.path, b.body)
		var e httpapi.ErrorBody
		if err := json.Unmarshal([]byte(r.Body), &e); err != nil || r.Status != http.StatusUnprocessableEntity || e.StatusCode != r.Status ||
			e.Message != "Invalid request data" || len(e.Errors) == 0 || e.Errors[0].Field != b.field {
			t.Errorf("%s %s %s: %d %s", b.method, b.path, b.body, r.Status, r.Body)
		}
		if strings.Contains(r.Body, sentinel) {
			t.Errorf("%s %s: the answer repeats the value", b.method, b.path)
		}
	}
	if strings.Contains(a.Log.String(), sentinel) {
		t.Error("a value was logged")
	}
	families, err := a.Metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.Contains(f.String(), sentinel) || strings.Contains(f.String(), id) {
			t.Errorf("a value or an id is a label of %s", f.GetName())
		}
	}
}

func TestValuesReachNoLogOrMetric(t *testing.T) {
	const sentinel = "sentinel-value-1234@example.com"
	a := apitest.New(t)
	id := create(t, a, `{"email":"`+sentinel+`"}`)
	decrypt := `{"fields":["email"],"reason":"r","expressions":{"x":"` + sentinel + `"}}`
	a.Do("POST", "/v1/vaults/"+id+"/decrypt", decrypt).WantStatus(200)
	for code := wire.BadRequest; int(code) < wire.Codes; code++ {
		a.World.FailDecrypt(&upstream.Error{Code: code, Err: errors.New("cause")})
		a.Do("POST", "/v1/vaults/"+id+"/decrypt", decrypt)
	}
	a.World.FailKMS(errors.New("kms down"))
	a.Do("POST", "/v1/vaults", `{"email":"`+sentinel+`"}`)
	a.Do("PATCH", "/v1/vaults/"+id, `{"email":"`+sentinel+`"}`)
	if strings.Contains(a.Log.String(), sentinel) || strings.Contains(a.Log.String(), "sentinel-value") {
		t.Fatal("a value was logged")
	}
}

// Reference bugs 16 and 17: failures and time-outs became 200 or 502.
func TestParentsFailuresAreToldApart(t *testing.T) {
	a := apitest.New(t)
	id := create(t, a, person)
	want := map[wire.Code]int{
		wire.BadRequest: 422, wire.Unauthenticated: 502, wire.KeyDenied: 403, wire.KMSThrottled: 503, wire.KMSUnavailable: 503,
		wire.DecryptFailed: 422, wire.ExpressionFailed: 422, wire.Overloaded: 503, wire.DeadlineExceeded: 504,
		wire.ShuttingDown: 503, wire.Internal: 500, wire.DomainUnknown: 503, wire.GenerationClosed: 403,
	}
	for code, status := range want {
		a.World.FailDecrypt(&upstream.Error{Code: code, RetryAfter: 3 * time.Second})
		r := a.Do("POST", "/v1/vaults/"+id+"/decrypt", `{"fields":["email"],"reason":"test"}`).WantStatus(status)
		var e httpapi.ErrorBody
		if err := json.Unmarshal([]byte(r.Body), &e); err != nil || e.Code != code.String() || e.StatusCode != status {
			t.Errorf("%v: %s", code, r.Body)
		}
		if retry := r.Header.Get("Retry-After"); (status == 503) != (retry == "3") {
			t.Errorf("%v: Retry-After %q", code, retry)
		}
	}
	for code, cause := range map[string]error{
		"no_enclave": upstream.ErrNoEnclave, "parent_unavailable": upstream.ErrUnavailable,
	} {
		for wait, retry := range map[time.Duration]string{0: "1", 3 * time.Second: "3"} {
			a.World.FailDecrypt(&upstream.Error{Code: wire.Internal, Err: cause, RetryAfter: wait})
			r := a.Do("POST", "/v1/vaults/"+id+"/decrypt", `{"fields":["email"],"reason":"test"}`).WantStatus(503)
			if !strings.Contains(r.Body, `"code":"`+code+`"`) || r.Header.Get("Retry-After") != retry {
				t.Errorf("%s: %s, %v", code, r.Body, r.Header)
			}
		}
		log := a.Do("GET", "/v1/vaults/"+id+"/audit?limit=1000", "").WantStatus(200)
		if !strings.Contains(log.Body, `"code":"`+code+`"`) {
			t.Errorf("%s is not in the audit log: %s", code, log.Body)
		}
	}
	a.Do("GET", "/v1/vaults/"+id+"/audit", "").WantStatus(200)
}

func TestAbsentAndFailedFieldsAreNull(t *testing.T) {
	a := apitest.New(t)
	id := create(t, a, person)
	a.Do("POST", "/v1/vaults/"+id+"/decrypt", `{"fields":["city","email"],"reason":"test"}`).
		Want(200, `{"data":{"city":null,"email":"a@example.com"},"errors":[],"absent":["city"]}`)
	a.Do("POST", "/v1/vaults/"+id+"/decrypt", `{"fields":["email"],"reason":"test","include":[],"expressions":{"n":"len(email)","bad":"fail"}}`).
		Want(200, `{"data":{"n":13},"errors":["[bad] the expression could not be evaluated"],"failures":{"bad":{"code":"expression_failed","message":"the expression could not be evaluated"}}}`)
}

func TestEntityTagsGuardWrites(t *testing.T) {
	a := apitest.New(t)
	r := a.Do("POST", "/v1/vaults", person)
	var out struct{ ID string }
	if err := json.Unmarshal([]byte(r.Body), &out); err != nil {
		t.Fatal(err)
	}
	one, first := "/v1/vaults/"+out.ID, r.Header.Get("ETag")
	second := a.Do("PATCH", one, `{"city":"Bern"}`, "If-Match", first).WantStatus(200).Header.Get("ETag")
	if first == "" || second == "" || first == second {
		t.Fatalf("tags %s, %s", first, second)
	}
	a.Do("PATCH", one, `{"city":"Basel"}`, "If-Match", first).
		Want(412, `{"statusCode":412,"message":"Precondition failed","code":"precondition_failed"}`)
	a.Do("PATCH", one, `{}`, "If-Match", first).WantStatus(412)
	a.Do("DELETE", one, `{"delete_all":true}`, "If-Match", first).WantStatus(412)
	if got := a.Do("GET", one, "").Header.Get("ETag"); got != second {
		t.Fatalf("tag %s, want %s", got, second)
	}
	a.Do("DELETE", one, `{"delete_all":true}`, "If-Match", second).WantStatus(200)
}

func TestIdempotencyKey(t *testing.T) {
	a := apitest.New(t)
	first := a.Do("POST", "/v1/vaults", person, "Idempotency-Key", "k1").WantStatus(200)
	again := a.Do("POST", "/v1/vaults", person, "Idempotency-Key", "k1").Want(200, first.Body)
	if again.Header.Get("Idempotency-Replayed") != "true" {
		t.Error("a replay is not marked")
	}
	a.Do("POST", "/v1/vaults", `{"city":"Bern"}`, "Idempotency-Key", "k1").
		Want(422, `{"statusCode":422,"message":"Idempotency-Key was used for another request","code":"idempotency_mismatch"}`)
	for _, bad := range []string{"", strings.Repeat("k", 256), "k\u00e9"} {
		a.Do("POST", "/v1/vaults", person, "Idempotency-Key", bad).WantStatus(422)
	}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "http://localhost/v1/vaults", strings.NewReader(person))
	r.Header["Content-Type"], r.Header["Idempotency-Key"] = []string{"application/json"}, []string{"k1", "k2"}
	w := httptest.NewRecorder()
	if a.Handler.ServeHTTP(w, r); w.Code != 422 {
		t.Errorf("two keys: %d %s", w.Code, w.Body)
	}
}

func TestPagesOfVaultsAndOfTheAuditLog(t *testing.T) {
	a := apitest.New(t)
	ids := map[string]bool{}
	for range 5 {
		ids[create(t, a, `{}`)] = true
	}
	one := create(t, a, person)
	ids[one] = true
	for range 3 {
		a.Do("POST", "/v1/vaults/"+one+"/decrypt", `{"fields":["email"],"reason":"page"}`).WantStatus(200)
	}
	cursor := ""
	for range 10 {
		var page httpapi.ListBody
		if err := json.Unmarshal([]byte(a.Do("GET", "/v1/vaults?limit=4&cursor="+cursor, "").WantStatus(200).Body), &page); err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Vaults {
			delete(ids, v.ID)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(ids) != 0 {
		t.Fatalf("not listed: %v", ids)
	}
	var log httpapi.AuditBody
	if err := json.Unmarshal([]byte(a.Do("GET", "/v1/vaults/"+one+"/audit?limit=3", "").WantStatus(200).Body), &log); err != nil {
		t.Fatal(err)
	}
	if len(log.Entries) != 3 || log.Next == "" || log.Entries[0].Event != "CreateVault" || log.Entries[1].Source != "192.0.2.1" {
		t.Fatalf("log %+v", log)
	}
	a.Do("GET", "/v1/vaults/v_none/audit", "").WantStatus(404)
}

func TestTimeToLiveIsChecked(t *testing.T) {
	a := apitest.New(t)
	for _, bad := range []string{"0", "-1", "x", "1.5", "99999999999999", ""} {
		a.Do("POST", "/v1/vaults?ttl="+bad, `{}`).WantStatus(422)
	}
	a.Do("POST", "/v1/vaults?ttl=60", `{}`).WantStatus(200)
}

func TestBodiesAreLimited(t *testing.T) {
	a := apitest.New(t)
	large := `{"email":"` + strings.Repeat("x", httpapi.MaxBody) + `"}`
	a.Do("POST", "/v1/vaults", large).Want(413, `{"statusCode":413,"message":"Request too large","code":"too_large"}`)
	a.Do("POST", "/v1/vaults", person, "Content-Type", "multipart/form-data; boundary=x").WantStatus(415)
	a.Do("POST", "/v1/vaults", person, "Content-Type", "application/xml").WantStatus(415)
	for _, kind := range []string{"application/json; charset=utf-8", "application/x-www-form-urlencoded", "text/plain", "application/vnd.x+json"} {
		a.Do("POST", "/v1/vaults", person, "Content-Type", kind).WantStatus(200)
	}
	a.Do("POST", "/v1/vaults", "").WantStatus(422)
}

// Reference bug 27: limits of the tiers disagreed, and the API had none.
func TestCountsAreLimitedBeforeTheParentIsAsked(t *testing.T) {
	a := apitest.New(t)
	id := create(t, a, person)
	many := `"email"` + strings.Repeat(`,"email"`, vault.MaxFields)
	a.Do("POST", "/v1/vaults/"+id+"/decrypt", `{"fields":[`+many+`],"reason":"test"}`).WantStatus(422)
	var exprs []string
	for i := range vault.MaxExpressions + 1 {
		exprs = append(exprs, `"e`+strings.Repeat("x", i%60)+string(rune('a'+i/60))+`":"1"`)
	}
	a.Do("POST", "/v1/vaults/"+id+"/decrypt", `{"fields":[],"reason":"test","expressions":{`+strings.Join(exprs, ",")+`}}`).WantStatus(422)
	a.Do("POST", "/v1/vaults/"+id+"/decrypt", `{"fields":[],"reason":"`+strings.Repeat("r", vault.MaxReason+1)+`"}`).WantStatus(422)
	if n := a.World.Calls("Decrypt"); n != 0 {
		t.Fatalf("the parent was asked %d times", n)
	}
}

func TestMethodsAndPaths(t *testing.T) {
	a := apitest.New(t)
	r := a.Do("PUT", "/v1/vaults/v_1", `{}`).WantStatus(405)
	if allow := r.Header.Get("Allow"); allow != "DELETE, GET, PATCH" {
		t.Errorf("Allow: %q", allow)
	}
	for _, path := range []string{"/", "/v1", "/v1/", "/v1/vaults/a/b", "/v1/vaults/a/decrypt/b", "//vaults", "/v1/v1/vaults", "/vaults/../health"} {
		a.Do("GET", path, "").WantStatus(404)
	}
	for _, id := range []string{"%2e%2e", "a%2Fb", "%00", "a%20b", strings.Repeat("a", 257)} {
		a.Do("GET", "/v1/vaults/"+id, "").WantStatus(404)
		a.Do("POST", "/v1/vaults/"+id+"/decrypt", `{"fields":[],"reason":"test"}`).WantStatus(404)
	}
	a.Do("GET", "/health", "").Want(200, `{"status":"ok"}`)
	a.Do("GET", "/v1/schema", "").WantStatus(200)
}

func TestBrowsersOfOtherOriginsAreRefused(t *testing.T) {
	a := apitest.New(t)
	a.Do("POST", "/v1/vaults", person, "Origin", "https://evil.example").WantStatus(403)
	a.Do("POST", "/v1/vaults", person, "Sec-Fetch-Site", "cross-site").WantStatus(403)
	a.Do("POST", "/v1/vaults", person, "Host", "rebound.example").WantStatus(403)
	a.Do("POST", "/v1/vaults", person, "Host", "127.0.0.1:8000").WantStatus(200)
	a.Do("POST", "/v1/vaults", person, "Host", "[::1]:8000").WantStatus(200)
	a.Do("POST", "/v1/vaults", person, "Sec-Fetch-Site", "same-origin").WantStatus(200)
}

// keyring is an authenticator for tests.
type keyring map[string]auth.Principal

func (k keyring) Authenticate(r *http.Request) (auth.Principal, bool, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return auth.Principal{}, false, nil
	}
	p, known := k[token]
	if !known {
		return auth.Principal{}, false, auth.ErrUnauthenticated
	}
	return p, true, nil
}

// Reference bug 1: anyone could decrypt.
func TestNobodyPassesWithoutACredential(t *testing.T) {
	policy, err := auth.ParsePolicy([]byte(`
rules:
  - {principals: [writer], operations: [create], fields: ["*"]}
  - {principals: [reader], operations: [decrypt], fields: [email], decrypt_rate: {per_second: 0.5}}
`))
	if err != nil {
		t.Fatal(err)
	}
	a := apitest.New(t, func(v *vault.Config, h *httpapi.Config) {
		v.Policy = policy
		h.Authenticators = []httpapi.Authenticator{keyring{"w": {Name: "writer"}, "r": {Name: "reader"}, "n": {Name: "nobody"}}}
	})
	id := strings.Split(a.Do("POST", "/v1/vaults", person, "Authorization", "Bearer w").WantStatus(200).Body, `"`)[3]
	decrypt := "/v1/vaults/" + id + "/decrypt"
	a.Do("GET", "/v1/vaults", "", "Authorization", "Bearer wrong").
		Want(401, `{"statusCode":401,"message":"Unauthorized","code":"unauthenticated"}`)
	a.Do("GET", "/v1/vaults", "", "Authorization", "Bearer n").
		Want(403, `{"statusCode":403,"message":"Forbidden","code":"forbidden"}`)
	a.Do("POST", decrypt, `{"fields":["email","ssn9"],"reason":"test"}`, "Authorization", "Bearer r").WantStatus(403)
	a.Do("POST", decrypt, `{"fields":["email"],"reason":"test"}`, "Authorization", "Bearer r").WantStatus(200)
	limited := a.Do("POST", decrypt, `{"fields":["email"],"reason":"test"}`, "Authorization", "Bearer r").
		Want(429, `{"statusCode":429,"message":"Too many requests","code":"rate_limited"}`)
	if limited.Header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After %q", limited.Header.Get("Retry-After"))
	}
}

func TestReadinessAsksEveryDependency(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var broken error
	a := apitest.New(t, func(_ *vault.Config, h *httpapi.Config) {
		h.Now = func() time.Time { return now }
		h.Checks = []httpapi.Check{{Name: "store", Ask: nothing}, {Name: "parent", Ask: func(ctx ctx) error { return broken }}}
	})
	a.Do("GET", "/ready", "").Want(200, `{"status":"ready","checks":{"parent":"ok","store":"ok"}}`)
	broken = errors.New("down")
	now = now.Add(time.Second)
	a.Do("GET", "/ready", "").Want(503, `{"status":"not_ready","checks":{"parent":"failed","store":"ok"}}`)
	broken = fmt.Errorf("kms: %w", &awsconfig.CredentialsError{Reason: "none"})
	now = now.Add(time.Second)
	a.Do("GET", "/ready", "").Want(503, `{"status":"not_ready","checks":{"parent":"no_credentials","store":"ok"}}`)
	a.Do("GET", "/health", "").WantStatus(200)
}

func TestAServiceWithoutCredentialsSaysSo(t *testing.T) {
	a := apitest.New(t)
	for _, err := range []error{
		&awsconfig.CredentialsError{Reason: "status 404"},
		fmt.Errorf("dynamo: %w: %w", store.ErrUnavailable, awsconfig.ErrNoCredentials),
	} {
		a.World.FailKMS(err)
		r := a.Do("POST", "/v1/vaults", `{"email":"a@example.com"}`).WantStatus(503)
		if !strings.Contains(r.Body, `"code":"no_credentials"`) || r.Header.Get("Retry-After") != "1" {
			t.Errorf("%s, Retry-After %q", r.Body, r.Header.Get("Retry-After"))
		}
	}
	if !strings.Contains(a.Log.String(), "no aws credentials (status 404)") {
		t.Errorf("log: %s", a.Log)
	}
}

func TestPanicIsAnswered(t *testing.T) {
	a := apitest.New(t, func(_ *vault.Config, h *httpapi.Config) {
		h.Checks = nil
		h.Authenticators = []httpapi.Authenticator{panicking{}}
	})
	a.Do("POST", "/v1/vaults", person).Want(500, `{"statusCode":500,"message":"Internal error","code":"internal"}`)
	if strings.Contains(a.Log.String(), "SECRET") {
		t.Fatal("the panic's value was logged")
	}
}

type panicking struct{}

func (panicking) Authenticate(*http.Request) (auth.Principal, bool, error) { panic("SECRET") }

func TestRequestIDIsKeptIfItIsOne(t *testing.T) {
	a := apitest.New(t)
	if got := a.Do("GET", "/health", "", "X-Request-Id", "abc-1.2_3").Header.Get("X-Request-Id"); got != "abc-1.2_3" {
		t.Errorf("id %q", got)
	}
	for _, bad := range []string{"a b", "\"x\"", strings.Repeat("a", 200), "-x"} {
		if got := a.Do("GET", "/health", "", "X-Request-Id", bad).Header.Get("X-Request-Id"); got == bad || got == "" {
			t.Errorf("id %q kept", bad)
		}
	}
}

func TestDocsPageLoadsNothingFromElsewhere(t *testing.T) {
	a := apitest.New(t)
	r := a.Do("GET", "/docs", "").WantStatus(200)
	if m := regexp.MustCompile(`(?i)(src|href)\s*=\s*"(https?:)?//`).FindString(r.Body); m != "" {
		t.Errorf("the page loads %s", m)
	}
	csp := r.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "'sha256-") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy %q", csp)
	}
	a.Do("GET", "/v1/swagger", "").WantStatus(200)
	a.Do("GET", "/openapi.json", "").WantStatus(200)
}

type ctx = context.Context

func nothing(context.Context) error { return nil }
