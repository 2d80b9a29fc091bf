//go:build operate

package cloudformation

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// principal is one of those who sign requests in the walk.
type principal struct {
	id, secret string
	arn        string // as API Gateway and sts tell it
	role       string // what key.yaml calls its role, if its key's policy names it
}

var (
	reader  = principal{id: "AKIAREADER", secret: "the reader's secret", arn: "arn:aws:sts::" + motoAccount + ":user/moto"}
	parents = principal{id: "AKIAPARENT", secret: "the parents' secret", role: "ParentRole"}
	apis    = principal{id: "AKIAAPI", secret: "the API's secret", arn: "arn:aws:sts::" + motoAccount + ":assumed-role/api/f"}
	canary  = principal{id: "AKIACANARY", secret: "the canary's secret", role: "CanaryRole"}
)

// motoAccount is the account that moto plays.
const motoAccount = "123456789012"

// scope is the service that a request is signed for.
var scope = regexp.MustCompile(`Credential=([^/]+)/\d{8}/[a-z0-9-]+/([a-z0-9-]+)/aws4_request`)

// serveAWS is AWS's endpoint: KMS is the stand-in with moto's keys and their policies, all else is moto. Where AWS waits
// for hosts or runs functions, so does this.
func (w *walk) serveAWS() string {
	w.t.Helper()
	u, err := url.Parse(w.moto)
	if err != nil {
		w.t.Fatal(err)
	}
	moto := httputil.NewSingleHostReverseProxy(u)
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if m := scope.FindStringSubmatch(r.Header.Get("Authorization")); m != nil && m[2] == "kms" {
			w.kms.ServeHTTP(rw, r)
			return
		}
		if r.ContentLength > 16<<20 || r.Method == http.MethodGet || strings.HasSuffix(r.Header.Get("Expect"), "continue") {
			moto.ServeHTTP(rw, r) // an artifact, which nothing here looks into
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		answer := w.once(body, func() *httptest.ResponseRecorder {
			r.Body = io.NopCloser(bytes.NewReader(body))
			answer := httptest.NewRecorder()
			moto.ServeHTTP(answer, r)
			if answer.Code < 300 {
				w.after(r, body, answer.Body.Bytes())
			}
			return answer
		})
		for name, values := range answer.Header() {
			rw.Header()[name] = values
		}
		rw.WriteHeader(answer.Code)
		_, _ = rw.Write(answer.Body.Bytes())
	}))
	w.t.Cleanup(s.Close)
	return s.URL
}

// once asks, and has a change set executed once: the command line asks again after a minute, in which a host may not be up.
func (w *walk) once(body []byte, ask func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("Action") != "ExecuteChangeSet" {
		return ask()
	}
	w.mu.Lock()
	do, known := w.changes[form.Get("ChangeSetName")]
	if !known {
		do = sync.OnceValue(ask)
		w.changes[form.Get("ChangeSetName")] = do
	}
	w.mu.Unlock()
	return do()
}

