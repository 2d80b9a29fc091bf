//go:build guest

package guest

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redoubt/deploy/eif/internal/command"
)

// tried builds the example deployment's image and has eif boot try it.
func tried(t *testing.T, b command.Build) (command.Booted, error) {
	t.Helper()
	bed, dir := testbed(t), t.TempDir()
	t.Setenv("TESTBED", bed)
	b.Arch, b.Config, b.Output = "amd64", "../example.yaml", filepath.Join(dir, "enclave.eif")
	b.Init = build(t, filepath.Join(dir, "enclave"), "./enclave", false)
	var out bytes.Buffer
	if err := b.Run(command.Output{Writer: &out}); err != nil {
		t.Fatal(err)
	}
	var built command.Result
	if err := json.Unmarshal(out.Bytes(), &built); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(b.Output)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kernel %s of %d bytes, image of %d", built.Kernel.Version, built.Kernel.Bytes, info.Size())
	t.Logf("PCR0 %s PCR1 %s", built.Measurements.PCR0, built.Measurements.PCR1)
	left, _ := until(t).Deadline()
	boot := command.Boot{File: b.Output, Memory: 1024, Timeout: time.Until(left), ACPI: guestKernel(t).acpi}
	out.Reset()
	if err := boot.Run(command.Output{Writer: &out}); err != nil {
		return command.Booted{}, err
	}
	var booted command.Booted
	return booted, json.Unmarshal(out.Bytes(), &booted)
}

// TestAnImageOfBlobsServes has the kernel in AWS's layout: a module for the security module, a command line of its own,
// and the configuration of an instance, none of it made for emulation.
func TestAnImageOfBlobsServes(t *testing.T) {
	k := guestKernel(t)
	booted, err := tried(t, command.Build{Blobs: k.blobs, Module: k.modules})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("serves after %.1f s", booted.ServesAfter)
}

// TestAnImageWithoutTheDriverIsFoundByBoot has a kernel whose configuration lies: build cannot know, boot tells.
func TestAnImageWithoutTheDriverIsFoundByBoot(t *testing.T) {
	bed := testbed(t)
	config, err := os.ReadFile(filepath.Join(bed, "guest/blobs/bzImage.config"))
	if err != nil {
		t.Fatal(err)
	}
	lie := filepath.Join(t.TempDir(), "config")
	config = bytes.ReplaceAll(config, []byte("CONFIG_NSM=m"), []byte("CONFIG_NSM=y"))
	if err := os.WriteFile(lie, config, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = tried(t, command.Build{
		Kernel: filepath.Join(bed, "guest/vmlinuz"), KernelConf: lie, Module: modules(bed, otherModules...),
	})
	if !errors.Is(err, command.ErrNotServed) || !strings.Contains(err.Error(), "cannot open /dev/nsm (is its driver") {
		t.Fatalf("%v", err)
	}
}
