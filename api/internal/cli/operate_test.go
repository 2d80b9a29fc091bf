package cli

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/domainadmin"
	"redoubt/api/internal/domains"
	"redoubt/api/internal/resealjob"
	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
	"redoubt/api/internal/store/bolt"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/attesttest"
)

// operated is a server of an embedded store, as far as operators reach it: by its socket.
type operated struct {
	*testing.T
	store  *bolt.Store
	socket string
	vault  *vault.Service
	world  *apitest.World
	maker  *apitest.DomainMaker
	reg    *domains.Registry
}

func newOperated(t *testing.T) *operated {
	t.Helper()
	dir := t.TempDir()
	o := &operated{
		T: t, socket: filepath.Join(dir, "s"), world: apitest.NewWorld(), maker: apitest.NewDomainMaker(t),
	}
	var err error
	if o.store, err = bolt.Open(filepath.Join(dir, "db"), bolt.Options{}); err != nil {
		t.Fatal(err)
	}
	o.reg = domains.New(o.store, o.world)
	o.vault, err = vault.New(vault.Config{
		Store: o.store, Keys: o.world, Opener: o.world, Schema: schema.Default(), Suite: sealed.P256,
		Encoding: sealed.EncodingRecord, KeyConfig: vault.KeyConfig{
			Mode: vault.KeysDomain, Domains: o.reg, Enclave: o.world, Domain: "acme", Inline: true,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "unix", o.socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{
		Handler: adminHandler(o.store, o.vault.Replace, &operator{vault: o.vault, admin: &domainadmin.Admin{
			Store: o.store, Registry: domains.New(o.store, o.maker), KMS: o.maker, MACs: o.maker, Enclave: o.maker,
			Journal: o.vault,
		}}, adminStall, slog.New(slog.DiscardHandler)), ReadHeaderTimeout: readHeaderTimeout,
	}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		_ = o.vault.Close(context.Background())
		_ = o.store.Close()
	})
	return o
}

// generation adds a generation of acme, the domain of the service's vaults.
func (o *operated) generation(n uint16) {
	o.Helper()
	record, err := o.world.Make("acme", n, sealed.P256)
	if err == nil {
		_, err = o.reg.Add(o.Context(), record, nil)
	}
	if err != nil {
		o.Fatal(err)
	}
}

func (o *operated) run(args ...string) (out, errOut string, code int) {
	o.Helper()
	var stdout, stderr bytes.Buffer
	args = append(args, "--admin", o.socket, "--store", "bolt:"+filepath.Join(filepath.Dir(o.socket), "db"))
	code = Main(args, "test", strings.NewReader(""), &stdout, &stderr)
	return strings.TrimSpace(stdout.String()), stderr.String(), code
}

func (o *operated) must(args ...string) string {
	o.Helper()
	out, errOut, code := o.run(args...)
	if code != 0 {
		o.Fatalf("%v: exit %d: %s", args, code, errOut)
	}
	return out
}

func (o *operated) create(n int) (ids []string) {
	o.Helper()
	me := (&operation{Operator: "test"}).caller()
	for range n {
		made, err := o.vault.Create(o.Context(), me, &vault.CreateRequest{Values: map[string]string{"city": "Bern"}})
		if err != nil {
			o.Fatal(err)
		}
		ids = append(ids, made.ID)
	}
	return ids
}

// files writes measurements and the root of the documents, and returns the flags of a creation.
func (o *operated) files() []string {
	o.Helper()
	dir := o.TempDir()
	m := map[string]string{}
	for i, v := range attesttest.DefaultPCRs() {
		m[fmt.Sprintf("PCR%d", i)] = v.String()
	}
	data, err := json.Marshal(map[string]any{"Measurements": m})
	pcrs, root := filepath.Join(dir, "pcrs.json"), filepath.Join(dir, "root.pem")
	if err = errors.Join(err, os.WriteFile(pcrs, data, 0o600), os.WriteFile(root, o.maker.Authority.RootCertPEM(), 0o600)); err != nil {
		o.Fatal(err)
	}
	return []string{"--pcrs", pcrs, "--configuration", hex.EncodeToString(o.maker.Digest[:]), "--attestation-root-file", root}
}

const keyA, keyB = "arn:aws:kms:us-east-1:111122223333:key/a", "arn:aws:kms:us-east-1:111122223333:key/b"

func TestADomainIsKeptByTheCommandLine(t *testing.T) {
	o := newOperated(t)
	flags := o.files()
	evidence, exported := filepath.Join(t.TempDir(), "evidence"), filepath.Join(t.TempDir(), "acme.json")
	out := o.must(append([]string{
		"domain", "create", "acme", "--key", keyA, "--key", keyB, "--suites", "X-Wing,P-384",
		"--evidence", evidence,
	}, flags...)...)
	if !strings.HasPrefix(out, "made acme generation 1, active: X-Wing P-384, 2 wraps, ") || !strings.Contains(out, "api domain export acme") {
		t.Errorf("create: %s", out)
	}
	if data, err := os.ReadFile(evidence); err != nil || len(data) == 0 {
		t.Errorf("evidence: %v", err)
	}
	o.must("domain", "export", "acme", exported)
	o.must(append([]string{"domain", "create", "acme", "--key", keyA}, flags...)...)
	o.must("domain", "wrap", "acme", "--key", keyB)
	o.must("domain", "retire", "acme", "--generation", "1")
	var list struct{ Domains []domainadmin.Status }
	if err := json.Unmarshal([]byte(o.must("domain", "list", "--json")), &list); err != nil || len(list.Domains) != 2 ||
		list.Domains[0].State != "retired" || len(list.Domains[1].Wraps) != 2 || !list.Domains[1].Believed {
		t.Errorf("list: %+v, %v", list, err)
	}
	if out := o.must("domain", "show", "acme", "--generation", "2"); !strings.Contains(out, keyB) || strings.Contains(out, "generation 1") {
		t.Errorf("show: %s", out)
	}
	o.must("domain", "import", exported) // what is there stays
	o.must("domain", "check", "acme")
	o.maker.Denied[keyB] = true
	out, errOut, code := o.run("domain", "check")
	if code != 1 || !strings.Contains(out, keyB+" DOES NOT OPEN") || !strings.Contains(out, "2 with a problem") ||
		!strings.Contains(errOut, "hint:") {
		t.Errorf("check with a denied key: exit %d: %s %s", code, out, errOut)
	}
}

func TestEachRefusalAboutADomainSaysWhatToDo(t *testing.T) {
	o := newOperated(t)
	flags := o.files()
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no measurements":       {[]string{"domain", "create", "acme", "--key", keyA}, 2, "missing flags"},
		"another configuration": {append([]string{"domain", "create", "acme", "--key", keyA}, append(flags[:2:2], "--configuration", strings.Repeat("0", 64), flags[4], flags[5])...), 1, "hint: is this the image"},
		"half a digest":         {append([]string{"domain", "create", "acme", "--key", keyA}, append(flags[:2:2], "--configuration", "00")...), 1, "hint: give --pcrs"},
		"no such domain":        {[]string{"domain", "show", "none"}, 1, "hint: see them with: api domain list"},
		"nothing to wrap":       {[]string{"domain", "wrap", "none", "--key", keyA}, 1, "hint: see them with: api domain list"},
		"no generation":         {[]string{"domain", "retire", "acme"}, 2, "missing flags"},
		"not an export":         {[]string{"domain", "import", flags[1]}, 1, "hint: give a file that api domain export wrote"},
	} {
		if _, errOut, code := o.run(c.args...); code != c.code || !strings.Contains(errOut, c.says) {
			t.Errorf("%s: exit %d: %s", name, code, errOut)
		}
	}
	if out := o.must("domain", "list"); out != "no domains" {
		t.Errorf("after all: %s", out)
	}
}

