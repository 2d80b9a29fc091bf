package kmsclient_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"redoubt/api/internal/kmsclient"
	"redoubt/wire/kit/test/kms"
)

func TestADomainsKeyIsMadeUnseenAndBound(t *testing.T) {
	s, url := standIn(t)
	key, err := s.Store().Find(kms.AliasSymmetric)
	if err != nil {
		t.Fatal(err)
	}
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",` +
		`"Action":"kms:GenerateDataKeyWithoutPlaintext","Resource":"*","Condition":{"StringEquals":` +
		`{"kms:EncryptionContext:redoubt:domain":"acme","kms:EncryptionContext:redoubt:gen":"12"}}}]}`
	if err := s.Store().SetPolicy(kms.AliasSymmetric, []byte(policy)); err != nil {
		t.Fatal(err)
	}
	c := client(t, url, kms.DefaultSecret, kms.AliasMAC)
	first, err := c.NewDomainKey(t.Context(), key.ARN(), "acme", 12)
	if err != nil || len(first) == 0 {
		t.Fatalf("%d bytes, %v", len(first), err)
	}
	second, err := c.NewDomainKey(t.Context(), key.ARN(), "acme", 12)
	if err != nil || string(second) == string(first) {
		t.Fatalf("the second key is the first, or %v", err)
	}
	for _, tt := range []struct {
		arn, domain string
		generation  uint16
	}{
		{key.ARN(), "acme", 13},
		{key.ARN(), "acme.00", 12},
		{kms.AliasSymmetric, "acme", 12},
		{key.ID, "acme", 12},
		{"", "acme", 12},
		{strings.Replace(key.ARN(), key.ID, "00000000-0000-0000-0000-000000000000", 1), "acme", 12},
	} {
		if _, err := c.NewDomainKey(t.Context(), tt.arn, tt.domain, tt.generation); !errors.Is(err, kmsclient.ErrDenied) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func TestADomainsKeyOfAnotherKeyIsRefused(t *testing.T) {
	const (
		arn   = "arn:aws:kms:eu-west-1:000000000000:key/11111111-2222-3333-4444-555555555555"
		other = "arn:aws:kms:eu-west-1:000000000000:key/99999999-2222-3333-4444-555555555555"
	)
	answer := map[string]any{"KeyId": arn, "CiphertextBlob": []byte("blob")}
	var asked struct {
		KeyId, KeySpec    string
		EncryptionContext map[string]string
	}
	var signed string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		signed = r.Header.Get("Authorization")
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer srv.Close()
	c := client(t, srv.URL, kms.DefaultSecret, kms.AliasMAC)
	if got, err := c.NewDomainKey(t.Context(), arn, "acme", 1); err != nil || string(got) != "blob" {
		t.Fatalf("%q, %v", got, err)
	}
	if asked.KeyId != arn || asked.KeySpec != "AES_256" || len(asked.EncryptionContext) != 2 ||
		!strings.Contains(signed, "/eu-west-1/kms/") {
		t.Errorf("asked %+v, signed for %s", asked, signed)
	}
	for _, change := range []map[string]any{
		{"KeyId": other, "CiphertextBlob": []byte("blob")}, {"KeyId": arn}, {"CiphertextBlob": []byte("blob")},
	} {
		answer = change
		if _, err := c.NewDomainKey(t.Context(), arn, "acme", 1); !errors.Is(err, kmsclient.ErrUnavailable) {
			t.Errorf("%v: %v", change, err)
		}
	}
}
