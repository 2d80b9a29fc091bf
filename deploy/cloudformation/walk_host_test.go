//go:build operate

package cloudformation

import (
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/goccy/go-yaml"

	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/test/attesttest"
	"redoubt/wire/kit/test/kms"
	"redoubt/wire/kit/test/proctest"
)

// walkedKMS is the stand-in with the ids of the keys that the stack made, and the policies that moto has for them now.
type walkedKMS struct {
	*walk

	state string

	once      sync.Once
	moto      *awskms.Client
	server    *kms.Server
	authority *attesttest.Authority
	tls       string // host:port for enclaves
	policies  map[string]string
}

// ServeHTTP answers as KMS does.
func (k *walkedKMS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.once.Do(k.start)
	if k.server == nil {
		http.Error(w, "no keys", http.StatusServiceUnavailable)
		return
	}
	k.mu.Lock()
	for id, before := range k.policies {
		out, err := k.moto.GetKeyPolicy(r.Context(), &awskms.GetKeyPolicyInput{
			KeyId: &id, PolicyName: aws.String("default"),
		})
		if err == nil && *out.Policy != before {
			k.policies[id] = *out.Policy
			err = k.server.Store().SetPolicy(id, []byte(*out.Policy))
		}
		if err != nil {
			k.t.Errorf("policy: %v", err)
		}
	}
	k.mu.Unlock()
	k.server.ServeHTTP(w, r)
}