func TestAllVaultsGetAKeyOfTheNextGenerationByTheCommandLine(t *testing.T) {
	o := newOperated(t)
	o.generation(1)
	ids := o.create(5)
	if out := o.must("reseal"); !strings.Contains(out, "5 vaults: 0 resealed, 0 due, 5 current") {
		t.Errorf("nothing to do: %s", out)
	}
	o.generation(2)
	o.must("vault", "reseal", ids[0])
	if out := o.must("reseal", "--dry-run"); !strings.Contains(out, "0 resealed, 4 due, 1 current") {
		t.Errorf("dry run: %s", out)
	}
	var report resealjob.Report
	if err := json.Unmarshal([]byte(o.must("reseal", "--json", "--resume", filepath.Join(t.TempDir(), "place"), "--drop-keys")), &report); err != nil ||
		report.Outcomes[resealjob.Resealed] != 4 || !report.Complete || report.Failed() != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	me := (&operation{Operator: "test"}).caller()
	for _, id := range ids {
		got, err := o.vault.Decrypt(t.Context(), me, &vault.DecryptRequest{ID: id, Fields: []string{"city"}, Reason: "test"})
		if err != nil || string(got.Data["city"]) != `"Bern"` {
			t.Errorf("%s: %v", id, err)
		}
	}
	if out := o.must("vault", "reseal", ids[1]); !strings.HasPrefix(out, "current, epoch 2") {
		t.Errorf("again: %s", out)
	}
	if out := o.must("vault", "reseal", ids[1], "--force"); out != "resealed, epoch 3" {
		t.Errorf("forced: %s", out)
	}
	if _, errOut, code := o.run("vault", "reseal", "v_none"); code != 1 || !strings.Contains(errOut, "not found") {
		t.Errorf("no such vault: exit %d: %s", code, errOut)
	}
}

