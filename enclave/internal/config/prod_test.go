//go:build !dev

package config

import (
	"strings"
	"testing"
)

func TestProductionRefusesTheSoftwareNSMAsUnknown(t *testing.T) {
	_, err := Parse([]byte(minimal + "soft_nsm:\n  root_cert: /a\n  root_key: /b\n"))
	if err == nil || !strings.Contains(err.Error(), "unknown field \"soft_nsm\"") {
		t.Errorf("error %v, want unknown field", err)
	}
}
