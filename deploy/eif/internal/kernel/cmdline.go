package kernel

import (
	"fmt"
	"slices"
	"strings"
)

// DefaultCmdline is the command line of an image whose kernel comes without one.
const DefaultCmdline = "reboot=k panic=30 pci=off nomodules console=ttyS0 random.trust_cpu=off"

// ours are the parameters that an enclave needs whatever a kernel's own command line says: the processor's random
// numbers alone do not make the generator ready.
var ours = []string{"random.trust_cpu=off"}

// refused are parameters, by their names, with which the enclave would not be the first process, or would have no
// ramdisks.
var refused = []string{"init", "rdinit", "initrd", "noinitrd"}

// Merge is a kernel's own command line with the parameters that an enclave needs. Each of them replaces the one of
// the same name, or comes last. The others stay as they are, in their order.
func Merge(cmdline string) string {
	words := strings.Fields(cmdline)
	for _, own := range ours {
		i := slices.IndexFunc(words, func(w string) bool { return name(w) == name(own) })
		if i < 0 {
			words = append(words, own)
			continue
		}
		words[i] = own
	}
	return strings.Join(words, " ")
}

func name(word string) string {
	n, _, _ := strings.Cut(word, "=")
	return strings.ReplaceAll(n, "-", "_") // as the kernel compares them
}

// checkWords refuses parameters with which the enclave cannot start. AWS's own line says nomodules, which no kernel
// knows; nomodule is a different parameter.
func (k *Kernel) checkWords() error {
	for _, word := range strings.Fields(k.Cmdline) {
		switch n := name(word); {
		case slices.Contains(refused, n):
			return fmt.Errorf("%w: %s: the enclave is the first process, from the image's own ramdisk", ErrWords, word)
		case n == "nomodule" && len(k.Modules) > 0:
			return fmt.Errorf("%w: nomodule: the image has modules to load", ErrWords)
		}
	}
	return nil
}
