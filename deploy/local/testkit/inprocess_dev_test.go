//go:build dev

package testkit

import (
	"bytes"
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redoubt/wire/kit/test/proctest"
)

// inProcess runs tiers for the test's duration.
func inProcess(t *testing.T, opts Options, tiers ...string) *Tiers {
	t.Helper()
	for _, v := range apiCredentials {
		t.Setenv(v[0], v[1]) // InProcess sets them; this puts back what there was
	}
	k, err := InProcess(t.Context(), opts, tiers...)
	if err != nil {
		t.Fatalf("%v; log:\n%v", err, opts.Log)
	}
	t.Cleanup(func() {
		if err := k.Stop(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func ready(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
	defer cancel()
	for err := check(ctx); err != nil; err = check(ctx) {
		if ctx.Err() != nil {
			t.Fatal(what, err)
		}
		<-time.After(pollEvery)
	}
}

func post(t *testing.T, url, body string) (status int, answer string) {
	t.Helper()
	resp, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b.String()
}

func TestAllTiersRunInOneProcess(t *testing.T) {
	k := inProcess(t, Options{State: filepath.Join(t.TempDir(), "s"), FreePorts: true, Log: &proctest.Buffer{}},
		KMS, Enclave, Parent, API)
	if k.Parent.Address() != k.Addresses.Parent || k.API.Address() != k.Addresses.API {
		t.Errorf("serve on %s and %s, not on %+v", k.Parent.Address(), k.API.Address(), k.Addresses)
	}
	ready(t, "the api", func(ctx context.Context) error {
		return getJSON(ctx, "http://"+k.Addresses.API+"/ready", nil)
	})
	r, err := Seal(t.Context(), KMSClient(k.Addresses.KMS), RecordOptions{
		VaultID: "v_1", Context: true, Fields: map[string]string{"email": "ada@example.com"},
	})
	if err != nil {
		t.Fatal(err)
	}
	body, err := r.Request(nil).JSON()
	if err != nil {
		t.Fatal(err)
	}
	status, answer := post(t, "http://"+k.Addresses.Parent+"/v1/decrypt", string(body))
	if status != http.StatusOK || !strings.Contains(answer, `"email":"ada@example.com"`) {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer = post(t, "http://"+k.Addresses.API+"/v1/vaults", `{"email":"ada@example.com"}`); status != http.StatusOK {
		t.Errorf("%d %s", status, answer)
	}
}

// A set of tiers starts without the others: the stand-in here, and an enclave whose parent would be somewhere else.
func TestSomeTiersRunInOneProcess(t *testing.T) {
	k := inProcess(t, Options{State: filepath.Join(t.TempDir(), "s"), FreePorts: true}, KMS, Enclave)
	if k.Enclave == nil || k.Parent != nil || k.API != nil || k.KeyARN == "" {
		t.Errorf("%+v", k)
	}
}

func TestATierThatDoesNotStartLeavesNothingBehind(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	opts := Options{State: dir, FreePorts: true, ParentArgs: []string{"--max-connections", "0"}}
	if _, err := InProcess(t.Context(), opts, KMS, Enclave, Parent); err == nil {
		t.Fatal("a parent without connections starts")
	}
	opts.ParentArgs = nil
	inProcess(t, opts, KMS, Enclave, Parent) // the folder is free again
}
