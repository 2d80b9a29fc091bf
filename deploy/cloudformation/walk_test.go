//go:build operate

package cloudformation

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"redoubt/deploy/eif/kerneltest"
	"redoubt/wire/kit/test/kms"
	"redoubt/wire/kit/test/proctest"
)

var venv = flag.String("venv", "", "the Python environment with moto and the AWS command line")

// The reader edits the values in the page's first block. The walk is a reader whose parents are at localhost, the
// one name that leads to loopback everywhere, and whose hosts have this machine's processor.
var walker = map[string]string{
	"AWS_REGION": region, "ZONE": "localhost", "NAME": "localhost", "ARCH": runtime.GOARCH,
}

// walk is the account, and the reader's checkout, that the page's commands are run in.
type walk struct {
	t        *testing.T
	checkout string // a copy: what the page writes is in its dist
	endpoint string // AWS's, as everybody here sees it
	moto     string // moto's own, behind it
	env      []string

	gateway *walkedGateway
	kms     *walkedKMS

	mu        sync.Mutex
	layers    map[string][]byte    // zips of layers by ARN: moto takes them and does not give them back
	functions map[string]*function // by stack
	changes   map[string]func() *httptest.ResponseRecorder
	host      *walkedHost
	booted    []string   // user data of each host that came up
	images    []measured // of each host that started
}