// after does what moto does not: a change of the fleet's stack ends when its hosts have signalled, a published layer can
// be loaded.
func (w *walk) after(r *http.Request, body, answer []byte) {
	if form, err := url.ParseQuery(string(body)); err == nil && form.Get("Action") == "ExecuteChangeSet" {
		if strings.Contains(form.Get("StackName")+form.Get("ChangeSetName"), "redoubt-vault") {
			w.roll()
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		clear(w.functions) // they may be others now
	}
	if strings.Contains(r.URL.Path, "/layers/") && r.Method == http.MethodPost {
		var in struct{ Content struct{ ZipFile string } }
		var out struct{ LayerVersionArn string }
		if json.Unmarshal(body, &in) != nil || json.Unmarshal(answer, &out) != nil {
			w.t.Errorf("a layer: %s", answer)
			return
		}
		data, err := base64.StdEncoding.DecodeString(in.Content.ZipFile)
		if err != nil {
			w.t.Error(err)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.layers[out.LayerVersionArn] = data
	}
}

// function is the function of a stack as Lambda runs it: the stack's code, layer and variables. Another address than the
// template gives is in one variable: of what is reached by a name that no resolver here knows.
func (w *walk) function(stack, address string) *function {
	w.t.Helper()
	w.mu.Lock()
	f := w.functions[stack]
	w.mu.Unlock()
	if f != nil {
		return f
	}
	dir := w.t.TempDir()
	given := map[string]string{}
	for line := range strings.Lines(w.aws("cloudformation", "describe-stacks", "--stack-name", "redoubt-"+stack, "--query",
		"Stacks[0].Parameters[].[ParameterKey,ParameterValue]")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "\t")
		given[name] = value
	}
	code := filepath.Join(dir, "code.zip")
	w.aws("s3", "cp", "--quiet", "s3://"+given["CodeBucket"]+"/"+given["CodeKey"], code)
	data, err := os.ReadFile(code)
	if err != nil {
		w.t.Error(err)
	}
	w.unzip(data, dir)
	who := canary
	env := []string{"AWS_ENDPOINT_URL=" + w.endpoint, "SSL_CERT_FILE=" + w.gateway.ca}
	if stack == "api" {
		who = apis
		w.mu.Lock()
		layer := w.layers[given["AccessLayerArn"]]
		w.mu.Unlock()
		w.unzip(layer, filepath.Join(dir, "opt"))
	}
	env = append(env, "AWS_ACCESS_KEY_ID="+who.id, "AWS_SECRET_ACCESS_KEY="+who.secret)
	variables := map[string]string{}
	name := w.output(stack, "FunctionName")
	text := w.aws("lambda", "get-function-configuration", "--function-name", name, "--query",
		"to_string(Environment.Variables)")
	if err := json.Unmarshal([]byte(text), &variables); err != nil {
		w.t.Errorf("%s: %v: %s", stack, err, text)
	}
	for variable, value := range variables {
		if variable == address {
			value = w.reached(value)
		}
		env = append(env, variable+"="+strings.Replace(value, "/opt/", dir+"/opt/", 1))
	}
	f = runFunction(w.t, filepath.Join(dir, "bootstrap"), name, env)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.functions[stack] = f
	return f
}

// unzip lays an archive out as Lambda does: what others may not read, or execute, no function may.
func (w *walk) unzip(data []byte, dir string) {
	w.t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		w.t.Errorf("zip: %v", err)
		return
	}
	for _, f := range archive.File {
		to := filepath.Join(dir, filepath.Clean("/"+f.Name))
		mode := f.Mode().Perm()
		if f.FileInfo().IsDir() {
			continue
		}
		if mode&0o004 == 0 || f.Name == "bootstrap" && mode&0o001 == 0 {
			w.t.Errorf("%s has mode %v: Lambda's user cannot use it", f.Name, mode)
		}
		from, err := f.Open()
		if err != nil {
			w.t.Error(err)
			continue
		}
		content, err := io.ReadAll(from)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o700)
		}
		if err == nil {
			err = os.WriteFile(to, content, mode)
		}
		if err != nil {
			w.t.Error(err)
		}
	}
}

// caller is whom the signature of a request for API Gateway proves, or nil.
func caller(r *http.Request, body []byte, known []principal) *principal {
	given := r.Header.Get("Authorization")
	m := scope.FindStringSubmatch(given)
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if m == nil || m[2] != "execute-api" || err != nil || time.Since(at).Abs() > 5*time.Minute {
		return nil
	}
	_, signed, _ := strings.Cut(given, "SignedHeaders=")
	signed, _, _ = strings.Cut(signed, ",")
	for _, p := range known {
		if p.id != m[1] {
			continue
		}
		again, err := http.NewRequest(r.Method, "https://"+r.Host+r.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			return nil
		}
		again.ContentLength = -1
		for name := range strings.SplitSeq(signed, ";") {
			switch name {
			case "host", "x-amz-date":
			case "content-length":
				again.ContentLength = int64(len(body))
			default:
				again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
			}
		}
		sum := sha256.Sum256(body)
		credentials := aws.Credentials{AccessKeyID: p.id, SecretAccessKey: p.secret}
		err = v4.NewSigner().SignHTTP(context.Background(), credentials, again, hex.EncodeToString(sum[:]), "execute-api",
			region, at)
		if err == nil && again.Header.Get("Authorization") == normal(given) {
			return &p
		}
	}
	return nil
}

// normal is an Authorization header with the spaces that the SDK writes.
func normal(header string) string {
	return regexp.MustCompile(`,\s*`).ReplaceAllString(header, ", ")
}
