package testkit

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"redoubt/wire/kit/attest"
)

// pcrsFile holds the measurements that a domain is held to.
const pcrsFile = "pcrs.json"

// configurationHead begins the user data of an attestation document that a caller asked for.
const configurationHead = "redoubt/v1/config\x00"

// domainsConfig allows the stack's enclave to make domains, and vaults with keys of the stand-in to move to them.
func (s *Stack) domainsConfig() map[string]any {
	extra := maps.Clone(s.opts.EnclaveConfig)
	if s.opts.Domain == "" || extra["domains"] != nil {
		return extra
	}
	if extra == nil {
		extra = map[string]any{}
	}
	extra["domains"] = map[string]any{
		"rules":      []map[string]any{{"ids": "*", "creations_per_hour": 1000}},
		"kms_vaults": []map[string]any{{"key": s.KeyARN, "ids": "*"}},
	}
	return extra
}

// domainArgs are the API's flags for vaults under the stack's domain.
func (s *Stack) domainArgs() []string {
	if s.opts.Domain == "" {
		return nil
	}
	return []string{"--vault-keys", "domain", "--domain", s.opts.Domain}
}

// ensureDomain makes the stack's domain, once.
func (s *Stack) ensureDomain(ctx context.Context) error {
	if s.opts.Domain == "" {
		return nil
	}
	if getJSON(ctx, "http://"+s.Addresses.API+"/v1/domains?id="+s.opts.Domain, nil) == nil {
		return nil
	}
	return s.CreateDomain(ctx, s.opts.Domain)
}

// CreateDomain makes the next generation of a domain by the API's command line, held to the enclave's measurements and
// configuration. more are further flags.
func (s *Stack) CreateDomain(ctx context.Context, id string, more ...string) error {
	digest, err := s.Configuration(ctx)
	if err != nil {
		return err
	}
	m := map[string]string{}
	for i, v := range s.state.pcrs {
		m[fmt.Sprintf("PCR%d", i)] = v
	}
	data, err := json.Marshal(map[string]any{"Measurements": m})
	if err != nil {
		return fmt.Errorf("measurements: %w", err)
	}
	if err := os.WriteFile(s.state.path(pcrsFile), data, 0o600); err != nil {
		return fmt.Errorf("measurements: %w", err)
	}
	_, err = s.Operate(ctx, append([]string{
		"domain", "create", id, "--key", s.KeyARN, "--pcrs", s.state.path(pcrsFile), "--configuration", digest,
		"--attestation-root-file", s.state.path(nsmRootFile),
	}, more...)...)
	return err
}

// Configuration returns the digest of the enclave's configuration, in hex, as the enclave attests it.
func (s *Stack) Configuration(ctx context.Context) (string, error) {
	nonce := make([]byte, 32)
	_, _ = rand.Read(nonce) // never fails
	var answer struct{ Document []byte }
	err := getJSON(ctx, "http://"+s.Addresses.Parent+"/v1/attestation?nonce="+hex.EncodeToString(nonce), &answer)
	if err != nil {
		return "", fmt.Errorf("attestation: %w", err)
	}
	pem, err := os.ReadFile(s.state.path(nsmRootFile))
	if err != nil {
		return "", fmt.Errorf("attestation: %w", err)
	}
	root, err := attest.ParseRoot(pem)
	if err != nil {
		return "", err
	}
	pcr0, err := attest.ParseMeasurement(s.state.pcrs[0])
	if err != nil {
		return "", err
	}
	doc, err := attest.Verify(answer.Document, attest.Options{
		Roots: []attest.Root{root}, Allowed: []attest.PCRs{{0: pcr0}}, Nonce: attest.Equal(nonce), UserData: attest.Present(),
	})
	if err != nil {
		return "", err
	}
	digest, ok := bytes.CutPrefix(doc.UserData, []byte(configurationHead))
	if !ok {
		return "", errors.New("the enclave attests no configuration")
	}
	return hex.EncodeToString(digest), nil
}

// StoreFile is the file of the API's embedded store.
func (s *Stack) StoreFile() string { return s.state.path(storeFile) }

// CommandError is a command of the API that did not end well.
type CommandError struct {
	Args   []string
	Code   int
	Stdout string
	Stderr string
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("api %s: exit %d: %s", strings.Join(e.Args, " "), e.Code, strings.TrimSpace(e.Stderr))
}

// Operate runs an operator's command of the API on the stack's store, by the API's socket while it serves, and returns
// what it printed. The error is a [*CommandError] if it did not end well.
func (s *Stack) Operate(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.opts.Bin, "api"), args...)
	cmd.Env = append(environment(), APIEnvironment()...)
	cmd.Env = append(cmd.Env, "API_STORE=bolt:"+s.StoreFile(), "API_REGION=us-east-1",
		"API_KMS_ENDPOINT=http://"+s.Addresses.KMS, "API_KMS_KEY="+s.KeyARN, "API_PARENT_URL=http://"+s.Addresses.Parent)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return stdout.String(), &CommandError{args, exit.ExitCode(), stdout.String(), stderr.String()}
	}
	return stdout.String(), err
}
