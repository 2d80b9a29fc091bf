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
	"errors"
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

	"redoubt/wire/kit/test/proctest"
)

// agentDir is where the CloudWatch agent's configuration is.
const agentDir = "/opt/aws/amazon-cloudwatch-agent/etc/"

// instance is the id of the host that is booted.
const instance = "i-0123456789abcdef0"

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
		"var/lib/cloud/data", "var/log/nitro_enclaves", "usr/local/sbin",
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
	h.write("secret", bundle(t, 1))
	h.write("probe", probeKey(t))
	h.write("var/lib/cloud/data/instance-id", []byte(instance+"\n"))
	tm := load(t, "vault", params)
	script := tm.props("Template")["LaunchTemplateData"].(object)["UserData"].(string)
	if n := len(script); n > 16<<10 {
		t.Errorf("user data of %d bytes: EC2 takes 16 KiB", n)
	}
	script = regexp.MustCompile(`(?m)(^|[ ='"])/(etc|opt|usr/local|var)/`).ReplaceAllString(script, "${1}"+root+"/$2/")
	script = strings.ReplaceAll(script, root+"/opt/aws/bin/", stubs+"/")
	script = strings.ReplaceAll(script, "$agent/bin/", stubs+"/")
	cmd := proctest.Command(h.t, "bash", "-s")
	cmd.Stdin, cmd.Dir = strings.NewReader(script), root
	cmd.Env = append(os.Environ(), "PATH="+stubs+":"+os.Getenv("PATH"), "CALLS="+h.calls, "RELEASE="+release,
		"SECRET="+filepath.Join(root, "secret"), "PROBE="+filepath.Join(root, "probe"), "TMPDIR="+root)
	cmd.Env = append(cmd.Env, env...)
	log := filepath.Join(root, "var/log/cloud-init-output.log")
	file, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file // as cloud-init does
	err = cmd.Run()
	out, errRead := os.ReadFile(log)
	return out, errors.Join(err, errRead)
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

// probeKey is what aws kms generate-data-key-pair-without-plaintext prints.
func probeKey(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string]any{
		"PrivateKeyCiphertextBlob": []byte("wrapped"), "PublicKey": public, "KeyPairSpec": "ECC_NIST_P256",
		"KeyId": "arn:aws:kms:" + region + ":" + account + ":key/k",
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// bundle is the secret's JSON: a certificate of that serial number, its key, and callers' keys.
func bundle(t *testing.T, serial int64) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
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
	addresses, err := proctest.FreePorts(t.Context(), 1)
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
		"systemctl enable --now nitro-enclaves-allocator.service redoubt-parent.service logrotate.timer redoubt-bundle.timer\n",
		"aws kms generate-data-key-pair-without-plaintext --region " + region + " --key-id alias/redoubt-key --key-pair-spec " +
			"ECC_NIST_P256 --encryption-context vault_id=redoubt-probe --output json\n",
		"amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 -s -c file:" + h.root + agentDir + "redoubt.json\n",
		"cfn-signal -e 0 --reason step ready, status 0 --stack redoubt-vault --resource Fleet --region " + region + "\n",
	} {
		if !strings.Contains(calls, want) {
			t.Errorf("not done: %s", want)
		}
	}
	if strings.Contains(calls, "aws logs") {
		t.Error("a host that came up sends evidence of a failure")
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
	for _, file := range []string{"cert", "key", "api_keys", "metrics_keys", "parent.env", "probe.json"} {
		info, err := os.Stat(filepath.Join(h.root, "etc/redoubt", file))
		if err != nil || info.Mode().Perm()&0o027 != 0 {
			t.Errorf("%s: mode %v, %v", file, info.Mode(), err)
		}
	}
}

