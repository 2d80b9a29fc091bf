//go:build guest

package guest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"redoubt/deploy/eif/guest/check"
	"redoubt/deploy/eif/internal/command"
	"redoubt/deploy/eif/internal/image"
	"redoubt/wire/kit/test/proctest"
)

// emulation is what a kernel needs under emulation beside the command line of its image, which alone is measured.
const emulation = "panic=-1 quiet no_timer_check lpj=4000000 tsc_early_khz=1000000"

// otherModules are those that Debian's kernel needs beside nsm.ko, in load order. AWS's has these drivers built in.
var otherModules = []string{"virtio_mmio", "vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport"}

// hostCID is where vhost-device-vsock receives what a guest sends to its host.
const hostCID = 2

// roleARN is the role of the instance that QEMU's machine pretends to run on; PCR3 measures it.
const roleARN = "arn:aws:iam::123456789012:role/vault/example"

// hostSide is what an image test runs on: the host's side of the enclave.
type hostSide struct {
	*check.Target
	dir, keyARN         string
	kmsPlain, kmsTLS    string
	parentAddr, metrics string
	vsock               string
}

func freePort(t *testing.T) string {
	t.Helper()
	addresses, err := proctest.FreePorts(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return addresses[0]
}

func start(t *testing.T, log, name string, args ...string) *exec.Cmd {
	t.Helper()
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := proctest.Command(t, name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = []string{"HOME=" + filepath.Dir(log), "PATH=/usr/bin:/bin"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		out.Close()
		if b, err := os.ReadFile(log); err == nil && t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(log), b[max(0, len(b)-4000):])
		}
	})
	return cmd
}

// newHost starts the stand-in, which the image's configuration names, and vsock for unix sockets.
func newHost(t *testing.T, ctx context.Context) *hostSide {
	t.Helper()
	dir, err := os.MkdirTemp("", "rd") // unix socket paths are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &hostSide{
		dir: dir, kmsPlain: freePort(t), kmsTLS: freePort(t), parentAddr: freePort(t), metrics: freePort(t),
		vsock: filepath.Join(dir, "v"),
	}
	h.Target = check.New("http://"+h.parentAddr, "http://"+h.kmsPlain)
	local := build(t, filepath.Join(dir, "local"), "./deploy/local", false)
	start(t, filepath.Join(dir, "kms.log"), local, "kms", "--state", dir, "--listen", h.kmsPlain,
		"--tls-listen", h.kmsTLS, "--accept-unsigned-attestation")
	for {
		out, err := h.KMSClient().DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String(check.KeyAlias)})
		if err == nil {
			h.keyARN = *out.KeyMetadata.Arn
			return h
		}
		wait(t, ctx, "the stand-in does not answer")
	}
}

func wait(t *testing.T, ctx context.Context, what string) {
	t.Helper()
	select {
	case <-ctx.Done():
		t.Fatal(what)
	case <-time.After(50 * time.Millisecond):
	}
}

