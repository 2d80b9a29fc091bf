package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"redoubt/api/client"
	"redoubt/api/internal/apitest"
	"redoubt/wire/kit/test/proctest"
)

func TestOperatorsDay(t *testing.T) {
	stack := apitest.NewStack(t)
	dir := t.TempDir()
	file, keys, token := filepath.Join(dir, "store.db"), filepath.Join(dir, "keys.json"), filepath.Join(dir, "token")
	env := stack.Env("API_STORE=bolt:"+file, "API_KEYS="+keys)
	run := func(code int, args ...string) string {
		t.Helper()
		out, errOut, got := command(t, env, args...)
		if got != code {
			t.Fatalf("api %s: exit %d\n%s\n%s", strings.Join(args, " "), got, out, errOut)
		}
		return out + errOut
	}
	key := strings.TrimSpace(run(0, "key", "create", "app", "--operations", "*"))
	if err := os.WriteFile(token, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text := run(1, "key", "create", "app", "--operations", "*"); !strings.Contains(text, "hint: revoke it first") {
		t.Fatalf("no hint: %s", text)
	}
	s := start(t, stack, file, "--keys", keys)
	env = append(env, "API_URL="+s.url, "API_KEY_FILE="+token)
	id := strings.TrimSpace(run(0, "vault", "create", "email=a@example.com", "ssn9=123456789"))
	if got := run(0, "vault", "get", id, "email", "city"); !strings.Contains(got, "email present") || !strings.Contains(got, "city absent") {
		t.Fatal(got)
	}
	if got := strings.TrimSpace(run(0, "vault", "decrypt", id, "ssn4", "--reason", "test", "--json")); got != `{"absent":null,"data":{"ssn4":"6789"},"errors":[]}` {
		t.Fatal(got)
	}
	run(0, "vault", "decrypt", id, "ssn4", "--only", "--expression", "masked=len(ssn4)", "--reason", " a \"b\" ")
	shown := run(0, "audit", "show", id)
	for _, want := range []string{
		`CreateVault ok by "key:app"`, `DecryptVault ok by "key:app"`, `reason "test" fields ssn4 released ssn4`,
		`reason "a \"b\"" fields ssn4 released -`, "\n  \"masked\" reads ssn4 raw ssn4 source ",
		"(not reported: taken as raw)", // by this parent, as older ones
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("audit show lacks %q: %s", want, shown)
		}
	}
	if got := run(0, "audit", "show", id, "--limit", "1", "--json"); !strings.Contains(got, `"next":"`) {
		t.Error(got)
	}
	if got := run(1, "audit", "show", "v_none"); !strings.Contains(got, "not found") {
		t.Error(got)
	}
	if got := run(1, "vault", "create", "ssn9=SENTINEL"); strings.Contains(got, "SENTINEL") || !strings.Contains(got, "ssn9 does not match the pattern") {
		t.Fatal(got)
	}
	copied := filepath.Join(dir, "copy")
	run(0, "backup", copied)
	later := strings.TrimSpace(run(0, "vault", "create", "city=Bern"))
	if got := run(0, "audit", "verify", "--write-checkpoint", filepath.Join(dir, "heads")); !strings.Contains(got, "2 vaults") || !strings.Contains(got, "0 problems") {
		t.Fatal(got)
	}
	if got := run(1, "restore", copied); !strings.Contains(got, "hint: say --yes") {
		t.Fatal(got)
	}
	run(0, "restore", copied, "--yes")
	run(0, "vault", "get", id)
	run(1, "vault", "get", later)
	run(0, "vault", "decrypt", id, "email", "--reason", "after the restore")
	if got := run(1, "audit", "verify", "--since", filepath.Join(dir, "heads"), "--json"); !strings.Contains(got, "checkpoint") {
		t.Fatalf("a restore to an older state must show against a checkpoint: %s", got)
	}
	run(0, "audit", "verify")
	if got := run(3, "audit", "verify", "--store", "bolt:"+copied); !strings.Contains(got, "is a backup, not a store") ||
		!strings.Contains(got, "api restore BACKUP") {
		t.Fatal(got)
	}
	if err := os.WriteFile(copied, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(1, "restore", copied, "--yes")
	run(0, "key", "revoke", "app")
	waitFor(t, func() bool {
		_, errOut, code := command(t, env, "vault", "get", id)
		return code == 1 && strings.Contains(errOut, "hint: name a file with an API key")
	})
	if err := s.stop(t); err != nil {
		t.Fatalf("stop: %v", err)
	}
	run(0, "backup", copied)
	run(0, "restore", copied, "--yes")
	run(0, "audit", "verify")
}

// waitFor polls until done is true.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	late := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("did not happen within 30 s")
		}
	}
}

