//go:build dev

package config

import (
	"strings"
	"testing"
)

func TestTheSoftwareNSMIsReadAndChecked(t *testing.T) {
	pcr := strings.Repeat("ab", 48)
	c, err := Parse([]byte(minimal + "soft_nsm:\n  root_cert: /a\n  root_key: /b\n  pcrs: {0: " + pcr + "}\n"))
	if err != nil || c.SoftNSM == nil || c.SoftNSM.PCRs[0] != pcr {
		t.Fatalf("config %+v, error %v", c, err)
	}
	if !c.Memory.AllowUnlocked || len(c.Machine.ClockSources) != 0 {
		t.Errorf("a development machine is asked for %+v, %+v", c.Memory, c.Machine)
	}
	c, err = Parse([]byte(minimal + "memory: {allow_unlocked: false}\nsoft_nsm:\n  root_cert: /a\n  root_key: /b\n"))
	if err != nil || c.Memory.AllowUnlocked {
		t.Errorf("the file's own word does not count: %v", err)
	}
	for _, bad := range []string{
		"soft_nsm: {root_cert: a, root_key: /b}\n",
		"soft_nsm: {root_cert: /a, root_key: /b, pcrs: {0: abcd}}\n",
		"soft_nsm: {root_cert: /a, root_key: /b, pcrs: {16: " + pcr + "}}\n",
	} {
		if _, err := Parse([]byte(minimal + bad)); err == nil || !strings.Contains(err.Error(), "soft_nsm") {
			t.Errorf("%s: error %v", bad, err)
		}
	}
}
