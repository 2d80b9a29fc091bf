package auth

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const policyText = `
rules:
  - principals: ["key:support", "group:helpdesk"]
    operations: [read, decrypt]
    fields: [email, city]
  - principals: ["key:support"]
    operations: [decrypt]
    fields: [ssn4]
    decrypt_rate: {per_second: 2, burst: 3}
  - principals: ["mtls:spiffe://example/admin/*"]
    operations: ["*"]
    fields: ["*"]
decrypt_rate: {per_second: 100}
`

func TestPolicyIsDefaultDeny(t *testing.T) {
	p, err := ParsePolicy([]byte(policyText))
	if err != nil {
		t.Fatal(err)
	}
	support := &Principal{Name: "key:support"}
	cases := []struct {
		pr     *Principal
		op     Operation
		fields []string
		ok     bool
	}{
		{support, OpDecrypt, []string{"email", "ssn4"}, true},
		{support, OpDecrypt, []string{"email", "ssn9"}, false},
		{support, OpRead, []string{"ssn4"}, false},
		{support, OpRead, nil, true},
		{support, OpUpdate, nil, false},
		{support, OpDelete, []string{AllFields}, false},
		{&Principal{Name: "key:support2"}, OpRead, nil, false},
		{&Principal{Name: "oidc:x", Groups: []string{"group:helpdesk"}}, OpDecrypt, []string{"city"}, true},
		{&Principal{Name: "oidc:x", Groups: []string{"group:helpdesk"}}, OpDecrypt, []string{"ssn4"}, false},
		{&Principal{Name: "mtls:spiffe://example/admin/ann"}, OpDelete, []string{AllFields}, true},
		{&Principal{Name: "mtls:spiffe://example/administrator"}, OpList, nil, false},
		{&Principal{}, OpList, nil, false},
		{&Principal{Name: "key:support", Scope: &Grant{Operations: []string{"read"}, Fields: []string{"*"}}}, OpDecrypt, []string{"email"}, false},
		{&Principal{Name: "key:support", Scope: &Grant{Operations: []string{"*"}, Fields: []string{"city"}}}, OpDecrypt, []string{"email"}, false},
	}
	for i, c := range cases {
		if err := p.Permit(c.pr, c.op, c.fields); c.ok != (err == nil) || err != nil && !errors.Is(err, ErrForbidden) {
			t.Errorf("case %d: %v", i, err)
		}
	}
}

func TestWithoutPolicyTheScopeDecides(t *testing.T) {
	var none *Policy
	scoped := &Principal{Name: "key:a", Scope: &Grant{Operations: []string{"decrypt"}, Fields: []string{"city"}}}
	if none.Permit(scoped, OpDecrypt, []string{"city"}) != nil || none.Permit(scoped, OpDecrypt, []string{"email"}) == nil {
		t.Error("scope not heeded")
	}
	if none.Permit(&Principal{Name: "oidc:x"}, OpList, nil) == nil {
		t.Error("a principal without scope was allowed something")
	}
	anonymous := Anonymous()
	if none.Permit(&anonymous, OpDelete, []string{AllFields}) != nil {
		t.Error("the anonymous caller of a loopback server was refused")
	}
}

func TestBadPoliciesAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"unknown key":       "rules: []\nallow: all\n",
		"no principals":     "rules: [{operations: [read], fields: ['*']}]\n",
		"unknown operation": "rules: [{principals: [a], operations: [reed], fields: ['*']}]\n",
		"no operations":     "rules: [{principals: [a], fields: ['*']}]\n",
		"zero rate":         "rules: [{principals: [a], operations: [read], decrypt_rate: {per_second: 0}}]\n",
		"negative rate":     "decrypt_rate: {per_second: -1}\n",
		"no number":         "decrypt_rate: {per_second: .nan}\n",
		"infinite":          "decrypt_rate: {per_second: .inf}\n",
		"huge":              "rules: [{principals: [a], operations: [read], decrypt_rate: {per_second: 1e300}}]\n",
		"tiny":              "decrypt_rate: {per_second: 1e-300}\n",
		"huge burst":        "decrypt_rate: {per_second: 1, burst: 10000000}\n",
		"a part of a burst": "rules: [{principals: [a], operations: [read], decrypt_rate: {per_second: 1, burst: 1.9}}]\n",
		"nothing":           "# nothing\n",
		"two documents":     "rules: []\n---\nrules: []\n",
		"infinite burst":    "decrypt_rate: {per_second: 1, burst: -.inf}\n",
	} {
		if _, err := ParsePolicy([]byte(text)); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
}

func TestAKeyFileWithABadRateIsRefused(t *testing.T) {
	for _, rate := range []string{`-1`, `0`, `1e300`, `1e-300`, `1,"burst":-1`} {
		path := filepath.Join(t.TempDir(), "keys.json")
		text := `[{"name":"a","id":"00","hash":"00","grant":{"operations":["*"],"fields":["*"]},"decrypt_rate":{"per_second":` +
			rate + `}}]`
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenKeyFile(path, time.Now); err == nil {
			t.Errorf("per_second %s was taken", rate)
		}
	}
}