// buildImage builds the production enclave's image with a configuration for this host, by the eif command's own code.
func (h *hostSide) buildImage(t *testing.T) (string, image.Measurements) {
	t.Helper()
	ca, err := filepath.Glob(filepath.Join(h.dir, "ca.pem"))
	if err != nil || len(ca) == 0 {
		t.Fatal("the stand-in left no CA certificate in its folder")
	}
	_, tlsPort, _ := net.SplitHostPort(h.kmsTLS)
	// vhost-device-vsock numbers its connections from 0: the ports say nothing of the parent here.
	conf := fmt.Sprintf("allowed_cids: [%d]\npeer_ports: any\nkeys:\n  %s: %s\nkms:\n  endpoint: https://localhost:%s\n"+
		"  ca_file: /etc/redoubt/%s\nmachine:\n  clock_sources: []\n  heartbeat: vsock://%d:9000\n",
		hostCID, check.Region, h.keyARN, tlsPort, filepath.Base(ca[0]), hostCID)
	yaml := filepath.Join(h.dir, "enclave.yaml")
	if err := os.WriteFile(yaml, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	k := guestKernel(t)
	b := command.Build{
		Blobs: k.blobs, Module: k.modules, Arch: "amd64", Init: build(t, filepath.Join(h.dir, "enclave"), "./enclave", false), Config: yaml, ConfigFile: ca,
		Output: filepath.Join(h.dir, "enclave.eif"), Name: "redoubt", Version: "test", RoleARN: roleARN,
	}
	b.SignCert, b.SignKey = h.signer(t)
	var out bytes.Buffer
	if err := b.Run(command.Output{Writer: &out}); err != nil {
		t.Fatal(err)
	}
	var r command.Result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return b.Output, r.Measurements
}

// kernel is what an image test boots.
type kernel struct {
	blobs   string
	modules []string // beside the blobs' nsm.ko
	acpi    bool     // devices are shown by ACPI, not on the command line
}

// guestKernel is Debian's kernel in the layout of AWS's, or the one of the folder KERNEL_BLOBS.
func guestKernel(t *testing.T) kernel {
	t.Helper()
	if dir := os.Getenv("KERNEL_BLOBS"); dir != "" {
		return kernel{blobs: dir}
	}
	bed := testbed(t)
	return kernel{filepath.Join(bed, "guest/blobs"), modules(bed, otherModules...), true}
}

// modules are the paths of modules of Debian's kernel.
func modules(bed string, names ...string) []string {
	files := make([]string, len(names))
	for i, m := range names {
		files[i] = filepath.Join(bed, "guest/modules", m+".ko")
	}
	return files
}

// signer makes a certificate and its key to sign the image with, so that it has a PCR8.
func (h *hostSide) signer(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "guest test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(h.dir, "sign.pem"), filepath.Join(h.dir, "sign.key")
	err = errors.Join(
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile
}

// heartbeat answers as nitro-cli does and reports when the enclave's byte came.
func (h *hostSide) heartbeat(t *testing.T) <-chan time.Time {
	t.Helper()
	l, err := net.Listen("unix", h.vsock+"_9000")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	beat := make(chan time.Time, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 1)
		if _, err := c.Read(b); err == nil && b[0] == 0xb7 {
			_, _ = c.Write(b)
			beat <- time.Now()
		}
	}()
	return beat
}

// boot starts vsock, the parent and the guest, in the order of production: the parent waits for its enclave.
func (h *hostSide) boot(t *testing.T, ctx context.Context, eif string) console {
	t.Helper()
	device := filepath.Join(h.dir, "vhost.sock")
	start(t, filepath.Join(h.dir, "vsock.log"), filepath.Join(testbed(t), "guest/vhost-device-vsock"),
		"--guest-cid", "16", "--socket", device, "--uds-path", h.vsock)
	creds := filepath.Join(h.dir, "credentials.json")
	if err := os.WriteFile(creds, fmt.Appendf(nil, `{"AccessKeyId":%q,"SecretAccessKey":%q}`,
		check.AccessKey, check.SecretKey), 0o600); err != nil {
		t.Fatal(err)
	}
	_, tlsPort, _ := net.SplitHostPort(h.kmsTLS)
	parent := build(t, filepath.Join(h.dir, "parent"), "./parent", false)
	start(t, filepath.Join(h.dir, "parent.log"), parent, "--listen", h.parentAddr, "--metrics-listen", h.metrics,
		"--enclave", "hybrid://"+h.vsock+"?port=5050", "--region", check.Region,
		"--kms-egress", "localhost:"+tlsPort, "--credentials", "static", "--static-credentials-file", creds)
	for {
		if _, err := os.Stat(device); err == nil {
			break
		}
		wait(t, ctx, "vhost-device-vsock made no socket")
	}
	machine := "nitro-enclave,vsock=vs,id=i-0abc-enc0123,parent-role=" + roleARN
	if guestKernel(t).acpi {
		machine += ",acpi=on"
	}
	_, con := qemu(ctx, t, "-M", machine, "-m", "1024",
		"-chardev", "socket,id=vs,path="+device, "-kernel", eif, "-append", emulation)
	return con
}
