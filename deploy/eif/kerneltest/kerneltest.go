// Package kerneltest makes files for tests that look like kernels and modules to code that reads them before a boot.
package kerneltest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"

	"redoubt/deploy/eif/internal/image"
)

// Image is a kernel that states its version: the header of a bzImage, or the header and the banner of an arm64 Image
// that lies at 2 MiB.
func Image(arch image.Arch, version string) []byte {
	if arch == image.ARM64 {
		b := make([]byte, 64)
		copy(b, "MZ")
		binary.LittleEndian.PutUint64(b[8:], 2<<20)
		copy(b[56:], "ARM\x64")
		return append(b, "Linux version "+version+" (builder) #1\x00"...)
	}
	b := make([]byte, 0x300)
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x20e:], 0x80)
	return append(b[:0x280], version+" (builder) #1\x00"...)
}

// Config is the configuration of such a kernel.
const Config = "CONFIG_MODULES=y\nCONFIG_BLK_DEV_INITRD=y\nCONFIG_DEVTMPFS=y\nCONFIG_PROC_FS=y\nCONFIG_SYSFS=y\n" +
	"CONFIG_VIRTIO_MMIO=y\nCONFIG_VSOCKETS=y\nCONFIG_VIRTIO_VSOCKETS=y\nCONFIG_HW_RANDOM=y\nCONFIG_NSM=m\n"

// Blobs are the files, by name, of a folder in Amazon's layout with such a kernel and module.
func Blobs[A ~string](of A, version string) map[string][]byte {
	arch := image.Arch(of)
	name := map[image.Arch]string{image.AMD64: "bzImage", image.ARM64: "Image"}[arch]
	return map[string][]byte{
		name: Image(arch, version), name + ".config": []byte(Config), "nsm.ko": Module(arch, version),
		"cmdline": []byte("quiet nomodules random.trust_cpu=on root=/dev/ram0\n"),
		"init":    []byte("nitro-cli's own"), "linuxkit": []byte("nitro-cli's own"),
	}
}

// Module is a module built for a kernel of that version.
func Module(arch image.Arch, version string) []byte {
	machine := elf.EM_X86_64
	if arch == image.ARM64 {
		machine = elf.EM_AARCH64
	}
	const headerSize, sectionSize = 64, 64
	info := []byte("license=GPL\x00vermagic=" + version + " SMP mod_unload \x00")
	names := []byte("\x00.modinfo\x00.shstrtab\x00")
	at := uint64(headerSize)
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: at, Size: uint64(len(info)), Addralign: 1},
		{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: at + uint64(len(info)), Size: uint64(len(names)), Addralign: 1},
	}
	h := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_REL), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT), Ehsize: headerSize,
		Shoff: at + uint64(len(info)+len(names)), Shentsize: sectionSize, Shnum: uint16(len(sections)), Shstrndx: 2,
	}
	var b bytes.Buffer
	for _, part := range []any{h, info, names, sections} {
		_ = binary.Write(&b, binary.LittleEndian, part) // of fixed sizes, into memory: it cannot fail
	}
	return b.Bytes()
}
