package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/wire/program"
)

func TestTimesOutsideTheirLimitsAreRefused(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys.json")
	for line, want := range map[string]string{
		"serve --parent-timeout=0s":                                "--parent-timeout and --kms-timeout must be more than 0",
		"serve --kms-timeout=-1s":                                  "--parent-timeout and --kms-timeout must be more than 0",
		"serve --drain-timeout=0s":                                 "--drain-timeout more than 0",
		"serve --drain-delay=-1s":                                  "--drain-delay must be 0s or more",
		"lambda --policy=p --kms-timeout=0s":                       "--parent-timeout and --kms-timeout must be more than 0",
		"vault get v_1 --timeout=0s":                               "--timeout must be more than 0",
		"key create a --operations=* --rate=-1":                    "--rate must be 0 or more",
		"key create a --operations=* --expires=1ms --keys=" + keys: "--expires 1s or more",
	} {
		var out, errOut bytes.Buffer
		status := Main(strings.Fields(line), "v1", strings.NewReader(""), &out, &errOut)
		if status != program.Usage || !strings.Contains(errOut.String(), want) {
			t.Errorf("%s: status %d, %s", line, status, errOut.String())
		}
	}
}
