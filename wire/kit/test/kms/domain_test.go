package kms

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/test/attesttest"
)

func domainContext(id, generation string) map[string]string {
	return map[string]string{"redoubt:domain": id, "redoubt:gen": generation}
}

// newDomainKey makes a domain's data key as the API does.
func (r *rig) newDomainKey(ec map[string]string) ([]byte, error) {
	out, err := r.client().GenerateDataKeyWithoutPlaintext(ctx, &awskms.GenerateDataKeyWithoutPlaintextInput{
		KeyId: aws.String(AliasSymmetric), KeySpec: types.DataKeySpecAes256, EncryptionContext: ec,
	})
	if err != nil {
		return nil, err
	}
	return out.CiphertextBlob, nil
}

// openDomainKey opens it as an enclave does.
func (r *rig) openDomainKey(blob []byte, ec map[string]string, edit ...func(*attesttest.Spec)) ([]byte, error) {
	out, err := r.client().Decrypt(ctx, &awskms.DecryptInput{
		CiphertextBlob: blob, EncryptionContext: ec, KeyId: aws.String(AliasSymmetric),
		Recipient: recipientInfo(r.document(edit...)),
	})
	if err != nil {
		return nil, err
	}
	return openEnvelope(r.t, r.rsa, out.CiphertextForRecipient), nil
}

func TestADomainsKeyOpensInItsContextAlone(t *testing.T) {
	r := newRig(t)
	blob, err := r.newDomainKey(domainContext("acme", "1"))
	if err != nil {
		t.Fatal(err)
	}
	dk, err := r.openDomainKey(blob, domainContext("acme", "1"))
	if err != nil || len(dk) != 32 {
		t.Fatalf("%d bytes, %v", len(dk), err)
	}
	for _, ec := range []map[string]string{
		nil, domainContext("acme", "2"), domainContext("acme", "01"), domainContext("acme.00", "1"),
		{"redoubt:domain": "acme"},
		{"Redoubt:Domain": "acme", "redoubt:gen": "1"},
		{"vault_id": "acme"},
	} {
		_, err := r.openDomainKey(blob, ec)
		wantCode(t, err, "InvalidCiphertextException")
	}
}

// policyStatement is a statement of a key policy with one condition on domains.
func policyStatement(effect, action, condition string) string {
	return `{"Effect":"` + effect + `","Principal":"*","Action":"` + action + `","Resource":"*","Condition":` + condition + `}`
}

