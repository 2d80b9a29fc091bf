package kernel

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"redoubt/deploy/eif/internal/image"
	"redoubt/deploy/eif/kerneltest"
)

// The options that an enclave needs, as in the configurations that AWS published: of aws-nitro-enclaves-cli 1.2 to
// 1.4 (blobs/x86_64, Linux 4.14, whose driver is built outside of the kernel's tree), and of
// aws-nitro-enclaves-sdk-bootstrap (kernel/, Linux 6.6).
const (
	needed = "CONFIG_MODULES=y\nCONFIG_BLK_DEV_INITRD=y\nCONFIG_DEVTMPFS=y\nCONFIG_PROC_FS=y\nCONFIG_SYSFS=y\n" +
		"CONFIG_VIRTIO_MMIO=y\nCONFIG_VIRTIO_MMIO_CMDLINE_DEVICES=y\nCONFIG_VSOCKETS=y\nCONFIG_VIRTIO_VSOCKETS=y\n" +
		"CONFIG_HW_RANDOM=y\n"
	aws414 = needed
	aws66  = needed + "CONFIG_NSM=m\n"
	ownNSM = needed + "CONFIG_NSM=y\n"
)

// AWS's command line, of both processors.
const awsCmdline = "reboot=k panic=30 pci=off nomodules console=ttyS0 random.trust_cpu=on root=/dev/ram0\n"

func blobs(arch image.Arch, version, config string, modules ...string) fstest.MapFS {
	dir := fstest.MapFS{
		"cmdline": {Data: []byte(awsCmdline)}, "init": {Data: []byte("AWS's own")}, "linuxkit": {Data: []byte("builder")},
		images[arch]:             {Data: kerneltest.Image(arch, version)},
		images[arch] + ".config": {Data: []byte(config)},
	}
	for _, m := range modules {
		dir[m] = &fstest.MapFile{Data: kerneltest.Module(arch, version)}
	}
	return dir
}

func TestBothOfAWSsKernelsAndOneWithTheDriverBuiltInAreTaken(t *testing.T) {
	for _, arch := range []image.Arch{image.AMD64, image.ARM64} {
		for name, tc := range map[string]struct {
			version, config string
			modules         []string
		}{
			"4.14 with a module from outside": {"4.14.256-209.484.amzn2.x86_64", aws414, []string{"nsm.ko"}},
			"6.6 with a module":               {"6.6.79", aws66, []string{"nsm.ko"}},
			"built in":                        {"6.12.117", ownNSM, nil},
		} {
			k, err := ReadBlobs(blobs(arch, tc.version, tc.config, tc.modules...), arch, nil)
			if err != nil {
				t.Fatal(err)
			}
			warnings, err := k.Check()
			if err != nil || len(warnings) > 0 || k.Version() != tc.version || len(k.Modules) != len(tc.modules) {
				t.Errorf("%s, %s: %v, %v, version %q", name, arch, err, warnings, k.Version())
			}
		}
	}
}

func TestAKernelWithoutTheSecurityModulesDriverIsRefused(t *testing.T) {
	for name, config := range map[string]string{
		"a module that is not there":    aws66,
		"no word of the driver":         aws414,
		"switched off":                  needed + "# CONFIG_NSM is not set\n",
		"a name that only begins so":    needed + "CONFIG_NSMX=y\n",
		"a comment that names it so":    needed + "# CONFIG_NSM=y\n",
		"an empty configuration at all": "",
	} {
		k, err := ReadBlobs(blobs(image.AMD64, "6.6.79", config), image.AMD64, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Check(); !errors.Is(err, ErrNoNSM) || !strings.Contains(err.Error(), "nsm.ko is not given") {
			t.Errorf("%s: %v", name, err)
		}
	}
	k := &Kernel{Arch: image.AMD64, Image: kerneltest.Image(image.AMD64, "6.6.79")}
	if _, err := k.Check(); !errors.Is(err, ErrNoNSM) || !strings.Contains(err.Error(), "give nsm.ko") {
		t.Errorf("neither a configuration nor a module: %v", err)
	}
	k, err := ReadBlobs(blobs(image.AMD64, "6.6.79", strings.ReplaceAll(aws66, "CONFIG_MODULES=y\n", ""), "nsm.ko"),
		image.AMD64, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Check(); !errors.Is(err, ErrNoNSM) || !strings.Contains(err.Error(), "no modules") {
		t.Errorf("a kernel that loads no modules: %v", err)
	}
}

func TestAFolderThatLacksAFileIsRefusedByItsName(t *testing.T) {
	for _, file := range []string{"bzImage", "bzImage.config", "cmdline"} {
		dir := blobs(image.AMD64, "6.6.79", aws66, "nsm.ko")
		delete(dir, file)
		_, err := ReadBlobs(dir, image.AMD64, nil)
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), file+":") {
			t.Errorf("%s: %v", file, err)
		}
	}
	if _, err := ReadBlobs(blobs(image.AMD64, "6.6.79", aws66), image.ARM64, nil); err == nil ||
		!strings.Contains(err.Error(), "the kernel for arm64") {
		t.Errorf("another processor's folder: %v", err)
	}
}

