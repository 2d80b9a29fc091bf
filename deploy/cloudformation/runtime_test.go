package cloudformation

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"redoubt/wire/kit/test/proctest"
)

// function is a program that runs as a Lambda function of a template: named bootstrap, without arguments, with the
// template's variables, in front of Lambda's runtime API as this test plays it.
type function struct {
	t       *testing.T
	events  chan string
	answers chan []byte
	out     proctest.Buffer
}

// deployFunction starts the program with the variables of the template's Function. edit replaces what must be another
// in a test: addresses and files.
func deployFunction(t *testing.T, tm *template, name string, edit map[string]string, more ...string) *function {
	t.Helper()
	p := tm.props("Function")
	if p["Runtime"] != "provided.al2023" || p["Handler"] != "bootstrap" || at(p, "Architectures", 0) != "arm64" {
		t.Errorf("%s: runtime %v, handler %v, %v", tm.name, p["Runtime"], p["Handler"], p["Architectures"])
	}
	vars := at(p, "Environment", "Variables").(object)
	help := helpOf(t, name)
	bootstrap := filepath.Join(t.TempDir(), "bootstrap")
	data, err := os.ReadFile(program(t, name))
	if err == nil {
		err = os.WriteFile(bootstrap, data, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	more = append(more, "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local-secret")
	for variable, value := range vars {
		if !regexp.MustCompile(`\$` + variable + `\b`).MatchString(help) {
			t.Errorf("%s gives %s, which %s does not read", tm.name, variable, name)
		}
		text := value.(string)
		if other, ok := edit[variable]; ok {
			text = other
		}
		more = append(more, variable+"="+text)
	}
	return runFunction(t, bootstrap, "redoubt-"+tm.name, more)
}

// runFunction starts a program of the name bootstrap as Lambda starts a function of that name.
func runFunction(t *testing.T, bootstrap, name string, env []string) *function {
	t.Helper()
	f := &function{t: t, events: make(chan string, 1), answers: make(chan []byte, 1)}
	api := httptest.NewServer(f)
	cmd := proctest.Command(t, bootstrap)
	cmd.Dir, cmd.Stdout, cmd.Stderr = filepath.Dir(bootstrap), &f.out, &f.out
	cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(api.URL, "http://"), "AWS_REGION=" + region,
		"AWS_LAMBDA_FUNCTION_NAME=" + name,
	}, env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		api.CloseClientConnections()
		api.Close()
		if t.Failed() {
			t.Log(f.out.String())
		}
	})
	return f
}

// helpOf is all that the program says of its flags, and so of the variables that it reads.
func helpOf(t *testing.T, name string) string {
	t.Helper()
	args := []string{"--help"}
	if name == "api" {
		args = []string{"lambda", "--help"}
	}
	out, err := proctest.Command(t, program(t, name), args...).CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// ServeHTTP is Lambda's runtime API, version 2018-06-01.
func (f *function) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const base = "/2018-06-01/runtime/"
	switch {
	case r.URL.Path == base+"invocation/next":
		select {
		case e := <-f.events:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "request-1")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", time.Now().Add(time.Minute).Format("20060102150405"))
			_, _ = io.WriteString(w, e)
		case <-r.Context().Done():
		}
	case strings.HasSuffix(r.URL.Path, "/response"), strings.HasSuffix(r.URL.Path, "/error"):
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		f.answers <- body
	default:
		http.NotFound(w, r)
	}
}

// invoke sends an event and waits for the answer.
func (f *function) invoke(event any) (answer map[string]any) {
	f.t.Helper()
	data, err := json.Marshal(event)
	if err != nil {
		f.t.Fatal(err)
	}
	f.events <- string(data)
	select {
	case got := <-f.answers:
		if err := json.Unmarshal(got, &answer); err != nil && string(got) != "null" {
			f.t.Fatalf("%s: %v", got, err)
		}
		return answer
	case <-time.After(30 * time.Second):
		f.t.Fatal("no answer")
		return nil
	}
}