func TestAVaultWhoseFieldDoesNotOpenIsReportedAndLeft(t *testing.T) {
	o := newOperated(t)
	o.generation(1)
	ids := o.create(2)
	r, err := o.store.Get(t.Context(), ids[0])
	if err != nil {
		t.Fatal(err)
	}
	o.spoil(ids[0], r.Modified)
	o.generation(2)
	out, errOut, code := o.run("reseal")
	if code != 1 || !strings.Contains(out, ids[0]+": unopened: city") || !strings.Contains(out, "1 resealed") || !strings.Contains(errOut, "--drop FIELD") {
		t.Errorf("exit %d: %s %s", code, out, errOut)
	}
	if _, errOut, code := o.run("vault", "reseal", ids[0]); code != 1 || !strings.Contains(errOut, "city") || !strings.Contains(errOut, "hint: nothing was changed") {
		t.Errorf("exit %d: %s", code, errOut)
	}
	if out := o.must("vault", "reseal", ids[0], "--drop", "city"); out != "resealed, epoch 2, given up: city" {
		t.Error(out)
	}
}

func TestAProofOfErasureSaysWhatItDoesNotCover(t *testing.T) {
	o := newOperated(t)
	o.generation(1)
	id := o.create(1)[0]
	if _, errOut, code := o.run("vault", "erased", id); code != 1 || !strings.Contains(errOut, "no proof") {
		t.Errorf("before: exit %d: %s", code, errOut)
	}
	me := (&operation{Operator: "test"}).caller()
	if err := o.vault.Delete(t.Context(), me, &vault.DeleteRequest{ID: id, All: true}); err != nil {
		t.Fatal(err)
	}
	out := o.must("vault", "erased", id)
	for _, part := range []string{"erased at ", "by operator:test", "key ", "not covered:", "hostile parent", "backups of keys", "disk's blocks"} {
		if !strings.Contains(out, part) {
			t.Errorf("%q is not in: %s", part, out)
		}
	}
	var proof struct {
		Keys       []string
		NotCovered []string `json:"not_covered"`
	}
	if err := json.Unmarshal([]byte(o.must("vault", "erased", id, "--json")), &proof); err != nil || len(proof.Keys) != 1 ||
		len(proof.Keys[0]) != 96 || len(proof.NotCovered) < 4 {
		t.Errorf("%+v, %v", proof, err)
	}
	if out := o.must("reseal"); !strings.HasPrefix(out, "0 vaults") {
		t.Errorf("a job afterwards: %s", out)
	}
}

// A server that went away between two calls is an outage, and not the end of the job.
func TestWhatMayPassIsToldFromWhatMayNot(t *testing.T) {
	o := newOperated(t)
	o.generation(1)
	id := o.create(1)[0]
	o.generation(2)
	o.world.Fail(vault.ErrAudit)
	_, err := remote(t.Context(), o.socket, "test", &operation{Op: opReseal, Vault: id})
	if !errors.Is(err, resealjob.ErrTransient) {
		t.Errorf("%v", err)
	}
	o.world.Fail(nil)
	if _, err := remote(t.Context(), o.socket, "test", &operation{Op: "unheard of"}); err == nil || errors.Is(err, resealjob.ErrTransient) {
		t.Errorf("%v", err)
	}
}

// spoil changes a byte of a vault's field, as a damaged disk does.
func (o *operated) spoil(id string, revision int64) {
	o.Helper()
	r, err := o.store.Get(o.Context(), id)
	if err != nil {
		o.Fatal(err)
	}
	blob := bytes.Clone(r.Fields["city"].Blob)
	blob[len(blob)-1] ^= 1
	if err := o.store.Update(o.Context(), &store.Update{
		ID: id, Revision: revision, Modified: revision + 1, Keyed: true, Set: map[string]store.Value{"city": {Blob: blob}},
	}, nil); err != nil {
		o.Fatal(err)
	}
}