func TestDecryptsAreLimitedPerPrincipal(t *testing.T) {
	p, err := ParsePolicy([]byte(policyText))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	l := NewLimiter(p, func() time.Time { return now })
	a, b := &Principal{Name: "key:support"}, &Principal{Name: "key:b"}
	for i := range 3 { // the burst
		if w := l.Wait(a); w != 0 {
			t.Fatalf("decrypt %d waits %v", i, w)
		}
	}
	if w := l.Wait(a); w != 500*time.Millisecond {
		t.Fatalf("fourth decrypt waits %v", w)
	}
	if w := l.Wait(b); w != 0 {
		t.Fatalf("another principal waits %v", w)
	}
	now = now.Add(500 * time.Millisecond)
	if w := l.Wait(a); w != 0 {
		t.Fatalf("after half a second: %v", w)
	}
	own := &Principal{Name: "key:c", Rate: &Rate{PerSecond: 0.1}}
	if l.Wait(own) != 0 || l.Wait(own) != 10*time.Second {
		t.Fatal("a key's own rate is not heeded")
	}
	if NewLimiter(nil, time.Now).Wait(a) != 0 {
		t.Fatal("limited without a limit")
	}
}

func TestLimiterIsBounded(t *testing.T) {
	p := &Policy{DecryptRate: &Rate{PerSecond: 1}}
	now := time.Unix(1_800_000_000, 0)
	l := NewLimiter(p, func() time.Time { return now })
	for i := range maxLimiters + 100 {
		l.Wait(&Principal{Name: fmt.Sprint(i)})
	}
	if n := len(l.buckets); n > maxLimiters {
		t.Fatalf("%d buckets", n)
	}
}

func keyFile(t *testing.T, now *time.Time) *KeyFile {
	t.Helper()
	k, err := OpenKeyFile(filepath.Join(t.TempDir(), "keys.json"), func() time.Time { return *now })
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyLivesUntilItIsRevokedOrExpires(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	k := keyFile(t, &now)
	grant := Grant{Operations: []string{"decrypt"}, Fields: []string{"city"}}
	token, err := k.Create("support", grant, &Rate{PerSecond: 5}, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Create("support", grant, nil, time.Time{}); !errors.Is(err, ErrKeyExists) {
		t.Fatalf("second key of one name: %v", err)
	}
	data, err := os.ReadFile(k.path)
	if err != nil {
		t.Fatal(err)
	}
	_, secret, _ := strings.Cut(strings.TrimPrefix(token, keyPrefix), "_")
	if strings.Contains(string(data), secret) {
		t.Fatal("the secret is in the file")
	}
	if info, _ := os.Stat(k.path); info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v", info.Mode())
	}
	pr, err := k.Authenticate(token)
	if err != nil || pr.Name != "key:support" || pr.Rate.PerSecond != 5 || pr.Scope.Fields[0] != "city" {
		t.Fatalf("principal %+v, %v", pr, err)
	}
	for _, bad := range []string{
		"", "rdk_", token[:len(token)-1], token + "A", "rdk_0000000000000000_" + secret, strings.ToUpper(token),
		strings.Replace(token, secret, strings.Repeat("A", len(secret)), 1),
	} {
		if _, err := k.Authenticate(bad); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%d characters: %v", len(bad), err)
		}
	}
	now = now.Add(time.Hour)
	if _, err := k.Authenticate(token); !errors.Is(err, ErrUnauthenticated) {
		t.Fatal("an expired key works")
	}
}

func TestRevokedKeyStopsWithinASecond(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	k := keyFile(t, &now)
	token, err := k.Create("a", Grant{Operations: []string{"*"}}, nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Authenticate(token); err != nil {
		t.Fatal(err)
	}
	other, err := OpenKeyFile(k.path, time.Now) // as the command line does beside the server
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Revoke("a"); err != nil {
		t.Fatal(err)
	}
	if err := other.Revoke("a"); !errors.Is(err, ErrKeyNotFound) {
		t.Fatalf("second revoke: %v", err)
	}
	now = now.Add(time.Second)
	if _, err := k.Authenticate(token); !errors.Is(err, ErrUnauthenticated) {
		t.Fatalf("err = %v", err)
	}
}

func TestBrokenKeyFileFailsClosed(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	k := keyFile(t, &now)
	token, err := k.Create("a", Grant{Operations: []string{"*"}}, nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Authenticate(token); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("against a broken file: %v", err)
	}
	if _, err := OpenKeyFile(k.path, time.Now); err == nil {
		t.Fatal("opened")
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(policyText))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if p, err := ParsePolicy(data); err == nil {
			_ = p.Permit(&Principal{Name: "key:a"}, OpDecrypt, []string{"city"})
		}
	})
}
