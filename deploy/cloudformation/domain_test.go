package cloudformation

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"redoubt/wire/kit/test/kms"
)

const creator = "arn:aws:iam::" + account + ":role/redoubt/api"

// ofDomain are the facts of a call about a domain's key.
func ofDomain(principal, action string, m measured, domain, generation string) *kms.Facts {
	f := facts(principal, action, m)
	f.Context["kms:encryptioncontext:redoubt:domain"], f.Context["kms:encryptioncontext:redoubt:gen"] = domain, generation
	f.Context["aws:principalarn"] = principal
	return f
}

func TestDomainsAreMadeByWhomTheKeyNames(t *testing.T) {
	const action = "kms:GenerateDataKeyWithoutPlaintext"
	all := object{"Sid": "Careless", "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}
	for given, may := range map[string][]string{
		"": nil, creator: {creator}, creator + "," + olderRole: {creator, olderRole},
	} {
		doc := keyDocument(t, map[string]string{"DomainCreators": given})
		doc["Statement"] = append(doc["Statement"].([]any), all)
		p := parsed(t, doc)
		for _, principal := range []string{creator, olderRole, parentRole, canaryRole, rootUser, stranger} {
			want := slices.Contains(may, principal)
			if got := p.Allows(ofDomain(principal, action, measured{}, "acme", "1")); got != want {
				t.Errorf("DomainCreators %q: %s: %v", given, principal, got)
			}
			// One entry of the context is a domain's key already, whatever the enclave thinks of it.
			f := ofDomain(principal, action, measured{}, "acme", "")
			delete(f.Context, "kms:encryptioncontext:redoubt:gen")
			if got := p.Allows(f); got != want {
				t.Errorf("DomainCreators %q: %s without a generation: %v", given, principal, got)
			}
			f = facts(principal, action, measured{})
			f.Context["aws:principalarn"], f.Context["kms:encryptioncontext:purpose"] = principal, "redoubt-hmac"
			if !p.Allows(f) {
				t.Errorf("DomainCreators %q: %s may not make the key of hmac_sha256", given, principal)
			}
		}
	}
}

// A principal that creates domains knows none of their keys: each action that would show a key, or bring a known one
// in, stays denied.
func TestNobodyMakesADomainsKeyThatHeKnows(t *testing.T) {
	all := object{"Sid": "Careless", "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}
	for _, s := range settings {
		doc := keyDocument(t, map[string]string{
			"ImagePCR0s": s.pcr0s, "ImagePCR1s": s.pcr1s, "DomainCreators": creator + "," + parentRole,
		})
		doc["Statement"] = append(doc["Statement"].([]any), all)
		p := parsed(t, doc)
		for _, principal := range []string{creator, parentRole, rootUser, stranger} {
			for _, m := range []measured{{}, imageA, other} {
				for _, action := range []string{
					"kms:Encrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey",
					"kms:GenerateDataKeyPair", "kms:CreateGrant",
				} {
					if p.Allows(ofDomain(principal, action, m, "acme", "1")) {
						t.Errorf("%s: %s may %s", s.name, principal, action)
					}
				}
				if got := p.Allows(ofDomain(principal, "kms:Decrypt", m, "acme", "1")); got != slices.Contains(s.allowed, m) {
					t.Errorf("%s: %s decrypts with %.4s: %v", s.name, principal, m.pcr0, got)
				}
			}
		}
	}
}

func TestATenantIsClosedByItsDomain(t *testing.T) {
	p := parsed(t, keyDocument(t, map[string]string{
		"ImagePCR0s": imageA.pcr0, "ImagePCR1s": imageA.pcr1,
		"ClosedDomains": "acme,acme.*,one", "ClosedDomains2": "two",
		"RotatedDomains": "old,shards.*", "ClosedGenerations": "1,2",
	}))
	for name, want := range map[string]bool{
		"acme/1": false, "acme/2": false, "acme.00/1": false, "acme.ff/9": false, "one/1": false, "two/1": false,
		"acme2/1": true, "one.00/1": true, "twos/1": true, "other/1": true,
		"old/1": false, "old/2": false, "old/3": true, "old/12": true, "old.00/1": true,
		"shards.0a/2": false, "shards.0a/3": true, "shards/1": true,
	} {
		id, generation, _ := strings.Cut(name, "/")
		if got := p.Allows(ofDomain(parentRole, "kms:Decrypt", imageA, id, generation)); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	f := facts(parentRole, "kms:Decrypt", imageA) // vaults' own keys go on
	f.Context["kms:encryptioncontext:vault_id"] = "acme"
	if !p.Allows(f) {
		t.Error("a vault of that name is closed")
	}
}

func TestHalfOfAClosedGenerationIsRefused(t *testing.T) {
	for _, given := range []struct {
		domains, generations string
		refused              bool
	}{{"", "", false}, {"*", "", true}, {"", "1", true}, {"*", "1", false}} {
		tm := load(t, "key", map[string]string{"RotatedDomains": given.domains, "ClosedGenerations": given.generations})
		rule := tm.root["Rules"].(object)["BothOfGenerations"].(object)
		refused := false
		if tm.eval(rule["RuleCondition"]) == true {
			for _, a := range rule["Assertions"].([]any) {
				refused = refused || tm.eval(a.(object)["Assert"]) != true
			}
		}
		if refused != given.refused {
			t.Errorf("%+v: refused %v", given, refused)
		}
	}
}

func TestTheAPIMakesKeysForDomainsOfItsPatternAlone(t *testing.T) {
	made := func(pattern string) (out []object) {
		for _, s := range statements(load(t, "api", map[string]string{"DomainPattern": pattern})) {
			if slices.Contains(stringsOf(s["Action"]), "kms:GenerateDataKeyWithoutPlaintext") {
				out = append(out, s)
			}
		}
		return out
	}
	if got := made(""); len(got) != 0 {
		t.Errorf("without a pattern: %v", got)
	}
	got := made("acme.*")
	if len(got) != 1 || got[0]["Resource"] != "<!redoubt-key-KeyArn>" ||
		at(got[0], "Condition", "StringLike", "kms:EncryptionContext:redoubt:domain") != any("acme.*") ||
		at(got[0], "Condition", "Null", "kms:EncryptionContext:redoubt:gen") != any("false") {
		t.Errorf("with one: %v", got)
	}
	endpoint := stringsOf(at(load(t, "vpc", nil).props("Kms"), "PolicyDocument", "Statement", 0, "Action"))
	if !slices.Contains(endpoint, "kms:GenerateDataKeyWithoutPlaintext") {
		t.Error("the endpoint does not let it through")
	}
}

// matches evaluates an event pattern as EventBridge's page on content filtering has it, for what our patterns use.
func matches(t *testing.T, pattern object, event any) bool {
	t.Helper()
	if list, ok := event.([]any); ok { // it looks into lists of objects
		return slices.ContainsFunc(list, func(e any) bool { return matches(t, pattern, e) })
	}
	o, _ := event.(object)
	for name, want := range pattern {
		value, present := o[name]
		switch want := want.(type) {
		case object:
			if !matches(t, want, value) {
				return false
			}
		case []any:
			if name == "$or" {
				if !slices.ContainsFunc(want, func(w any) bool { return matches(t, w.(object), event) }) {
					return false
				}
				continue
			}
			if !slices.ContainsFunc(want, func(w any) bool { return matchesValue(t, w, value, present) }) {
				return false
			}
		default:
			t.Fatalf("a pattern of %T", want)
		}
	}
	return true
}

func matchesValue(t *testing.T, want, value any, present bool) bool {
	t.Helper()
	filter, ok := want.(object)
	if !ok {
		return present && fmt.Sprint(want) == fmt.Sprint(value)
	}
	if exists, ok := filter["exists"]; ok {
		return present == exists
	}
	none, ok := at(filter, "anything-but", "equals-ignore-case").([]any)
	if !ok {
		t.Fatalf("a filter %v", filter)
	}
	return present && !slices.ContainsFunc(none, func(n any) bool {
		return strings.EqualFold(fmt.Sprint(n), fmt.Sprint(value))
	})
}

// opening is what CloudTrail says of a Decrypt, as its page on requests for enclaves has it.
func opening(name, key, domain, image string) object {
	params := object{"encryptionAlgorithm": "SYMMETRIC_DEFAULT", "keyId": key}
	if domain != "" {
		params["encryptionContext"] = object{"redoubt:domain": domain, "redoubt:gen": "1"}
	} else {
		params["encryptionContext"] = object{"vault_id": "v_1"}
	}
	detail := object{
		"eventSource": "kms.amazonaws.com", "eventName": name, "requestParameters": params, "readOnly": true,
		"resources": []any{object{"accountId": account, "type": "AWS::KMS::Key", "ARN": key}},
	}
	if image != "" {
		detail["additionalEventData"] = object{"recipient": object{
			"attestationDocumentModuleId": "i-1-enc2", "attestationDocumentEnclaveImageDigest": image,
		}}
	}
	return object{"source": "aws.kms", "detail-type": "AWS API Call via CloudTrail", "detail": detail}
}

func TestOpeningsOfDomainsOutsideAreTold(t *testing.T) {
	tm := load(t, "key", map[string]string{
		"ImagePCR0s": strings.ToUpper(imageA.pcr0) + "," + imageB.pcr0, "ImagePCR1s": imageA.pcr1 + "," + imageB.pcr1,
		"AlarmTopicArn": "topic",
	})
	tm.values["Key.Arn"] = "arn:key"
	outside, all := tm.props("DomainOpenedOutside"), tm.props("DomainOpens")
	for _, tt := range []struct {
		what       string
		event      object
		told, seen bool
	}{
		{"an enclave of ours", opening("Decrypt", "arn:key", "acme", imageA.pcr0), false, true},
		{"the other image", opening("Decrypt", "arn:key", "acme", imageB.pcr0), false, true},
		{"another image", opening("Decrypt", "arn:key", "acme", other.pcr0), true, true},
		{"no enclave", opening("Decrypt", "arn:key", "acme", ""), true, true},
		{"a vault's key", opening("Decrypt", "arn:key", "", ""), false, false},
		{"another key", opening("Decrypt", "arn:other", "acme", ""), false, false},
		{"a new domain", opening("GenerateDataKeyWithoutPlaintext", "arn:key", "acme", ""), false, false},
	} {
		if got := matches(t, outside["EventPattern"].(object), tt.event); got != tt.told {
			t.Errorf("%s: told %v", tt.what, got)
		}
		if got := matches(t, all["EventPattern"].(object), tt.event); got != tt.seen {
			t.Errorf("%s: seen %v", tt.what, got)
		}
	}
	for _, rule := range []object{outside, all} { // Decrypt is read-only, of which a rule hears in this state alone
		if rule["State"] != "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS" {
			t.Errorf("state %v", rule["State"])
		}
	}
	if names := load(t, "key", map[string]string{"AlarmTopicArn": "topic"}).ofType("AWS::Events::Rule"); slices.Contains(names, "DomainOpenedOutside") {
		t.Error("without measurements every opening is outside")
	}
}

// Two counts of the same calls are compared: CloudTrail's and the enclaves' own.
func TestOpeningsOfDomainsAreComparedWithTheEnclavesCount(t *testing.T) {
	tm := load(t, "observe", map[string]string{"CompareDomainOpens": "true", "DomainOpensSlack": "7"})
	p := tm.props("DomainOpensUncounted")
	if at(p, "Metrics", 0, "MetricStat", "Metric", "Dimensions", 0, "Value") != any("<!redoubt-key-DomainOpensRule>") ||
		at(p, "Metrics", 2, "Expression") != any("IF(told - FILL(counted, 0) > 7, 1, 0)") {
		t.Errorf("%v", p)
	}
	h := boot(t)
	told, namespace := h.published(map[string]bool{
		"redoubt_parent_http_requests_total": true, "redoubt_enclave_kms_calls_total": true,
		"redoubt_parent_requests_in_flight": true, "redoubt_parent_credentials_life_seconds": true,
		"redoubt_parent_certificate_life_seconds": true, "redoubt_parent_probe_ok": true,
		"redoubt_enclave_kms_circuits_open": true, "redoubt_enclave_kms_domain_decrypts_total": true,
	})
	counted := at(p, "Metrics", 1, "MetricStat", "Metric").(object)
	name := counted["MetricName"].(string)
	dims := spelled(map[string]string{"Fleet": at(counted, "Dimensions", 0, "Value").(string)})
	if counted["Namespace"] != namespace || !slices.Contains(told[name], dims) {
		t.Errorf("%v of %s is watched, told is %v", name, dims, told)
	}
	if names := load(t, "observe", nil).ofType("AWS::CloudWatch::Alarm"); slices.Contains(names, "DomainOpensUncounted") {
		t.Error("the comparison stands without domains")
	}
}
