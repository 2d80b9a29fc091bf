package kernel

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"redoubt/deploy/eif/internal/image"
)

// own is the folder of our own kernel: what it is made from, and what came of it.
var own = os.DirFS("../../kernel")

func ownFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := fs.ReadFile(own, name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestOurKernelIsMadeFromWhatIsRecorded finds a change after which nobody built. The sum of bzImage itself is compared
// by make kernel.
func TestOurKernelIsMadeFromWhatIsRecorded(t *testing.T) {
	recorded := map[string]string{}
	for line := range strings.Lines(string(ownFile(t, "kernel.sha256"))) {
		if sum, name, ok := strings.Cut(strings.TrimSpace(line), "  "); ok && !strings.HasPrefix(line, "#") {
			recorded[name] = sum
		}
	}
	if len(recorded["bzImage"]) != 2*sha256.Size {
		t.Error("no sum of bzImage")
	}
	for _, name := range []string{"build.sh", "cmdline", "enclave.config", "x86_64.config", "bzImage.config"} {
		sum := sha256.Sum256(ownFile(t, name))
		if got := hex.EncodeToString(sum[:]); got != recorded[name] {
			t.Errorf("%s is not what the recorded kernel was made from: UPDATE=1 make kernel", name)
		}
	}
}

func TestOurKernelIsTakenWithoutAWarning(t *testing.T) {
	line := strings.TrimSpace(string(ownFile(t, "cmdline")))
	k := &Kernel{Arch: image.AMD64, Config: ownFile(t, "bzImage.config"), Cmdline: Merge(line)}
	if warnings, err := k.Check(); err != nil || len(warnings) > 0 {
		t.Errorf("%v, %v", err, warnings)
	}
	if k.Cmdline != line {
		t.Errorf("eif build makes it %q", k.Cmdline)
	}
	for _, word := range []string{"random.trust_cpu=off", "random.trust_bootloader=off"} {
		if !slices.Contains(strings.Fields(line), word) {
			t.Errorf("%s is not on the command line", word)
		}
	}
}

// doors are options that let something into the running kernel, or let it be read: more code, other memory, other
// programs, more of the host's devices.
var doors = []string{
	"MODULES", "KEXEC", "KEXEC_FILE", "BPF_SYSCALL", "BPF_JIT", "KPROBES", "UPROBES", "FTRACE", "LIVEPATCH", // code
	"DEVMEM", "DEVPORT", "PROC_KCORE", "PROC_VMCORE", "PROC_PAGE_MONITOR", "DEBUG_FS", "CRASH_DUMP", "COREDUMP", // memory
	"SWAP", "HIBERNATION", "CROSS_MEMORY_ATTACH", "CHECKPOINT_RESTORE", "PROC_MEM_ALWAYS_FORCE", "X86_MSR", "PROFILING",
	"BINFMT_MISC", "BINFMT_SCRIPT", "IA32_EMULATION", "X86_X32_ABI", "USER_NS", "USERFAULTFD", "IO_URING", // programs
	"KEYS", "MODIFY_LDT_SYSCALL", "X86_16BIT", "X86_IOPL_IOPERM", "LEGACY_TIOCSTI", "LDISC_AUTOLOAD", "MAGIC_SYSRQ",
	"PCI", "ACPI", "EFI", "BLOCK", "INET", "UNIX", "PACKET", "NETDEVICES", "NETFILTER", "VSOCKETS_LOOPBACK", // the host
	"HW_RANDOM_VIRTIO", "VIRTIO_CONSOLE", "VIRTIO_BALLOON", "MEMORY_HOTPLUG", "USB", "INPUT", "VT", "HYPERV", "XEN",
	"RD_GZIP", "RD_XZ", "RD_ZSTD", "BOOT_CONFIG", "CMDLINE_BOOL", // another start than the image's
}

// guards are options without which a fault of the kernel is easier to use, or keys stay in freed memory.
var guards = []string{
	"STRICT_KERNEL_RWX", "VMAP_STACK", "RANDOMIZE_BASE", "RANDOMIZE_MEMORY", "STACKPROTECTOR_STRONG", "FORTIFY_SOURCE",
	"HARDENED_USERCOPY", "INIT_ON_ALLOC_DEFAULT_ON", "INIT_ON_FREE_DEFAULT_ON", "INIT_STACK_ALL_ZERO", "LIST_HARDENED",
	"SLAB_FREELIST_RANDOM", "SLAB_FREELIST_HARDENED", "SLAB_BUCKETS", "RANDOM_KMALLOC_CACHES", "SHUFFLE_PAGE_ALLOCATOR",
	"RANDOMIZE_KSTACK_OFFSET_DEFAULT", "BUG_ON_DATA_CORRUPTION", "PANIC_ON_OOPS", "SECURITY_DMESG_RESTRICT",
	"PROC_MEM_NO_FORCE", "SECURITY_PERF_EVENTS_RESTRICT", "CPU_MITIGATIONS", "LEGACY_VSYSCALL_NONE", "X86_UMIP",
}

// The parts are looked at as well as the outcome: a door that is opened there is found before anybody builds.
func TestOurKernelHasItsDoorsShutAndItsGuardsUp(t *testing.T) {
	options := func(data []byte) map[string]string { return (&Kernel{Config: data}).options() }
	parts := bytes.Join([][]byte{ownFile(t, "enclave.config"), ownFile(t, "x86_64.config")}, []byte("\n"))
	for name, set := range map[string]map[string]string{
		"bzImage.config": options(ownFile(t, "bzImage.config")), "the parts": options(parts),
	} {
		for _, door := range doors {
			if value := set["CONFIG_"+door]; value != "" && value != "n" {
				t.Errorf("%s: CONFIG_%s=%s", name, door, value)
			}
		}
		for _, guard := range guards {
			if value := set["CONFIG_"+guard]; value != "y" {
				t.Errorf("%s: CONFIG_%s is %s", name, guard, orNot(value))
			}
		}
	}
}
