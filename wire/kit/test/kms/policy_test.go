package kms

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/test/attesttest"
)

const allowAll = `{"Version":"2012-10-17","Statement":
  {"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}}`

var (
	pcrA = strings.Repeat("aA", 48)
	pcrB = strings.Repeat("bb", 48)
)

// decryptPolicy is the shape that the production stack writes: a condition block on Decrypt.
func decryptPolicy(condition string) string {
	return `{"Version":"2012-10-17","Id":"p","Statement":[{"Sid":"s","Effect":"Allow","Principal":{"AWS":"*"},` +
		`"Action":["kms:Decrypt"],"Resource":"*","Condition":` + condition + `}]}`
}

func TestPoliciesAreEvaluatedAsIAMDoes(t *testing.T) {
	attested := map[string]string{condImageSha384: strings.ToLower(pcrA), condPCR + "0": strings.ToLower(pcrA), condPCR + "8": pcrB}
	for _, tt := range []struct {
		name, policy string
		facts        func(*Facts)
		want         bool
	}{
		{"allow all", allowAll, nil, true},
		{"image, other case", decryptPolicy(`{"StringEqualsIgnoreCase":{"kms:RecipientAttestation:ImageSha384":"` + pcrA + `"}}`), nil, true},
		{"image, exact operator, other case", decryptPolicy(`{"StringEquals":{"kms:RecipientAttestation:ImageSha384":"` + pcrA + `"}}`), nil, false},
		{"other image", decryptPolicy(`{"StringEqualsIgnoreCase":{"kms:RecipientAttestation:ImageSha384":"` + pcrB + `"}}`), nil, false},
		{"list with the image", decryptPolicy(`{"StringEqualsIgnoreCase":{"kms:RecipientAttestation:PCR0":["` + pcrB + `","` + pcrA + `"]}}`), nil, true},
		{"two registers", decryptPolicy(`{"StringEqualsIgnoreCase":{"kms:RecipientAttestation:PCR0":"` + pcrA + `","kms:RecipientAttestation:PCR8":"` + pcrB + `"}}`), nil, true},
		{"one of two wrong", decryptPolicy(`{"StringEqualsIgnoreCase":{"kms:RecipientAttestation:PCR0":"` + pcrA + `","kms:RecipientAttestation:PCR8":"` + pcrA + `"}}`), nil, false},
		{"register that is absent", decryptPolicy(`{"StringEqualsIgnoreCase":{"kms:RecipientAttestation:PCR31":"` + pcrA + `"}}`), nil, false},
		{"not attested", decryptPolicy(`{"StringEqualsIgnoreCase":{"kms:RecipientAttestation:PCR0":"` + pcrA + `"}}`), func(f *Facts) { f.Context = nil }, false},
		{"if exists, absent", decryptPolicy(`{"StringEqualsIgnoreCaseIfExists":{"kms:RecipientAttestation:PCR31":"` + pcrA + `"}}`), nil, true},
		{"null false, attested", decryptPolicy(`{"Null":{"kms:RecipientAttestation:PCR0":"false"}}`), nil, true},
		{"null false, not attested", decryptPolicy(`{"Null":{"kms:RecipientAttestation:PCR0":"false"}}`), func(f *Facts) { f.Context = nil }, false},
		{"null true, attested", decryptPolicy(`{"Null":{"kms:RecipientAttestation:PCR0":"true"}}`), nil, false},
		{"context", decryptPolicy(`{"StringEquals":{"kms:EncryptionContext:vault_id":"v_1"}}`), func(f *Facts) { f.Context["kms:encryptioncontext:vault_id"] = "v_1" }, true},
		{"context, like", decryptPolicy(`{"StringLike":{"kms:EncryptionContext:vault_id":"v_*"}}`), func(f *Facts) { f.Context["kms:encryptioncontext:vault_id"] = "v_1" }, true},
		{"context, not like", decryptPolicy(`{"StringNotLike":{"kms:EncryptionContext:vault_id":"v_*"}}`), func(f *Facts) { f.Context["kms:encryptioncontext:vault_id"] = "v_1" }, false},
		{"negated, absent", decryptPolicy(`{"StringNotEquals":{"kms:EncryptionContext:vault_id":"v_1"}}`), nil, true},
		{"other action", decryptPolicy(`{}`), func(f *Facts) { f.Action = "kms:Encrypt" }, false},
		{"other principal", strings.Replace(allowAll, `"*","Action"`, `{"AWS":"arn:aws:iam::1:user/x"},"Action"`, 1), nil, false},
		{"own principal", strings.Replace(allowAll, `"*","Action"`, `{"AWS":["arn:aws:iam::000000000000:user/local"]},"Action"`, 1), nil, true},
		{"account root", strings.Replace(allowAll, `"*","Action"`, `{"AWS":"arn:aws:iam::000000000000:root"},"Action"`, 1), nil, true},
		{"other account's root", strings.Replace(allowAll, `"*","Action"`, `{"AWS":"111111111111"},"Action"`, 1), nil, false},
		{"other key", strings.Replace(allowAll, `"Resource":"*"`, `"Resource":"arn:aws:kms:*:key/other"`, 1), nil, false},
		{"not action", strings.Replace(allowAll, `"Action":"kms:*"`, `"NotAction":"kms:Decrypt"`, 1), nil, false},
		{"deny wins", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},` +
			`{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*","Condition":{"StringNotEqualsIgnoreCase":{"kms:RecipientAttestation:PCR0":"` + pcrB + `"}}}]}`, nil, false},
		{"deny that does not apply", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},` +
			`{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*","Condition":{"StringNotEqualsIgnoreCase":{"kms:RecipientAttestation:PCR0":"` + pcrA + `"}}}]}`, nil, true},
		{"default, attested", string(DefaultPolicy()), nil, true},
		{"default, not attested", string(DefaultPolicy()), func(f *Facts) { f.Context = nil }, false},
		{"default, encrypt", string(DefaultPolicy()), func(f *Facts) { f.Context, f.Action = nil, "kms:Encrypt" }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ParsePolicy([]byte(tt.policy))
			if err != nil {
				t.Fatal(err)
			}
			f := &Facts{
				Principal: "arn:aws:iam::000000000000:user/local", Account: "000000000000", Action: "kms:Decrypt",
				Resource: unknownARN, Context: maps.Clone(attested),
			}
			if tt.facts != nil {
				tt.facts(f)
			}
			if got := p.Allows(f); got != tt.want {
				t.Errorf("allowed %v, want %v", got, tt.want)
			}
		})
	}
}

func TestAPolicyThatIsNotUnderstoodIsRefused(t *testing.T) {
	zero := strings.Repeat("0", 96)
	for name, policy := range map[string]string{
		"not JSON":             `{`,
		"two documents":        allowAll + allowAll,
		"no statement":         `{"Version":"2012-10-17","Statement":[]}`,
		"old version":          strings.Replace(allowAll, "2012-10-17", "2008-10-17", 1),
		"effect":               strings.Replace(allowAll, `"Allow"`, `"Maybe"`, 1),
		"not resource":         strings.Replace(allowAll, `"Resource"`, `"NotResource"`, 1),
		"not principal":        strings.Replace(allowAll, `"Principal"`, `"NotPrincipal"`, 1),
		"no principal":         strings.Replace(allowAll, `"Principal":"*",`, ``, 1),
		"service principal":    strings.Replace(allowAll, `"Principal":"*"`, `"Principal":{"Service":"x"}`, 1),
		"both actions":         strings.Replace(allowAll, `"Action":"kms:*"`, `"Action":"kms:*","NotAction":"kms:Decrypt"`, 1),
		"unknown operator":     decryptPolicy(`{"NumericEquals":{"kms:RecipientAttestation:PCR0":"` + pcrA + `"}}`),
		"unknown key":          decryptPolicy(`{"StringEquals":{"kms:ViaService":"x"}}`),
		"empty list":           decryptPolicy(`{"StringEqualsIgnoreCase":{"kms:RecipientAttestation:PCR0":[]}}`),
		"empty block":          decryptPolicy(`{"StringEqualsIgnoreCase":{}}`),
		"register 32":          decryptPolicy(`{"StringEqualsIgnoreCase":{"kms:RecipientAttestation:PCR32":"` + pcrA + `"}}`),
		"register 00":          decryptPolicy(`{"StringEqualsIgnoreCase":{"kms:RecipientAttestation:PCR00":"` + pcrA + `"}}`),
		"measurement cut":      decryptPolicy(`{"StringEqualsIgnoreCase":{"kms:RecipientAttestation:PCR0":"` + pcrA[2:] + `"}}`),
		"measurement no hex":   decryptPolicy(`{"StringEqualsIgnoreCase":{"kms:RecipientAttestation:PCR0":"` + strings.Repeat("zz", 48) + `"}}`),
		"debug image":          decryptPolicy(`{"StringEqualsIgnoreCase":{"kms:RecipientAttestation:ImageSha384":"` + zero + `"}}`),
		"debug PCR0 in a list": decryptPolicy(`{"StringEqualsIgnoreCase":{"kms:RecipientAttestation:PCR0":["` + pcrA + `","` + zero + `"]}}`),
		"null of a value":      decryptPolicy(`{"Null":{"kms:RecipientAttestation:PCR0":"` + pcrA + `"}}`),
	} {
		if _, err := ParsePolicy([]byte(policy)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := PolicyForPCRs(nil); err == nil {
		t.Error("an empty allow list was accepted")
	}
	if _, err := PolicyForPCRs(map[int][]string{0: {}}); err == nil {
		t.Error("an empty list of values was accepted")
	}
	// PCR3 and PCR8 of an enclave without role or signature are zeros: no sign of debug mode.
	if _, err := PolicyForPCRs(map[int][]string{8: {zero}}); err != nil {
		t.Error(err)
	}
}

func TestTheKeyPolicyJudgesTheAttestedMeasurements(t *testing.T) {
	r := newRig(t)
	blob := r.wrap([]byte("secret"), nil)
	own := attesttest.DefaultPCRs()
	decrypt := func(pcrs attest.PCRs) error {
		doc := r.document(func(s *attesttest.Spec) { s.PCRs = pcrs })
		_, err := r.client().Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: blob, Recipient: recipientInfo(doc)})
		return err
	}
	policy, err := PolicyForPCRs(map[int][]string{
		0: {pcrB, strings.ToUpper(own[0].String())}, 1: {own[1].String()},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.admin("PUT", "policy", string(policy), 200)
	if err := decrypt(own); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		other := maps.Clone(own)
		other[i] = attest.Measurement{1, 2, 3}
		wantCode(t, decrypt(other), "AccessDeniedException")
		delete(other, i)
		if i > 0 {
			wantCode(t, decrypt(other), "AccessDeniedException")
		}
	}
	r.admin("PUT", "policy", `{"Version":"2012-10-17","Statement":[]}`, 400)
	if err := decrypt(own); err != nil {
		t.Fatalf("a refused policy took effect: %v", err)
	}
	var kept, want bytes.Buffer
	if json.Compact(&kept, r.admin("GET", "policy", "", 200)) != nil || json.Compact(&want, policy) != nil ||
		strings.TrimSpace(kept.String()) != want.String() {
		t.Errorf("policy %s", kept.String())
	}
	_, err = r.client().GenerateDataKey(ctx, &awskms.GenerateDataKeyInput{
		KeyId: aws.String(AliasSymmetric), NumberOfBytes: aws.Int32(8), Recipient: recipientInfo(r.document()),
	})
	if err != nil {
		t.Errorf("the policy limits Decrypt alone: %v", err)
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(allowAll))
	f.Add(DefaultPolicy())
	f.Add([]byte(decryptPolicy(`{"StringEqualsIgnoreCase":{"kms:RecipientAttestation:PCR0":["` + pcrA + `"]}}`)))
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := ParsePolicy(doc)
		if err != nil {
			return
		}
		p.Allows(&Facts{Action: "kms:Decrypt", Principal: "p", Resource: "r"})
		if len(p.statements) == 0 {
			t.Error("a policy that says nothing was accepted")
		}
	})
}

func FuzzWildcard(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("***", "")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		got := wildcard(pattern, s)
		if !strings.ContainsAny(pattern, "*?") && got != (pattern == s) {
			t.Error("a pattern without wildcards is not equality")
		}
		if got && !wildcard(pattern+"*", s+"x") {
			t.Error("a star does not extend a match")
		}
	})
}
