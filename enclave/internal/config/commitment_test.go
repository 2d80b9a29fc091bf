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
