package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/test/kms"
)

// counted sums the parent's counters whose labels hold all texts.
func counted(metrics string, texts ...string) float64 {
	total := 0.0
	line := regexp.MustCompile(`(?m)^([a-z0-9_]+\{[^}]*\}) ([0-9.e+]+)$`)
next:
	for _, m := range line.FindAllStringSubmatch(metrics, -1) {
		for _, text := range texts {
			if !strings.Contains(m[1], text) {
				continue next
			}
		}
		if v, err := strconv.ParseFloat(m[2], 64); err == nil {
			total += v
		}
	}
	return total
}

func TestAnEnclaveWithoutTheMeasurementIsDeniedTheKey(t *testing.T) {
	r := own(t, func(o *testkit.Options) {
		o.RequirePCRs = map[int]string{0: strings.Repeat("ab", 48)}
		o.EnclaveConfig = map[string]any{"hmac_key": ""}
	})
	rec := r.seal(t, testkit.RecordOptions{Context: true})
	for _, route := range []string{"/decrypt", "/v1/decrypt"} {
		wantRefusal(t, r.ask(t, route, rec.Request(nil)), route, 403, "key_denied")
	}
	if n := counted(r.metrics(t), `"key_denied"`); n < 2 {
		t.Errorf("the parent's metrics count %v refusals", n)
	}
	var counts map[string]kms.OperationCount
	if err := json.Unmarshal(r.admin(t, "GET", "counters", ""), &counts); err != nil {
		t.Fatal(err)
	}
	if n := counts["Decrypt"]; n.Attested == 0 || n.Codes["AccessDeniedException"] == 0 || n.Codes["OK"] > 0 {
		t.Errorf("the stand-in counts %+v", n)
	}
	r.alive(t)
}

func TestNobodyOutsideTheEnclaveIsGivenTheKey(t *testing.T) {
	r := shared.get(t)
	rec := r.seal(t, testkit.RecordOptions{Context: true})
	_, err := r.kms.Decrypt(ctx, &awskms.DecryptInput{
		CiphertextBlob: rec.WrappedKey, EncryptionContext: map[string]string{"vault_id": rec.VaultID}, DryRun: aws.Bool(true),
	})
	if err == nil || !strings.Contains(err.Error(), "AccessDeniedException") {
		t.Errorf("the identity canary gets %v", err)
	}
}

// TestFalseAnswersOfKMSAreRefused covers checks 1 and 3: what KMS says is not believed for its own sake.
func TestFalseAnswersOfKMSAreRefused(t *testing.T) {
	r := own(t)
	for i, kind := range []string{kms.FaultPlaintext, kms.FaultWrongKeyID, kms.FaultNoCMS, kms.FaultCorruptCMS} {
		t.Run(kind, func(t *testing.T) {
			r.admin(t, "POST", "faults", `{"kind":"`+kind+`","operation":"Decrypt"}`)
			rec := r.seal(t, testkit.RecordOptions{VaultID: fmt.Sprintf("v_false%d", i), Context: true})
			a := r.ask(t, "/v1/decrypt", rec.Request(nil))
			if a.Status/100 == 2 || strings.Contains(string(a.Raw), sentinel) {
				t.Fatalf("status %d: %s", a.Status, a.Raw)
			}
			r.admin(t, "DELETE", "faults", "")
			eventually(t, "service with an honest KMS", 10*time.Second, func() bool {
				return r.ask(t, "/v1/decrypt", rec.Request(nil)).Status == 200
			})
		})
	}
	r.alive(t)
}

// TestTroubleOfKMSIsRiddenOutOrTyped covers check 6.
func TestTroubleOfKMSIsRiddenOutOrTyped(t *testing.T) {
	r := own(t)
	fresh := 0
	ask := func(t *testing.T) *answer {
		fresh++
		rec := r.seal(t, testkit.RecordOptions{VaultID: fmt.Sprintf("v_trouble%d", fresh), Context: true})
		a := r.ask(t, "/v1/decrypt", rec.Request(nil))
		if a.Status == 200 {
			wantFields(t, a, rec.Fields)
		}
		return a
	}
	for _, tt := range []struct {
		name, fault string
		want        map[int]string // allowed statuses with their codes
	}{
		{"one throttle", `{"kind":"throttle","operation":"Decrypt","times":1}`, map[int]string{200: ""}},
		{"one 500", `{"kind":"error","operation":"Decrypt","times":1}`, map[int]string{200: ""}},
		{"one cut", `{"kind":"drop","operation":"Decrypt","times":1}`, map[int]string{200: ""}},
		{"a short delay", `{"kind":"delay","operation":"Decrypt","delay_ms":300,"times":1}`, map[int]string{200: ""}},
		{"throttled", `{"kind":"throttle","operation":"Decrypt"}`, map[int]string{503: "kms_throttled", 504: "deadline_exceeded"}},
		{"failing", `{"kind":"error","operation":"Decrypt"}`, map[int]string{503: "kms_unavailable", 504: "deadline_exceeded"}},
		{"cutting", `{"kind":"drop","operation":"Decrypt"}`, map[int]string{503: "kms_unavailable", 504: "deadline_exceeded"}},
		{"expired", `{"kind":"error","code":"ExpiredTokenException","operation":"Decrypt"}`, map[int]string{503: "kms_unavailable", 504: "deadline_exceeded"}},
		{"denied", `{"kind":"error","code":"AccessDeniedException","operation":"Decrypt"}`, map[int]string{403: "key_denied"}},
		{"key unavailable", `{"kind":"error","code":"KeyUnavailableException","status":500,"operation":"Decrypt"}`, map[int]string{503: "kms_unavailable", 504: "deadline_exceeded"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r.admin(t, "POST", "faults", tt.fault)
			begin := time.Now()
			a := ask(t)
			code, ok := tt.want[a.Status]
			if !ok || code != "" && a.Code != code {
				t.Errorf("status %d, code %v: %s", a.Status, a.Code, a.Raw)
			}
			if took := time.Since(begin); took > 15*time.Second {
				t.Errorf("took %v", took)
			}
			r.admin(t, "DELETE", "faults", "")
			eventually(t, "service without the fault", 15*time.Second, func() bool { return ask(t).Status == 200 })
		})
	}
	r.alive(t)
}

// TestARevokedKeyWorksUntilItsTimeIsOver shows what the documentation says: cached keys go on for their TTL alone.
func TestARevokedKeyWorksUntilItsTimeIsOver(t *testing.T) {
	r := own(t, func(o *testkit.Options) {
		o.EnclaveConfig = map[string]any{"cache": map[string]any{"key_ttl": "2s"}}
	})
	rec := r.seal(t, testkit.RecordOptions{Context: true})
	wantFields(t, r.ask(t, "/v1/decrypt", rec.Request(nil)), rec.Fields)
	r.admin(t, "PUT", "keys/state", `{"state":"Disabled"}`)
	eventually(t, "the cached key ends", 10*time.Second, func() bool {
		return r.ask(t, "/v1/decrypt", rec.Request(nil)).Status != 200
	})
	r.admin(t, "PUT", "keys/state", `{"state":"Enabled"}`)
	eventually(t, "the key is back", 15*time.Second, func() bool {
		return r.ask(t, "/v1/decrypt", rec.Request(nil)).Status == 200
	})
}