func (k *walkedKMS) start() {
	k.moto = awskms.New(awskms.Options{
		Region: region, BaseEndpoint: aws.String(k.walk.moto), HTTPClient: &http.Client{Timeout: 10 * time.Second},
		Credentials: credentials.NewStaticCredentialsProvider("moto", "moto", ""),
	})
	k.policies = map[string]string{}
	file := struct {
		Version int        `json:"version"`
		Keys    []*kms.Key `json:"keys"`
	}{Version: 1}
	for logical, key := range map[string]*kms.Key{
		"Key":    {Alias: "alias/redoubt-key", Usage: kms.UsageEncryptDecrypt, Spec: "SYMMETRIC_DEFAULT"},
		"MacKey": {Alias: "alias/redoubt-key-mac", Usage: kms.UsageMAC, Spec: "HMAC_256"},
	} {
		key.ID, key.State, key.Created = k.resource("key", logical), kms.StateEnabled, time.Now()
		key.Material, key.Policy = []byte(strings.Repeat(logical[:1], 32)), kms.DefaultPolicy()
		k.policies[key.ID] = ""
		file.Keys = append(file.Keys, key)
	}
	data, err := json.Marshal(file)
	if err == nil {
		err = os.WriteFile(filepath.Join(k.state, kms.KeysFile), data, 0o600)
	}
	if err != nil {
		k.t.Error(err)
		return
	}
	known := []kms.Credential{}
	for _, p := range []principal{reader, parents, apis, canary} {
		if p.role != "" {
			p.arn = k.aws("iam", "get-role", "--role-name", k.resource("key", p.role), "--query", "Role.Arn")
		}
		known = append(known, kms.Credential{AccessKeyID: p.id, SecretAccessKey: p.secret, Principal: p.arn})
	}
	var root attest.Root
	if k.authority, err = attesttest.New(attesttest.Chain{}); err == nil {
		root, err = attest.ParseRoot(k.authority.RootCertPEM())
	}
	ca, errCA := kms.OpenCA(k.state, time.Now())
	if err != nil || errCA != nil {
		k.t.Error(err, errCA)
		return
	}
	encrypted := httptest.NewUnstartedServer(k)
	if encrypted.TLS, err = ca.ServerConfig(time.Now()); err != nil {
		k.t.Error(err)
		return
	}
	encrypted.StartTLS()
	k.t.Cleanup(encrypted.Close)
	k.tls = strings.TrimPrefix(encrypted.URL, "https://")
	k.server, err = kms.New(kms.Config{
		StateDir: k.state, Region: region, Account: motoAccount, Credentials: known, AttestationRoots: []attest.Root{root},
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		k.t.Error(err)
	}
}

// walkedHost is an instance: the launch template's user data ran on it, in a folder in place of its root.
type walkedHost struct {
	root, front, metrics string
	ends                 []func()
}

// roll starts an instance if the launch template has changed, and ends the one before when it has signalled.
func (w *walk) roll() {
	data := w.aws("ec2", "describe-launch-template-versions", "--versions", "$Latest", "--query",
		"max_by(LaunchTemplateVersions, &VersionNumber).LaunchTemplateData.UserData") // the account has one template
	raw, err := base64.StdEncoding.DecodeString(data)
	script := string(raw)
	if err != nil || script == "" {
		w.t.Errorf("user data: %v: %s", err, data)
		return
	}
	if n := len(w.booted); n > 0 && w.booted[n-1] == script {
		return
	}
	h := &walkedHost{root: w.t.TempDir(), front: freePort(w.t), metrics: freePort(w.t)}
	calls := w.boot(h, script)
	if !strings.Contains(calls, "cfn-signal -e 0 ") {
		w.t.Errorf("the instance does not signal that it is up: %s", calls)
		return
	}
	before := w.host
	w.host, w.booted = h, append(w.booted, script)
	if before != nil {
		before.end()
	}
}

func (h *walkedHost) end() {
	for _, f := range h.ends {
		f()
	}
	h.ends = nil
}

// boot runs the user data. The host's own tools are this test program; the AWS command line, jq and sha256sum are real.
// boot starts the units that systemctl would start, with an enclave of this machine's in place of nitro-cli's.
func (w *walk) boot(h *walkedHost, script string) (calls string) {
	for _, dir := range []string{
		"etc/nitro_enclaves", "etc/systemd/system", "etc/logrotate.d", "opt/aws/amazon-cloudwatch-agent/etc",
		"var/lib/cloud/data", "var/log/nitro_enclaves", "var/log/redoubt", "usr/local/sbin", "tools",
	} {
		if err := os.MkdirAll(filepath.Join(h.root, dir), 0o700); err != nil {
			w.t.Error(err)
		}
	}
	tools := filepath.Join(h.root, "tools")
	for _, name := range []string{
		"dnf", "useradd", "chgrp", "install", "systemctl", "curl", "nitro-cli", "cfn-signal", "amazon-cloudwatch-agent-ctl",
	} {
		if err := os.Symlink(filepath.Join(stubs, name), filepath.Join(tools, name)); err != nil {
			w.t.Error(err)
		}
	}
	services := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if err := w.startServices(h); err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
		}
	}))
	defer services.Close()
	script = regexp.MustCompile(`(?m)(^|[ ='"])/(etc|opt|usr/local|var)/`).ReplaceAllString(script, "${1}"+h.root+"/$2/")
	script = strings.ReplaceAll(script, h.root+"/opt/aws/bin/", tools+"/")
	script = strings.ReplaceAll(script, "$agent/bin/", tools+"/")
	cmd := proctest.Command(w.t, "bash", "-s")
	cmd.Stdin, cmd.Dir = strings.NewReader(script), h.root
	cmd.Env = []string{
		"PATH=" + tools + ":" + filepath.Join(*venv, "bin") + ":" + os.Getenv("PATH"), "TMPDIR=" + h.root, "HOME=" + h.root,
		"CALLS=" + filepath.Join(h.root, "calls"), "START=" + services.URL, "METRICS=" + h.metrics,
		"AWS_ENDPOINT_URL=" + w.endpoint, "AWS_ACCESS_KEY_ID=" + parents.id, "AWS_SECRET_ACCESS_KEY=" + parents.secret,
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Errorf("user data: %v\n%s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(h.root, "calls"))
	if err != nil {
		w.t.Error(err)
	}
	return string(data)
}

// startServices starts the enclave and the parent of a host. The enclave is the development build, whose software
// security module tells the measurements of the image that the host has fetched; its configuration is the image's, and
// where this machine's KMS is.
func (w *walk) startServices(h *walkedHost) error {
	described, err := proctest.Run(filepath.Join(bin, "eif"), "describe",
		filepath.Join(h.root, "usr/local/share/redoubt/enclave.eif"))
	if err != nil {
		return err
	}
	var image struct{ Measurements map[string]string }
	if err := json.Unmarshal(described, &image); err != nil {
		return err
	}
	w.images = append(w.images, measured{image.Measurements["PCR0"], image.Measurements["PCR1"]})
	rootKey, err := w.kms.authority.RootKeyPEM()
	if err != nil {
		return err
	}
	file := func(name string) string { return filepath.Join(h.root, name) }
	config := map[string]any{}
	text, err := os.ReadFile(filepath.Join(w.checkout, "dist/enclave.yaml"))
	if err == nil {
		err = yaml.Unmarshal(text, &config)
	}
	if err != nil {
		return err
	}
	config["listen"] = "unix://" + file("e.sock")
	config["kms"] = map[string]string{"endpoint": "https://" + w.kms.tls, "ca_file": filepath.Join(w.kms.state, kms.CAFile)}
	config["soft_nsm"] = map[string]any{
		"root_cert": file("nsm.pem"), "root_key": file("nsm-key.pem"), "pcrs": map[int]string{
			0: image.Measurements["PCR0"], 1: image.Measurements["PCR1"], 2: image.Measurements["PCR2"],
		},
	}
	if text, err = yaml.Marshal(config); err != nil {
		return err
	}
	role, err := json.Marshal(map[string]string{"AccessKeyId": parents.id, "SecretAccessKey": parents.secret})
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"enclave.yaml": text, "nsm.pem": w.kms.authority.RootCertPEM(), "nsm-key.pem": rootKey, "role.json": role,
	} {
		if err := os.WriteFile(file(name), data, 0o600); err != nil {
			return err
		}
	}
	if err := w.start(h, nil, filepath.Join(bin, "enclave"), "--config", file("enclave.yaml")); err != nil {
		return err
	}
	w.until("the enclave's socket", func() bool { _, err := os.Stat(file("e.sock")); return err == nil })
	unit, err := os.ReadFile(file("etc/systemd/system/redoubt-parent.service"))
	if err != nil {
		return err
	}
	line := regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindStringSubmatch(strings.ReplaceAll(string(unit), "\\\n", " "))
	args := strings.Fields(strings.NewReplacer("0.0.0.0:8443", h.front, "0.0.0.0:9180", h.metrics, "=/etc/",
		"="+h.root+"/etc/", "/usr/local/", h.root+"/usr/local/", "=15s", "=0s").Replace(line[1]))
	settings, err := os.ReadFile(file("etc/redoubt/parent.env"))
	if err != nil {
		return err
	}
	env := []string{
		"PARENT_ENCLAVE=" + config["listen"].(string), "PARENT_KMS_EGRESS=" + w.kms.tls, "PARENT_CREDENTIALS=static",
		"PARENT_STATIC_CREDENTIALS_FILE=" + file("role.json"),
	}
	for setting := range strings.SplitSeq(strings.TrimSpace(string(settings)), "\n") {
		if !strings.HasPrefix(setting, "PARENT_EIF=") { // nitro-cli's, as are the next two
			env = append(env, setting)
		}
	}
	return w.start(h, env, args[0], args[1:]...)
}

// start runs a program of a host until the host ends.
func (w *walk) start(h *walkedHost, env []string, name string, args ...string) error {
	cmd := proctest.Command(w.t, name, args...)
	var out proctest.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = append(env, "PATH="+os.Getenv("PATH")), &out, &out
	if err := cmd.Start(); err != nil {
		return err
	}
	end := sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		if w.t.Failed() {
			w.t.Logf("%s: %s", filepath.Base(name), out.String())
		}
	})
	h.ends = append(h.ends, end)
	w.t.Cleanup(end)
	return nil
}
