// Package kernel reads, for eif, the files from which an enclave boots, and checks that the enclave can run on them:
// the kernel, its configuration, its modules and its command line.
//
// It guarantees that no image is made of a kernel without a driver for the Nitro Security Module, of one whose
// modules belong to another kernel, or of one whose random generator cannot be reseeded. Each of these faults would
// otherwise show only at the first boot, on an instance that is gone minutes later.
//
// Sources: Documentation/arch/x86/boot.rst and Documentation/arch/arm64/booting.rst of Linux for the headers;
// aws-nitro-enclaves-cli (blobs/, SPECS/) and aws-nitro-enclaves-sdk-bootstrap (kernel/, init/) for the folder of
// blobs and for what a host does with an arm64 kernel.
package kernel

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"redoubt/deploy/eif/internal/image"
	"redoubt/deploy/eif/internal/ramdisk"
)

// Module is a kernel module: an uncompressed ELF object.
type Module = ramdisk.Module

// Kernel is a kernel with its files.
type Kernel struct {
	Arch    image.Arch
	Image   []byte   // a bzImage (amd64) or Image (arm64)
	Config  []byte   // its configuration (.config); nil if it is not known
	Modules []Module // in load order
	Cmdline string
}

// These are errors of a kernel on which no enclave can run.
var (
	ErrNoNSM = errors.New("the kernel has no driver for the Nitro Security Module")
	ErrMixed = errors.New("the module is of another kernel")
	ErrOld   = errors.New("the kernel is too old")
	ErrWords = errors.New("the kernel command line cannot be used")
	ErrLacks = errors.New("the kernel lacks what an enclave needs")

	ErrLoading = errors.New("a Nitro host cannot start the kernel")
)

// nsm is the module's name. The driver has the same one in AWS's own tree and in Linux since 6.8.
const nsm = "nsm.ko"

// Version is the kernel's release, for instance 6.6.79. It is empty if the image does not show it: an arm64 kernel
// may be compressed.
func (k *Kernel) Version() string {
	const magic, versionAt = 0x202, 0x20e
	if len(k.Image) > versionAt+2 && bytes.HasPrefix(k.Image[magic:], []byte("HdrS")) {
		at := int(binary.LittleEndian.Uint16(k.Image[versionAt:])) + 0x200
		return firstWord(k.Image, at)
	}
	if i := bytes.Index(k.Image, []byte("Linux version ")); i >= 0 {
		return firstWord(k.Image, i+len("Linux version "))
	}
	return ""
}

// firstWord is the word at an offset, and empty if there is none of a plausible length.
func firstWord(b []byte, at int) string {
	if at >= len(b) {
		return ""
	}
	word := b[at:min(at+64, len(b))]
	end := bytes.IndexAny(word, " \x00\n")
	if end < 0 {
		return ""
	}
	return string(word[:end])
}

// Check returns the reason why no enclave can run on the kernel, or nil. Warnings are faults that show only on a
// Nitro instance.
func (k *Kernel) Check() (warnings []string, err error) {
	options := k.options()
	err = errors.Join(k.checkLoading(), k.checkNSM(options), k.checkModules(), k.checkAge(), k.checkWords())
	if err != nil {
		return nil, err
	}
	if k.Config == nil {
		return nil, nil
	}
	for _, need := range needs {
		if !slices.Contains([]string{"y", "m"}, options[need.option]) ||
			options[need.option] == "m" && !k.has(need.module) {
			return nil, fmt.Errorf("%w: %s is %s in its configuration%s", ErrLacks, need.option,
				orNot(options[need.option]), need.hint(options[need.option]))
		}
	}
	if k.Arch == image.AMD64 && options["CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES"] != "y" {
		warnings = append(warnings, "CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES is not set: on x86_64 a Nitro enclave is told its "+
			"devices on the command line, and this kernel would find none")
	}
	return warnings, nil
}

// need is an option that the enclave needs, and the module that is needed if the option is m. Without a module it
// must be built in.
type need struct{ option, module string }

var needs = []need{
	{"CONFIG_BLK_DEV_INITRD", ""},
	{"CONFIG_DEVTMPFS", ""},
	{"CONFIG_PROC_FS", ""},
	{"CONFIG_SYSFS", ""},
	{"CONFIG_VIRTIO_MMIO", "virtio_mmio.ko"},
	{"CONFIG_VSOCKETS", "vsock.ko"},
	{"CONFIG_VIRTIO_VSOCKETS", "vmw_vsock_virtio_transport.ko"},
	{"CONFIG_HW_RANDOM", "rng-core.ko"},
}

func (n need) hint(value string) string {
	if value == "m" && n.module != "" {
		return ": give " + n.module + " with --module"
	}
	return ""
}

func orNot(value string) string {
	if value == "" {
		return "not set"
	}
	return value
}

// options are those that a configuration sets, as KEY=VALUE lines.
func (k *Kernel) options() map[string]string {
	set := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(k.Config))
	for lines.Scan() {
		if key, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "="); ok && strings.HasPrefix(key, "CONFIG_") {
			set[key] = value
		}
	}
	return set
}

