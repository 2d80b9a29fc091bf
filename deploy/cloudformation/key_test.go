package cloudformation

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"redoubt/wire/kit/test/kms"
)

var (
	imageA = measured{strings.Repeat("a0", 48), strings.Repeat("a1", 48)}
	imageB = measured{strings.Repeat("b0", 48), strings.Repeat("b1", 48)}
	other  = measured{strings.Repeat("c0", 48), strings.Repeat("c1", 48)}
	mixed  = measured{imageA.pcr0, other.pcr1} // an image whose PCR0 alone is known
	debug  = measured{strings.Repeat("00", 48), strings.Repeat("00", 48)}
)

// measured are PCR0 and PCR1 of a request's attestation document; empty: there was none.
type measured struct{ pcr0, pcr1 string }

const (
	parentRole = "arn:aws:iam::" + account + ":role/redoubt/parent"
	olderRole  = "arn:aws:iam::" + account + ":role/redoubt/older"
	canaryRole = "arn:aws:iam::" + account + ":role/redoubt/canary"
	rootUser   = "arn:aws:iam::" + account + ":root"
	stranger   = "arn:aws:iam::999988887777:role/x"
)

// settings are all the ways to fill in the parameters, and the images that may decrypt then.
var settings = []struct {
	name, pcr0s, pcr1s, role string
	allowed                  []measured
}{
	{name: "nothing yet"},
	{name: "one more role alone", role: olderRole},
	{name: "PCR0 alone", pcr0s: imageA.pcr0},
	{name: "PCR1 alone", pcr1s: imageA.pcr1},
	{name: "one image", pcr0s: imageA.pcr0, pcr1s: imageA.pcr1, allowed: []measured{imageA}},
	{name: "one more role", pcr0s: imageA.pcr0, pcr1s: imageA.pcr1, role: olderRole, allowed: []measured{imageA}},
	{
		name: "upper case", pcr0s: strings.ToUpper(imageA.pcr0), pcr1s: strings.ToUpper(imageA.pcr1),
		allowed: []measured{imageA},
	},
	{
		name: "a roll-out", pcr0s: imageA.pcr0 + "," + imageB.pcr0, pcr1s: imageA.pcr1 + "," + imageB.pcr1,
		allowed: []measured{imageA, imageB},
	},
}

// keyPolicy is the evaluated policy of the wrapping key, with statements added to it.
func keyPolicy(t *testing.T, pcr0s, pcr1s, role string, more ...object) (*kms.Policy, []any) {
	t.Helper()
	doc := keyDocument(t, map[string]string{"ImagePCR0s": pcr0s, "ImagePCR1s": pcr1s, "ParentRoleArn": role})
	statements := doc["Statement"].([]any)
	for _, m := range more {
		doc["Statement"] = append(doc["Statement"].([]any), m)
	}
	return parsed(t, doc), statements
}

// keyDocument is the evaluated policy of the wrapping key as it stands in the template.
func keyDocument(t *testing.T, params map[string]string) object {
	t.Helper()
	tm := load(t, "key", params)
	tm.values["CanaryRole.Arn"], tm.values["ParentRole.Arn"] = canaryRole, parentRole
	return tm.props("Key")["KeyPolicy"].(object)
}