func TestStoreIsServedOnce(t *testing.T) {
	stack := apitest.NewStack(t)
	file := filepath.Join(t.TempDir(), "store.db")
	start(t, stack, file)
	_, errOut, code := command(t, stack.Env(), "serve", "--listen", "127.0.0.1:0", "--metrics-listen", "off", "--store", "bolt:"+file)
	if code != 1 || !strings.Contains(errOut, "hint: is another api serving this file") {
		t.Fatalf("exit %d: %s", code, errOut)
	}
}

// Checks 37: no listener beyond loopback without authentication.
func TestRefusesToListenBeyondLoopbackWithoutAuthentication(t *testing.T) {
	stack := apitest.NewStack(t)
	for _, address := range []string{"0.0.0.0:0", "[::]:0", ":0", "example.com:0", "192.0.2.1:0"} {
		out, errOut, code := command(t, stack.Env(), "serve", "--listen", address, "--metrics-listen", "off")
		if code != 1 || !strings.Contains(errOut, "without authentication") {
			t.Errorf("%s: exit %d: %s %s", address, code, out, errOut)
		}
	}
}

func TestWrongCommandLinesExit2(t *testing.T) {
	for _, args := range [][]string{{}, {"bogus"}, {"serve", "--nope"}, {"vault", "decrypt"}, {"completion", "fish"}, {"serve", "--encoding", "1"}} {
		if _, errOut, code := command(t, nil, args...); code != 2 || !strings.Contains(errOut, "api --help") {
			t.Errorf("%v: exit %d: %s", args, code, errOut)
		}
	}
	if out, _, code := command(t, nil, "--version"); code != 0 || out == "" {
		t.Errorf("--version: exit %d", code)
	}
}

func TestCompletionInBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal("bash is needed: the completion is written for it")
	}
	script, _, code := command(t, nil, "completion", "bash")
	if code != 0 {
		t.Fatal("no script")
	}
	cases := map[string]string{
		"api '':1":              "vault",
		"api key re:2":          "revoke",
		"api key create --op:3": "--operations",
		"api completion z:2":    "zsh",
		"api serve --kms-e:2":   "--kms-endpoint",
	}
	for line, want := range cases {
		words, index, _ := strings.Cut(line, ":")
		c := proctest.Command(t, bash, "-c", script+"\nCOMP_WORDS=("+words+"); COMP_CWORD="+index+"; _api; echo \"${COMPREPLY[@]}\"")
		out, err := c.CombinedOutput()
		if err != nil || !strings.Contains(" "+string(out), " "+want) {
			t.Errorf("%s: %s, %v", line, out, err)
		}
	}
}

// zsh reads the script for bash, after a line that teaches it to.
func TestCompletionInZsh(t *testing.T) {
	zsh, _, code := command(t, nil, "completion", "zsh")
	bash, _, _ := command(t, nil, "completion", "bash")
	if first, rest, _ := strings.Cut(zsh, "\n"); code != 0 || first != "autoload -U +X bashcompinit && bashcompinit" || rest != bash {
		t.Fatalf("exit %d: %s", code, zsh)
	}
	help, _, _ := command(t, nil, "--help")
	_, list, _ := strings.Cut(help, "Commands:")
	named := 0
	for line := range strings.Lines(list) {
		if !strings.HasPrefix(line, "  ") || line[2] == ' ' {
			continue // a text that goes on
		}
		name, _, _ := strings.Cut(line[2:], " ")
		named++
		if !strings.Contains(zsh, name) {
			t.Errorf("the script does not name %s", name)
		}
	}
	if named < 8 || !strings.Contains(zsh, "complete -o filenames -F _api api") {
		t.Errorf("%d commands in: %s", named, zsh)
	}
}

