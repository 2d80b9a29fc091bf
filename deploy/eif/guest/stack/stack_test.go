//go:build guest

package stack

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/hf/nsm"
	"github.com/hf/nsm/request"

	"redoubt/deploy/eif/guest/check"
	"redoubt/wire"
	"redoubt/wire/kit/test/proctest"
	"redoubt/wire/transport"
)

const (
	parentURL  = "http://127.0.0.1:8080"
	metricsURL = "http://127.0.0.1:9180"
	kmsURL     = "http://127.0.0.1:9300"
	configFile = "/etc/redoubt/enclave.yaml"
	cid        = 1 // VMADDR_CID_LOCAL
	policyPCR  = 16

	enclavePort = 5050
)

type stack struct {
	*check.Target
	whole         *testing.T // the test that the processes live as long as
	enclave       *exec.Cmd
	keyARN, state string
	clock         string // the machine's clock source
}

// start runs a program of the guest until the test ends. Its output goes to the console.
func start(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := proctest.Command(t, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	cmd.Env = []string{"HOME=/tmp", "TMPDIR=/tmp"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

// lockedPCR extends and locks a register, as a deployment may do at start; the stand-in's policy then demands it.
func lockedPCR(t *testing.T) string {
	t.Helper()
	s, err := nsm.OpenDefaultSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	e, err := s.Send(&request.ExtendPCR{Index: policyPCR, Data: []byte("guest test")})
	if err != nil || e.ExtendPCR == nil {
		t.Fatalf("extend: %v %v", err, e.Error)
	}
	if l, err := s.Send(&request.LockPCR{Index: policyPCR}); err != nil || l.Error != "" {
		t.Fatalf("lock: %v %v", err, l.Error)
	}
	return hex.EncodeToString(e.ExtendPCR.Data)
}

func startStack(t *testing.T) *stack {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	state := t.TempDir()
	start(t, "/bin/local", "kms", "--state", state, "--listen", "127.0.0.1:9300", "--tls-listen", "127.0.0.1:9301",
		"--accept-unsigned-attestation", "--allow-pcr", fmt.Sprintf("%d=%s", policyPCR, lockedPCR(t)))
	clock, err := os.ReadFile("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{Target: check.New(parentURL, kmsURL), whole: t, state: state, clock: strings.TrimSpace(string(clock))}
	s.keyARN = s.waitForKey(t, ctx)
	s.configure(t, cid, s.clock)
	s.startEnclave()
	creds := filepath.Join(state, "credentials.json")
	if err := os.WriteFile(creds, fmt.Appendf(nil, `{"AccessKeyId":%q,"SecretAccessKey":%q}`,
		check.AccessKey, check.SecretKey), 0o600); err != nil {
		t.Fatal(err)
	}
	// An emulated machine whose host has other work may stand still for seconds: no sign of a dead session. And a
	// connection that the client opens but first uses as its time for a header ends would be answered 408.
	start(t, "/bin/parent", "--ping-every", "5s", "--header-timeout", "5m",
		"--listen", "127.0.0.1:8080", "--metrics-listen", "127.0.0.1:9180",
		"--enclave", fmt.Sprintf("vsock://%d:%d", cid, enclavePort), "--region", check.Region,
		"--kms-egress", "localhost:9301",
		"--credentials", "static", "--static-credentials-file", creds)
	if err := s.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stack) waitForKey(t *testing.T, ctx context.Context) string {
	t.Helper()
	for {
		out, err := s.KMSClient().DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String(check.KeyAlias)})
		if err == nil {
			return *out.KeyMetadata.Arn
		}
		select {
		case <-ctx.Done():
			t.Fatal("the stand-in does not answer: ", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// configure writes the enclave's configuration for a parent and a clock source; the enclave reads it when it starts.
func (s *stack) configure(t *testing.T, parent uint32, clock string) {
	t.Helper()
	yaml := fmt.Sprintf("listen: vsock://any:%d\nallowed_cids: [%d]\nkeys:\n  %s: %s\n"+
		"kms:\n  endpoint: https://localhost:9301\n  ca_file: %s\nmachine:\n  clock_sources: [%s]\n",
		enclavePort, parent, check.Region, s.keyARN, filepath.Join(s.state, "ca.pem"), clock)
	if err := os.MkdirAll(filepath.Dir(configFile), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(configFile, []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (s *stack) startEnclave() { s.enclave = start(s.whole, "/bin/enclave") }

// dialEnclave connects to the enclave as soon as it listens.
func (s *stack) dialEnclave(t *testing.T) net.Conn {
	t.Helper()
	d, err := transport.NewDialer(fmt.Sprintf("vsock://%d:%d", cid, enclavePort))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		if c, err := d.Dial(ctx); err == nil {
			return c
		}
		select {
		case <-ctx.Done():
			t.Fatal("the enclave does not listen")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestGuestStackOverVsock(t *testing.T) {
	s := startStack(t)
	tooLong, large := tracePackets(t, wire.MaxWrite), tracePackets(t, wire.MaxWrite/2)
	t.Run("every encoding opens", s.encodings)
	t.Run("values from one byte to the limit keep their hash", s.sizes)
	t.Run("a batch keeps its order and its one bad item to itself", s.batch)
	t.Run("ten thousand requests at concurrency 64 get their own answers", s.many)
	t.Run("a key moved to another vault is denied", s.wrongVaultIsRefused)
	t.Run("sessions, egress and the machine are as they should be", s.links)
	t.Run("an enclave that was killed is found again", s.restart)
	t.Run("an enclave of another parent refuses this one", s.otherCID)
	t.Run("an enclave whose clock is not trusted says so", s.untrustedClock)
	if n, longest := tooLong.seen(t); n > 0 {
		t.Errorf("%d writes were longer than %d bytes, up to %d", n, wire.MaxWrite, longest)
	}
	n, longest := large.seen(t)
	t.Logf("of all writes to vsock, %d had more than %d bytes; the longest %d", n, wire.MaxWrite/2, longest)
	if n == 0 {
		t.Error("no large write was seen at all")
	}
}
