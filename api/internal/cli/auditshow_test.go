package cli

import (
	"strings"
	"testing"
	"time"

	"redoubt/api/client"
)

func TestAnEntryShowsWhatWasLetOut(t *testing.T) {
	lines := entryLines(&client.AuditEntry{
		Time: time.Unix(1767225600, 0), Event: "DecryptVault", Outcome: "partial", Code: "decrypt_failed",
		Principal: "oidc:a\x1b[2J", Reason: "why", Fields: []string{"ssn9", "dob"}, Released: []string{},
		Access: map[string]client.Access{
			"b": {Reads: []string{"ssn9", "dob"}, Raw: []string{"dob"}, SourceMAC: "02"},
			"a": {SourceMAC: "01"},
			"c": {Reads: []string{"ssn9"}, Raw: []string{"ssn9"}, Unknown: true, SourceMAC: "03"},
		},
	})
	want := `2026-01-01T00:00:00Z DecryptVault partial decrypt_failed by "oidc:a\x1b[2J" reason "why" fields ssn9,dob released -
  "a" reads - raw - source 01
  "b" reads ssn9,dob raw dob source 02
  "c" reads ssn9 raw ssn9 source 03 (not reported: taken as raw)`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