func TestTheKeyPolicyJudgesDomainsAndGenerations(t *testing.T) {
	r := newRig(t)
	own := attesttest.DefaultPCRs()
	const allow = `{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}`
	blobs := map[string][]byte{}
	r.admin("PUT", "policy", allowAll, 200)
	all := []string{"acme/1", "acme/2", "acme.00/1", "acme.ff/1", "other/1"}
	for _, name := range all {
		id, generation, _ := strings.Cut(name, "/")
		blob, err := r.newDomainKey(domainContext(id, generation))
		if err != nil {
			t.Fatal(err)
		}
		blobs[name] = blob
	}
	domain, gen := `"kms:EncryptionContext:redoubt:domain"`, `"kms:EncryptionContext:redoubt:gen"`
	measured := `{"StringEqualsIgnoreCase":{"kms:RecipientAttestation:PCR0":"` + own[0].String() + `"}}`
	for _, tt := range []struct {
		name, statements string
		open             string
	}{
		{"nothing said", allow, "acme/1 acme/2 acme.00/1 acme.ff/1 other/1"},
		{"a domain", policyStatement("Allow", "kms:Decrypt", `{"StringEquals":{`+domain+`:"acme"}}`), "acme/1 acme/2"},
		{
			"a domain and a generation",
			policyStatement("Allow", "kms:Decrypt", `{"StringEquals":{`+domain+`:"acme",`+gen+`:"2"}}`), "acme/2",
		},
		{"shards", policyStatement("Allow", "kms:Decrypt", `{"StringLike":{`+domain+`:"acme.*"}}`), "acme.00/1 acme.ff/1"},
		{
			"a closed tenant", allow + "," + policyStatement("Deny", "kms:Decrypt", `{"StringEquals":{`+domain+`:"acme"}}`),
			"acme.00/1 acme.ff/1 other/1",
		},
		{
			"a closed tenant with its shards",
			allow + "," + policyStatement("Deny", "kms:Decrypt", `{"StringLike":{`+domain+`:["acme","acme.*"]}}`), "other/1",
		},
		{
			"a closed generation",
			allow + "," + policyStatement("Deny", "kms:Decrypt", `{"StringLike":{`+domain+`:"*",`+gen+`:"1"}}`), "acme/2",
		},
		{"a measured image", policyStatement("Allow", "kms:Decrypt", measured), "acme/1 acme/2 acme.00/1 acme.ff/1 other/1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r.admin("PUT", "policy", `{"Version":"2012-10-17","Statement":[`+tt.statements+`]}`, 200)
			for _, name := range all {
				id, generation, _ := strings.Cut(name, "/")
				_, err := r.openDomainKey(blobs[name], domainContext(id, generation))
				if want := strings.Contains(" "+tt.open+" ", " "+name+" "); (err == nil) != want {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	_, err := r.openDomainKey(blobs["acme/1"], domainContext("acme", "1"),
		func(s *attesttest.Spec) { s.PCRs = attest.PCRs{0: {9}, 1: own[1], 2: own[2]} })
	wantCode(t, err, "AccessDeniedException")
}

func TestWhoMayCreateADomainIsTheKeyPolicysToSay(t *testing.T) {
	r := newRig(t)
	r.admin("PUT", "policy", `{"Version":"2012-10-17","Statement":[`+
		`{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},`+
		`{"Effect":"Deny","Principal":"*","Action":"kms:GenerateDataKeyWithoutPlaintext","Resource":"*","Condition":`+
		`{"Null":{"kms:EncryptionContext:redoubt:domain":"false"},"StringNotLike":{"aws:PrincipalArn":"*:user/admin"}}}]}`, 200)
	_, err := r.newDomainKey(domainContext("acme", "1"))
	wantCode(t, err, "AccessDeniedException")
	if _, err := r.newDomainKey(map[string]string{"purpose": "redoubt-hmac"}); err != nil {
		t.Errorf("a data key that is no domain's: %v", err)
	}
}

func TestADomainsKeyIsGivenOverHybridTLSAlone(t *testing.T) {
	r := newRig(t)
	ca, err := OpenCA(r.dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	blob, err := r.newDomainKey(domainContext("acme", "1"))
	if err != nil {
		t.Fatal(err)
	}
	vault := r.wrap([]byte("secret"), map[string]string{"vault_id": "v_1"})
	for name, config := range map[string]*tls.Config{
		"hybrid":          {MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}},
		"classical":       {MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}},
		"TLS 1.2, hybrid": {MaxVersion: tls.VersionTLS12},
	} {
		t.Run(name, func(t *testing.T) {
			config.RootCAs = ca.Pool()
			c := r.client(func(o *awskms.Options) {
				o.BaseEndpoint = aws.String(r.tlsURL)
				o.HTTPClient = &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 20 * time.Second}
			})
			_, err := c.Decrypt(ctx, &awskms.DecryptInput{
				CiphertextBlob: blob, EncryptionContext: domainContext("acme", "1"), Recipient: recipientInfo(r.document()),
			})
			if name == "hybrid" {
				if err != nil {
					t.Error(err)
				}
			} else {
				wantCode(t, err, "ValidationException")
			}
			_, err = c.Decrypt(ctx, &awskms.DecryptInput{
				CiphertextBlob: vault, EncryptionContext: map[string]string{"vault_id": "v_1"},
				Recipient: recipientInfo(r.document()),
			})
			if err != nil {
				t.Errorf("a vault's key: %v", err)
			}
		})
	}
}