func TestServerAnswersWhatItAcceptedBeforeSIGTERM(t *testing.T) {
	stack := apitest.NewStack(t)
	held := apitest.Hold(t, stack.Parent)
	s := start(t, stack, filepath.Join(t.TempDir(), "store.db"), "--parent-url", held.URL)
	made, err := s.client.Create(t.Context(), map[string]string{"city": "Bern"}, client.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const n = 8
	answers := make(chan error, n)
	for range n {
		go func() {
			out, err := s.client.Decrypt(t.Context(), made.ID, client.DecryptRequest{Fields: []string{"city"}, Reason: "test"})
			if err == nil {
				if city, _ := out.Text("city"); city != "Bern" {
					err = errors.New("answered without the value")
				}
			}
			answers <- err
		}()
	}
	for range n {
		<-held.Entered
	}
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { // the listener is closed: the server drains
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	close(held.Release)
	for range n {
		if err := <-answers; err != nil {
			t.Errorf("an accepted request failed: %v", err)
		}
	}
	if err := <-s.ended; err != nil {
		t.Errorf("stop: %v", err)
	}
	s.ended = nil
}

func TestMetricsHaveTheirOwnListener(t *testing.T) {
	stack := apitest.NewStack(t)
	s := start(t, stack, filepath.Join(t.TempDir(), "store.db"))
	if err := s.client.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	for url, status := range map[string]int{s.metrics + "/metrics": 200, s.metrics + "/vaults": 404, s.url + "/metrics": 404} {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != status || status == 200 && !strings.Contains(string(body), "redoubt_api_requests_total") {
			t.Errorf("%s: %d", url, resp.StatusCode)
		}
	}
}

// authority is a CA for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{file: filepath.Join(t.TempDir(), "ca.pem")}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	var der []byte
	a.key, der = sign(t, template, nil)
	a.cert, _ = x509.ParseCertificate(der)
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

func sign(t *testing.T, template *x509.Certificate, by *authority) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// issue makes a certificate with a URI name, for 127.0.0.1 too, and returns its files.
func (a *authority) issue(t *testing.T, name string) (cert, key string) {
	t.Helper()
	uri, err := url.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	private, der := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		URIs: []*url.URL{uri}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, cert, "CERTIFICATE", der)
	writePEM(t, key, "PRIVATE KEY", raw)
	return cert, key
}

func TestMutualTLS(t *testing.T) {
	stack, ca, foreign := apitest.NewStack(t), newAuthority(t), newAuthority(t)
	serverCert, serverKey := ca.issue(t, "spiffe://example/server")
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	rules := `{"rules":[{"principals":["mtls:spiffe://example/app"],"operations":["*"],"fields":["*"]}]}`
	if err := os.WriteFile(policy, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, stack, filepath.Join(t.TempDir(), "store.db"), "--tls-cert-file", serverCert, "--tls-key-file", serverKey,
		"--client-ca-file", ca.file, "--client-name", "spiffe://example/*", "--policy", policy)
	base := strings.Replace(s.url, "http://", "https://", 1)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	get := func(by *authority, name string) (int, error) {
		cfg := &tls.Config{RootCAs: roots}
		if by != nil {
			cert, key := by.issue(t, name)
			pair, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Certificates = []tls.Certificate{pair}
		}
		transport := &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}
		c, err := client.New(client.Config{URL: base, HTTP: &http.Client{Transport: transport, Timeout: 10 * time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = c.List(t.Context(), client.Page{})
		var e *client.Error
		if errors.As(err, &e) {
			return e.Status, nil
		}
		return 200, err
	}
	for name, want := range map[string]int{"spiffe://example/app": 200, "spiffe://example/other": 403, "spiffe://elsewhere/app": 401} {
		if status, err := get(ca, name); status != want || err != nil {
			t.Errorf("%s: %d, %v", name, status, err)
		}
	}
	if status, err := get(nil, ""); status != 401 || err != nil {
		t.Errorf("no certificate: %d, %v", status, err)
	}
	if _, err := get(foreign, "spiffe://example/app"); err == nil {
		t.Error("another authority's certificate was let in")
	}
}

func TestLogsAreJSONWithoutValues(t *testing.T) {
	stack := apitest.NewStack(t)
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	c := proctest.Command(t, binary, "serve", "--listen", "127.0.0.1:0", "--metrics-listen", "off", "--log-level", "debug", "--store", "bolt:"+filepath.Join(dir, "store.db"))
	c.Env, c.Stderr, c.Stdout = stack.Env(), log, log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	var address string
	read := func() string {
		data, err := os.ReadFile(log.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	waitFor(t, func() bool {
		for _, line := range strings.Split(read(), "\n") {
			var l struct{ Msg, Address string }
			if json.Unmarshal([]byte(line), &l) == nil && l.Msg == "serving" {
				address = l.Address
			}
		}
		return address != ""
	})
	api, err := client.New(client.Config{URL: "http://" + address})
	if err != nil {
		t.Fatal(err)
	}
	made, err := api.Create(t.Context(), map[string]string{"email": "sentinel@example.com"}, client.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.Decrypt(t.Context(), made.ID, client.DecryptRequest{Fields: []string{"email"}, Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Create(t.Context(), map[string]string{"ssn9": "sentinel"}, client.CreateOptions{}); err == nil {
		t.Fatal("created")
	}
	if strings.Contains(read(), "sentinel") {
		t.Fatal("a value was logged")
	}
}