// A roll-out waits for an instance's signal. An instance that is never ready must not let the next one be replaced.
func TestAnInstanceThatIsNeverReadySignalsFailure(t *testing.T) {
	root := t.TempDir()
	if out, err := firstBoot(t, root, "READY=never"); err == nil {
		t.Errorf("succeeds: %s", out)
	}
	calls, err := os.ReadFile(filepath.Join(root, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	asked := regexp.MustCompile(`(?m)^curl .*--fail .* (\S+)$`).FindAllStringSubmatch(string(calls), -1)
	if len(asked) != 3 || asked[0][1] != "http://127.0.0.1:9180/ready" { // with every condition, KMS too
		t.Errorf("asked %v", asked)
	}
	if !strings.Contains(string(calls), "cfn-signal -e 1 ") || strings.Contains(string(calls), "cfn-signal -e 0 ") {
		t.Errorf("signals %s", calls)
	}
}

// boots is one host for each step of the user data: what fails on it, and what of it must be known afterwards.
var boots = map[string]struct{ env, known string }{
	"packages": {"FAIL=dnf", "dnf fails"},
	"agent":    {"FAIL=amazon-cloudwatch-agent-ctl", "amazon-cloudwatch-agent-ctl fails"},
	"release":  {"FAIL=aws s3", "aws fails"},
	"secret":   {"FAIL=aws secretsmanager", "aws fails"},
	"probe":    {"FAIL=aws kms", "aws fails"},
	"services": {"FAIL=systemctl enable", "systemctl fails"},
	"ready":    {"READY=never", `{"ready":false,"failing":["enclave_ready"]}`},
}

// A host that fails is ended minutes later, and with it all that was on it.
func TestAHostThatFailsHasSentEvidenceBeforeItSignals(t *testing.T) {
	for step, tc := range boots {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			h, events := fail(t, tc.env)
			calls := h.read("calls")
			put := strings.Index(calls, "aws logs put-log-events ")
			signal := strings.Index(calls, "cfn-signal -e 1 --reason step "+step+", status 1 --stack redoubt-vault ")
			if put < 0 || signal < put {
				t.Fatalf("evidence at %d, the signal at %d of %s", put, signal, calls)
			}
			want := "--region " + region + " --log-group-name <LogGroup> --log-stream-name " + instance + "-boot\n"
			if !strings.Contains(calls[put:signal], want) || !strings.Contains(calls[:put], "create-log-stream "+want) {
				t.Errorf("not put into %s: %s", want, calls)
			}
			for _, known := range []string{
				"boot: step " + step + " failed with status 1", tc.known, "boot: " + step, // the last from cloud-init's log
				`Enclave boot failure "E36" \ of nitro-cli`, "the parent's last words", "cloud-init's own words",
			} {
				if !strings.Contains(events, known) {
					t.Errorf("%q is not known: %s", known, events)
				}
			}
			if strings.Contains(events, "PRIVATE KEY") || strings.Contains(events, "prometheus ") {
				t.Error("the secret is in the evidence")
			}
		})
	}
}

// fail boots a host that fails, and returns it with the messages of the events that it put into the log.
func fail(t *testing.T, env ...string) (h *host, events string) {
	t.Helper()
	h = &host{t: t, root: t.TempDir()}
	for file, text := range map[string]string{
		"nitro_enclaves/err2026-01-02T03:04:05.log": `Enclave boot failure "E36" \ of nitro-cli` + "\x01\n\n",
		"redoubt/parent.log":                        "the parent's last words\n", "cloud-init.log": "cloud-init's own words\n",
	} {
		path := filepath.Join("var/log", file)
		if err := os.MkdirAll(filepath.Join(h.root, filepath.Dir(path)), 0o700); err != nil {
			t.Fatal(err)
		}
		h.write(path, []byte(text))
	}
	if out, err := firstBoot(t, h.root, env...); err == nil {
		t.Errorf("succeeds: %s", out)
	}
	var put []struct {
		Timestamp int64  `json:"timestamp"`
		Message   string `json:"message"`
	}
	if data, err := os.ReadFile(filepath.Join(h.root, "calls.events")); err == nil {
		if err := json.Unmarshal(data, &put); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
	}
	for _, e := range put {
		age := time.Since(time.UnixMilli(e.Timestamp))
		if e.Message == "" || age < 0 || age > time.Minute {
			t.Errorf("CloudWatch Logs takes no event %+v", e)
		}
		events += e.Message + "\n"
	}
	return h, events
}

func TestAHostThatCannotSendEvidenceSignalsAllTheSame(t *testing.T) {
	h, _ := fail(t, "READY=never", "FAIL=aws logs")
	if calls := h.read("calls"); !strings.Contains(calls, "cfn-signal -e 1 --reason step ready, status 1 ") {
		t.Errorf("signals %s", calls)
	}
}

