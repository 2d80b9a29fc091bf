package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/wire/kit/program"
)

const policyText = `version: 3
issued: 2026-01-01T00:00:00Z
not_after: 9999-01-01T00:00:00Z
callers:
  api_keys: [{id: billing, sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855, domains: ["acme.*"]}]
tenants: [acme]
classes: {ssn: {kind: sealed, domain: acme.pii, views: {last4: "value.last(4)"}}}
views: {last4: {from: [ssn9], cel: "ssn9.last(4)"}}
rules:
  - {principals: ["key:billing"], domains: ["acme.*"], operations: [decrypt], raw: [email], views: [last4], purposes: [invoice],
     classes: {ssn: {operations: [detokenize], raw: true, views: [last4]}}, tenants: [acme],
     decrypt_rate: {per_second: 50, per_day: 100}}
`

const policyCases = `cases:
  - {name: mail, principal: "key:billing", domain: acme.pii, operation: decrypt, purpose: invoice, fields: [email], expect: allow}
  - {name: number, principal: "key:billing", domain: acme.pii, operation: decrypt, purpose: invoice, fields: [ssn9], expect: refuse}
`

// apiRun runs a command line, and returns what it prints.
func apiRun(t *testing.T, args ...string) (status int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	status = Main(args, "v1", strings.NewReader(""), &o, &e)
	return status, o.String(), e.String()
}

// wantRun wants the status, and each word on standard output or, where it fails, on standard error.
func wantRun(t *testing.T, status int, words string, args ...string) string {
	t.Helper()
	got, out, errOut := apiRun(t, args...)
	all := out + errOut
	for _, w := range strings.Split(words, "|") {
		if !strings.Contains(all, w) {
			t.Errorf("%v: %q does not say %q", args, all, w)
		}
	}
	if got != status {
		t.Errorf("%v: status %d, want %d: %s", args, got, status, all)
	}
	return out
}

