package probe

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"redoubt/parent/internal/pool"
	"redoubt/wire"
	"redoubt/wire/session"
)

const arn = "arn:aws:kms:eu-central-1:111122223333:key/1234"

// file is what the AWS CLI prints, with members changed.
func file(t *testing.T, edit map[string]any) []byte {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]any{
		"KeyId": arn, "KeyPairSpec": "ECC_NIST_P256", "PublicKey": public, "PrivateKeyCiphertextBlob": []byte("w"),
		"KeyMaterialId": "of a newer KMS",
	}
	maps.Copy(members, edit)
	data, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAFileThatIsNoProbeKeyIsRefusedWithoutItsContent(t *testing.T) {
	k, err := Parse(file(t, nil))
	if err != nil || k.Region != "eu-central-1" || k.ARN != arn {
		t.Fatalf("%+v %v", k, err)
	}
	for name, edit := range map[string]map[string]any{
		"an alias":            {"KeyId": "alias/redoubt-sentinel"},
		"an id":               {"KeyId": "1234-sentinel"},
		"of another service":  {"KeyId": "arn:aws:s3:eu-central-1:111122223333:sentinel"},
		"another spec":        {"KeyPairSpec": "RSA_2048_sentinel"},
		"of another curve":    {"KeyPairSpec": "ECC_NIST_P384"},
		"no public key":       {"PublicKey": []byte("sentinel")},
		"no private key":      {"PrivateKeyCiphertextBlob": nil},
		"a long private key":  {"PrivateKeyCiphertextBlob": make([]byte, wire.MaxWrappedKey+1)},
		"a region of no name": {"KeyId": "arn:aws:kms::111122223333:key/sentinel"},
	} {
		_, err := Parse(file(t, edit))
		if !errors.Is(err, ErrFile) || strings.Contains(err.Error(), "sentinel") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Parse([]byte("{")); !errors.Is(err, ErrFile) {
		t.Errorf("no JSON: %v", err)
	}
}

// TestAnotherValueThanTheSealedOneIsAFailure: an answer that was kept, or made up, is not taken.
func TestAnotherValueThanTheSealedOneIsAFailure(t *testing.T) {
	for value, want := range map[string]wire.Code{"same": wire.OK, "other": wire.DecryptFailed, "": wire.DecryptFailed} {
		var m wire.DecryptResponse
		m.Add(wire.Result{Kind: wire.ResultField, ValueKind: wire.ValueString, Value: []byte(value)})
		if got := judge(m.Append(nil), []byte("same")); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
	refused := wire.DecryptResponse{Code: wire.KeyDenied}
	if got := judge(refused.Append(nil), nil); got != wire.KeyDenied {
		t.Errorf("refused as a whole: %v", got)
	}
	var failed wire.DecryptResponse
	failed.Add(wire.Result{Kind: wire.ResultField, Code: wire.DecryptFailed})
	if got := judge(failed.Append(nil), nil); got != wire.DecryptFailed {
		t.Errorf("a field that failed: %v", got)
	}
	none := wire.DecryptResponse{}
	if got := judge(none.Append(nil), []byte("same")); got != wire.Internal {
		t.Errorf("no result: %v", got)
	}
	if got := judge([]byte{1}, []byte("same")); got != wire.Internal {
		t.Errorf("malformed: %v", got)
	}
}

// fleet are enclaves that fail with what is said of them.
type fleet map[string]error

func (f fleet) Enclaves() (out []pool.Status) {
	for url := range f {
		out = append(out, pool.Status{URL: url, Sessions: 1, Started: 1})
	}
	return out
}

func (f fleet) Fresh(_ context.Context, url string, _ *wire.Purge, _ wire.LaneMessage) (*session.Call, error) {
	return nil, f[url]
}

func TestOneEnclaveThatCannotDecryptIsSeenBesideOneThatCan(t *testing.T) {
	enclaves := fleet{"a": &wire.Error{Code: wire.KeyDenied}, "b": &wire.Error{Code: wire.KeyDenied}}
	p := New(Options{
		Enclaves: enclaves, Observer: func(string) {}, Log: slog.New(slog.DiscardHandler), Every: time.Minute,
	})
	k, err := Parse(file(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.SetKeys([]*Key{k, k}); !errors.Is(err, ErrTwice) {
		t.Errorf("two of one key: %v", err)
	}
	if err := p.SetKeys([]*Key{k}); err != nil {
		t.Fatal(err)
	}
	said := func() string { return p.States()[0].Said }
	if got := said(); got != NotAsked {
		t.Errorf("before: %s", got)
	}
	p.round(t.Context())
	if got := said(); got != "key_denied" {
		t.Errorf("after: %s", got)
	}
	p.last[about{"a", arn}] = outcome{1, time.Now(), "ok"}
	if got := said(); got != "key_denied" {
		t.Errorf("one passed: %s", got)
	}
	p.last[about{"b", arn}] = outcome{1, time.Now(), "ok"}
	if got := said(); got != "ok" {
		t.Errorf("both passed: %s", got)
	}
	p.last[about{"b", arn}] = outcome{0, time.Now(), "ok"} // of the process that was there before
	if got := said(); got != NotAsked {
		t.Errorf("one started anew: %s", got)
	}
	delete(enclaves, "b")
	p.round(t.Context())
	if _, kept := p.last[about{"b", arn}]; kept {
		t.Error("an enclave that is gone is remembered")
	}
}
