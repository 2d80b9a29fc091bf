//go:build attack

package attack

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"redoubt/wire"
	"redoubt/wire/parentapi"
)

// fromOutside says, for each flag that opens a listener or names a peer or a file, which attack speaks there, or why none
// does. The reason begins with "none: ".
var fromOutside = map[string]string{
	"parent --listen": "AttackParent", "parent --metrics-listen": "AttackParent", "parent --tls-cert": "AttackEdge",
	"parent --tls-key": "AttackEdge", "parent --api-keys-file": "AttackEdge", "parent --proxy-protocol-from": "AttackEdge",
	"parent --enclave": "AttackParentFromBelow", "parent --kms-egress": "AttackParentFromBelow", "parent --imds-endpoint": "AttackMetadata",
	"parent --tls-client-ca":           "none: the same TLS; who has no certificate gets no further than AttackEdge does",
	"parent --eif":                     "none: read by nitro-cli alone",
	"parent --probe-file":              "none: the operator's own, of a closed form that its fuzzer reads",
	"parent --static-credentials-file": "none: the operator's own; the same JSON as in AttackMetadata",
	"parent --metrics-keys-file":       "none: the same lines and the same reader as --api-keys-file",
	"parent --otlp-endpoint":           "none: only the status of the collector's answer is read",
	"parent --otlp-headers-file":       "none: the operator's own, read once",
	"parent --otlp-ca-file":            "none: the operator's own, read once",
	"api --listen":                     "AttackAPI", "api --metrics-listen": "AttackAPI", "api --store": "AttackStore", "api --dynamodb-endpoint": "AttackStore",
	"api --schema": "AttackFiles", "api --policy": "AttackFiles",
	"api --admin":             "none: a socket of mode 0600 for its own user, who may read the store itself",
	"api --parent-url":        "none: the parent is trusted with what it answers; FuzzReadResult reads its answers",
	"api --kms-endpoint":      "none: the AWS SDK reads the answers, which AttackKMS falsifies for the enclave by the same SDK",
	"api --parent-token-file": "none: the operator's own", "api --parent-ca-file": "none: the operator's own",
	"api --parent-cert-file": "none: the operator's own", "api --parent-key-file": "none: the operator's own",
	"api --oidc-issuer":   "none: the operator's identity provider may name any caller by itself",
	"api --oidc-jwks-url": "none: the operator's identity provider may name any caller by itself",
	"api --keys":          "none: the operator's own, of a closed form",
	"api --tls-cert-file": "none: AttackEdge speaks to the same TLS of Go", "api --tls-key-file": "none: the operator's own",
	"api --client-ca-file":        "none: the operator's own",
	"api --audit-checkpoint-file": "none: it is written and never read",
	"api --otlp-endpoint":         "none: only the status of the collector's answer is read",
	"api --otlp-headers-file":     "none: the operator's own, read once", "api --otlp-ca-file": "none: the operator's own, read once",
}

// flagOf finds a flag with what it takes in deploy/REFERENCE.md.
var flagOf = regexp.MustCompile("^\\| `(--[a-z0-9-]+)=([^`]*)`")

// TestEveryFlagThatReachesOutIsAttacked: a new listener, peer or file of parent or `api serve` is in the list above.
func TestEveryFlagThatReachesOutIsAttacked(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "deploy/REFERENCE.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("tables_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"http_test.go", "edge_test.go", "servers_test.go", "files_test.go", "session_test.go"} {
		more, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tests = append(tests, more...)
	}
	program, seen := "", map[string]bool{}
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "## parent"):
			program = "parent"
		case strings.HasPrefix(line, "### `api serve`"):
			program = "api"
		case strings.HasPrefix(line, "## ") || strings.HasPrefix(line, "### "):
			program = ""
		}
		m := flagOf.FindStringSubmatch(line)
		if program == "" || m == nil {
			continue
		}
		outside := slices.ContainsFunc([]string{"HOST:PORT", "URL", "FILE", "CIDR", "bolt:", "http"}, func(kind string) bool { return strings.Contains(m[2], kind) }) ||
			strings.HasSuffix(m[1], "-listen") || strings.HasSuffix(m[1], "-endpoint") || strings.HasSuffix(m[1], "-url")
		if !outside {
			continue
		}
		name := program + " " + m[1]
		seen[name] = true
		how := fromOutside[name]
		if how == "" {
			t.Errorf("%s reaches outside the program: attack it, or say in fromOutside why not", name)
		}
		if !strings.HasPrefix(how, "none: ") && !strings.Contains(string(tests), "func Test"+how+"(") {
			t.Errorf("%s: there is no Test%s", name, how)
		}
	}
	for name := range fromOutside {
		if !seen[name] {
			t.Errorf("%s is no flag that reaches outside", name)
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d flags were found", len(seen))
	}
}

