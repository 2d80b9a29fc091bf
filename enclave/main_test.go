package main

import (
	"errors"
	"slices"
	"testing"
)

func TestNoKeyIsMadeBeforeTheMachineHasBooted(t *testing.T) {
	var steps []string
	step := func(name string, err error) func() error {
		return func() error { steps = append(steps, name); return err }
	}
	if err := start(step("boot", nil), step("serve", nil)); err != nil || !slices.Equal(steps, []string{"boot", "serve"}) {
		t.Errorf("%v, %v", steps, err)
	}
	steps = nil
	failed := errors.New("no entropy")
	if err := start(step("boot", failed), step("serve", nil)); !errors.Is(err, failed) || len(steps) != 1 {
		t.Errorf("serves after a boot that failed: %v, %v", steps, err)
	}
}
