package config

import (
	"strings"
	"testing"
)

func TestRulesOfDomainsTheFirstThatMatchesCounts(t *testing.T) {
	c, err := Parse([]byte(minimal + "domains: {rules: [{ids: acme.pii, lowest_generation: 3}, {ids: 'acme.*'}, " +
		"{ids: 'b*', vaults_per_second: 1}, {ids: b}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]int{
		"acme.pii": 0, "acme.pi": 1, "acme.": 1, "acme": -1, "acme.pii2": 1, "b": 2, "bc": 2, "": -1, "c": -1,
	} {
		got := -1
		if r := c.Domains.Rule(id); r != nil {
			for i := range c.Domains.Rules {
				if r == &c.Domains.Rules[i] {
					got = i
				}
			}
		}
		if got != want {
			t.Errorf("%q: rule %d, want %d", id, got, want)
		}
	}
	if c.Domains.Rules[0].LowestGeneration != 3 || c.Domains.Rules[1].LowestGeneration != 1 {
		t.Error("lowest generations")
	}
	if c, err = Parse([]byte(minimal)); err != nil || c.Domains.Rule("acme") != nil {
		t.Errorf("a domain without a rule, %v", err)
	}
}

func TestRulesOfDomainsThatAreRefused(t *testing.T) {
	for tail, want := range map[string]string{
		"keys: [alias/x]":                                                      "domains.keys",
		"keys: ['" + arn + "', '" + arn + "']":                                 "twice",
		"rules: [{}]":                                                          "rules[0].ids",
		"rules: [{ids: A}]":                                                    "rules[0].ids",
		"rules: [{ids: '*'}, {ids: 'a*b'}]":                                    "rules[1].ids",
		"rules: [{ids: a, lowest_generation: 65536}]":                          "lowest_generation",
		"rules: [{ids: a, lowest_generation: -1}]":                             "lowest_generation",
		"rules: [{ids: a, vaults_per_second: -1}]":                             "vaults_per_second",
		"rules: [{ids: a, vaults_per_hour: 1000000001}]":                       "vaults_per_hour",
		"rules: [{ids: a, creations_per_hour: -1}]":                            "creations_per_hour",
		"rules: [{ids: a, creations_per_hour: 1001}]":                          "creations_per_hour",
		"rules: [{ids: a, suites: [X]}]":                                       "rules[0].suites",
		"rules: [{ids: a, suites: [P-256, P-256]}]":                            "rules[0].suites",
		"kms_vaults: [{key: alias/x, ids: a}]":                                 "kms_vaults[0].key",
		"kms_vaults: [{key: '" + arn + "x', ids: a}]":                          "kms_vaults[0].key",
		"kms_vaults: [{key: '" + arn + "'}]":                                   "kms_vaults[0].ids",
		"kms_vaults: [{key: '" + arn + "', ids: A}]":                           "kms_vaults[0].ids",
		"kms_vaults: [" + strings.Repeat("{key: '"+arn+"', ids: a},", 2) + "]": "twice",
		"kms_vaults: [" + strings.Repeat("{},", MaxKMSVaults+1) + "]":          "at most",
		"only: true": "domains.only",
		"only: true, rules: [{ids: a}], kms_vaults: [{key: '" + arn + "', ids: a}]": "domains.kms_vaults",
		"rules: [" + strings.Repeat("{ids: a},", MaxDomainRules+1) + "]":            "at most",
	} {
		if _, err := Parse([]byte(minimal + "domains: {" + tail + "}\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s", tail, err, want)
		}
	}
}

func TestVaultsOfKMSMoveOnlyWhereTheFileSays(t *testing.T) {
	const other = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	c, err := Parse([]byte(minimal + "  us-west-2: " + other + "\ndomains: {rules: [{ids: '*', creations_per_hour: 1000, " +
		"suites: [X-Wing, P-384]}], kms_vaults: [{key: '" + arn + "', ids: 'acme.*'}, {key: '" + other + "', ids: acme}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		arn, id string
		want    bool
	}{
		{arn, "acme.a", true},
		{arn, "acme.", true},
		{arn, "acme", false},
		{arn, "b", false},
		{arn, "", false},
		{other, "acme", true},
		{other, "acme.a", false},
		{other, "acme.", false},
		{"", "acme", false},
	} {
		if got := c.Domains.Moves(v.arn, v.id); got != v.want {
			t.Errorf("%s to %q: %t", v.arn, v.id, got)
		}
	}
	if (&Domains{}).Moves(arn, "acme") {
		t.Error("without an entry vaults move")
	}
}
