//go:build guest

package guest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"redoubt/deploy/eif/guest/check"
	"redoubt/deploy/eif/internal/image"
	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/sealed"
)

// TestImageBootsAttestsAndDecryptsUnderItsOwnMeasurementsAlone is production's life of an enclave, on QEMU's
// nitro-enclave machine: image, heartbeat, attestation, decryption; then a policy with other measurements.
func TestImageBootsAttestsAndDecryptsUnderItsOwnMeasurementsAlone(t *testing.T) {
	ctx := until(t)
	h := newHost(t, ctx)
	eif, m := h.buildImage(t)
	t.Logf("PCR0 %s\nPCR1 %s\nPCR2 %s\nPCR3 %s\nPCR8 %s", m.PCR0, m.PCR1, m.PCR2, m.PCR3, m.PCR8)
	own := map[string]string{"ImageSha384": m.PCR0, "PCR1": m.PCR1, "PCR2": m.PCR2, "PCR3": m.PCR3, "PCR8": m.PCR8}
	h.policy(t, own)
	beat := h.heartbeat(t)
	on := time.Now()
	h.boot(t, ctx, eif)
	select {
	case at := <-beat:
		t.Logf("heartbeat %v after power-on", at.Sub(on).Round(time.Millisecond))
	case <-ctx.Done():
		t.Fatal("no heartbeat")
	}
	if err := h.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	request := h.record(t, ctx, "v_image")
	a, err := h.Open(ctx, "/v1/decrypt", request)
	if err != nil || a.Status != http.StatusOK || a.Fields["city"] != "London" {
		t.Fatalf("status %d code %v, %v", a.Status, a.Code, err)
	}
	t.Logf("first answer %v after power-on", time.Since(on).Round(time.Millisecond))
	h.attested(t, ctx, m)

	for register := range own {
		other := maps.Clone(own)
		other[register] = strings.Repeat("ab", 48)
		h.policy(t, other)
		a, err = h.Open(ctx, "/v1/decrypt", h.record(t, ctx, "v_other_"+register))
		if err != nil || a.Status != http.StatusForbidden || a.Code != "key_denied" {
			t.Errorf("a policy with another %s: %+v, %v", register, a, err)
		}
	}
	h.policy(t, own)
	if a, err = h.Open(ctx, "/v1/decrypt", h.record(t, ctx, "v_again")); err != nil || a.Status != http.StatusOK {
		t.Errorf("under its own measurements again: %+v, %v", a, err)
	}
}

func (h *hostSide) record(t *testing.T, ctx context.Context, id string) *check.Request {
	t.Helper()
	v, err := h.NewVault(ctx, id, sealed.P384, true)
	if err != nil {
		t.Fatal(err)
	}
	r, err := v.Seal(3, map[string]string{"city": "London"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// attested checks that the enclave's own document has the measurements that the builder printed, the caller's nonce
// and no public key. QEMU signs with zeros, so the signature is not looked at here.
func (h *hostSide) attested(t *testing.T, ctx context.Context, m image.Measurements) {
	t.Helper()
	nonce := make([]byte, 32)
	_, _ = rand.Read(nonce)
	raw, err := h.Attestation(ctx, nonce)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := attest.VerifyUnsigned(raw, attest.Options{
		UncheckedPCRs: true, Nonce: attest.Equal(nonce), PublicKey: attest.Absent(), UserData: attest.Any(),
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]string{0: m.PCR0, 1: m.PCR1, 2: m.PCR2, 3: m.PCR3, 8: m.PCR8} {
		if got := doc.PCRs[i].String(); got != want {
			t.Errorf("PCR%d in the document is %s, the builder printed %s", i, got, want)
		}
	}
}

// policy makes the stand-in's key demand measurements, through its admin route.
func (h *hostSide) policy(t *testing.T, pcrs map[string]string) {
	t.Helper()
	condition := map[string]string{}
	for name, value := range pcrs {
		condition["kms:RecipientAttestation:"+name] = value
	}
	doc, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{
		map[string]any{
			"Sid": "AllowUse", "Effect": "Allow", "Principal": map[string]string{"AWS": "*"}, "Resource": "*",
			"Action": []string{"kms:Encrypt", "kms:DescribeKey", "kms:GenerateDataKeyPairWithoutPlaintext"},
		},
		map[string]any{
			"Sid": "AllowDecryptByEnclave", "Effect": "Allow", "Principal": map[string]string{"AWS": "*"},
			"Action": "kms:Decrypt", "Resource": "*", "Condition": map[string]any{"StringEqualsIgnoreCase": condition},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut,
		"http://"+h.kmsPlain+"/_admin/policy?key="+check.KeyAlias, bytes.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		t.Fatalf("the stand-in did not take the policy: status %d", resp.StatusCode)
	}
}
