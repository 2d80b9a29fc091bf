package cloudformation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"redoubt/deploy/freeport"
	"redoubt/wire/proctest"
)

// agentDir is where the CloudWatch agent's configuration is.
const agentDir = "/opt/aws/amazon-cloudwatch-agent/etc/"

// host is what the user data made of a folder that stands for a host's root.
type host struct {
	t           *testing.T
	root, calls string
}

// booted is the root of the one host that is booted: empty until then.
var booted string

// boot gives a host whose user data has run. It is the same for all tests.
func boot(t *testing.T) *host {
	t.Helper()
	if booted == "" {
		root := filepath.Join(filepath.Dir(bin), "host")
		if out, err := firstBoot(t, root); err != nil {
			t.Fatalf("user data: %v\n%s", err, out)
		}
		booted = root
	}
	return &host{t, booted, filepath.Join(booted, "calls")}
}

// firstBoot runs the user data as an instance does at its first start, with the folder in place of /, and returns what it
// printed.
func firstBoot(t *testing.T, root string, env ...string) (out []byte, err error) {
	t.Helper()
	h := &host{t, root, filepath.Join(root, "calls")}
	release := filepath.Join(root, "release")
	for _, dir := range []string{
		"release", "etc/nitro_enclaves", "etc/systemd/system", "etc/logrotate.d", "opt/aws/amazon-cloudwatch-agent/etc",
	} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	params := map[string]string{"EnclaveCpus": "4", "EnclaveMemory": "2048"}
	for file, param := range map[string]string{
		"parent": "ParentSha256", "enclave.eif": "ImageSha256", "redoubt-parent.service": "UnitSha256",
		"allocator.yaml": "AllocatorSha256",
	} {
		from := map[string]string{
			"parent": program(t, "parent"), "enclave.eif": "vault.yaml",
			"redoubt-parent.service": "../systemd/redoubt-parent.service", "allocator.yaml": "../systemd/allocator.yaml",
		}[file]
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		h.write(filepath.Join("release", file), data)
		sum := sha256.Sum256(data)
		params[param] = hex.EncodeToString(sum[:])
	}
	h.write("secret", bundle(t))
	tm := load(t, "vault", params)
	script := tm.props("Template")["LaunchTemplateData"].(object)["UserData"].(string)
	if n := len(script); n > 16<<10 {
		t.Errorf("user data of %d bytes: EC2 takes 16 KiB", n)
	}
	script = regexp.MustCompile(`(^|[ ='"])/(etc|opt|usr/local|var/log)/`).ReplaceAllString(script, "${1}"+root+"/$2/")
	script = strings.ReplaceAll(script, root+"/opt/aws/bin/", stubs+"/")
	script = strings.ReplaceAll(script, "$agent/bin/", stubs+"/")
	cmd := proctest.Command(h.t, "bash", "-s")
	cmd.Stdin, cmd.Dir = strings.NewReader(script), root
	cmd.Env = append(os.Environ(), "PATH="+stubs+":"+os.Getenv("PATH"), "CALLS="+h.calls, "RELEASE="+release,
		"SECRET="+filepath.Join(root, "secret"), "TMPDIR="+root)
	cmd.Env = append(cmd.Env, env...)
	return cmd.CombinedOutput()
}

func (h *host) write(path string, data []byte) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.root, path), data, 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) read(path string) string {
	h.t.Helper()
	data, err := os.ReadFile(filepath.Join(h.root, path))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(data)
}

// bundle is the secret's JSON: a certificate, its key, and callers' keys.
func bundle(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"vault.internal"},
	}, &x509.Certificate{SerialNumber: big.NewInt(1)}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	sum, scraper := sha256.Sum256([]byte("the caller's key")), sha256.Sum256([]byte("Prometheus's key"))
	data, err := json.Marshal(map[string]string{
		"cert":         string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		"key":          string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
		"api_keys":     "api " + hex.EncodeToString(sum[:]),
		"metrics_keys": "prometheus " + hex.EncodeToString(scraper[:]),
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// freePort is a port of loopback that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	addresses, err := freeport.Pick(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return addresses[0]
}

// start runs the parent with the unit's own command line and the environment that the user data wrote. Only the two
// addresses are others.
func (h *host) start() (front, metrics string) {
	h.t.Helper()
	unit := strings.ReplaceAll(h.read("etc/systemd/system/redoubt-parent.service"), "\\\n", " ")
	line := regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindStringSubmatch(unit)
	front, metrics = freePort(h.t), freePort(h.t)
	text := strings.NewReplacer("0.0.0.0:8443", front, "0.0.0.0:9180", metrics, "=/etc/", "="+h.root+"/etc/",
		"/usr/local/", h.root+"/usr/local/").Replace(line[1])
	args := strings.Fields(text)
	cmd := proctest.Command(h.t, args[0], args[1:]...)
	cmd.Env = append([]string{"PATH=" + stubs, "CALLS=" + h.calls, "PARENT_READY_WAIT=0s"},
		strings.Split(strings.TrimSpace(h.read("etc/redoubt/parent.env")), "\n")...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		if h.t.Failed() {
			h.t.Log(out.String())
		}
	})
	return front, metrics
}