func parsed(t *testing.T, doc object) *kms.Policy {
	t.Helper()
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	p, err := kms.ParsePolicy(data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func facts(principal, action string, m measured) *kms.Facts {
	context := map[string]string{}
	if m.pcr0 != "" {
		context["kms:recipientattestation:pcr0"] = m.pcr0
		context["kms:recipientattestation:imagesha384"] = m.pcr0
		context["kms:recipientattestation:pcr1"] = m.pcr1
	}
	parts := strings.Split(principal, ":")
	return &kms.Facts{
		Principal: principal, Account: parts[4], Action: action,
		Resource: "arn:aws:kms:" + region + ":" + account + ":key/k", Context: context,
	}
}

// The canary's role is named beside the parents', and is never in an enclave.
func TestOnlyTheNamedRolesInAMeasuredImageDecrypt(t *testing.T) {
	for _, s := range settings {
		p, _ := keyPolicy(t, s.pcr0s, s.pcr1s, s.role)
		for _, principal := range []string{parentRole, canaryRole, olderRole, rootUser, stranger} {
			for _, m := range []measured{{}, imageA, imageB, other, mixed, debug} {
				want := false
				named := principal == parentRole || principal == canaryRole || principal == olderRole && s.role == olderRole
				for _, a := range s.allowed {
					want = want || named && m == a
				}
				if got := p.Allows(facts(principal, "kms:Decrypt", m)); got != want {
					t.Errorf("%s: %s with %.4s/%.4s: %v", s.name, principal, m.pcr0, m.pcr1, got)
				}
			}
		}
	}
}

// The denials hold against IAM policies, grants and careless statements that allow the same action.
func TestDenialsHoldWhoeverAllows(t *testing.T) {
	all := object{"Sid": "Careless", "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}
	for _, s := range settings {
		p, _ := keyPolicy(t, s.pcr0s, s.pcr1s, s.role, all)
		for _, principal := range []string{parentRole, canaryRole, rootUser, stranger} {
			for _, m := range []measured{{}, imageA, imageB, other, mixed, debug} {
				want := false
				for _, a := range s.allowed {
					want = want || m == a
				}
				if got := p.Allows(facts(principal, "kms:Decrypt", m)); got != want {
					t.Errorf("%s: %s with %.4s/%.4s: %v", s.name, principal, m.pcr0, m.pcr1, got)
				}
				for _, action := range []string{
					"kms:CreateGrant", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:Encrypt", "kms:GenerateDataKey",
					"kms:GenerateDataKeyPair",
				} {
					if p.Allows(facts(principal, action, m)) {
						t.Errorf("%s: %s may %s", s.name, principal, action)
					}
				}
			}
		}
	}
}

func TestAVaultIsRevokedByItself(t *testing.T) {
	p := parsed(t, keyDocument(t, map[string]string{
		"ImagePCR0s": imageA.pcr0, "ImagePCR1s": imageA.pcr1, "RevokedVaults": "v_1,v_2",
		"RevokedVaults2": "v_4",
	}))
	for vault, want := range map[string]bool{"v_1": false, "v_2": false, "v_3": true, "v_4": false, "": true} {
		f := facts(parentRole, "kms:Decrypt", imageA)
		if vault != "" {
			f.Context["kms:encryptioncontext:vault_id"] = vault
		}
		if got := p.Allows(f); got != want {
			t.Errorf("%q: %v", vault, got)
		}
	}
}

func TestNoStatementAllowsDecryptWithoutConditions(t *testing.T) {
	for _, s := range settings {
		_, statements := keyPolicy(t, s.pcr0s, s.pcr1s, s.role)
		for _, st := range statements {
			st := st.(object)
			if st["Effect"] != "Allow" {
				continue
			}
			if not := stringsOf(st["NotAction"]); st["NotAction"] != nil {
				if !contains(not, "kms:Decrypt") {
					t.Errorf("%s: %v allows kms:Decrypt", s.name, st["Sid"])
				}
				continue
			}
			equals, _ := at(st, "Condition", "StringEqualsIgnoreCase").(object)
			for _, pcr := range []string{"PCR0", "PCR1"} {
				if list, _ := equals["kms:RecipientAttestation:"+pcr].([]any); len(list) == 0 {
					t.Errorf("%s: %v allows %v without %s", s.name, st["Sid"], st["Action"], pcr)
				}
			}
		}
	}
}

// Others use the keys as ever: to make new vaults' keys, the one of hmac_sha256 and MACs, and to administer them.
func TestTheAccountKeepsTheRestOfTheKeys(t *testing.T) {
	mac := parsed(t, load(t, "key", nil).props("MacKey")["KeyPolicy"].(object))
	for _, action := range []string{"kms:GenerateMac", "kms:VerifyMac", "kms:DescribeKey"} {
		if !mac.Allows(facts(rootUser, action, measured{})) {
			t.Errorf("the account may not %s", action)
		}
	}
	for _, s := range settings {
		p, _ := keyPolicy(t, s.pcr0s, s.pcr1s, s.role)
		for _, action := range []string{
			"kms:GenerateDataKeyPairWithoutPlaintext", "kms:GenerateDataKeyWithoutPlaintext", "kms:DescribeKey",
			"kms:PutKeyPolicy", "kms:EnableKeyRotation",
		} {
			if !p.Allows(facts(rootUser, action, measured{})) {
				t.Errorf("%s: the account may not %s", s.name, action)
			}
		}
		for _, action := range []string{
			"kms:Encrypt", "kms:ReEncryptTo", "kms:ReEncryptFrom", "kms:GenerateDataKey", "kms:GenerateDataKeyPair",
			"kms:CreateGrant",
		} {
			if p.Allows(facts(rootUser, action, measured{})) {
				t.Errorf("%s: the account may %s", s.name, action)
			}
		}
	}
}

// The template's rules refuse what would leave the key without measurements by mistake.
func TestHalfASetOfMeasurementsIsRefused(t *testing.T) {
	for _, s := range settings {
		tm := load(t, "key", map[string]string{"ImagePCR0s": s.pcr0s, "ImagePCR1s": s.pcr1s, "ParentRoleArn": s.role})
		refused := false
		for _, rule := range tm.root["Rules"].(object) {
			if tm.eval(rule.(object)["RuleCondition"]) != true {
				continue
			}
			for _, a := range rule.(object)["Assertions"].([]any) {
				refused = refused || tm.eval(a.(object)["Assert"]) != true
			}
		}
		half := len(s.allowed) == 0 && s.pcr0s+s.pcr1s != ""
		if refused != half {
			t.Errorf("%s: refused %v", s.name, refused)
		}
		says := fmt.Sprint(tm.eval(at(tm.root, "Outputs", "DecryptIs", "Value")))
		if want := len(s.allowed) > 0; strings.Contains(says, "limited") != want {
			t.Errorf("%s: DecryptIs says %q", s.name, says)
		}
	}
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}
