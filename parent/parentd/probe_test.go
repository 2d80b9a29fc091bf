package parentd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/parent/internal/probe"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

// pair is a probe key in a file, and what an enclave of the key's account can do with it.
type pair struct {
	file    string
	private *sealed.PrivateKey
}

func newPair(t *testing.T) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := sealed.ParsePrivateKey(sealed.P256, der)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(private.Destroy)
	text, err := json.Marshal(map[string]any{
		"KeyId": "arn:aws:kms:us-east-1:111122223333:key/k", "KeyPairSpec": "ECC_NIST_P256", "PublicKey": public,
		"PrivateKeyCiphertextBlob": []byte("wrapped by KMS"), "KeyMaterialId": "of a newer KMS",
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "probe.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return pair{file, private}
}

// open answers as an enclave that KMS gives the key.
func (p pair) open(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
	blob, err := sealed.ParseBlob(sealed.P256, sealed.EncodingRecord, req.Fields[0].Blob)
	var mem [sealed.ContextSize]byte
	var c sealed.Context
	if err == nil {
		c, err = p.private.Derive(mem[:], req.VaultID, blob.Enc)
	}
	var plain []byte
	if err == nil {
		plain, err = c.Open(nil, req.Fields[0].Name, blob)
	}
	if err != nil || string(req.WrappedKey) != "wrapped by KMS" || !req.KeyContext || string(req.Region) != "us-east-1" {
		resp.Code = wire.DecryptFailed
		return
	}
	resp.Add(wire.Result{Kind: wire.ResultField, ValueKind: wire.ValueString, Value: plain})
}

// TestATotalDenialByKMSLooksLikeAnOutage is check 51: enclaves answer from memory and are well by all else that they
// say, and still readiness fails, with its reason, since the probe reaches KMS each time. What balances load is told to
// leave it out, and goes on using what is in memory.
func TestATotalDenialByKMSLooksLikeAnOutage(t *testing.T) {
	p := newPair(t)
	var denied atomic.Pointer[wire.Code]
	a, e, log := start(t, "--probe-file", p.file, "--probe-every", "50ms")
	e.SetAnswer(func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		if c := denied.Load(); c != nil {
			resp.Code = *c
			return
		}
		p.open(req, resp)
	})
	says := func(code int, reasons []string, detail string) func() bool {
		return func() bool {
			w := a.ask(http.MethodGet, "/ready", "", elsewhere, "")
			return w.Code == code && slices.Equal(failing(t, w), reasons) && strings.Contains(w.Body.String(), detail)
		}
	}
	fakeenclave.Wait(t, "the probe to open", says(200, []string{}, `{"name":"kms_probe","ok":true}`))
	if vault, ok := e.Purged(); !ok || vault != probe.VaultID {
		t.Errorf("an enclave answers from memory: purged %q, %t", vault, ok)
	}
	for _, code := range []wire.Code{wire.KeyDenied, wire.KMSUnavailable, wire.DecryptFailed} {
		denied.Store(&code)
		fakeenclave.Wait(t, "the denial to show", says(503, []string{"kms_probe"},
			`{"name":"kms_probe","ok":false,"detail":"`+code.String()+`"}`))
		if w := a.ask(http.MethodGet, "/ready?exclude=kms", "", elsewhere, ""); w.Code != 200 {
			t.Errorf("what balances load is told %d %s", w.Code, w.Body)
		}
		exposed := a.ask(http.MethodGet, "/metrics", "", here, "").Body.String()
		for _, want := range []string{`parent_probe_ok{region="us-east-1"} 0`, `probes_total{outcome="` + code.String() + `"}`} {
			if !strings.Contains(exposed, want) {
				t.Errorf("%v: metrics lack %s", code, want)
			}
		}
		if !strings.Contains(log.String(), `"outcome":"`+code.String()+`"`) {
			t.Errorf("the log does not say %v", code)
		}
	}
	denied.Store(nil)
	fakeenclave.Wait(t, "the end of the denial", says(200, []string{}, `"ok":true`))
}

// An enclave that has not been asked has not shown that it can decrypt: a new host must not pass on what it hopes.
func TestAnEnclaveThatWasNotAskedIsNotReady(t *testing.T) {
	p := newPair(t)
	hold := make(chan struct{})
	a, e, _ := start(t, "--probe-file", p.file)
	e.SetAnswer(func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		<-hold
		p.open(req, resp)
	})
	e.Down() // the one that came up may have been asked before
	if err := e.Up(); err != nil {
		t.Fatal(err)
	}
	fakeenclave.Wait(t, "the session", func() bool { return a.pool.Enclaves()[0].Sessions > 0 })
	w := a.ask(http.MethodGet, "/ready", "", elsewhere, "")
	if w.Code != 503 || !strings.Contains(w.Body.String(), `"detail":"not_asked"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	close(hold)
	fakeenclave.Wait(t, "the probe", func() bool { return a.ask(http.MethodGet, "/ready", "", elsewhere, "").Code == 200 })
}

// A deployment of before the probe goes on as it is.
func TestWithoutAProbeKeyReadinessSaysSo(t *testing.T) {
	a, _, _ := start(t)
	fakeenclave.Wait(t, "KMS", func() bool { return a.ask(http.MethodGet, "/ready", "", elsewhere, "").Code == 200 })
	w := a.ask(http.MethodGet, "/ready", "", elsewhere, "")
	if !strings.Contains(w.Body.String(), `{"name":"kms_probe","ok":true,"detail":"no_probe"}`) {
		t.Errorf("%s", w.Body)
	}
	if strings.Contains(a.ask(http.MethodGet, "/metrics", "", here, "").Body.String(), "parent_probe_ok") {
		t.Error("a probe is told of that there is not")
	}
}
