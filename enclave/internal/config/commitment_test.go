package config

import (
	"bytes"
	"crypto/sha256"
	"testing"
)

func TestTheCommitmentIsWhatItsDocumentationSays(t *testing.T) {
	c, err := Parse([]byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("key us-east-1 " + arn + "\n"))
	want := append([]byte("redoubt/v1/config\x00"), sum[:]...)
	if got := c.Commitment(nil); !bytes.Equal(got, want) {
		t.Errorf("commitment %x, want %x", got, want)
	}
}

func TestEverySettingThatMattersChangesTheCommitment(t *testing.T) {
	seen := map[string]string{}
	for _, tail := range []string{
		"", "kms: {endpoint: 'https://kms:1'}\n", "kms: {endpoint: 'https://kms:2'}\n", "deny_contextless_keys: true\n",
		"kms: {classical_domains: true}\n",
		"domains: {keys: ['" + arn + "']}\n", "domains: {rules: [{ids: '*'}]}\n", "domains: {rules: [{ids: a}]}\n",
		"domains: {rules: [{ids: a}, {ids: '*'}]}\n", "domains: {rules: [{ids: '*'}, {ids: a}]}\n",
		"domains: {rules: [{ids: a, lowest_generation: 2}]}\n", "domains: {rules: [{ids: a, vaults_per_second: 2}]}\n",
		"domains: {rules: [{ids: a, vaults_per_hour: 2}]}\n",
		"domains: {rules: [{ids: a, creations_per_hour: 1}]}\n", "domains: {rules: [{ids: a, creations_per_hour: 2}]}\n",
		"domains: {rules: [{ids: a, suites: [P-256]}]}\n", "domains: {rules: [{ids: a, suites: [P-384]}]}\n",
		"domains: {rules: [{ids: a, suites: [P-256, P-384]}]}\n", "domains: {rules: [{ids: a, suites: [P-384, P-256]}]}\n",
		"domains: {rules: [{ids: a, creations_per_hour: 1}, {ids: '*'}]}\n",
		"domains: {rules: [{ids: a}, {ids: '*', creations_per_hour: 1}]}\n",
		"domains: {kms_vaults: [{key: '" + arn + "', ids: a}]}\n", "domains: {kms_vaults: [{key: '" + arn + "', ids: 'a*'}]}\n",
		"domains: {kms_vaults: [{key: '" + arn + "', ids: a}, {key: '" + arn + "', ids: b}]}\n",
		"domains: {kms_vaults: [{key: '" + arn + "', ids: b}, {key: '" + arn + "', ids: a}]}\n",
		"domains: {rules: [{ids: a}], only: true}\n",
		"hmac_key: AAEC\n", "hmac_key: AAED\n", "peer_ports: any\n",
		"  us-west-2: arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab\n",
	} {
		c, err := Parse([]byte(minimal + tail))
		if err != nil {
			t.Fatal(err)
		}
		for _, ca := range []string{"", "a", "b"} {
			k := string(c.Commitment([]byte(ca)))
			if other, twice := seen[k]; twice {
				t.Errorf("%q with %q commits to the same as %s", tail, ca, other)
			}
			seen[k] = tail + ca
		}
	}
}

// A setting that is absent adds no line to the digest, so the digests of files for older releases stay the same.
func TestDigestsOfOlderFilesStay(t *testing.T) {
	for tail, lines := range map[string]string{
		"domains: {keys: ['" + arn + "'], rules: [{ids: a, lowest_generation: 2, vaults_per_second: 3, vaults_per_hour: 4}]}\n": "domain_key " +
			arn + "\ndomain_rule a 2 3 4\n",
		"domains: {rules: [{ids: a, creations_per_hour: 5, suites: [X-Wing, P-384]}, {ids: b}], kms_vaults: [{key: '" + arn +
			"', ids: 'a*'}]}\n": "domain_rule a 1 0 0\ndomain_creations 5\ndomain_suites X-Wing P-384\ndomain_rule b 1 0 0\n" +
			"kms_vaults " + arn + " a*\n",
		"domains: {rules: [{ids: a}], only: true}\ndeny_contextless_keys: true\n": "domain_rule a 1 0 0\ndomains_only\n" +
			"deny_contextless_keys\n",
	} {
		c, err := Parse([]byte(minimal + tail))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte("key us-east-1 " + arn + "\n" + lines))
		if got := c.Commitment(nil); !bytes.Equal(got[len(commitmentHead):], sum[:]) {
			t.Errorf("%s: another digest", tail)
		}
	}
}
