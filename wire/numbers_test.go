package wire_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"redoubt/wire"
)

// numbersFile holds every number that a peer, a stored record or a scrape may know: "package type number name", sorted.
const numbersFile = "testdata/numbers.txt"

var writeNumbers = flag.Bool("write-numbers", false, "add new numbers to "+numbersFile+" and features to doc.go; none is changed or removed")

// numbered are the packages whose constants travel or are stored.
var numbered = []string{".", "kit/sealed", "session"}

// unnamedTypes are prefixes of constants without a type of their own that travel all the same: extension tags, bits, and
// bounds, since a peer refuses what is beyond its own.
var unnamedTypes = []string{"ext", "req", "field", "Max", "Min"}

// computed are not held: counts, sums of bits that are listed by themselves, and the versions, which move by design.
var computed = []string{
	"codeCount", "expressionKinds", "reqKnown", "fieldKnown", "HealthReady", "MaxSuite", "MaxEncSize", "MinVersion",
	"MaxVersion",
}

// TestNoNumberOnTheWireChanges compares all constants of the packages above with the file. A number that is there has
// its meaning for ever: peers of other releases, stored records and dashboards rely on it.
func TestNoNumberOnTheWireChanges(t *testing.T) {
	t.Parallel()
	var now []string
	for _, dir := range numbered {
		now = append(now, numbers(t, dir)...)
	}
	slices.Sort(now)
	text, err := os.ReadFile(numbersFile)
	if err != nil && !*writeNumbers {
		t.Fatal(err)
	}
	golden := strings.Split(strings.TrimSpace(string(text)), "\n")
	var added []string
	for _, line := range now {
		if !slices.Contains(golden, line) {
			added = append(added, line)
		}
	}
	for _, line := range golden {
		if line != "" && !slices.Contains(now, line) {
			t.Errorf("%s: was on the wire, and is no more", line)
		}
	}
	if t.Failed() || len(added) == 0 {
		return
	}
	if !*writeNumbers {
		t.Fatalf("new numbers: look at them, then go test ./wire -run %s -write-numbers\n%s",
			t.Name(), strings.Join(added, "\n"))
	}
	if err := os.WriteFile(numbersFile, []byte(strings.Join(now, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// numbers lists the constants of a package. Other packages are not read: no number depends on them.
func numbers(t *testing.T, dir string) []string {
	t.Helper()
	fset := token.NewFileSet()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	cfg := types.Config{
		Importer:         importer.ForCompiler(fset, "none", nil),
		Error:            func(error) {},
		IgnoreFuncBodies: true,
	}
	pkg, _ := cfg.Check(dir, fset, files, nil)
	var list []string
	for _, name := range pkg.Scope().Names() {
		c, ok := pkg.Scope().Lookup(name).(*types.Const)
		if !ok || c.Val().Kind() != constant.Int {
			continue
		}
		if typ, ok := typeOf(pkg, c); ok && !slices.Contains(computed, name) {
			list = append(list, fmt.Sprintf("%s %3s %s", typ, c.Val().ExactString(), name))
		}
	}
	if len(list) == 0 {
		t.Fatalf("%s: no number found", dir)
	}
	return list
}

// typeOf is the name of a constant's type if it travels.
func typeOf(pkg *types.Package, c *types.Const) (string, bool) {
	if n, ok := c.Type().(*types.Named); ok && n.Obj().Pkg() == pkg {
		return pkg.Name() + "." + n.Obj().Name(), true
	}
	for _, p := range unnamedTypes {
		if rest, ok := strings.CutPrefix(c.Name(), p); ok && rest != "" && rest[0] >= 'A' && rest[0] <= 'Z' {
			return pkg.Name() + "." + p, true
		}
	}
	return "", false
}

// TestTheDocumentHasTheBounds compares the numbers in brackets of the package's doc with the constants.
func TestTheDocumentHasTheBounds(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("list[%d] of field:", wire.MaxFields), fmt.Sprintf("list[%d] of expression:", wire.MaxExpressions),
		fmt.Sprintf("list[%d] of result:", wire.MaxResults), fmt.Sprintf("bytes[%d] vault id, empty", wire.MaxVaultID),
		fmt.Sprintf("bytes[%d] vault id, bytes[%d] region, bytes[%d] wrapped key", wire.MaxVaultID, wire.MaxRegion,
			wire.MaxWrappedKey),
		fmt.Sprintf("bytes[%d] name, bytes[%d] source", wire.MaxName, wire.MaxExpression),
		fmt.Sprintf("in DER [%d]", wire.MaxReplyKey), fmt.Sprintf("caller token [%d]", wire.MaxCallerToken),
		fmt.Sprintf("bytes[%d] build id", wire.MaxBuildID), fmt.Sprintf("enclave id [%d]", wire.MaxEnclaveID),
		fmt.Sprintf("PCR index below %d and its value [%d]", wire.MaxPCRs, wire.MaxPCR),
		fmt.Sprintf("bytes[%d] access key id", wire.MaxCredential), fmt.Sprintf("bytes[%d] secret", wire.MaxCredential),
		fmt.Sprintf("bytes[%d] session token", wire.MaxSessionToken),
		fmt.Sprintf("list[%d] of: uv id", wire.MaxStats), fmt.Sprintf("list[%d] of histogram", wire.MaxStats),
		fmt.Sprintf("list[%d] of uv count per bucket", wire.MaxBuckets),
		fmt.Sprintf("bytes[%d..%d] nonce", wire.MinNonce, wire.MaxNonce),
		fmt.Sprintf("bytes[%d] document", wire.MaxDocument), fmt.Sprintf("bytes[%d] text", wire.MaxLogText),
		fmt.Sprintf("list[%d] of: bytes[%d] key", wire.MaxLogNumbers, wire.MaxLogKey),
		fmt.Sprintf("bytes[%d] id, u16 generation, list[%d] of u8 suite, list[%d] of u8", wire.MaxDomainID, wire.MaxSuites,
			wire.MaxRequestSuites),
		fmt.Sprintf("list[%d] of data key: bytes[%d] ARN, bytes[%d] ciphertext", wire.MaxDataKeys,
			wire.MaxKeyARN, wire.MaxWrappedKey),
		fmt.Sprintf("u8 count 1..%d", wire.MaxMint), fmt.Sprintf("bytes[%d] public key", wire.MaxPublicKey),
		fmt.Sprintf("statement [%d]", wire.StatementSize),
		fmt.Sprintf("name of the new key's domain [%d]", wire.DomainNameSize),
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the package's doc does not say %q", want)
		}
	}
}

// TestEveryConditionHasAName: what an enclave reports is shown by name.
func TestEveryConditionHasAName(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, line := range numbers(t, ".") {
		rest, ok := strings.CutPrefix(line, "wire.Health ")
		if !ok {
			continue
		}
		var bit wire.Health
		if _, err := fmt.Sscan(rest, &bit); err != nil {
			t.Fatal(err)
		}
		name := bit.Name()
		if name == "" || names[name] || !wire.AllHealth().Has(bit) {
			t.Errorf("%s is called %q", rest, name)
		}
		names[name] = true
	}
	if n := bits.OnesCount32(uint32(wire.AllHealth())); n != len(names) {
		t.Errorf("%d bits have a name, there are %d", n, len(names))
	}
}
