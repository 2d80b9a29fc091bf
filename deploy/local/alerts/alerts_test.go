//go:build operate

package alerts

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/test/kms"
)

// notCaused are the alerts whose fault is not caused here, and why. alerts_test.yaml shows them.
var notCaused = map[string]string{
	"RedoubtStoreInconsistent": "TestRestoreDrills of package e2e causes it",
	"RedoubtVaultsOverBudget":  "the stack of these tests has no domain",
	"RedoubtClockOff":          "the clock of a process cannot be set without that of the machine",
	"RedoubtStoreFull":         "takes a file system of its own that is full, and so root",
}

// fault is what goes wrong, how it ends, and which alerts must fire meanwhile.
type fault struct {
	name   string
	alerts []string
	cause  func(r *rig)
	end    func(r *rig)
}

func wide(r *rig) { r.wide.Store(true) }
func mend(r *rig) { r.wide.Store(false); r.crowd.Store(0); r.admin(http.MethodDelete, "faults", "") }

// set is a fault of the stand-in under the load that needs KMS.
func set(json string) func(*rig) {
	return func(r *rig) {
		wide(r)
		r.admin(http.MethodPost, "faults", json)
	}
}

// faults are caused one after the other. The last of them break what is not mended.
var faults = []fault{
	{
		"more vaults are in use than the enclave remembers",
		[]string{"RedoubtKeyCacheThrashes"},
		wide, mend,
	},
	{
		"the key's policy names other measurements",
		[]string{"RedoubtProbeFails", "RedoubtKMSDenies", "RedoubtErrorBudgetBurnsFast", "RedoubtErrorBudgetBurns"},
		func(r *rig) { wide(r); r.policy(map[int][]string{0: {strings.Repeat("ab", 48)}}) },
		func(r *rig) {
			allowed := map[int][]string{}
			for i, v := range r.PCRs() {
				allowed[i] = []string{v}
			}
			r.policy(allowed)
			mend(r)
		},
	},
	{
		"KMS answers late",
		[]string{"RedoubtSlow"},
		set(`{"kind":"delay","operation":"Decrypt","delay_ms":400}`), mend,
	},
	{
		"more wait for KMS than may",
		[]string{"RedoubtOverloaded"},
		func(r *rig) {
			set(`{"kind":"delay","operation":"Decrypt","delay_ms":400}`)(r)
			r.crowd.Store(crowd)
		}, mend,
	},
	{
		"KMS throttles",
		[]string{"RedoubtKMSThrottles"},
		set(`{"kind":"throttle","operation":"Decrypt"}`), mend,
	},
	{
		"KMS cuts connections",
		[]string{"RedoubtKMSUnreachable"},
		set(`{"kind":"drop","operation":"Decrypt"}`), mend,
	},
	{
		"KMS makes no keys",
		[]string{"RedoubtAPIErrors", "RedoubtCanaryFails", "RedoubtCanaryCannotAsk"},
		set(`{"kind":"error","operation":"GenerateDataKeyPairWithoutPlaintext"}`), mend,
	},
	{
		"the key's policy has lost its conditions",
		[]string{"RedoubtDecryptOutsideEnclave"},
		func(r *rig) {
			r.admin(http.MethodPut, "policy", `{"Version":"2012-10-17","Statement":[{"Sid":"All","Effect":"Allow",
				"Principal":"*","Action":"kms:*","Resource":"*"}]}`)
		}, mend,
	},
	{
		"enclaves die again and again",
		[]string{"RedoubtEnclaveRestarts"},
		func(r *rig) {
			for range 4 {
				before := r.ask("sum(redoubt_enclave_restarts_total)")
				r.Process(testkit.Enclave).Kill()
				if err := r.Restart(testkit.Enclave); err != nil {
					r.t.Fatal(err)
				}
				eventually(10*time.Second, func() bool { return r.ask("sum(redoubt_enclave_restarts_total)") > before })
			}
		}, mend,
	},
	{
		"a file that changed cannot be loaded",
		[]string{"RedoubtFilesStale"},
		func(r *rig) { r.write("probe.json", "{") }, mend,
	},
	{
		"a host has no credentials, and a certificate that is about to end",
		[]string{
			"RedoubtCertificateEnds", "RedoubtCredentialsEnd", "RedoubtConditionFails", "RedoubtNoEnclaveReady",
			"RedoubtFleetUnready",
		},
		func(r *rig) {
			r.other.Kill()
			r.second("none.json", 24*time.Hour)
		}, mend,
	},
	{
		"the store's file is replaced",
		[]string{"RedoubtAuditFails", "RedoubtStoreFails"},
		func(r *rig) {
			name := filepath.Join(r.state, "vaults.db")
			data, err := os.ReadFile(name)
			if err == nil {
				err = os.Rename(name, r.inUse())
			}
			if err != nil {
				r.t.Fatal(err)
			}
			r.write("vaults.db", string(data))
		}, mend,
	},
	// After the file was replaced, since a page that cannot be read may end each write before its file is looked at.
	{
		"a record of the store is damaged",
		[]string{"RedoubtStoreDamaged"},
		func(r *rig) { r.damage() }, mend,
	},
	{
		"a process is gone",
		[]string{"RedoubtNotScraped"},
		func(r *rig) { r.canary.Kill() }, mend,
	},
}

