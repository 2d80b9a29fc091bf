package cloudformation

import (
	"fmt"
	"testing"

	"redoubt/wire/kit/test/kms"
)

// guards are the statements that refuse the canary; each does so alone.
var guards = []string{"DecryptInMeasuredImagesOnly", "DecryptWithMeasuredCodeOnly", "DecryptByEnclaves"}

// measuredPolicy is the key's policy once an image is measured, without some of its guards: denials are taken away, what
// allows loses its conditions.
func measuredPolicy(t *testing.T, lost ...string) object {
	t.Helper()
	doc := keyDocument(t, map[string]string{
		"ImagePCR0s": imageA.pcr0, "ImagePCR1s": imageA.pcr1,
	})
	kept := []any{}
	for _, s := range doc["Statement"].([]any) {
		s := s.(object)
		if contains(lost, fmt.Sprint(s["Sid"])) {
			if s["Effect"] == "Deny" {
				continue
			}
			delete(s, "Condition")
		}
		kept = append(kept, s)
	}
	if n := len(doc["Statement"].([]any)); n < 2+len(guards) {
		t.Fatalf("%d statements", n)
	}
	doc["Statement"] = kept
	return doc
}

func TestTheConditionsAloneRefuseTheCanary(t *testing.T) {
	for set := range 1 << len(guards) {
		var lost []string
		for i, sid := range guards {
			if set&(1<<i) != 0 {
				lost = append(lost, sid)
			}
		}
		p := parsed(t, measuredPolicy(t, lost...))
		if got := p.Allows(facts(canaryRole, "kms:Decrypt", measured{})); got != (len(lost) == len(guards)) {
			t.Errorf("without %v: %v", lost, got)
		}
	}
}

func TestTheCanaryTellsOfAPolicyThatLostItsConditions(t *testing.T) {
	for _, c := range []struct {
		name string
		lost []string
		want float64
	}{
		{name: "whole"},
		{name: "denials lost", lost: guards[:2]},
		{name: "conditions lost", lost: guards[2:]},
		{name: "both lost", lost: guards, want: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			tm := load(t, "canary", nil)
			tm.values["!redoubt-api-Url"], tm.values["!redoubt-key-KeyArn"] = goodAPI(t), kms.AliasSymmetric
			f := deployFunction(t, tm, "canary", nil, "CANARY_KMS_ENDPOINT="+standInWith(t, measuredPolicy(t, c.lost...)))
			f.invoke(object{"detail-type": "Scheduled Event"})
			if told := f.told("DecryptSucceeded"); told["DecryptSucceeded"] != c.want || told["DecryptRefused"] != 1-c.want {
				t.Errorf("told %v", told)
			}
		})
	}
}
