package httpapi_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/store"
	"redoubt/api/internal/vault"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/sealed/reply"
)

func TestReplyKeyIsPassedOnAndItsHolderOpensTheAnswer(t *testing.T) {
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	suite := sealed.P256.ID()
	suiteText, keyText := base64.StdEncoding.EncodeToString(suite[:]), base64.StdEncoding.EncodeToString(public)
	a := apitest.New(t)
	id := create(t, a, person)
	r := a.Do("POST", "/v1/vaults/"+id+"/decrypt", `{"fields":["email","city"],"reason":"r","expressions":{"n":"len(email)","typo":"1 + typo","c":"[city]"},
		"reply_key":{"suite_id":"`+suiteText+`","public_key":"`+keyText+`"}}`).WantStatus(200)
	if k := a.World.Last().ReplyKey; k == nil || k.SuiteID != suiteText || k.PublicKey != keyText {
		t.Fatalf("the parent got %+v", k)
	}
	var out struct {
		Data   map[string]json.RawMessage
		Sealed map[string][]byte
		Absent []string
		Errors []string
	}
	if err := json.Unmarshal([]byte(r.Body), &out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(r.Body, "example.com") || len(out.Data) != 1 || string(out.Data["city"]) != "null" || len(out.Sealed) != 4 ||
		len(out.Errors) != 0 || strings.Contains(r.Body, "failures") {
		t.Fatalf("answer %s", r.Body)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := sealed.ParsePrivateKey(sealed.P256, der)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"email": `"a@example.com"`, "n": "13", "typo": `{"code":"expression_failed","message":"` +
			wire.ExpressionUndeclaredName.Text() + `","kind":"undeclared_name","position":{"line":1,"column":5}}`,
	} {
		got, err := reply.Open(key, id, name, out.Sealed[name])
		if err != nil || string(got.Data) != want || (got.Type == reply.Problem) != (name == "typo") {
			t.Errorf("%s: %v, %d, %s", name, err, got.Type, got.Data)
		}
	}
}

// TestFaultyExpressionsComeWithTheirKindAndPlace, beside the list of texts that the reference has.
func TestFaultyExpressionsComeWithTheirKindAndPlace(t *testing.T) {
	a := apitest.New(t)
	id := create(t, a, person)
	a.Do("POST", "/v1/vaults/"+id+"/decrypt", `{"fields":["city"],"include":[],"reason":"r",`+
		`"expressions":{"a":"1 + typo","b":"fail"}}`).Want(200, `{"data":{},"errors":["[a] the expression uses a name that `+
		`is neither a field nor an expression of the request","[b] the expression could not be evaluated"],"absent":["city"],`+
		`"failures":{"a":{"code":"expression_failed","message":"the expression uses a name that is neither a field nor an `+
		`expression of the request","kind":"undeclared_name","position":{"line":1,"column":5}},`+
		`"b":{"code":"expression_failed","message":"the expression could not be evaluated"}}}`)
	if spec := string(a.Spec); !strings.Contains(spec, `"undeclared_name"`) || !strings.Contains(spec, `"failures"`) {
		t.Error("the document does not tell of kinds")
	}
}

func TestTimeToLiveTakesTheRightToRemoveTheVault(t *testing.T) {
	a := apitest.New(t, func(_ *vault.Config, h *httpapi.Config) {
		h.Authenticators = []httpapi.Authenticator{keyring{
			"writer": {Name: "writer", Scope: &auth.Grant{Operations: []string{"create", "read", "update"}, Fields: []string{"*"}}},
			"owner":  {Name: "owner", Scope: &auth.Grant{Operations: []string{"*"}, Fields: []string{"*"}}},
		}}
	})
	writer, owner := []string{"Authorization", "Bearer writer"}, []string{"Authorization", "Bearer owner"}
	one := "/v1/vaults/" + strings.Split(a.Do("POST", "/v1/vaults?ttl=3600", person, writer...).WantStatus(200).Body, `"`)[3]
	for _, ttl := range []string{"1", "0"} {
		a.Do("PATCH", one+"?ttl="+ttl, `{}`, writer...).WantStatus(403)
		a.Do("PATCH", one+"?ttl="+ttl, `{"city":"Bern"}`, writer...).WantStatus(403)
	}
	a.Do("PATCH", one, `{"city":"Bern"}`, writer...).WantStatus(200)
	a.Do("PATCH", one+"?ttl=7200", `{}`, owner...).WantStatus(200)
	var log httpapi.AuditBody
	if err := json.Unmarshal([]byte(a.Do("GET", one+"/audit", "", owner...).WantStatus(200).Body), &log); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range log.Entries {
		lines = append(lines, fmt.Sprint(e.Event, " ", e.Outcome, " ", e.Reason, " ", e.Fields))
	}
	want := "CreateVault ok  [dob email first_name ssn4 ssn9]|UpdateVault refused SetTTL []|UpdateVault refused SetTTL [city]|" +
		"UpdateVault refused RemoveTTL []|UpdateVault refused RemoveTTL [city]|UpdateVault ok  [city]|UpdateVault ok SetTTL []"
	if got := strings.Join(lines, "|"); got != want {
		t.Fatalf("log %s", got)
	}
}

// API Gateway takes answers of at most 6 MB from Lambda.
func TestAnswerToManyWrongKeysIsSmall(t *testing.T) {
	a := apitest.New(t)
	one := "/v1/vaults/" + create(t, a, person)
	repeated := `{"a":"1"` + strings.Repeat(`,"a":"1"`, 20_000) + `}`
	var keys strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&keys, `,"k%d":"1"`, i)
	}
	for _, body := range []string{repeated, "{" + keys.String()[1:] + "}"} {
		if r := a.Do("PATCH", one, body).WantStatus(422); len(r.Body) > 4096 {
			t.Errorf("an answer of %d bytes", len(r.Body))
		}
	}
}

