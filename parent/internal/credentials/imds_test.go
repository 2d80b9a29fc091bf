package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/test/proctest"
)

// mock is AWS's own amazon-ec2-metadata-mock, built from its module and run as a program, with IMDSv2 alone.
type mock struct {
	url, home, bin, port string
	cmd                  *exec.Cmd
}

func buildMock(t *testing.T) *mock {
	t.Helper()
	m := &mock{home: t.TempDir()}
	m.bin = filepath.Join(m.home, "mock")
	build := proctest.Command(t, "go", "build", "-o", m.bin, "github.com/aws/amazon-ec2-metadata-mock/cmd/ec2-metadata-mock")
	build.Dir = filepath.Join("testdata", "imdsmock")
	build.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build amazon-ec2-metadata-mock: %v\n%s", err, out)
	}
	free, err := proctest.FreePorts(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	_, m.port, _ = net.SplitHostPort(free[0])
	m.url = "http://127.0.0.1:" + m.port
	return m
}

// start runs the program with credentials that end a while after it first answers, to within five seconds.
func (m *mock) start(t *testing.T, id string, life time.Duration) {
	t.Helper()
	for range 10 {
		began := time.Now()
		m.run(t, id, began.Add(life))
		if time.Since(began) < 5*time.Second {
			return
		}
		m.stop()
	}
	t.Fatal("the mock always takes more than 5 s to start")
}

func (m *mock) run(t *testing.T, id string, ends time.Time) {
	t.Helper()
	conf, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"values": map[string]any{
			"iam-security-credentials": map[string]any{
				"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": id, "SecretAccessKey": "secret of " + id, "Token": "token of " + id,
				"LastUpdated": time.Now().UTC().Format(time.RFC3339), "Expiration": ends.UTC().Format(time.RFC3339),
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(m.home, "config.json")
	if err := os.WriteFile(file, conf, 0o600); err != nil {
		t.Fatal(err)
	}
	m.cmd = proctest.Command(t, m.bin, "-n", "127.0.0.1", "-p", m.port, "-I", "-c", file)
	m.cmd.Dir, m.cmd.Env = m.home, []string{"HOME=" + m.home}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.stop)
	wait(t, "the mock", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+m.port)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (m *mock) stop() {
	if m.cmd != nil {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
		m.cmd = nil
	}
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("timed out waiting for " + what)
		}
	}
}

func TestIMDSv2AgainstAWSsMock(t *testing.T) {
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			os.Unsetenv(name)
		}
	}
	m := buildMock(t)
	m.start(t, "FIRST", time.Hour)

	for _, role := range []string{"", "None", "baskinc-role"} {
		var got wire.Credentials
		if err := NewIMDS(m.url, role).Fetch(context.Background(), &got); err != nil {
			t.Fatalf("role %q: %v", role, err)
		}
		left := time.Until(time.UnixMilli(got.ExpiresMS))
		if string(got.AccessKeyID) != "FIRST" || string(got.Secret) != "secret of FIRST" || string(got.Token) != "token of FIRST" ||
			left < 50*time.Minute || left > time.Hour {
			t.Errorf("role %q: %s, %v", role, got.AccessKeyID, left)
		}
	}
	if region, err := NewIMDS(m.url, "").Region(context.Background()); err != nil || region != "us-east-1" {
		t.Errorf("region %q %v", region, err)
	}
	var none wire.Credentials
	if err := NewIMDS(m.url, "no-such-role").Fetch(context.Background(), &none); !errors.Is(err, ErrUnavailable) {
		t.Errorf("unknown role: %v", err)
	}

	// Through an outage and a change, in true time: the program is stopped, and comes back with others.
	n := &fetches{}
	s := NewStore(NewIMDS(m.url, ""), n, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	m.stop()
	m.start(t, "SHORT", 2*leastWait) // so that the next fetch is due within seconds
	go func() { s.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	wait(t, "the first", func() bool { return current(s) == "SHORT" })
	m.stop()
	wait(t, "the outage to be noticed", func() bool { return n.failed.Load() > 0 })
	if current(s) != "SHORT" && s.Valid() {
		t.Error("credentials were dropped in an outage")
	}
	m.start(t, "SECOND", time.Hour)
	wait(t, "the next", func() bool { return current(s) == "SECOND" })
}

func TestIMDSNeverFallsBackToVersion1(t *testing.T) {
	asked := make(chan string, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusNotFound) // as a metadata service without version 2 would
			return
		}
		asked <- r.URL.Path
		_, _ = io.WriteString(w, `{"Code":"Success","AccessKeyId":"a","SecretAccessKey":"b"}`)
	}))
	defer s.Close()
	var m wire.Credentials
	if err := NewIMDS(s.URL, "r").Fetch(context.Background(), &m); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if len(asked) > 0 {
		t.Errorf("asked without a token: %s", <-asked)
	}
}

// metadata serves version 2 with the given answers by path, 404 for the others. An answer that begins with "cut" ends
// before it is whole.
func metadata(t *testing.T, answers map[string]string) *IMDS {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
			_, _ = io.WriteString(w, "token")
			return
		}
		answer, ok := answers[strings.TrimPrefix(r.URL.Path, "/latest/meta-data/")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if rest, cut := strings.CutPrefix(answer, "cut"); cut {
			w.Header().Set("Content-Length", "1000")
			answer = rest
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return NewIMDS(s.URL, "None")
}

func TestEachFailureOfTheMetadataServiceIsToldApart(t *testing.T) {
	const roles, region = rolePath, "placement/region"
	fetch := func(i *IMDS) error {
		var m wire.Credentials
		defer m.Wipe()
		return i.Fetch(t.Context(), &m)
	}
	where := func(i *IMDS) error { _, err := i.Region(t.Context()); return err }
	for name, c := range map[string]struct {
		answers map[string]string
		ask     func(*IMDS) error
		want    error
	}{
		"no list of roles":        {nil, fetch, ErrUnavailable},
		"a list that is cut off":  {map[string]string{roles: "cutrol"}, fetch, ErrUnavailable},
		"no role":                 {map[string]string{roles: ""}, fetch, ErrNone},
		"a role that is gone":     {map[string]string{roles: "role\nother"}, fetch, ErrUnavailable},
		"credentials cut off":     {map[string]string{roles: "role", roles + "role": `cut{"AccessKeyId":`}, fetch, ErrUnavailable},
		"no credentials":          {map[string]string{roles: "role", roles + "role": `{}`}, fetch, ErrMalformed},
		"a failure":               {map[string]string{roles: "role", roles + "role": `{"Code":"Failed"}`}, fetch, ErrUnavailable},
		"an end that is no time":  {map[string]string{roles: "r", roles + "r": `{"AccessKeyId":"a","SecretAccessKey":"b","Expiration":"soon"}`}, fetch, ErrMalformed},
		"no region":               {nil, where, ErrUnavailable},
		"a region that is cut":    {map[string]string{region: "cuteu"}, where, ErrUnavailable},
		"an empty region":         {map[string]string{region: ""}, where, ErrMalformed},
		"a region that is no one": {map[string]string{region: strings.Repeat("r", wire.MaxRegion+1)}, where, ErrMalformed},
	} {
		if err := c.ask(metadata(t, c.answers)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	role := metadata(t, map[string]string{roles: "role\r\nother", roles + "role": `{"AccessKeyId":"a","SecretAccessKey":"b"}`})
	if err := fetch(role); err != nil {
		t.Errorf("the first of several roles: %v", err)
	}
}