func TestAPolicyIsSignedVerifiedAndAsked(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if text != "" {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	plain, cases := file("policy.yaml", policyText), file("cases.yaml", policyCases)
	key1, key2, once, twice := file("1.key", ""), file("2.key", ""), file("once", ""), file("twice", "")
	public1 := strings.TrimSpace(wantRun(t, program.OK, "first+", "policy", "key", "first", key1))
	public2 := strings.TrimSpace(wantRun(t, program.OK, "second+", "policy", "key", "second", key2))
	if info, err := os.Stat(key1); err != nil || info.Mode().Perm() != 0o600 {
		t.Error("the private key is not its owner's alone")
	}
	wantRun(t, program.Failed, "hint: a key is never overwritten", "policy", "key", "first", key1)
	wantRun(t, program.Usage, "no spaces", "policy", "key", "a b", file("3.key", ""))

	wantRun(t, program.OK, "signed by first", "policy", "sign", plain, "--key", key1, "--out", once)
	wantRun(t, program.OK, "signed by first, second", "policy", "sign", once, "--key", key2, "--out", twice)
	wantRun(t, program.OK, "version: 3|— first |— second ", "policy", "sign", plain, "--key", key1, "--key", key2)
	wantRun(t, program.Failed, "hint: make one with", "policy", "sign", plain, "--key", cases)
	wantRun(t, program.Failed, "no such file", "policy", "sign", plain, "--key", file("none", ""))
	wantRun(t, program.Failed, "version is missing", "policy", "sign", file("bad.yaml", "rules: []\n"), "--key", key1)
	wantRun(t, program.Failed, "no such file", "policy", "sign", file("none", ""), "--key", key1)

	wantRun(t, program.Failed, "no such file", "policy", "sign", plain, "--key", key1, "--out", filepath.Join(dir, "none", "x"))

	both := []string{"--key", public1, "--key", public2, "--threshold", "2"}
	wantRun(t, program.OK, "version 3|good", append([]string{"policy", "verify", twice}, both...)...)
	wantRun(t, program.Failed, "too few", append([]string{"policy", "verify", once}, both...)...)
	wantRun(t, program.Failed, "too few", append([]string{"policy", "verify", plain}, both...)...)
	wantRun(t, program.Failed, "version", append([]string{"policy", "verify", twice, "--min-version", "4"}, both...)...)
	wantRun(t, program.Failed, "older than policies may be", append([]string{"policy", "verify", twice, "--max-age", "1s"}, both...)...)
	wantRun(t, program.Failed, "hint: each --key", "policy", "verify", once, "--key", public1, "--threshold", "2")
	wantRun(t, program.Usage, "--threshold must be", "policy", "verify", once, "--key", public1, "--threshold", "0")
	wantRun(t, program.Usage, "--max-age must be", "policy", "verify", once, "--key", public1, "--max-age=-1s")
	wantRun(t, program.Failed, "longer than", "policy", "verify", file("long", strings.Repeat("#", 1_000_001)), "--key", public1)
	wantRun(t, program.Failed, "no such file", "policy", "verify", file("none", ""), "--key", public1)

	show := wantRun(t, program.OK, "version 3|signatures (not checked) of first, second|caller key:billing in acme.*|"+
		"view last4 of ssn9: ssn9.last(4)|rule 0: key:billing; decrypt in acme.*; raw email; views last4; tokens ssn: detokenize, raw, view last4; "+
		"tenants acme; for invoice; 50 vaults a second; 100 vaults a day", "policy", "show", twice)
	if strings.Contains(show, "e3b0c442") {
		t.Error("a hash of a secret is shown")
	}
	wantRun(t, program.Failed, "not YAML", "policy", "show", file("broken", "a: [\n"))

	wantRun(t, program.OK, "2 of 2 cases hold", "policy", "test", plain, cases)
	wrong := file("wrong.yaml", strings.ReplaceAll(policyCases, "expect: refuse", "expect: allow"))
	wantRun(t, program.Failed, "wrong.yaml: number: field ssn9: refused, and should be allowed|3 of 4 cases hold|not all cases hold",
		"policy", "test", twice, cases, wrong)
	wantRun(t, program.Failed, "bad.yaml: policy", "policy", "test", plain, file("bad.yaml", ""))
	wantRun(t, program.Failed, "no cases", "policy", "test", plain, file("empty.yaml", "cases: []\n"))
	wantRun(t, program.Failed, "no such file", "policy", "test", plain, file("none", ""))
	wantRun(t, program.Failed, "no such file", "policy", "test", file("none", ""), cases)

	ask := []string{"policy", "explain", plain, "--principal", "key:billing"}
	wantRun(t, program.OK, "decrypt: allowed by rule 0|field email: allowed by rule 0|field ssn9: refused|view last4: allowed by rule 0",
		append(ask, "--operation", "decrypt", "--domain", "acme.pii", "--purpose", "invoice", "--fields", "email,ssn9", "--views", "last4")...)
	wantRun(t, program.OK, "decrypt: refused|rule 0 does not apply: purposes", append(ask, "--operation", "decrypt", "--domain", "acme.pii")...)
	wantRun(t, program.OK, "detokenize: allowed by rule 0|raw: allowed by rule 0",
		append(ask, "--operation", "detokenize", "--class", "ssn", "--tenant", "acme", "--purpose", "invoice", "--raw")...)
	wantRun(t, program.Failed, "no such file", "policy", "explain", file("none", ""), "--principal", "a", "--operation", "decrypt", "--domain", "d")
	wantRun(t, program.OK, "rule 0 does not apply: principals", "policy", "explain", plain, "--principal", "sig:x", "--operation", "mint", "--class", "ssn", "--raw")
	wantRun(t, program.Usage, "--operation", append(ask, "--operation", "all", "--domain", "d")...)
	wantRun(t, program.Usage, "--domain or --class", append(ask, "--operation", "decrypt")...)
	wantRun(t, program.Failed, "no such class", append(ask, "--operation", "decrypt", "--class", "none")...)
}

func TestResultsAboutPoliciesAreJSONWhereAsked(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "policy.yaml")
	cases := filepath.Join(t.TempDir(), "cases.yaml")
	for path, text := range map[string]string{plain: policyText, cases: policyCases} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for want, args := range map[string][]string{
		`"version":3`:    {"policy", "show", plain},
		`"cases":2`:      {"policy", "test", plain, cases},
		`"allowed":true`: {"policy", "explain", plain, "--principal", "key:billing", "--operation", "decrypt", "--domain", "acme.x", "--purpose", "invoice"},
	} {
		status, out, errOut := apiRun(t, append(args, "--json")...)
		if status != program.OK || !json.Valid([]byte(out)) || !strings.Contains(out, want) {
			t.Errorf("%v: %d %s %s", args, status, out, errOut)
		}
	}
}