// down is a store that does not do what it is asked.
type down struct {
	store.Store
	err error
}

func (d *down) GetKeyed(ctx context.Context, id string) (*store.Record, *store.Keys, error) {
	if d.err != nil {
		return nil, nil, d.err
	}
	return d.Store.GetKeyed(ctx, id)
}

func (d *down) Create(ctx context.Context, r *store.Record, e *store.Entry, i *store.Idempotency) error {
	if d.err != nil {
		return d.err
	}
	return d.Store.Create(ctx, r, e, i)
}

func TestOutagesOfTheStoreAskForALaterRetry(t *testing.T) {
	d := &down{}
	a := apitest.New(t, func(v *vault.Config, _ *httpapi.Config) { d.Store = v.Store; v.Store = d })
	one := "/v1/vaults/" + create(t, a, person)
	for code, err := range map[string]error{
		"store_throttled":   fmt.Errorf("dynamo: %w", store.ErrThrottled),
		"store_unavailable": fmt.Errorf("dynamo: %w", store.ErrUnavailable),
		"outcome_unknown":   fmt.Errorf("%w: %w", store.ErrUnknownOutcome, store.ErrUnavailable),
	} {
		d.err = err
		for _, r := range []*apitest.Answer{
			a.Do("POST", "/v1/vaults", person), a.Do("GET", one, ""), a.Do("PATCH", one, `{"city":"Bern"}`),
			a.Do("DELETE", one, `{"delete_all":true}`), a.Do("POST", one+"/decrypt", `{"fields":["email"],"reason":"test"}`),
		} {
			r.Want(503, `{"statusCode":503,"message":"Service unavailable","code":"`+code+`"}`)
			if r.Header.Get("Retry-After") != "1" {
				t.Errorf("%s: Retry-After %q", code, r.Header.Get("Retry-After"))
			}
		}
	}
}

// unsure is an authenticator that cannot say.
type unsure struct{}

