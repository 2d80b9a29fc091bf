package testkit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"redoubt/wire/kit/test/kms"
)

func (s *Stack) startKMS(ctx context.Context) error {
	args := []string{
		"kms", "--state", s.state.dir, "--listen", s.Addresses.KMS, "--tls-listen", s.Addresses.KMSTLS,
		"--attestation-root", s.state.path(nsmRootFile),
	}
	pcrs := s.state.pcrs
	if s.opts.RequirePCRs != nil {
		pcrs = s.opts.RequirePCRs
	}
	for index, value := range pcrs {
		args = append(args, fmt.Sprintf("--allow-pcr=%d=%s", index, value))
	}
	if err := s.launch(KMS, "local", args); err != nil {
		return err
	}
	var keys []struct{ ARN, Alias string }
	err := s.until(ctx, KMS, func(ctx context.Context) error {
		return getJSON(ctx, "http://"+s.Addresses.KMS+kms.AdminPath+"keys", &keys)
	})
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.Alias == kms.AliasSymmetric {
			s.KeyARN = k.ARN
		}
	}
	if s.KeyARN == "" {
		return errors.New("the stand-in has no key " + kms.AliasSymmetric)
	}
	return nil
}

func (s *Stack) startEnclave(ctx context.Context) error {
	if err := os.Remove(s.state.socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("stale socket: %w", err)
	}
	if err := s.launch(Enclave, "enclave", []string{"--config", s.state.path(enclaveFile)}); err != nil {
		return err
	}
	// The socket's file is enough. Connecting would open a session, and break it.
	return s.until(ctx, Enclave, func(context.Context) error {
		_, err := os.Stat(s.state.socket)
		return err
	})
}

// parentArgs are the flags of a parent in front of the enclave of the state folder.
func (s *state) parentArgs(a *Addresses) []string {
	return []string{
		"--listen", a.Parent, "--metrics-listen", a.ParentMetrics,
		"--enclave", "unix://" + s.socket, "--region", kms.DefaultRegion, "--kms-egress", a.KMSTLS,
		"--credentials", "static", "--static-credentials-file", s.path(credentialsFile),
		// No balancer is used here, so there is no reason to wait for one to notice.
		"--ready-wait", "0s", "--drain-timeout", "3s",
	}
}

// apiArgs are the flags of `api serve` with the embedded store in the state folder.
func (s *state) apiArgs(a *Addresses, keyARN string) []string {
	return []string{
		"--listen", a.API, "--metrics-listen", a.APIMetrics,
		"--store", "bolt:" + s.path(storeFile), "--region", kms.DefaultRegion,
		"--parent-url", "http://" + a.Parent, "--kms-endpoint", "http://" + a.KMS,
		"--kms-key", keyARN, "--mac-key", kms.AliasMAC, "--drain-timeout", "3s",
	}
}

// apiCredentials are the API's environment. The API is an ordinary AWS client, whose credentials come from there, and
// from nowhere else.
var apiCredentials = [][2]string{
	{"AWS_ACCESS_KEY_ID", kms.DefaultAccessKey},
	{"AWS_SECRET_ACCESS_KEY", kms.DefaultSecret},
	{"AWS_EC2_METADATA_DISABLED", "true"},
	{"AWS_CONFIG_FILE", "/dev/null"},
	{"AWS_SHARED_CREDENTIALS_FILE", "/dev/null"},
}

// APIEnvironment is the environment that an API of the stack needs, NAME=value each: credentials that the stand-in
// knows.
func APIEnvironment() []string {
	var env []string
	for _, v := range apiCredentials {
		env = append(env, v[0]+"="+v[1])
	}
	return env
}

func (s *Stack) startParent(ctx context.Context) error {
	args := s.state.parentArgs(&s.Addresses)
	if s.opts.ProbeEvery > 0 {
		if err := s.state.writeProbeKey(ctx, KMSClient(s.Addresses.KMS), s.KeyARN); err != nil {
			return err
		}
		args = append(args, "--probe-file", s.state.path(probeFile), "--probe-every", s.opts.ProbeEvery.String())
	}
	if err := s.launch(Parent, "parent", append(args, s.opts.ParentArgs...)); err != nil {
		return err
	}
	return s.until(ctx, Parent, s.ParentReady)
}

// startAPI starts the API with the embedded store. Before the parent runs, the API is alive but not ready.
func (s *Stack) startAPI(ctx context.Context) error {
	args := append([]string{"serve"}, s.state.apiArgs(&s.Addresses, s.KeyARN)...)
	args = append(args, s.domainArgs()...)
	if err := s.launch(API, "api", append(args, s.opts.APIArgs...), APIEnvironment()...); err != nil {
		return err
	}
	return s.until(ctx, API, func(ctx context.Context) error {
		return getJSON(ctx, "http://"+s.Addresses.API+"/health", nil)
	})
}

// APIReady is nil when the API's /ready answers 200.
func (s *Stack) APIReady(ctx context.Context) error {
	return getJSON(ctx, "http://"+s.Addresses.API+"/ready", nil)
}

// ParentReady is nil when the parent's /ready answers 200.
func (s *Stack) ParentReady(ctx context.Context) error {
	return getJSON(ctx, "http://"+s.Addresses.Parent+"/ready", nil)
}
