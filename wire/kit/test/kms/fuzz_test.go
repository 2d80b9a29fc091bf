package kms

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
)

// FuzzOperations gives any body to any operation behind authentication: it must be answered, or refused by an
// exception of the protocol.
func FuzzOperations(f *testing.F) {
	s, err := New(Config{StateDir: f.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	key, err := s.store.Find(AliasSymmetric)
	if err != nil {
		f.Fatal(err)
	}
	blob, err := sealBlob(key, []byte("plaintext"), map[string]string{"a": "b"})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []any{
		map[string]any{"KeyId": AliasSymmetric, "Plaintext": []byte("x")},
		map[string]any{"CiphertextBlob": blob, "EncryptionContext": map[string]string{"a": "b"}, "DryRun": true},
		map[string]any{"CiphertextBlob": blob, "Recipient": map[string]any{
			"AttestationDocument": []byte{0xd2, 0x84}, "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
		}},
		map[string]any{"KeyId": AliasMAC, "MacAlgorithm": "HMAC_SHA_256", "Message": []byte("m"), "Mac": []byte("m")},
		map[string]any{"KeyId": AliasSymmetric, "KeyPairSpec": "ECC_NIST_P384"},
		map[string]any{"KeyId": AliasSymmetric, "NumberOfBytes": 7},
		map[string]any{"NumberOfBytes": -1},
		nil,
	} {
		body, err := json.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		for i := range operations {
			f.Add(i, body)
		}
	}
	names := slices.Sorted(maps.Keys(operations))
	f.Fuzz(func(t *testing.T, operation string, body []byte) {
		op, ok := operations[operation]
		if !ok {
			operation = names[len(body)%len(names)]
			op = operations[operation]
		}
		c := &call{Server: s, ctx: context.Background(), operation: operation}
		answer, err := op(c, slices.Clone(body))
		var e *Error
		if err != nil && (!errors.As(err, &e) || e.Status != 400) {
			t.Errorf("%s: error %v", operation, err)
		}
		if err == nil && (!json.Valid(answer) || operation == "Decrypt") {
			t.Errorf("%s: answered, though the default policy lets nobody decrypt unattested", operation)
		}
	})
}

func TestCallsAndChangesAtTheSameTimeDoNotDisturbEachOther(t *testing.T) {
	r := newRig(t)
	blob := r.wrap([]byte("secret"), nil)
	doc := recipientInfo(r.document())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				out, err := r.client().Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: blob, Recipient: doc})
				var api smithy.APIError
				if err != nil && !errors.As(err, &api) {
					t.Error(err)
				}
				if err == nil && !opensTo(r, out.CiphertextForRecipient, []byte("secret")) {
					t.Error("another answer")
				}
			}
		})
	}
	wg.Go(func() {
		for range 10 {
			r.admin("POST", "faults", `{"kind":"throttle","times":1}`, 200)
			r.admin("PUT", "keys/state", `{"state":"Disabled"}`, 200)
			r.admin("PUT", "policy", allowAll, 200)
			r.admin("PUT", "keys/state", `{"state":"Enabled"}`, 200)
			r.admin("PUT", "policy", string(DefaultPolicy()), 200)
			r.admin("GET", "faults", "", 200)
			r.counts("Decrypt")
		}
	})
	wg.Wait()
}