func (r *rig) policy(allowed map[int][]string) {
	r.t.Helper()
	document, err := kms.PolicyForPCRs(allowed)
	if err != nil {
		r.t.Fatal(err)
	}
	r.admin(http.MethodPut, "policy", string(document))
}

// second starts a parent over the same enclave, with a file of credentials and a certificate that ends after a while.
func (r *rig) second(credentials string, life time.Duration) {
	r.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(life), DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		r.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	r.write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	in := func(name string) string { return filepath.Join(r.state, name) }
	r.other = r.launch("second", filepath.Join(*bin, "parent"), "--listen", ports(r.t, 1)[0], "--metrics-listen", r.front,
		"--enclave", "unix://"+in("enclave.sock"), "--region", kms.DefaultRegion, "--kms-egress", r.Addresses.KMSTLS,
		"--credentials", "static", "--static-credentials-file", in(credentials), "--ready-wait", "0s",
		"--tls-cert", in("cert.pem"), "--tls-key", in("key.pem"))
}

// inUse is the store's file that the API has open once another was put in its place.
func (r *rig) inUse() string { return filepath.Join(r.state, "vaults.db.old") }

// damage writes over what the store keeps of the vault, wherever its id is.
func (r *rig) damage() {
	r.t.Helper()
	file, err := os.OpenFile(r.inUse(), os.O_RDWR, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer file.Close()
	data, err := os.ReadFile(file.Name())
	if err != nil {
		r.t.Fatal(err)
	}
	n := 0
	for at := 0; ; n++ {
		i := bytes.Index(data[at:], []byte(r.vault))
		if i < 0 {
			break
		}
		at += i + len(r.vault)
		if _, err := file.WriteAt(bytes.Repeat([]byte{0xff}, 4), int64(at)); err != nil {
			r.t.Fatal(err)
		}
	}
	if n == 0 {
		r.t.Fatal("the store does not hold the vault's id")
	}
}

// TestEachAlertFiresByItsFaultAndNoneWithout takes two to three minutes.
func TestEachAlertFiresByItsFaultAndNoneWithout(t *testing.T) {
	r := site(t)
	if !eventually(20*time.Second, func() bool { return r.ask("sum(redoubt_parent_ready)") == 2 && len(r.firing()) == 0 }) {
		t.Fatalf("not well at the beginning: %v", r.firing())
	}
	<-time.After(5 * time.Second) // of load: five minutes in the rules' own time
	if names := r.firing(); len(names) > 0 {
		t.Errorf("%v fire, and nothing is wrong", names)
	}
	fired := map[string]bool{}
	for _, f := range faults {
		if !eventually(40*time.Second, func() bool {
			return !slices.ContainsFunc(r.firing(), func(a string) bool { return slices.Contains(f.alerts, a) })
		}) {
			t.Errorf("%s: of %v some fire before: %v", f.name, f.alerts, r.firing())
		}
		begin := time.Now()
		f.cause(r)
		var missing []string
		eventually(40*time.Second, func() bool {
			now := r.firing()
			missing = slices.DeleteFunc(slices.Clone(f.alerts), func(a string) bool { return slices.Contains(now, a) })
			return len(missing) == 0
		})
		f.end(r)
		for _, name := range missing {
			t.Errorf("%s: %s does not fire", f.name, name)
		}
		for _, name := range f.alerts {
			fired[name] = true
		}
		t.Logf("%s: %v after %v", f.name, f.alerts, time.Since(begin).Round(100*time.Millisecond))
	}
	for file, text := range ruleFiles(t) {
		for _, m := range regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(text, -1) {
			if _, reason := notCaused[m[1]]; fired[m[1]] == reason {
				t.Errorf("%s: %s is caused %v, and in the list of what is not: %v", file, m[1], fired[m[1]], reason)
			}
		}
	}
}