// section is the text of the page below a heading of the second level.
func section(t *testing.T, heading string) string {
	t.Helper()
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(page), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("the page has no section %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// commands are the blocks of a section that a reader runs.
func commands(t *testing.T, heading string) (blocks []string) {
	t.Helper()
	for _, m := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(section(t, heading), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no commands", heading)
	}
	return blocks
}

// edited is the first block with the walker's values.
func edited(t *testing.T, block string, values map[string]string) string {
	t.Helper()
	for name, value := range values {
		line := regexp.MustCompile(`(?m)^((?:export )?` + name + `=)\S+`)
		if n := len(line.FindAllString(block, -1)); n != 1 {
			t.Errorf("the first block gives %s %d times", name, n)
		}
		block = line.ReplaceAllString(block, "${1}"+value)
	}
	return block
}

func newWalk(t *testing.T) *walk {
	t.Helper()
	if *venv == "" {
		t.Fatal("run it by make test-walk")
	}
	for _, build := range [][]string{{"eif", "redoubt/deploy/eif"}, {"enclave", "-tags=dev", "redoubt/enclave"}} {
		args := append([]string{"build", "-o", filepath.Join(bin, build[0])}, build[1:]...)
		if out, err := proctest.Run("go", args...); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	w := &walk{
		t: t, checkout: checkout(t), layers: map[string][]byte{}, functions: map[string]*function{},
		changes: map[string]func() *httptest.ResponseRecorder{},
	}
	w.moto = w.startMoto()
	w.kms = &walkedKMS{walk: w, state: t.TempDir()}
	w.endpoint = w.serveAWS()
	w.gateway = w.serveGateway()
	w.env = []string{
		"PATH=" + filepath.Join(*venv, "bin") + ":" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"CURL_HOME=" + w.gateway.curl, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"AWS_ENDPOINT_URL=" + w.endpoint, "AWS_ACCESS_KEY_ID=" + reader.id, "AWS_SECRET_ACCESS_KEY=" + reader.secret,
		"AWS_PAGER=", "VERSION=v0.0.0-walk",
	}
	for _, entry := range os.Environ() { // a toolchain may be elsewhere than at home
		if strings.HasPrefix(entry, "GO") || strings.HasPrefix(entry, "CARGO_") || strings.HasPrefix(entry, "RUSTUP_") {
			w.env = append(w.env, entry)
		}
	}
	return w
}

// checkout is a copy of the files of this one.
func checkout(t *testing.T) (dir string) {
	t.Helper()
	list := proctest.Command(t, "git", "-C", "../..", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	names, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for name := range strings.SplitSeq(strings.TrimRight(string(names), "\x00"), "\x00") {
		from, to := filepath.Join("../..", name), filepath.Join(dir, name)
		info, err := os.Stat(from)
		if os.IsNotExist(err) { // deleted, and not committed yet
			continue
		}
		data, errRead := os.ReadFile(from)
		if err != nil || errRead != nil {
			t.Fatal(err, errRead)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// startMoto starts moto's server and returns its URL.
func (w *walk) startMoto() string {
	w.t.Helper()
	address := freePort(w.t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := proctest.Command(w.t, filepath.Join(*venv, "bin/python"), "-W", "ignore", "moto_server.py", port)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if text := out.String(); w.t.Failed() {
			w.t.Logf("moto: %s", text[max(0, len(text)-20000):])
		}
	})
	w.until("moto", func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return "http://" + address
}

// until waits for a condition that another process brings about.
func (w *walk) until(what string, holds func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Errorf("%s: not within 30 s", what)
			return
		}
	}
}

// aws asks moto by the command line, as the reader would.
func (w *walk) aws(args ...string) string {
	w.t.Helper()
	cmd := proctest.Command(w.t, filepath.Join(*venv, "bin/aws"), append(args, "--output", "text", "--region", region)...)
	cmd.Env = w.env
	var failed bytes.Buffer
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		w.t.Errorf("aws %s: %v: %s", strings.Join(args, " "), err, failed.Bytes())
	}
	return strings.TrimSpace(string(out))
}

// output is an output of a stack.
func (w *walk) output(stack, name string) string {
	w.t.Helper()
	return w.aws("cloudformation", "describe-stacks", "--stack-name", "redoubt-"+stack, "--query",
		"Stacks[0].Outputs[?OutputKey=='"+name+"'].OutputValue")
}

// resource is the physical id of a stack's resource.
func (w *walk) resource(stack, logical string) string {
	w.t.Helper()
	return w.aws("cloudformation", "describe-stack-resource", "--stack-name", "redoubt-"+stack, "--logical-resource-id",
		logical, "--query", "StackResourceDetail.PhysicalResourceId")
}

// blobs is a folder of a kernel's files that looks like Amazon's to what builds an image of it.
func blobs(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, data := range kerneltest.Blobs(runtime.GOARCH, "6.6.79") {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// run has one shell run the blocks in their order, and returns what they print.
func (w *walk) run(blocks ...string) string {
	w.t.Helper()
	cmd := proctest.Command(w.t, "bash", "-euo", "pipefail", "-c", strings.Join(blocks, "\n"))
	cmd.Dir, cmd.Env = w.checkout, w.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, os.Stdout), os.Stdout // a step that takes long is seen
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("the page's commands: %v", err)
	}
	return out.String()
}

func TestTheDeployPageLeadsFromAnEmptyAccountToADecryptAndToTheNextRelease(t *testing.T) {
	w := newWalk(t)
	steps := commands(t, "Deploy")
	walker["BLOBS"] = blobs(t)
	steps[0] = edited(t, steps[0], walker)
	// Before an upgrade a reader has stored a record and checked out another release.
	steps = append(steps, `KEPT=$(call POST /vaults '{"first_name": "Grace"}' | jq -er .id); export VERSION=v0.0.1-walk`)
	steps = append(steps, commands(t, "Upgrade, with overlapping measurements")...)
	steps = append(steps, `call POST "/vaults/$KEPT/decrypt" '{"fields": ["first_name"], "reason": "kept"}'`)
	printed := w.run(steps...)
	for _, want := range []string{"limited to the given measurements", `"first_name":"Ada"`, `"first_name":"Grace"`} {
		if !strings.Contains(printed, want) {
			t.Errorf("not printed: %s", want)
		}
	}
	if len(w.booted) != 2 || len(w.images) != 2 || w.images[0].pcr1 == w.images[1].pcr1 {
		t.Fatalf("%d hosts came up, with the images %v", len(w.booted), w.images)
	}
	role := w.aws("iam", "get-role", "--role-name", w.resource("key", "ParentRole"), "--query", "Role.Arn")
	policy, err := kms.ParsePolicy([]byte(w.aws("kms", "get-key-policy", "--key-id", w.output("key", "KeyArn"),
		"--policy-name", "default", "--query", "Policy", "--endpoint-url", w.moto)))
	if err != nil {
		t.Fatal(err)
	}
	for i, may := range []bool{false, true} {
		if policy.Allows(facts(role, "kms:Decrypt", w.images[i])) != may {
			t.Errorf("at the end image %d decrypts: %v", i, !may)
		}
	}
	w.canaryRuns()
}

// canaryRuns has the deployed canary make its round trip and try to decrypt outside of an enclave.
func (w *walk) canaryRuns() {
	w.t.Helper()
	f := w.function("canary", "CANARY_API_URL")
	f.invoke(object{"detail-type": "Scheduled Event"})
	told := f.told("RoundTripOK")
	if told["RoundTripOK"] != 1.0 || told["DecryptRefused"] != 1.0 || told["DecryptSucceeded"] != 0.0 {
		w.t.Errorf("the canary tells %v", fmt.Sprint(told))
	}
}
