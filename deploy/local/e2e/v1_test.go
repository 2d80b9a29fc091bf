package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/sealed/reply"
	"redoubt/wire/parentapi"
)

func TestOneBadItemOfABatchFailsAlone(t *testing.T) {
	r := shared.get(t)
	var items []*parentapi.Request[string]
	var recs []*testkit.Record
	for i := range 40 {
		opts := testkit.RecordOptions{VaultID: fmt.Sprintf("v_batch%d", i), Context: true, Fields: person(fmt.Sprint("batch", i))}
		rec := r.seal(t, opts)
		body := rec.Request(nil)
		switch i {
		case 7:
			body.VaultID = "v_another"
		case 8:
			body.Encoding = "9"
		case 9:
			for name := range body.Fields {
				mutate(t, body, name, flip(-1))
			}
		}
		items, recs = append(items, body), append(recs, rec)
	}
	data, err := json.Marshal(map[string]any{"items": items})
	if err != nil {
		t.Fatal(err)
	}
	// A machine under load may refuse an item for the moment, typed and with 503: that is asked again.
	var out batch
	eventually(t, "a batch without refusals for load", time.Minute, func() bool {
		out = r.batch(t, data, len(items))
		busy := out.count(503)
		if busy > 0 {
			t.Logf("%d items refused: %s", busy, out.codes(503))
		}
		return busy == 0
	})
	want := map[int]string{7: "403 key_denied", 8: "400 bad_request", 9: "422 decrypt_failed"}
	for i, item := range out.Items {
		if refused, ok := want[i]; ok {
			if got := fmt.Sprintf("%d %s", item.Status, item.Error.Code); got != refused || len(item.Fields) > 0 {
				t.Errorf("item %d: %s, want %s", i, got, refused)
			}
			continue
		}
		wantFields(t, &answer{Status: item.Status, Fields: item.Fields}, recs[i].Fields)
	}
}

// batch is the answer of /v1/decrypt/batch.
type batch struct {
	Items []struct {
		Status int
		Fields map[string]any
		Error  struct{ Code string }
	}
}

func (r *rig) batch(t *testing.T, body []byte, items int) (out batch) {
	t.Helper()
	a, err := r.post("/v1/decrypt/batch", body)
	if err != nil || a.Status != 200 {
		t.Fatalf("%v, %v", a, err)
	}
	if err := json.Unmarshal(a.Raw, &out); err != nil || len(out.Items) != items {
		t.Fatalf("%d items, %v", len(out.Items), err)
	}
	return out
}

func (b *batch) count(status int) (n int) {
	for _, item := range b.Items {
		if item.Status == status {
			n++
		}
	}
	return n
}

// codes lists the codes of the items with a status.
func (b *batch) codes(status int) string {
	seen := map[string]bool{}
	for _, item := range b.Items {
		if item.Status == status {
			seen[item.Error.Code] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(seen)), ", ")
}

func TestACallersAttestationDocumentIsTheEnclavesAndFresh(t *testing.T) {
	r := shared.get(t)
	pem, err := os.ReadFile(filepath.Join(r.state, "nsm-root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := attest.ParseRoot(pem)
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, 32)
	if _, err := rand.Read(nonce); err != nil {
		t.Fatal(err)
	}
	raw, err := r.get("http://" + r.Addresses.Parent + "/v1/attestation?nonce=" + hex.EncodeToString(nonce))
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ Document []byte }
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	pcr0, err := attest.ParseMeasurement(r.PCRs()[0])
	if err != nil {
		t.Fatal(err)
	}
	opts := attest.Options{
		Roots: []attest.Root{root}, Allowed: []attest.PCRs{{0: pcr0}}, Nonce: attest.Equal(nonce), UserData: attest.Any(),
		PublicKey: attest.Absent(), // with one, its carrier could ask KMS by itself
	}
	if _, err := attest.Verify(out.Document, opts); err != nil {
		t.Fatal(err)
	}
	opts.Nonce = attest.Equal([]byte("another nonce"))
	if _, err := attest.Verify(out.Document, opts); err == nil {
		t.Error("the nonce proves nothing")
	}
}

func TestSealedRepliesOpenWithTheCallersKeyAloneAndLeaveNothingInTheParent(t *testing.T) {
	r := own(t)
	pair, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(&pair.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		t.Fatal(err)
	}
	rec := r.seal(t, testkit.RecordOptions{VaultID: "v_reply", Context: true})
	body := rec.Request(map[string]string{"masked": "ssn9.mask(4)", "years": "date(dob).getFullYear()", "typo": "nam3"})
	body.Include = []string{"first_name", "note"}
	data, err := body.JSON()
	if err != nil {
		t.Fatal(err)
	}
	id := sealed.P384.ID()
	reply, err := json.Marshal(map[string]string{
		"suite_id": base64.StdEncoding.EncodeToString(id[:]), "public_key": base64.StdEncoding.EncodeToString(spki),
	})
	if err != nil {
		t.Fatal(err)
	}
	data = append(append(data[:len(data)-1], `,"reply_key":`...), append(reply, '}')...)
	for range 20 {
		a, err := r.post("/v1/decrypt", data)
		if err != nil || a.Status != 200 || len(a.Fields) != 0 || bytes.Contains(a.Raw, []byte(sentinel)) {
			t.Fatalf("%v, %v", a, err)
		}
		var out struct {
			Sealed map[string][]byte
			Errors map[string]any
		}
		if err := json.Unmarshal(a.Raw, &out); err != nil {
			t.Fatal(err)
		}
		if len(out.Errors) != 0 {
			t.Error("what failed is told in the clear")
		}
		want := map[string]any{
			"first_name": rec.Fields["first_name"], "note": rec.Fields["note"], "masked": "*************1120", "years": 1990.0,
			"typo": "expression_failed undeclared_name",
		}
		for name, value := range want {
			if got := openReply(t, private, "v_reply", name, out.Sealed[name]); got != value {
				t.Errorf("%s is another value", name)
			}
		}
		if len(out.Sealed) != len(want) {
			t.Errorf("%d values", len(out.Sealed))
		}
	}
	t.Run("the parent's memory", func(t *testing.T) { searchParent(t, r, data) })
}

// openReply opens a sealed result: a string, what its JSON holds, or a problem's code and kind.
func openReply(t *testing.T, private []byte, vault, name string, value []byte) any {
	t.Helper()
	key, err := sealed.ParsePrivateKey(sealed.P384, private)
	if err != nil {
		t.Fatal(err)
	}
	v, err := reply.Open(key, vault, name, value)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if v.Type == reply.String {
		return string(v.Data)
	}
	var out any
	if err := json.Unmarshal(v.Data, &out); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if problem, ok := out.(map[string]any); ok && v.Type == reply.Problem {
		return fmt.Sprint(problem["code"], " ", problem["kind"])
	}
	return out
}