// TestEveryRowIsAttacked: each route, message, type of stream and feature of the product's tables is part of an attack's
// grammar, and so are the keys of its files.
func TestEveryRowIsAttacked(t *testing.T) {
	p := readProtocol()
	for name := range p.kinds {
		if body, ok := kindMessages[name]; !ok {
			t.Errorf("wire.%s: say in kindMessages which message it carries", name)
		} else if body != "" && len(p.vectors[body]) == 0 {
			t.Errorf("wire.%s: %s has no vector", name, body)
		}
	}
	for name := range kindMessages {
		if _, ok := p.kinds[name]; !ok {
			t.Errorf("%s is no kind", name)
		}
	}
	for _, n := range numbers(t) {
		if n.family == "wire.Features" && !wire.AllFeatures().Has(wire.Features(n.value)) {
			t.Errorf("no hello of an attack announces %s", n.name)
		}
	}
	if len(p.kinds) < 10 || len(p.streams) < 4 {
		t.Errorf("%d kinds and %d types of streams were read", len(p.kinds), len(p.streams))
	}

	r := shared.get(t)
	operations, schemas := r.operations()
	said := map[string]bool{}
	sent := map[wire.Kind]bool{}
	for i := range 400 {
		g := newGen(1, "rows", i)
		g.odds = 0
		q := r.parentRequest(g, "h")
		path, _, _ := strings.Cut(q.target, "?")
		said["parent "+q.method+" "+path] = true
		o := r.apiRequest(g, operations, schemas)
		path, _, _ = strings.Cut(strings.TrimPrefix(o.target, "/v1"), "?")
		path = regexp.MustCompile(`^/vaults/[^/]+`).ReplaceAllString(path, "/vaults/{id}")
		path = regexp.MustCompile(`^/domains/[^/]+`).ReplaceAllString(path, "/domains/{dh}")
		said["api "+o.method+" "+strings.TrimSuffix(path, "/")] = true
		for _, says := range [][][]byte{r.parentSays(g), r.enclaveSays(g)} {
			for kind := range messages(slices.Concat(says...)) {
				sent[kind] = true
			}
		}
	}
	for _, route := range parentapi.Routes {
		if !said["parent "+route.Method+" "+route.Path] {
			t.Errorf("no attack asks the parent for %s %s", route.Method, route.Path)
		}
	}
	for _, o := range operations {
		if !said["api "+o.method+" "+o.path] {
			t.Errorf("no attack asks the API for %s %s", o.method, o.path)
		}
	}
	for name, kind := range p.kinds {
		if !sent[kind] {
			t.Errorf("no attack sends %s", name)
		}
	}

	text, err := os.ReadFile(filepath.Join(root, "deploy/REFERENCE.md"))
	if err != nil {
		t.Fatal(err)
	}
	for kind, file := range files {
		_, rows, found := strings.Cut(string(text), "<!-- generated: "+kind+" -->")
		rows, _, _ = strings.Cut(rows, "<!-- end")
		keys := regexp.MustCompile("(?m)^\\| `([a-z_.\\[\\]]+)`").FindAllStringSubmatch(rows, -1)
		if !found || len(keys) < 3 {
			t.Errorf("%d keys of %s in the reference", len(keys), kind)
		}
		for _, k := range keys {
			name := k[1][strings.LastIndex(k[1], ".")+1:]
			if !strings.Contains(file, strings.TrimSuffix(name, "[]")) {
				t.Errorf("the %s that is mutated has no %s", kind, k[1])
			}
		}
	}
}
