package cloudformation

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"redoubt/wire/kit/test/kms"
)

// The principals that API Gateway names: a role's session has no path in its ARN.
const (
	appSession    = "arn:aws:sts::" + account + ":assumed-role/app/session"
	canarySession = "arn:aws:sts::" + account + ":assumed-role/redoubt-key-CanaryRole-1A2B3C/redoubt-canary-Function-4D"
)

// standIn is KMS with the policy that key.yaml has before any image is measured.
func standIn(t *testing.T) string {
	t.Helper()
	return standInWith(t, keyDocument(t, nil))
}

// standInWith is KMS with a policy, asked by the canary's role.
func standInWith(t *testing.T, document object) string {
	t.Helper()
	policy, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	s, err := kms.New(kms.Config{
		StateDir: t.TempDir(), Region: region, Account: account, Policy: policy, Log: slog.New(slog.DiscardHandler),
		Credentials: []kms.Credential{{
			AccessKeyID: kms.DefaultAccessKey, SecretAccessKey: kms.DefaultSecret, Principal: canaryRole,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server.URL
}

// layer writes what the layer of api.yaml holds: the policy is the one that deploy/README.md shows.
func layer(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?s)\n# redoubt/policy\.yaml\n(.*?)\nEND\n`).FindSubmatch(readme)
	if block == nil {
		t.Fatal("deploy/README.md shows no policy")
	}
	var cert map[string]string
	if err := json.Unmarshal(bundle(t, 1), &cert); err != nil {
		t.Fatal(err)
	}
	policy := strings.NewReplacer(
		"$(aws sts get-caller-identity --query Arn --output text)", appSession, "$ACCOUNT", account,
		"$(output key CanaryRoleName)", "redoubt-key-CanaryRole-1A2B3C").Replace(string(block[1]))
	for name, data := range map[string]string{
		"policy.yaml": policy, "parent-token": "the caller's key", "parent-ca.pem": cert["cert"],
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// restEvent is the event that a REST API's proxy integration makes, of format 1.0: the path is without the stage, the
// caller whom AWS_IAM established in requestContext.identity.
func restEvent(method, path, caller, body string) object {
	identity := object{"sourceIp": "198.51.100.7"}
	if caller != "" {
		identity["userArn"] = caller
	}
	return object{
		"resource": "/{proxy+}", "path": path, "httpMethod": method, "body": body, "isBase64Encoded": false,
		"multiValueHeaders": object{"Content-Type": []string{"application/json"}, "Host": []string{"api.example"}},
		"requestContext": object{
			"stage": "v1", "path": "/v1" + path, "requestId": "r-1", "identity": identity,
		},
	}
}

func TestTheAPIRunsOnLambdaWithWhatTheTemplateGives(t *testing.T) {
	tm := load(t, "api", map[string]string{"ParentUrl": "https://vault.internal"})
	tm.values["!redoubt-table-TableName"] = "vaults"
	tm.values["!redoubt-key-KeyArn"], tm.values["!redoubt-key-MacKeyArn"] = kms.AliasSymmetric, kms.AliasMAC
	method, stage := tm.props("Any"), tm.props("Stage")
	if method["AuthorizationType"] != "AWS_IAM" || at(method, "Integration", "Type") != "AWS_PROXY" ||
		at(method, "Integration", "IntegrationHttpMethod") != "POST" || stage["StageName"] != "v1" {
		t.Fatalf("method %v, stage %v: not the events of this test", method, stage["StageName"])
	}
	vars := at(tm.props("Function"), "Environment", "Variables").(object)
	for name, want := range map[string]string{
		"API_STORE": "dynamodb:vaults", "API_KEY_TABLE": "<!redoubt-table-KeyTableName>",
		"API_DOMAIN_TABLE": "<!redoubt-table-DomainTableName>",
	} {
		if vars[name] != want {
			t.Errorf("%s %v", name, vars[name])
		}
	}
	files := layer(t)
	edit := map[string]string{ // no DynamoDB here
		"API_STORE": "bolt:" + filepath.Join(t.TempDir(), "db"), "API_KEY_TABLE": "", "API_DOMAIN_TABLE": "",
	}
	for name, v := range vars {
		if rest, ok := strings.CutPrefix(v.(string), "/opt/redoubt/"); ok {
			edit[name] = filepath.Join(files, rest)
		}
	}
	f := deployFunction(t, tm, "api", edit, "API_KMS_ENDPOINT="+standIn(t))
	made := f.invoke(restEvent(http.MethodPost, "/vaults", appSession, `{"first_name":"Ada"}`))
	var vault struct{ ID string }
	if made["statusCode"] != 200.0 || json.Unmarshal([]byte(made["body"].(string)), &vault) != nil || vault.ID == "" {
		t.Fatalf("create: %v", made)
	}
	ask := restEvent(http.MethodGet, "/vaults/"+vault.ID, appSession, "")
	ask["multiValueQueryStringParameters"] = object{"fields": []string{"first_name"}}
	got := f.invoke(ask)
	if got["statusCode"] != 200.0 || !strings.Contains(got["body"].(string), `"first_name":true`) {
		t.Errorf("get: %v", got)
	}
	for _, c := range []struct {
		method, path, caller, body string
		status                     float64
	}{
		{http.MethodGet, "/vaults/" + vault.ID, "", "", 401},
		{http.MethodGet, "/vaults/" + vault.ID, "arn:aws:iam::" + account + ":user/nobody", "", 403},
		{http.MethodGet, "/vaults/" + vault.ID, canarySession, "", 403},
		{http.MethodPost, "/vaults", canarySession, `{"first_name":"canary"}`, 200},
		{http.MethodPost, "/vaults", canarySession, `{"ssn9":"123456789"}`, 403},
		{http.MethodPost, "/vaults/" + vault.ID + "/decrypt", canarySession, `{"fields":["ssn9"],"reason":"x"}`, 403},
		{http.MethodDelete, "/vaults/" + vault.ID, canarySession, `{"delete_all":true}`, 200},
	} {
		if got := f.invoke(restEvent(c.method, c.path, c.caller, c.body)); got["statusCode"] != c.status {
			t.Errorf("%s %s by %q: %v", c.method, c.path, c.caller, got)
		}
	}
	const more = 20
	before := len(f.out.String())
	for range more {
		f.invoke(ask)
	}
	logged := float64(len(f.out.String())-before) / more / 1000
	if stated := stated(t, `([0-9.]+) KB of the API's own lines`); logged > 1.1*stated || logged < 0.8*stated {
		t.Errorf("%.2f KB of log for each request, deploy/README.md reckons with %.2f", logged, stated)
	}
	told := f.told("AuditFailures")
	if told["Function"] != "redoubt-api" {
		t.Errorf("told %v", told)
	}
	f.watched("Redoubt/API", 1, told, map[string]string{"Function": "<!redoubt-api-FunctionName>"})
	f.watched("Redoubt/API", 1, f.told("CallFailures"), map[string]string{
		"Function": "<!redoubt-api-FunctionName>", "Dependency": "store",
	})
}

// goodAPI is an API that keeps one record, for the canary's round trip.
func goodAPI(t *testing.T) string {
	t.Helper()
	var value string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ") {
			w.WriteHeader(http.StatusForbidden) // as API Gateway does for what is not signed
			return
		}
		body, _ := io.ReadAll(r.Body)
		switch r.Method + " " + r.URL.Path {
		case "POST /v1/vaults":
			var in map[string]string
			_ = json.Unmarshal(body, &in)
			value = in["first_name"]
			_, _ = io.WriteString(w, `{"id":"v_1"}`)
		case "POST /v1/vaults/v_1/decrypt":
			_ = json.NewEncoder(w).Encode(object{"data": object{"first_name": value}, "errors": []string{}})
		case "DELETE /v1/vaults/v_1":
			_, _ = io.WriteString(w, `{}`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1"
}

func TestTheCanaryRunsOnLambdaAndTellsWhatAlarmsWatch(t *testing.T) {
	tm := load(t, "canary", nil)
	tm.values["!redoubt-api-Url"], tm.values["!redoubt-key-KeyArn"] = goodAPI(t), kms.AliasSymmetric
	f := deployFunction(t, tm, "canary", nil, "CANARY_KMS_ENDPOINT="+standIn(t))
	f.invoke(object{"detail-type": "Scheduled Event"})
	told := f.told("RoundTripOK")
	if told["RoundTripOK"] != 1.0 || told["DecryptRefused"] != 1.0 || told["DecryptSucceeded"] != 0.0 {
		t.Errorf("told %v", told)
	}
	names := f.watched("Redoubt/Canary", 3, told, map[string]string{})
	board := load(t, "observe", nil).props("Dashboard")["DashboardBody"].(string)
	for _, m := range regexp.MustCompile(`"Redoubt/Canary", "(\w+)"`).FindAllStringSubmatch(board, -1) {
		if !slices.Contains(names, m[1]) {
			t.Errorf("the dashboard shows %s, which the canary does not tell", m[1])
		}
	}
}

// told is the first line in CloudWatch's embedded metric format that has the metric.
func (f *function) told(metric string) map[string]any {
	f.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		for line := range strings.Lines(f.out.String()) {
			var told map[string]any
			if json.Unmarshal([]byte(line), &told) == nil && told["_aws"] != nil && told[metric] != nil {
				return told
			}
		}
		<-time.After(10 * time.Millisecond)
	}
	f.t.Fatalf("%s was not told", metric)
	return nil
}

// watched checks that so many alarms watch metrics of a line that was told, by the dimensions given, and returns the
// metrics' names.
func (f *function) watched(namespace string, alarms int, told map[string]any, dims map[string]string) (names []string) {
	f.t.Helper()
	declared := at(told, "_aws", "CloudWatchMetrics", 0)
	for _, m := range at(declared, "Metrics").([]any) {
		names = append(names, m.(object)["Name"].(string))
	}
	observe := load(f.t, "observe", nil)
	for _, name := range observe.ofType("AWS::CloudWatch::Alarm") {
		a := observe.props(name)
		if metric, _ := a["MetricName"].(string); a["Namespace"] != namespace || !slices.Contains(names, metric) {
			continue
		}
		alarms--
		given, _ := a["Dimensions"].([]any)
		same := len(given) == len(dims)
		for _, d := range given {
			same = same && dims[at(d, "Name").(string)] == at(d, "Value")
		}
		if at(declared, "Namespace") != any(namespace) || !same {
			f.t.Errorf("%s watches %v of %v, told is %v", name, a["MetricName"], given, declared)
		}
	}
	if alarms != 0 {
		f.t.Errorf("%d more alarms were to watch %s", alarms, namespace)
	}
	return names
}
