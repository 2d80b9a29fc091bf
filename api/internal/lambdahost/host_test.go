package lambdahost

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"redoubt/api/internal/auth"
)

// seen is what the handler got.
type seen struct {
	method, uri, path, body, host, remote, id, principal string
	authorization                                        []string
}

func invoke(t *testing.T, event string) (seen, map[string]any, error) {
	t.Helper()
	var got seen
	h := Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p, _, _ := auth.Gateway{}.Authenticate(r)
		got = seen{
			r.Method, r.URL.String(), r.URL.Path, string(body), r.Host, r.RemoteAddr, r.Header.Get("X-Request-Id"), p.Name,
			r.Header["Authorization"],
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Add("X-Two", "a")
		w.Header().Add("X-Two", "b")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, `{"ok":true}`)
	}), nil)
	raw, err := h.Invoke(t.Context(), []byte(event))
	if err != nil {
		return got, nil, err
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return got, out, nil
}

const rest = `{
 "resource": "/{proxy+}", "path": "/vaults/v_1/decrypt", "httpMethod": "POST",
 "headers": {"Host": "api.example", "authorization": "Bearer a", "X-Request-Id": "chosen-by-caller"},
 "multiValueHeaders": {"Host": ["api.example"], "authorization": ["Bearer a", "Bearer b"]},
 "queryStringParameters": {"fields": "a,b"}, "multiValueQueryStringParameters": {"fields": ["a,b"]},
 "requestContext": {"resourcePath": "/{proxy+}", "path": "/v1/vaults/v_1/decrypt", "stage": "v1", "requestId": "rid-1",
  "identity": {"sourceIp": "198.51.100.7", "userArn": null}, "authorizer": {"principalId": "user|ann", "integrationLatency": 3}},
 "body": "{\"fields\":[]}", "isBase64Encoded": false}`

const httpAPI = `{
 "version": "2.0", "routeKey": "$default", "rawPath": "/v1/vaults/v_1", "rawQueryString": "fields=a%2Cb&x=1",
 "headers": {"host": "api.example", "authorization": "Bearer a"},
 "requestContext": {"requestId": "rid-2", "stage": "v1", "http": {"method": "PATCH", "path": "/v1/vaults/v_1", "sourceIp": "203.0.113.9"},
  "authorizer": {"jwt": {"claims": {"iss": "https://issuer", "sub": "bob"}, "scopes": null}}},
 "body": "BODY", "isBase64Encoded": true}`

func TestRESTEvent(t *testing.T) {
	got, out, err := invoke(t, rest)
	if err != nil {
		t.Fatal(err)
	}
	if got.method != "POST" || got.uri != "/vaults/v_1/decrypt?fields=a%2Cb" || got.body != `{"fields":[]}` || got.host != "api.example" ||
		got.remote != "198.51.100.7" || got.id != "rid-1" || got.principal != "gateway:user|ann" || len(got.authorization) != 2 {
		t.Fatalf("request %+v", got)
	}
	multi := out["multiValueHeaders"].(map[string]any)
	if out["statusCode"] != 418.0 || out["body"] != `{"ok":true}` || len(multi["X-Two"].([]any)) != 2 || out["headers"] != nil {
		t.Fatalf("answer %v", out)
	}
}

func TestHTTPEvent(t *testing.T) {
	event := strings.Replace(httpAPI, "BODY", base64.StdEncoding.EncodeToString([]byte(`{"city":"Bern"}`)), 1)
	got, out, err := invoke(t, event)
	if err != nil {
		t.Fatal(err)
	}
	if got.method != "PATCH" || got.uri != "/vaults/v_1?fields=a%2Cb&x=1" || got.body != `{"city":"Bern"}` ||
		got.remote != "203.0.113.9" || got.id != "rid-2" || got.principal != "oidc:https://issuer|bob" {
		t.Fatalf("request %+v", got)
	}
	headers := out["headers"].(map[string]any)
	if out["statusCode"] != 418.0 || headers["X-Two"] != "a, b" || out["multiValueHeaders"] != nil {
		t.Fatalf("answer %v", out)
	}
}