func (unsure) Authenticate(*http.Request) (auth.Principal, bool, error) {
	return auth.Principal{}, false, errors.New("the issuer does not answer")
}

func TestOutageOfAuthenticationIsNoRefusalAndIsLoggedOnce(t *testing.T) {
	a := apitest.New(t, func(_ *vault.Config, h *httpapi.Config) { h.Authenticators = []httpapi.Authenticator{unsure{}} })
	for range 20 {
		r := a.Do("GET", "/v1/vaults", "").
			Want(503, `{"statusCode":503,"message":"Service unavailable","code":"authentication_unavailable"}`)
		if r.Header.Get("Retry-After") == "" || r.Header.Get("WWW-Authenticate") != "" {
			t.Fatalf("headers %v", r.Header)
		}
	}
	if n := strings.Count(a.Log.String(), "the issuer does not answer"); n != 1 {
		t.Fatalf("logged %d times", n)
	}
}

// pattern is what a node of the document says of a text.
func pattern(t *testing.T, spec []byte, path ...string) *regexp.Regexp {
	t.Helper()
	var node any
	if err := json.Unmarshal(spec, &node); err != nil {
		t.Fatal(err)
	}
	for _, p := range append([]string{"paths"}, path...) {
		m, ok := node.(map[string]any)
		if !ok {
			t.Fatalf("no %s in the document", p)
		}
		node = m[p]
	}
	p, _ := node.(map[string]any)["pattern"].(string)
	if _, limited := node.(map[string]any)["maxLength"]; limited {
		t.Errorf("%v: a limit that counts white space", path)
	}
	return regexp.MustCompile(p)
}

func TestTheDocumentRefusesNothingThatTheServerAccepts(t *testing.T) {
	a := apitest.New(t)
	body := func(method, path string, more ...string) *regexp.Regexp {
		return pattern(t, a.Spec, append([]string{path, method, "requestBody", "content", "application/json", "schema", "properties"}, more...)...)
	}
	one := "/v1/vaults/" + create(t, a, person)
	for _, v := range []string{"123456789", " 123456789\n", "\u0085\u00a0123456789\u3000", "\v\f\t123456789\r\n "} {
		if !body("post", "/vaults", "ssn9").MatchString(v) {
			t.Errorf("the document refuses %q", v)
		}
		text, err := json.Marshal(map[string]string{"ssn9": v, "email": strings.Repeat(" ", 2000)})
		if err != nil {
			t.Fatal(err)
		}
		a.Do("PATCH", one, string(text)).WantStatus(200)
	}
	_ = body("post", "/vaults", "email")
	for _, n := range []string{"ssn9", " SSN9 ", "First_Name"} {
		if !body("post", "/vaults/{id}/decrypt", "fields", "items").MatchString(n) || !body("delete", "/vaults/{id}", "fields", "items").MatchString(n) {
			t.Errorf("the document refuses %q", n)
		}
		a.Do("POST", one+"/decrypt", `{"fields":["`+n+`"],"reason":"test"}`).WantStatus(200)
	}
	for _, n := range []string{"ssn", "ssn99", "_sk", ""} {
		if body("post", "/vaults/{id}/decrypt", "fields", "items").MatchString(n) {
			t.Errorf("the document accepts %q", n)
		}
	}
}

func TestTheDocumentDescribesHeadersAndWaysToAuthenticate(t *testing.T) {
	a := apitest.New(t, func(_ *vault.Config, h *httpapi.Config) { h.Authenticators = []httpapi.Authenticator{keyring{}} })
	for _, text := range []string{
		`"Idempotency-Replayed":`, `"name":"X-Request-Id"`, `"X-Request-Id":`, `"MethodNotAllowed":`, `"Allow":`, `"WWW-Authenticate":`,
		`"mutualTLS"`, `"security":[{"bearer":[]},{"mtls":[]}]`,
	} {
		if !strings.Contains(string(a.Spec), text) {
			t.Errorf("no %s", text)
		}
	}
}