// get asks until there is an answer.
func (h *host) get(url string) (status int, body string) {
	h.t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	deadline := time.Now().Add(20 * time.Second)
	for {
		resp, err := client.Get(url)
		if err == nil {
			data, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil {
				h.t.Fatal(err)
			}
			return resp.StatusCode, string(data)
		}
		if time.Now().After(deadline) {
			h.t.Fatal(err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

func TestAnInstanceComesUpAsTheTemplateSays(t *testing.T) {
	h := boot(t)
	calls := h.read("calls")
	for _, want := range []string{
		"dnf -y install aws-cfn-bootstrap aws-nitro-enclaves-cli amazon-cloudwatch-agent jq logrotate\n",
		"systemctl enable --now nitro-enclaves-allocator.service redoubt-parent.service logrotate.timer\n",
		"amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 -s -c file:" + h.root + agentDir + "redoubt.json\n",
		"cfn-signal -e 0 --stack redoubt-vault --resource Fleet --region " + region + "\n",
	} {
		if !strings.Contains(calls, want) {
			t.Errorf("not done: %s", want)
		}
	}
	if got := h.read("etc/nitro_enclaves/allocator.yaml"); !strings.Contains(got, "memory_mib: 2048\n") ||
		!strings.Contains(got, "cpu_count: 4\n") {
		t.Errorf("allocator: %s", got)
	}
	help := helpOf(t, "parent")
	for line := range strings.Lines(h.read("etc/redoubt/parent.env")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if value == "" || !regexp.MustCompile(`\$`+name+`\b`).MatchString(help) {
			t.Errorf("the parent does not read %s=%s", name, value)
		}
	}
	for _, file := range []string{"cert", "key", "api_keys", "metrics_keys", "parent.env"} {
		info, err := os.Stat(filepath.Join(h.root, "etc/redoubt", file))
		if err != nil || info.Mode().Perm()&0o027 != 0 {
			t.Errorf("%s: mode %v, %v", file, info.Mode(), err)
		}
	}
}

// What an instance signals is what a roll-out waits for: one that is never ready must not let the next be replaced.
func TestAnInstanceThatIsNeverReadySignalsFailure(t *testing.T) {
	root := t.TempDir()
	if out, err := firstBoot(t, root, "READY=never"); err == nil {
		t.Errorf("succeeds: %s", out)
	}
	calls, err := os.ReadFile(filepath.Join(root, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	asked := regexp.MustCompile(`(?m)^curl .* (\S+)$`).FindAllStringSubmatch(string(calls), -1)
	if len(asked) != 3 || asked[0][1] != "http://127.0.0.1:9180/ready" { // with every condition, KMS too
		t.Errorf("asked %v", asked)
	}
	if !strings.Contains(string(calls), "cfn-signal -e 1 ") || strings.Contains(string(calls), "cfn-signal -e 0 ") {
		t.Errorf("signals %s", calls)
	}
}

func TestAnArtifactOfAnotherDigestIsNotInstalled(t *testing.T) {
	script := load(t, "vault", nil).props("Template")["LaunchTemplateData"].(object)["UserData"].(string)
	get := regexp.MustCompile(`(?s)get\(\) \{.*?\n\}\n`).FindString(script)
	root := t.TempDir()
	for name, want := range map[string]bool{"right": true, "wrong": false} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte("right"))
		cmd := proctest.Command(t, "bash", "-c", "set -euo pipefail\n"+get+"get "+name+" "+hex.EncodeToString(sum[:]))
		cmd.Dir = t.TempDir()
		cmd.Env = []string{
			"PATH=" + stubs + ":" + os.Getenv("PATH"), "RELEASE=" + root, "CALLS=" + filepath.Join(root, "calls"),
			"GORACE=" + os.Getenv("GORACE"),
		}
		if out, err := cmd.CombinedOutput(); (err == nil) != want {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
}