func TestStageIsTakenOffWhereTheGatewayLeavesIt(t *testing.T) {
	second := `{"version":"2.0","rawPath":"PATH","requestContext":{"stage":"STAGE","http":{"method":"GET"}}}`
	first := `{"version":"1.0","path":"PATH","httpMethod":"GET","requestContext":{"stage":"STAGE","path":"PATH"}}`
	restAPI := `{"path":"PATH","httpMethod":"GET","requestContext":{"stage":"STAGE","path":"/STAGEPATH"}}`
	versioned := strings.Replace(restAPI, `{`, `{"version":"1.0",`, 1)
	mapped := `{"path":"PATH","httpMethod":"GET","requestContext":{"stage":"STAGE","path":"PATH"}}` // a custom domain's
	cases := []struct{ event, stage, path, want string }{
		{second, "dev", "/dev/vaults/v_1", "/vaults/v_1"},
		{second, "dev", "/devices", "/devices"},
		{second, "dev", "/dev", "/"},
		{second, "dev", "/dev/", "/"},
		{second, "v1", "/v1/v1/vaults", "/v1/vaults"},
		{second, "$default", "/v1/vaults", "/v1/vaults"},
		{second, "$default", "/$default/vaults", "/$default/vaults"},
		{second, "", "//vaults", "//vaults"},
		{first, "dev", "/dev/vaults/v_1", "/vaults/v_1"},
		{first, "dev", "/developers/vaults", "/developers/vaults"},
		{first, "dev", "/dev", "/"},
		{first, "$default", "/vaults", "/vaults"},
		{restAPI, "dev", "/vaults", "/vaults"},
		{restAPI, "v1", "/v1/vaults", "/v1/vaults"},
		{restAPI, "vaults", "/vaults/v_1", "/vaults/v_1"},
		{versioned, "vaults", "/vaults/v_1", "/vaults/v_1"},
		{mapped, "pii", "/pii/vaults", "/pii/vaults"},
	}
	for _, c := range cases {
		event := strings.NewReplacer("STAGE", c.stage, "PATH", c.path).Replace(c.event)
		if got, _, err := invoke(t, event); err != nil || got.path != c.want {
			t.Errorf("%s: path %s, want %s, %v", event, got.path, c.want, err)
		}
	}
}

func TestNobodyIsAuthenticatedByWhatTheCallerSends(t *testing.T) {
	event := `{"path":"/vaults","httpMethod":"GET","headers":{"x-amzn-principal":"admin","Authorization":"x"},
	 "requestContext":{"identity":{"sourceIp":"192.0.2.1"}}}`
	got, _, err := invoke(t, event)
	if err != nil || got.principal != "" {
		t.Fatalf("principal %q, %v", got.principal, err)
	}
}

func TestForeignEventsFailWithoutBeingQuoted(t *testing.T) {
	for _, event := range []string{
		``, `[]`, `{}`, `{"Records":[{"SENTINEL":1}]}`, `{"httpMethod":"GET"}`, `{"httpMethod":"GET","path":"SENTINEL"}`,
		`{"version":"2.0","rawPath":"/x"}`, `{"httpMethod":"POST","path":"/x","body":"!SENTINEL","isBase64Encoded":true}`,
		`{"httpMethod":"G T","path":"/x"}`,
	} {
		if _, _, err := invoke(t, event); !errors.Is(err, errEvent) || strings.Contains(err.Error(), "SENTINEL") {
			t.Errorf("%s: %v", event, err)
		}
	}
}

func TestEscapedPathStaysOneSegment(t *testing.T) {
	got, _, err := invoke(t, `{"version":"2.0","rawPath":"/vaults/a%2Fb","requestContext":{"stage":"$default","http":{"method":"GET"}}}`)
	if err != nil || got.path != "/vaults/a/b" || got.uri != "/vaults/a%2Fb" {
		t.Fatalf("%+v, %v", got, err)
	}
}

func FuzzInvoke(f *testing.F) {
	f.Add([]byte(rest))
	f.Add([]byte(httpAPI))
	h := Handler(http.NotFoundHandler(), nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := h.Invoke(t.Context(), data)
		if err == nil && !json.Valid(out) {
			t.Fatal("answer is no JSON")
		}
	})
}

func TestAfterIsCalledOncePerInvocationBeforeTheAnswerIsGiven(t *testing.T) {
	n := 0
	h := Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if n != 0 {
			t.Error("after is called before the request is served")
		}
	}), func() { n++ })
	if _, err := h.Invoke(t.Context(), []byte(rest)); err != nil || n != 1 {
		t.Errorf("called %d times, error %v", n, err)
	}
	if _, err := h.Invoke(t.Context(), []byte(`{}`)); err == nil || n != 2 {
		t.Errorf("an event that fails: called %d times, error %v", n, err)
	}
}
