//go:build differential

package differential

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"redoubt/wire/kit/test/kms"
	"redoubt/wire/kit/test/lambda"
	"redoubt/wire/kit/test/proctest"
)

// door is a way to an API with a store of its own.
type door interface {
	do(ctx context.Context, method, path string, query url.Values, body []byte, header map[string]string) (answer, error)
}

// server is an API at an address.
type server string

func (s server) do(ctx context.Context, method, path string, q url.Values, body []byte, h map[string]string) (answer, error) {
	to := "http://" + string(s) + path
	if len(q) > 0 {
		to += "?" + q.Encode()
	}
	return request(ctx, method, to, body, h)
}

// serve starts one more API of a stack.
func (s *stack) serve(t *testing.T, store string, env []string, flags ...string) server {
	t.Helper()
	ports, err := proctest.FreePorts(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{
		filepath.Join(bin, "api"), "serve", "--listen", ports[0], "--metrics-listen", ports[1], "--store", store,
	}, flags...)
	log := program(t, append(s.apiEnv(), env...), args...)
	ready(t, "http://"+ports[0], log)
	return server(ports[0])
}

func (s *stack) apiEnv() []string {
	return credentials("API_PARENT_URL=http://"+s.Addresses.Parent, "API_KMS_ENDPOINT=http://"+s.Addresses.KMS,
		"API_KMS_KEY="+s.KeyARN, "API_MAC_KEY="+kms.AliasMAC, "AWS_REGION="+kms.DefaultRegion)
}

// function is a Lambda function behind an HTTP API of API Gateway (payload 2.0). It takes one event at a time.
type function struct {
	runtime *lambda.Runtime
	log     *proctest.Buffer
}

// lambda starts the program as Lambda does.
func (s *stack) lambda(t *testing.T) *function {
	t.Helper()
	f := &function{runtime: lambda.New(t)}
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy.yaml")
	rule := []byte("rules:\n  - {principals: [\"gateway:ann\"], operations: [\"*\"], fields: [\"*\"]}\n")
	if err := os.WriteFile(policy, rule, 0o600); err != nil {
		t.Fatal(err)
	}
	f.log = program(t, append(s.apiEnv(), "AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(f.runtime.URL, "http://"),
		"API_POLICY="+policy, "API_STORE=bolt:"+filepath.Join(dir, "store.db"), "AWS_LAMBDA_FUNCTION_NAME=vault-api",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand"), filepath.Join(bin, "api"))
	return f
}

func (f *function) do(ctx context.Context, method, path string, q url.Values, body []byte, h map[string]string) (answer, error) {
	headers := map[string]string{"host": "api.example", "content-type": "application/json"}
	for name, value := range h {
		headers[strings.ToLower(name)] = value
	}
	event, err := json.Marshal(map[string]any{
		"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": q.Encode(), "headers": headers,
		"requestContext": map[string]any{
			"stage": "$default", "requestId": "r-1", "http": map[string]any{"method": method, "path": path, "sourceIp": "203.0.113.9"},
			"authorizer": map[string]any{"lambda": map[string]any{"principalId": "ann"}, "principalId": "ann"},
		},
		"body": string(body), "isBase64Encoded": false,
	})
	if err != nil {
		return answer{}, err
	}
	text, err := f.runtime.Invoke(ctx, string(event))
	if err != nil {
		return answer{}, fmt.Errorf("%w: %s", err, f.log)
	}
	data, ok := strings.CutPrefix(text, "response ")
	if !ok {
		return answer{}, fmt.Errorf("the function answers %s", text)
	}
	var out struct {
		StatusCode int
		Headers    map[string]string
		Body       string
	}
	err = json.Unmarshal([]byte(data), &out)
	return answer{out.StatusCode, []byte(out.Body), http.Header{"Etag": {out.Headers["ETag"] + out.Headers["Etag"]}}.Get("ETag")}, err
}

// table makes an empty DynamoDB table of the reference's form.
func table(t *testing.T, endpoint string) string {
	t.Helper()
	db := dynamodb.New(dynamodb.Options{
		Region: kms.DefaultRegion, BaseEndpoint: &endpoint,
		Credentials: awscredentials.NewStaticCredentialsProvider(kms.DefaultAccessKey, kms.DefaultSecret, ""),
	})
	name := "vault-" + strings.ToLower(rand.Text())
	key := func(name string) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: aws.String(name), AttributeType: types.ScalarAttributeTypeS}
	}
	_, err := db.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{key("pk"), key("sk")},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String("sk"), KeyType: types.KeyTypeRange},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// step is one request of a workload. Vaults are named by their number in the order of creation.
