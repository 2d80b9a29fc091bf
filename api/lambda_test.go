package main_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/api/internal/apitest"
	"redoubt/wire/kit/test/lambda"
	"redoubt/wire/kit/test/proctest"
)

// invoke sends an event through the runtime loop and returns the function's answer.
func invoke(t *testing.T, r *lambda.Runtime, event string) string {
	t.Helper()
	a, err := r.Invoke(t.Context(), event)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func restEvent(method, path, body, authorizer string) string {
	text, _ := json.Marshal(body)
	return fmt.Sprintf(`{"resource":"/{proxy+}","path":%q,"httpMethod":%q,"headers":{"Host":"api.example","Content-Type":"application/json"},
	 "multiValueHeaders":{"Host":["api.example"],"Content-Type":["application/json"]},"queryStringParameters":null,
	 "multiValueQueryStringParameters":null,"pathParameters":{"proxy":"x"},"stageVariables":null,
	 "requestContext":{"stage":"v1","requestId":"r-1","identity":{"sourceIp":"198.51.100.7"}%s},"body":%s,"isBase64Encoded":false}`,
		path, method, authorizer, text)
}

func httpEvent(method, path, query, body, authorizer string) string {
	return fmt.Sprintf(`{"version":"2.0","routeKey":"$default","rawPath":%q,"rawQueryString":%q,"headers":{"host":"api.example"},
	 "requestContext":{"stage":"v1","requestId":"r-2","http":{"method":%q,"path":%q,"sourceIp":"203.0.113.9"}%s},
	 "body":%q,"isBase64Encoded":true}`, path, query, method, path, authorizer, base64.StdEncoding.EncodeToString([]byte(body)))
}

const (
	restCaller = `,"authorizer":{"principalId":"ann"}`
	httpCaller = `,"authorizer":{"jwt":{"claims":{"iss":"https://issuer","sub":"bob"},"scopes":null}}`
)

// lambdaAnswer is what the function gives for either payload.
type lambdaAnswer struct {
	StatusCode        int
	Headers           map[string]string
	MultiValueHeaders map[string][]string
	Body              string
}

// breaks tells how the answer to an event differs from the API's document.
func (a *lambdaAnswer) breaks(t *testing.T, c *apitest.Contract, event string) error {
	t.Helper()
	var e struct {
		HTTPMethod, Path, RawPath string
		RequestContext            struct{ HTTP struct{ Method string } }
	}
	if err := json.Unmarshal([]byte(event), &e); err != nil {
		t.Fatal(err)
	}
	header := http.Header(a.MultiValueHeaders).Clone()
	if header == nil {
		header = http.Header{}
	}
	for k, v := range a.Headers {
		header.Set(k, v)
	}
	r := httptest.NewRequestWithContext(t.Context(), e.HTTPMethod+e.RequestContext.HTTP.Method, "http://api.example"+e.Path+e.RawPath, nil)
	return c.Check(r, &http.Response{StatusCode: a.StatusCode, Header: header, Body: io.NopCloser(strings.NewReader(a.Body))})
}

func TestLambdaServesBothPayloadsThroughTheRuntimeLoop(t *testing.T) {
	stack, rt := apitest.NewStack(t), lambda.New(t)
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy.yaml")
	err := os.WriteFile(policy, []byte(`
rules:
  - {principals: ["gateway:ann"], operations: ["*"], fields: ["*"]}
  - {principals: ["oidc:https://issuer|bob"], operations: [read, decrypt], fields: [email]}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	fn := proctest.Command(t, binary) // no arguments: as Lambda starts "bootstrap"
	fn.Env = stack.Env("AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(rt.URL, "http://"), "API_POLICY="+policy,
		"API_STORE=bolt:"+filepath.Join(dir, "store.db"),
		"AWS_LAMBDA_FUNCTION_NAME=vault-api", "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand")
	var log bytes.Buffer
	fn.Stderr = &log
	numbers, err := os.Create(filepath.Join(dir, "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer numbers.Close()
	fn.Stdout = numbers
	if err := fn.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = fn.Process.Kill() // it never ends by itself
		_ = fn.Wait()
	})
	var out lambdaAnswer
	var contract *apitest.Contract
	call := func(event string, status int) string {
		t.Helper()
		answer := invoke(t, rt, event)
		data, ok := strings.CutPrefix(answer, "response ")
		out = lambdaAnswer{}
		if !ok || json.Unmarshal([]byte(data), &out) != nil || out.StatusCode != status {
			t.Fatalf("answer %s, want status %d\n%s", answer, status, log.String())
		}
		if contract != nil {
			if err := out.breaks(t, contract, event); err != nil {
				t.Errorf("status %d breaks the contract: %v", status, err)
			}
		}
		return strings.TrimSpace(out.Body)
	}
	if contract, err = apitest.NewContract([]byte(call(restEvent("GET", "/openapi.json", "", restCaller), 200))); err != nil {
		t.Fatal(err)
	}
	const person = `{"email":"a@example.com","ssn9":"123456789"}`
	id := strings.Split(call(restEvent("POST", "/vaults", person, restCaller), 200), `"`)[3]
	if out.MultiValueHeaders["Cache-Control"][0] != "no-cache, no-store, must-revalidate" {
		t.Errorf("headers %v", out.MultiValueHeaders)
	}
	if got := call(restEvent("POST", "/vaults/"+id+"/decrypt", `{"fields":["ssn4"],"reason":"test"}`, restCaller), 200); got != `{"data":{"ssn4":"6789"},"errors":[]}` {
		t.Errorf("body %s", got)
	}
	if got := call(httpEvent("GET", "/v1/vaults/"+id, "fields=email", "", httpCaller), 200); got != `{"email":true}` || out.Headers["Content-Type"] != "application/json" {
		t.Errorf("body %s, headers %v", got, out.Headers)
	}
	if got := call(httpEvent("POST", "/v1/vaults/"+id+"/decrypt", "", `{"fields":["email"],"reason":"test"}`, httpCaller), 200); got != `{"data":{"email":"a@example.com"},"errors":[]}` {
		t.Errorf("body %s", got)
	}
	staged := strings.Replace(restEvent("GET", "/v1/vaults/"+id, "", restCaller), `{"resource"`, `{"version":"1.0","resource"`, 1)
	staged = strings.Replace(staged, `"stage"`, `"path":"/v1/vaults/`+id+`","stage"`, 1) // an HTTP API that sends payload 1.0
	call(staged, 200)
	call(httpEvent("POST", "/v1/vaults/"+id+"/decrypt", "", `{"fields":["ssn9"],"reason":"test"}`, httpCaller), 403)
	call(httpEvent("POST", "/v1/vaults", "", person, httpCaller), 403)
	call(restEvent("POST", "/vaults/"+id+"/decrypt", `{"fields":["email"],"reason":"test"}`, ""), 401)
	if answer := invoke(t, rt, `{"Records":["SENTINEL"]}`); !strings.HasPrefix(answer, "error ") || strings.Contains(answer, "SENTINEL") {
		t.Errorf("foreign event: %s", answer)
	}
	audit := call(restEvent("GET", "/vaults/"+id+"/audit", "", restCaller), 200)
	for _, want := range []string{`"principal":"gateway:ann"`, `"principal":"oidc:https://issuer|bob"`, `"source":"198.51.100.7"`, `"request_id":"r-2"`, `"outcome":"refused"`} {
		if !strings.Contains(audit, want) {
			t.Errorf("audit log lacks %s: %s", want, audit)
		}
	}
	for _, secret := range []string{id, "a@example.com", "123456789", "6789", "ann", "bob", "198.51.100.7", "203.0.113.9", "r-1", "r-2"} {
		if strings.Contains(standardOutput(t, numbers.Name()), `"`+secret) {
			t.Errorf("standard output holds %q", secret)
		}
	}
	for name, want := range map[string]float64{
		"ColdStarts": 1, "Requests": 10, "ClientErrors": 3, "ServerErrors": 0, "Errors": 3, "AuditFailures": 0,
	} {
		if got := sumOf(t, numbers.Name(), name, nil); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for name, where := range map[string]map[string]string{
		"Calls":        {"Dependency": "store", "Operation": "get"},
		"AuditEntries": {"Event": "DecryptVault"},
		"CallFailures": nil,
	} {
		if got := sumOf(t, numbers.Name(), name, where); got == 0 != (name == "CallFailures") {
			t.Errorf("%s %v is %v", name, where, got)
		}
	}
	if got := sumOf(t, numbers.Name(), "Calls", map[string]string{"Dependency": "parent"}); got != 2 {
		t.Errorf("%v calls of the parent", got)
	}
}

func standardOutput(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// sumOf adds up a metric over the lines of the function's standard output whose members are as in where. Each line must
// be one of the embedded metric format with the function's name.
func sumOf(t *testing.T, path, metric string, where map[string]string) (sum float64) {
	t.Helper()
	for line := range strings.Lines(standardOutput(t, path)) {
		var root map[string]any
		if err := json.Unmarshal([]byte(line), &root); err != nil || root["_aws"] == nil || root["Function"] != "vault-api" {
			t.Fatalf("line %s: %v", line, err)
		}
		match := true
		for k, v := range where {
			match = match && root[k] == v
		}
		if n, ok := root[metric].(float64); ok && match {
			sum += n
		}
	}
	return sum
}