// has reports whether a module is among those that the image loads. The kernel treats - and _ in names alike.
func (k *Kernel) has(name string) bool {
	same := func(s string) string { return strings.ReplaceAll(s, "-", "_") }
	return slices.ContainsFunc(k.Modules, func(m Module) bool { return same(m.Name) == same(name) })
}

// checkLoading refuses an arm64 kernel that a Nitro host would not start. One kind is a compressed kernel, which no
// boot loader unpacks there. The other is a kernel whose header lets the loader choose its place: Linux does so since
// 5.8, and the host then puts it at address 0.
func (k *Kernel) checkLoading() error {
	const textOffset, magic = 8, 56
	switch {
	case k.Arch != image.ARM64:
		return nil
	case bytes.HasPrefix(k.Image, []byte("\x1f\x8b")), len(k.Image) > 8 && string(k.Image[4:8]) == "zimg":
		return fmt.Errorf("%w: the kernel is compressed, a Nitro host starts an uncompressed Image", ErrLoading)
	case len(k.Image) > magic+4 && string(k.Image[magic:magic+4]) == "ARM\x64" &&
		binary.LittleEndian.Uint64(k.Image[textOffset:]) == 0:
		return fmt.Errorf("%w: its text_offset is 0, write an address, 2 MiB, into its header: "+
			`printf '\0\0\40\0\0\0\0\0' | dd of=Image bs=1 seek=8 conv=notrunc`, ErrLoading)
	}
	return nil
}

func (k *Kernel) checkNSM(options map[string]string) error {
	switch {
	case options["CONFIG_NSM"] == "y" && k.has(nsm):
		return fmt.Errorf("%w: %s is given, and the kernel has the driver built in", ErrMixed, nsm)
	case options["CONFIG_NSM"] == "y":
		return nil
	case k.has(nsm) && k.Config != nil && options["CONFIG_MODULES"] != "y":
		return fmt.Errorf("%w: CONFIG_NSM is not y, and it can load no modules", ErrNoNSM)
	case k.has(nsm):
		return nil
	case k.Config == nil:
		return fmt.Errorf("%w, as far as is known: give %s, or a configuration with CONFIG_NSM=y", ErrNoNSM, nsm)
	}
	return fmt.Errorf("%w: CONFIG_NSM is %s in its configuration, and %s is not given", ErrNoNSM,
		orNot(options["CONFIG_NSM"]), nsm)
}

var machines = map[image.Arch]elf.Machine{image.AMD64: elf.EM_X86_64, image.ARM64: elf.EM_AARCH64}

// checkModules requires each module to be one of this very kernel.
func (k *Kernel) checkModules() error {
	version := k.Version()
	for _, m := range k.Modules {
		release, machine, err := modinfo(m.Data)
		switch {
		case err != nil:
			return fmt.Errorf("%s is not a kernel module (decompress it first: xz -d, zstd -d): %w", m.Name, err)
		case machine != machines[k.Arch]:
			return fmt.Errorf("%w: %s is for %v, the image for %s", ErrMixed, m.Name, machine, k.Arch)
		case version != "" && release != version:
			return fmt.Errorf("%w: %s is for Linux %s, the kernel is %s", ErrMixed, m.Name, release, version)
		}
	}
	return nil
}

// modinfo is the release that a module was built for, which the kernel compares when it loads it, and its processor.
func modinfo(data []byte) (release string, machine elf.Machine, err error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return "", 0, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return "", 0, errors.New("it has no .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return "", 0, err
	}
	for entry := range bytes.SplitSeq(info, []byte{0}) {
		if magic, ok := bytes.CutPrefix(entry, []byte("vermagic=")); ok {
			release, _, _ = strings.Cut(string(magic), " ")
			return release, f.Machine, nil
		}
	}
	return "", 0, errors.New("it names no kernel")
}

var release = regexp.MustCompile(`^(\d+)\.(\d+)(?:\.(\d+))?`)

// reseeds is the first release of each series in which RNDRESEEDCRNG reseeds the generator from the pool that the
// security module feeds. Earlier releases reseeded the generator from itself ("random: fix the RNDRESEEDCRNG ioctl").
var reseeds = map[[2]int]int{{4, 14}: 223, {4, 19}: 178, {5, 4}: 102, {5, 10}: 20, {5, 11}: 3}

func (k *Kernel) checkAge() error {
	m := release.FindStringSubmatch(k.Version())
	if m == nil {
		return nil
	}
	var v [3]int
	for i := range v {
		v[i], _ = strconv.Atoi(m[i+1]) // digits, or nothing
	}
	first, known := reseeds[[2]int{v[0], v[1]}]
	if v[0] > 5 || v[0] == 5 && v[1] > 11 || known && v[2] >= first {
		return nil
	}
	return fmt.Errorf("%w: in Linux %s the random generator cannot be reseeded from the security module "+
		"(mended in 4.14.223, 5.4.102, 5.10.20 and 5.12)", ErrOld, k.Version())
}