type step struct {
	method, path string // {v} stands for the vault
	vault        int
	query        url.Values
	body         any
	ifMatch      bool
	header       map[string]string
}

var fieldNames = []string{
	"email", "first_name", "last_name", "phone_number", "ssn9", "ssn4", "dob", "city", "country", "postal_code", "nosuch", "_sk", "SSN9",
}

func randomField(r *mathrand.Rand) (name, value string) {
	name = fieldNames[r.IntN(len(fieldNames))]
	switch {
	case r.IntN(8) == 0:
		value = randomText(r, 30) // mostly invalid
	case strings.EqualFold(name, "ssn9"):
		value = fmt.Sprintf("%09d", r.IntN(1e9))
	case name == "ssn4":
		value = fmt.Sprintf("%04d", r.IntN(1e4))
	case name == "phone_number":
		value = fmt.Sprintf("+4144%07d", r.IntN(1e7))
	case name == "dob":
		value = fmt.Sprintf("19%02d-0%d-1%d", r.IntN(100), 1+r.IntN(9), r.IntN(10))
	case name == "country":
		value = "CH"
	default:
		value = strings.TrimSpace(randomText(r, 40))
	}
	return name, value
}

func randomFields(r *mathrand.Rand, most int) map[string]string {
	out := map[string]string{}
	for range 1 + r.IntN(most) {
		name, value := randomField(r)
		out[name] = value
	}
	return out
}

// stepsOf draws a workload of a seed.
func stepsOf(seed uint64, n int) (out []step) {
	r := mathrand.New(mathrand.NewPCG(seed, 12))
	vaults := 0
	for range n {
		s := step{method: http.MethodGet, path: "/v1/vaults/{v}"}
		if vaults > 0 {
			s.vault = r.IntN(vaults)
		}
		kind := r.IntN(10)
		switch {
		case vaults == 0 || kind <= 1:
			s.method, s.path, s.body = http.MethodPost, "/v1/vaults", randomFields(r, 5)
			if r.IntN(3) == 0 {
				s.header = map[string]string{"Idempotency-Key": fmt.Sprint("key-", r.IntN(4))}
			}
			vaults++
		case kind == 2:
			s.query = url.Values{"fields": {strings.Join(fieldNames[:1+r.IntN(6)], ",")}}
		case kind <= 4:
			s.method, s.body, s.ifMatch = http.MethodPatch, randomFields(r, 3), r.IntN(3) == 0
		case kind == 5:
			s.method = http.MethodDelete
			if r.IntN(4) > 0 {
				name, _ := randomField(r)
				s.query = url.Values{"fields": {name}}
			}
		case kind <= 8:
			names := []string{"email", "ssn4", fieldNames[r.IntN(len(fieldNames))]}
			body := map[string]any{"fields": names[r.IntN(2):], "reason": []string{"support", ""}[min(1, r.IntN(6)/5)]}
			if r.IntN(2) == 0 {
				body["expressions"] = map[string]string{"x0": `size(email)`, "x1": []string{`email.to_uppercase()`, `1 / 0`, `nosuch`, `ssn4`}[r.IntN(4)]}
			}
			s.method, s.path, s.body = http.MethodPost, "/v1/vaults/{v}/decrypt", body
		default:
			s.path = []string{"/v1/vaults/{v}", "/v1/schema", "/v1/vaults/v_nosuch", "/v1/nosuch"}[r.IntN(4)]
		}
		out = append(out, s)
	}
	return out
}

