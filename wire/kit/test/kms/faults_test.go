package kms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
)

func (r *rig) attestedDecrypt(blob []byte) (*awskms.DecryptOutput, error) {
	return r.client().Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: blob, Recipient: recipientInfo(r.document())})
}

func TestFailuresComeAsOftenAsTheyAreAskedFor(t *testing.T) {
	r := newRig(t)
	blob := r.wrap([]byte("secret"), nil)
	r.admin("POST", "faults", `[{"kind":"throttle","operation":"Decrypt","times":2},
		{"kind":"error","times":1},{"kind":"error","code":"KeyUnavailableException","status":500,"times":1}]`, 200)
	for _, want := range []string{
		"ThrottlingException", "ThrottlingException", "KMSInternalException", "KeyUnavailableException",
	} {
		_, err := r.attestedDecrypt(blob)
		wantCode(t, err, want)
	}
	if _, err := r.attestedDecrypt(blob); err != nil {
		t.Fatal(err)
	}
	r.admin("POST", "faults", `{"kind":"throttle","operation":"Decrypt"}`, 200)
	for range 3 {
		_, err := r.attestedDecrypt(blob)
		wantCode(t, err, "ThrottlingException")
	}
	r.wrap([]byte("another operation"), nil)
	r.admin("DELETE", "faults", "", 200)
	if _, err := r.attestedDecrypt(blob); err != nil {
		t.Fatal(err)
	}
	want := OperationCount{Calls: 9, Attested: 2}
	got := r.counts("Decrypt")
	if got.Calls != want.Calls || got.Attested != want.Attested || got.Codes["ThrottlingException"] != 5 {
		t.Errorf("counters %+v", got)
	}
	r.admin("DELETE", "counters", "", 200)
	if got := r.counts("Decrypt"); got.Calls != 0 {
		t.Errorf("counters %+v", got)
	}
}

func TestAnswersAreFalsifiedOnCommand(t *testing.T) {
	r := newRig(t)
	secret := []byte("secret")
	blob := r.wrap(secret, nil)
	honest, err := r.attestedDecrypt(blob)
	if err != nil {
		t.Fatal(err)
	}
	once := func(kind string) *awskms.DecryptOutput {
		r.admin("POST", "faults", `{"kind":"`+kind+`","times":1}`, 200)
		out, err := r.attestedDecrypt(blob)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := once(FaultPlaintext); !bytes.Equal(out.Plaintext, secret) || out.CiphertextForRecipient == nil {
		t.Error("no plaintext in the answer")
	}
	if out := once(FaultWrongKeyID); aws.ToString(out.KeyId) == aws.ToString(honest.KeyId) {
		t.Error("the key id is right")
	}
	if out := once(FaultNoCMS); out.CiphertextForRecipient != nil || out.Plaintext != nil {
		t.Error("there is something in the answer")
	}
	if out := once(FaultCorruptCMS); opensTo(r, out.CiphertextForRecipient, secret) {
		t.Error("the envelope is whole")
	}
	out, err := r.attestedDecrypt(blob)
	if err != nil || !opensTo(r, out.CiphertextForRecipient, secret) || out.Plaintext != nil {
		t.Errorf("not honest again: %v", err)
	}
}

func opensTo(r *rig, cms, want []byte) bool {
	got, err := unwrapEnvelope(r.rsa, cms)
	return err == nil && bytes.Equal(got, want)
}

func TestADroppedConnectionIsNoAnswer(t *testing.T) {
	r := newRig(t)
	blob := r.wrap([]byte("secret"), nil)
	r.admin("POST", "faults", `{"kind":"drop","times":1}`, 200)
	_, err := r.attestedDecrypt(blob)
	var api smithy.APIError
	if err == nil || errors.As(err, &api) {
		t.Fatalf("error %v, want one of the connection", err)
	}
	if _, err := r.attestedDecrypt(blob); err != nil {
		t.Fatal(err)
	}
}

func TestADelayEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p faultPlan
		if err := p.add([]Fault{{Kind: FaultDelay, DelayMS: 250}, {Kind: FaultDelay, DelayMS: 500, Times: 1}}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for _, want := range []time.Duration{750 * time.Millisecond, time.Second} {
			if _, err := p.apply(context.Background(), "Decrypt", time.Now()); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(start); got != want {
				t.Errorf("waited %v, want %v", got, want)
			}
		}
		impatient, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		if _, err := p.apply(impatient, "Decrypt", time.Now()); !errors.Is(err, errDropped) {
			t.Errorf("error %v", err)
		}
	})
}

func TestAThrottleWithARateLetsThatManyPass(t *testing.T) {
	var p faultPlan
	if err := p.add([]Fault{{Kind: FaultThrottle, PerSecond: 5}}); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	passed := 0
	for i := range 100 { // ten seconds at ten calls a second
		if _, err := p.apply(context.Background(), "Decrypt", now.Add(time.Duration(i)*100*time.Millisecond)); err == nil {
			passed++
		}
	}
	if passed < 50 || passed > 55 {
		t.Errorf("%d of 100 calls passed", passed)
	}
	if hits := p.list()[0].Hits; hits != 100-passed {
		t.Errorf("%d hits", hits)
	}
}

func TestFaultsThatMakeNoSenseAreRefusedWhole(t *testing.T) {
	r := newRig(t)
	for _, body := range []string{
		`{"kind":"tea"}`, `{"kind":"delay"}`, `{"kind":"delay","delay_ms":600001}`, `{"kind":"error","status":200}`,
		`{"kind":"drop","operation":"Fly"}`, `{"kind":"drop","times":-1}`, `{"kind":"drop","surprise":1}`, `nonsense`,
		`[{"kind":"drop"},{"kind":"tea"}]`, `[` + strings.Repeat(`{"kind":"drop"},`, MaxFaults) + `{"kind":"drop"}]`,
	} {
		r.admin("POST", "faults", body, 400)
	}
	var list []Fault
	if err := json.Unmarshal(r.admin("GET", "faults", "", 200), &list); err != nil || len(list) != 0 {
		t.Errorf("%d faults are set, %v", len(list), err)
	}
}

func TestAdminRoutesAreOutOfABrowsersReach(t *testing.T) {
	r := newRig(t)
	for name, edit := range map[string]func(*http.Request){
		"rebound name": func(req *http.Request) { req.Host = "attacker.example:9300" },
		"a page":       func(req *http.Request) { req.Header.Set("Origin", "http://localhost:9300") },
	} {
		req, err := http.NewRequest(http.MethodGet, r.url+"/_admin/keys", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		edit(req)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: status %d", name, resp.StatusCode)
		}
	}
	if keys := r.admin("GET", "keys", "", 200); !bytes.Contains(keys, []byte(AliasMAC)) || bytes.Contains(keys, []byte("material")) {
		t.Errorf("keys %s", keys)
	}
}