func TestAModuleOfAnotherKernelIsRefused(t *testing.T) {
	of := func(arch image.Arch, data []byte) error {
		k := &Kernel{Arch: arch, Image: kerneltest.Image(arch, "6.6.79"), Modules: []Module{{Name: "nsm.ko", Data: data}}}
		_, err := k.Check()
		return err
	}
	for name, data := range map[string][]byte{
		"release":   kerneltest.Module(image.AMD64, "6.6.78"),
		"processor": kerneltest.Module(image.ARM64, "6.6.79"),
	} {
		if err := of(image.AMD64, data); !errors.Is(err, ErrMixed) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if err := of(image.ARM64, kerneltest.Module(image.ARM64, "6.6.79")); err != nil {
		t.Error(err)
	}
	for name, data := range map[string][]byte{
		"compressed": []byte("\xfd7zXZ"), "empty": nil, "cut off": kerneltest.Module(image.AMD64, "6.6.79")[:80],
	} {
		if err := of(image.AMD64, data); err == nil || !strings.Contains(err.Error(), "xz -d") {
			t.Errorf("%s: %v", name, err)
		}
	}
	k := &Kernel{Arch: image.AMD64, Config: []byte(ownNSM)}
	k.Modules = []Module{{Name: "nsm.ko", Data: kerneltest.Module(image.AMD64, "1")}}
	if _, err := k.Check(); !errors.Is(err, ErrMixed) {
		t.Errorf("a module beside the same driver built in: %v", err)
	}
}

// The enclave's keys depend on this request: before, it gave the generator its own output back.
func TestAKernelThatCannotReseedFromTheModuleIsRefused(t *testing.T) {
	for version, want := range map[string]bool{
		"4.14.216": false, "4.14.223": true, "4.14.256-209.484.amzn2.x86_64": true, "4.9.337": false, "4.20": false,
		"5.4.101": false, "5.4.102": true, "5.10.19": false, "5.10.20": true, "5.11": false, "5.12": true, "6.6.79": true,
		"6.12.117+deb12-cloud-amd64": true, "10.1": true, "unknown": true,
	} {
		k := &Kernel{
			Arch: image.AMD64, Image: kerneltest.Image(image.AMD64, version), Config: []byte(ownNSM),
		}
		if _, err := k.Check(); (err == nil) != want || !want && !errors.Is(err, ErrOld) {
			t.Errorf("%s: %v", version, err)
		}
	}
}

// aws-nitro-enclaves-sdk-bootstrap writes 2 MiB into the header of each arm64 kernel that it builds, for this reason.
func TestAnARM64KernelThatAHostWouldPutAtAddress0IsRefused(t *testing.T) {
	check := func(change func(b []byte)) error {
		b := kerneltest.Image(image.ARM64, "6.6.79")
		change(b)
		_, err := (&Kernel{Arch: image.ARM64, Image: b, Config: []byte(ownNSM)}).Check()
		return err
	}
	if err := check(func([]byte) {}); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(b []byte){
		"text_offset":     func(b []byte) { clear(b[8:16]) },
		"compressed":      func(b []byte) { copy(b, "\x1f\x8b") },
		"packed for UEFI": func(b []byte) { copy(b[4:], "zimg") },
	} {
		if err := check(change); !errors.Is(err, ErrLoading) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEachOptionThatAnEnclaveNeedsIsAskedFor(t *testing.T) {
	for line := range strings.Lines(needed) {
		option, _, _ := strings.Cut(line, "=")
		k := &Kernel{Arch: image.AMD64, Config: []byte(strings.ReplaceAll(ownNSM, line, "# "+option+" is not set\n"))}
		warnings, err := k.Check()
		switch option {
		case "CONFIG_MODULES": // for a module alone
		case "CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES":
			if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], option) {
				t.Errorf("%s: %v, %v", option, warnings, err)
			}
		default:
			if !errors.Is(err, ErrLacks) || !strings.Contains(err.Error(), option) {
				t.Errorf("%s: %v", option, err)
			}
		}
	}
	config := strings.ReplaceAll(ownNSM, "CONFIG_VSOCKETS=y", "CONFIG_VSOCKETS=m")
	k := &Kernel{Arch: image.AMD64, Config: []byte(config), Image: kerneltest.Image(image.AMD64, "6.12.1")}
	if _, err := k.Check(); !errors.Is(err, ErrLacks) || !strings.Contains(err.Error(), "give vsock.ko") {
		t.Errorf("a module that is not given: %v", err)
	}
	k.Modules = []Module{{Name: "vsock.ko", Data: kerneltest.Module(image.AMD64, "6.12.1")}}
	if _, err := k.Check(); err != nil {
		t.Errorf("a module that is given: %v", err)
	}
}

func TestTheBlobsCommandLineIsKeptButForWhatAnEnclaveWantsOtherwise(t *testing.T) {
	for line, want := range map[string]string{
		awsCmdline:             "reboot=k panic=30 pci=off nomodules console=ttyS0 random.trust_cpu=off root=/dev/ram0",
		"quiet":                "quiet random.trust_cpu=off",
		" a  b\n":              "a b random.trust_cpu=off",
		"random.trust-cpu=1 x": "random.trust_cpu=off x",
	} {
		if got := Merge(line); got != want {
			t.Errorf("%q becomes %q", line, got)
		}
	}
	for _, word := range []string{"init=/bin/sh", "rdinit=/x", "initrd=0x1,2", "noinitrd", "nomodule"} {
		k := &Kernel{
			Arch: image.AMD64, Cmdline: "quiet " + word,
			Modules: []Module{{Name: "nsm.ko", Data: kerneltest.Module(image.AMD64, "6.6.79")}},
		}
		if _, err := k.Check(); !errors.Is(err, ErrWords) || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", word, err)
		}
	}
	k := &Kernel{Arch: image.AMD64, Config: []byte(ownNSM), Cmdline: "nomodule initramfs_async=0"}
	if _, err := k.Check(); err != nil {
		t.Errorf("nomodule without modules: %v", err)
	}
}

func TestModulesThatAreGivenAreLoadedBeforeTheBlobsOwn(t *testing.T) {
	first := Module{Name: "rng-core.ko", Data: kerneltest.Module(image.AMD64, "6.6.79")}
	k, err := ReadBlobs(blobs(image.AMD64, "6.6.79", aws66, "nsm.ko"), image.AMD64, []Module{first})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range k.Modules {
		names = append(names, m.Name)
	}
	if !slices.Equal(names, []string{"rng-core.ko", "nsm.ko"}) {
		t.Errorf("%v", names)
	}
}

func FuzzVersionAndModinfo(f *testing.F) {
	f.Add(kerneltest.Image(image.AMD64, "6.6.79"))
	f.Add(kerneltest.Module(image.AMD64, "6.6.79"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_ = (&Kernel{Arch: image.AMD64, Image: data}).Version()
		_, _, _ = modinfo(data)
		if len(data) > 0x210 { // let the fuzzer past the magic
			copy(data[0x202:], "HdrS")
			binary.LittleEndian.PutUint16(data[0x20e:], uint16(len(data)))
			_ = (&Kernel{Arch: image.AMD64, Image: data}).Version()
		}
	})
}