// volatile are the members of answers that time and chance make.
var volatile = regexp.MustCompile(`"(created_at|modified_at|time|expires_at|request_id|instance)":("[^"]*"|[0-9.]+)`)

// listed is an item of a list of vaults. The list's order is that of ids, which are random.
var listed = regexp.MustCompile(`\{"id":"vault [0-9]+"[^}]*\}`)

// play sends a workload through a door. Ids of vaults are replaced by their numbers in the answers.
func play(ctx context.Context, d door, steps []step) (out []string, err error) {
	var ids, tags []string
	for i, s := range steps {
		path, header := s.path, maps.Clone(s.header)
		if strings.Contains(path, "{v}") {
			id := "v_none"
			if s.vault < len(ids) {
				id = ids[s.vault]
				if s.ifMatch && tags[s.vault] != "" {
					header = map[string]string{"If-Match": tags[s.vault]}
				}
			}
			path = strings.Replace(path, "{v}", id, 1)
		}
		var body []byte
		if s.body != nil {
			if body, err = json.Marshal(s.body); err != nil {
				return nil, err
			}
		}
		a, err := d.do(ctx, s.method, path, s.query, body, header)
		if err != nil {
			return nil, fmt.Errorf("request %d: %w", i, err)
		}
		if s.method == http.MethodPost && s.path == "/v1/vaults" {
			var created struct {
				ID string `json:"id"`
			}
			if a.status < 300 {
				if err := json.Unmarshal(a.body, &created); err != nil || created.ID == "" {
					return nil, fmt.Errorf("request %d: %d %s", i, a.status, a.body)
				}
			}
			ids, tags = append(ids, created.ID), append(tags, a.tag)
		}
		text := strings.TrimSpace(string(a.body))
		for _, id := range ids {
			if id != "" {
				text = strings.ReplaceAll(text, id, fmt.Sprint("vault ", slices.Index(ids, id)))
			}
		}
		text = volatile.ReplaceAllString(text, `"$1":…`)
		items := slices.Sorted(slices.Values(listed.FindAllString(text, -1)))
		text = listed.ReplaceAllStringFunc(text, func(string) (item string) { item, items = items[0], items[1:]; return item })
		out = append(out, fmt.Sprintf("%s %s %v %s: %d %s, tag %t", s.method, s.path, s.query, body, a.status, text, a.tag != ""))
	}
	return out, nil
}

// doors are all ways to an API that are compared.
func (s *stack) doors(t *testing.T) map[string]door {
	t.Helper()
	dir := t.TempDir()
	out := map[string]door{
		"server":               s.serve(t, "bolt:"+filepath.Join(dir, "3.db"), nil),
		"Lambda":               s.lambda(t),
		"encoding 2 and P-256": s.serve(t, "bolt:"+filepath.Join(dir, "2.db"), nil, "--encoding", "2", "--suite", "P-256"),
		"P-521":                s.serve(t, "bolt:"+filepath.Join(dir, "5.db"), nil, "--suite", "P-521"),
	}
	if endpoint := os.Getenv("REDOUBT_DYNAMODB_ENDPOINT"); endpoint != "" {
		out["DynamoDB"] = s.serve(t, "dynamodb:"+table(t, endpoint), []string{"API_DYNAMODB_ENDPOINT=" + endpoint})
	} else if os.Getenv("REDOUBT_DYNAMODB") != "" {
		t.Fatal("no DynamoDB to compare with")
	}
	return out
}

func TestServerLambdaStoresAndEncodingsAnswerAlike(t *testing.T) {
	s := start(t, bin, bin)
	forSeeds(t, 2, func(t *testing.T, seed uint64) {
		steps := stepsOf(seed, 40)
		results := map[string][]string{}
		for name, d := range s.doors(t) {
			var err error
			if results[name], err = play(t.Context(), d, steps); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		judge(t, results)
		ok := 0
		for _, line := range results["server"] {
			if strings.Contains(line, ": 200 ") {
				ok++
			}
		}
		if ok < len(steps)/4 {
			t.Errorf("%d of %d requests succeeded: the workload shows little", ok, len(steps))
		}
	})
}
