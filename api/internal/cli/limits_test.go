package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/wire/kit/program"
)

func TestNumbersOutsideTheirLimitsAreRefused(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys.json")
	for line, want := range map[string]string{
		"serve --parent-timeout=0s":                                     "--parent-timeout must be 1ms to 1h0m0s",
		"serve --parent-timeout=2000000h":                               "--parent-timeout must be",
		"serve --kms-timeout=-1s":                                       "--kms-timeout must be",
		"serve --drain-timeout=0s":                                      "--drain-timeout must be",
		"serve --drain-delay=-1s":                                       "--drain-delay must be",
		"serve --drain-delay=2h":                                        "--drain-delay must be",
		"serve --store=none:x --trace-ratio=nan":                        "--trace-ratio must be 0 to 1",
		"serve --store=none:x --trace-ratio=1.5":                        "--trace-ratio must be 0 to 1",
		"lambda --policy=p --kms-timeout=0s":                            "--kms-timeout must be",
		"vault get v_1 --timeout=0s":                                    "--timeout must be 1ms to 1h0m0s",
		"vault get v_1 --timeout=2h":                                    "--timeout must be",
		"key create a --operations=* --rate=-1 --keys=" + keys:          "--rate must be 1e-06 to 1e+06",
		"key create a --operations=* --rate=nan --keys=" + keys:         "--rate must be",
		"key create a --operations=* --rate=+Inf --keys=" + keys:        "--rate must be",
		"key create a --operations=* --rate=1e300 --keys=" + keys:       "--rate must be",
		"key create a --operations=* --rate=1e-300 --keys=" + keys:      "--rate must be",
		"key create a --operations=* --expires=1ms --keys=" + keys:      "--expires must be 1s to",
		"key create a --operations=* --expires=-1s --keys=" + keys:      "--expires must be",
		"key create a --operations=* --expires=2000000h --keys=" + keys: "--expires must be",
		"key create a --operations=* --rate=1x --keys=" + keys:          "--rate",
	} {
		var out, errOut bytes.Buffer
		status := Main(strings.Fields(line), "v1", strings.NewReader(""), &out, &errOut)
		if status != program.Usage || !strings.Contains(errOut.String(), want) {
			t.Errorf("%s: status %d, %s", line, status, errOut.String())
		}
	}
}