// A failing host is ended. The agent can send its logs only if it began to read them before the failure.
func TestTheAgentRunsBeforeWhatMayFail(t *testing.T) {
	h := boot(t)
	_, after, ok := strings.Cut(h.read("calls"), "amazon-cloudwatch-agent-ctl ")
	for _, later := range []string{"aws s3 ", "aws secretsmanager ", "systemctl enable "} {
		if !ok || !strings.Contains(after, later) {
			t.Errorf("%s comes before the agent", later)
		}
	}
	if agent := h.read(agentDir + "redoubt.json"); !strings.Contains(agent, "cloud-init-output.log") ||
		!strings.Contains(agent, "/nitro_enclaves/err*.log") {
		t.Error(agent)
	}
}

func TestTheRunbookNamesEachStepAndEachStream(t *testing.T) {
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, entry, _ := strings.Cut(string(page), "\n### A host that does not come up\n")
	entry, _, _ = strings.Cut(entry, "\n### ")
	script := load(t, "vault", nil).props("Template")["LaunchTemplateData"].(object)["UserData"].(string)
	steps := regexp.MustCompile(`(?m)^begin (\w+)`).FindAllStringSubmatch(script, -1)
	if len(steps) != len(boots) {
		t.Errorf("the user data has the steps %v", steps)
	}
	for _, step := range steps {
		if !strings.Contains(entry, "\n| `"+step[1]+"` |") || boots[step[1]].env == "" {
			t.Errorf("step %s is not in the runbook, or not tested", step[1])
		}
	}
	streams := regexp.MustCompile(`"log_stream_name": "\{instance_id\}(-[a-z-]+)?"`).FindAllStringSubmatch(script, -1)
	for _, stream := range append(streams, []string{"", "-boot"}) {
		if !strings.Contains(entry, "`INSTANCE"+stream[1]+"`") {
			t.Errorf("stream INSTANCE%s is not in the runbook", stream[1])
		}
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

// serial is the serial number of the certificate that is served.
func serial(t *testing.T, front string) int64 {
	t.Helper()
	c, err := tls.Dial("tcp", front, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// A changed secret reaches the hosts that run: by the timer's script, which the parent notices. What is not whole changes
// nothing.
func TestAChangedCertificateIsTakenWithoutANewHost(t *testing.T) {
	h := &host{t: t, root: t.TempDir()}
	h.calls = filepath.Join(h.root, "calls")
	if out, err := firstBoot(t, h.root); err != nil {
		t.Fatalf("user data: %v\n%s", err, out)
	}
	unit, timer := h.read("etc/systemd/system/redoubt-bundle.service"), h.read("etc/systemd/system/redoubt-bundle.timer")
	script := regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindStringSubmatch(unit)
	if script == nil || !strings.Contains(timer, "\nOnCalendar=*:0/5\n") {
		t.Fatalf("%s\n%s", unit, timer)
	}
	take := func() error {
		cmd := proctest.Command(t, "bash", script[1])
		cmd.Env = append(os.Environ(), "PATH="+stubs+":"+os.Getenv("PATH"), "CALLS="+h.calls,
			"SECRET="+filepath.Join(h.root, "secret"), "TMPDIR="+h.root)
		return cmd.Run()
	}
	front, metrics := h.start()
	h.get("http://" + metrics + "/ready") // it listens
	if n := serial(t, front); n != 1 {
		t.Fatalf("serves certificate %d", n)
	}
	whole := h.read("etc/redoubt/cert")
	h.write("secret", []byte(`{"cert": "a part of it"}`))
	if err := take(); err == nil || h.read("etc/redoubt/cert") != whole {
		t.Errorf("a secret that is not whole is taken: %v", err)
	}
	h.write("secret", bundle(t, 2))
	if err := take(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); serial(t, front) != 2; <-time.After(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("still the old certificate")
		}
	}
	before, err := os.Stat(filepath.Join(h.root, "etc/redoubt/cert"))
	if err != nil {
		t.Fatal(err)
	}
	if err := take(); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(filepath.Join(h.root, "etc/redoubt/cert"))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("what did not change is written again: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(h.root, "etc/redoubt/.new*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
