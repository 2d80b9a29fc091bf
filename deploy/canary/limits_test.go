package main

import (
	"strings"
	"testing"
)

func TestTimesOutsideTheirLimitsAreRefused(t *testing.T) {
	for line, ok := range map[string]bool{
		"--every=1s": true, "--every=500ms": false, "--every=-1s": false, "--timeout=0s": false, "--timeout=1ms": true,
		"--every=2000000h": false, "--timeout=2000000h": false,
	} {
		k, err := newParser(&cli{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = k.Parse([]string{"--api-url=x", "--kms-key=k", line}); (err == nil) != ok {
			t.Errorf("%s: %v", line, err)
		}
		if err != nil && !strings.Contains(err.Error(), " must be 1") {
			t.Errorf("%s: %v", line, err)
		}
	}
}
