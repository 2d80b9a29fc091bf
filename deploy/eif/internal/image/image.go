// Package image reads and writes AWS Nitro enclave images (EIF, format version 4) for eif, and computes the
// measurements (PCR0, PCR1, PCR2, PCR8) that an enclave booted from an image will have.
//
// It guarantees that the same parts give the same bytes. Source: the format's definition in the crate
// aws-nitro-enclaves-image-format 0.8 and the Nitro Enclaves user guide ("Where to get an enclave's measurements").
//
// Layout, all numbers big-endian: a header of 548 bytes, then the sections, each with a header of 12 bytes (type u16,
// flags u16, size u64) and its data. The header:
//
//	  0  magic ".eif"          4  version u16         6  flags u16 (bit 0: arm64)
//	  8  default memory u64   16  default CPUs u64   24  reserved u16    26  number of sections u16
//	 28  section offsets 32 × u64                   284  section sizes 32 × u64 (without their headers)
//	540  unused u32          544  CRC-32 (IEEE) of every other byte of the file
package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Sizes and limits of the format, in bytes unless said otherwise.
const (
	Version           = 4
	headerSize        = 548
	sectionHeaderSize = 12
	crcOffset         = 544
	maxSections       = 32
	MaxRamdisks       = 8
	MaxCmdline        = 4096 // more than any kernel takes (COMMAND_LINE_SIZE is 2048)
	MaxImage          = 2 << 30
)

// Defaults that the header carries for tools that start an enclave without being told its size.
const (
	DefaultMemory = 512 << 20 // bytes
	DefaultCPUs   = 1
)

// Arch is the processor that an image runs on.
type Arch string

// The two architectures of Nitro instances, by their Go names.
const (
	AMD64 Arch = "amd64"
	ARM64 Arch = "arm64"
)

const flagARM64 = 1

type sectionType uint16

const (
	sectionKernel sectionType = iota + 1
	sectionCmdline
	sectionRamdisk
	sectionSignature
	sectionMetadata
)

// ErrFormat is wrapped by every error that says a file is not a well-formed image.
var ErrFormat = errors.New("not a well-formed enclave image")

// Image is one enclave image, whole in memory. Metadata is JSON (see [Metadata]); Signature is the CBOR that
// [Sign] makes, or empty.
type Image struct {
	Arch      Arch
	Memory    uint64 // default memory, bytes
	CPUs      uint64 // default number of CPUs
	Kernel    []byte
	Cmdline   string
	Ramdisks  [][]byte // the first is measured by PCR1, the others by PCR2
	Metadata  []byte
	Signature []byte
}

type section struct {
	typ  sectionType
	data []byte
}

func (im *Image) sections() []section {
	s := []section{{sectionKernel, im.Kernel}, {sectionCmdline, []byte(im.Cmdline)}, {sectionMetadata, im.Metadata}}
	for _, r := range im.Ramdisks {
		s = append(s, section{sectionRamdisk, r})
	}
	if len(im.Signature) > 0 {
		s = append(s, section{sectionSignature, im.Signature})
	}
	return s
}

func (im *Image) check() error {
	switch {
	case im.Arch != AMD64 && im.Arch != ARM64:
		return fmt.Errorf("architecture %q: must be %s or %s", im.Arch, AMD64, ARM64)
	case len(im.Kernel) == 0:
		return errors.New("the kernel is empty")
	case len(im.Cmdline) > MaxCmdline:
		return fmt.Errorf("the kernel command line has more than %d bytes", MaxCmdline)
	case len(im.Ramdisks) == 0 || len(im.Ramdisks) > MaxRamdisks:
		return fmt.Errorf("%d ramdisks: must be 1 to %d", len(im.Ramdisks), MaxRamdisks)
	case len(im.Metadata) == 0:
		return errors.New("the metadata is empty")
	}
	return nil
}

// Bytes is the image as a file.
func (im *Image) Bytes() ([]byte, error) {
	if err := im.check(); err != nil {
		return nil, err
	}
	secs := im.sections()
	be := binary.BigEndian
	out := make([]byte, headerSize)
	copy(out, ".eif")
	be.PutUint16(out[4:], Version)
	if im.Arch == ARM64 {
		be.PutUint16(out[6:], flagARM64)
	}
	be.PutUint64(out[8:], im.Memory)
	be.PutUint64(out[16:], im.CPUs)
	be.PutUint16(out[26:], uint16(len(secs)))
	for i, s := range secs {
		be.PutUint64(out[28+8*i:], uint64(len(out)))
		be.PutUint64(out[284+8*i:], uint64(len(s.data)))
		out = be.AppendUint16(out, uint16(s.typ))
		out = be.AppendUint16(out, 0)
		out = be.AppendUint64(out, uint64(len(s.data)))
		out = append(out, s.data...)
	}
	be.PutUint32(out[crcOffset:], checksum(out))
	return out, nil
}

func checksum(file []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(file[:crcOffset]), crc32.IEEETable, file[headerSize:])
}

// Parse reads a file. It refuses a wrong checksum, sections that overlap, are missing, repeated or lie about their
// length, and trailing bytes. The image borrows from file, which must not change afterwards.
func Parse(file []byte) (*Image, error) {
	be := binary.BigEndian
	switch {
	case len(file) < headerSize || !bytes.HasPrefix(file, []byte(".eif")):
		return nil, fmt.Errorf("%w: no EIF header", ErrFormat)
	case be.Uint16(file[4:]) != Version:
		return nil, fmt.Errorf("%w: format version %d, want %d", ErrFormat, be.Uint16(file[4:]), Version)
	case be.Uint32(file[crcOffset:]) != checksum(file):
		return nil, fmt.Errorf("%w: wrong checksum, the file is damaged", ErrFormat)
	}
	count := int(be.Uint16(file[26:]))
	if count > maxSections {
		return nil, fmt.Errorf("%w: %d sections", ErrFormat, count)
	}
	im := &Image{Arch: AMD64, Memory: be.Uint64(file[8:]), CPUs: be.Uint64(file[16:])}
	if be.Uint16(file[6:])&flagARM64 != 0 {
		im.Arch = ARM64
	}
	pos := uint64(headerSize)
	for i := range count {
		data, err := sectionAt(file, pos, be.Uint64(file[28+8*i:]), be.Uint64(file[284+8*i:]))
		if err != nil {
			return nil, fmt.Errorf("section %d: %w", i, err)
		}
		if err := im.take(sectionType(be.Uint16(file[pos:])), data); err != nil {
			return nil, fmt.Errorf("section %d: %w", i, err)
		}
		pos += sectionHeaderSize + uint64(len(data))
	}
	if pos != uint64(len(file)) {
		return nil, fmt.Errorf("%w: bytes after the last section", ErrFormat)
	}
	if err := im.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return im, nil
}

// sectionAt is the data of the section at pos, when header and section agree on where it is and how long.
func sectionAt(file []byte, pos, offset, size uint64) ([]byte, error) {
	left := uint64(len(file)) - pos
	if offset != pos || left < sectionHeaderSize || size > left-sectionHeaderSize ||
		binary.BigEndian.Uint64(file[pos+4:]) != size {
		return nil, fmt.Errorf("%w: its place or length is wrong", ErrFormat)
	}
	start := pos + sectionHeaderSize
	return file[start : start+size : start+size], nil
}

func (im *Image) take(t sectionType, data []byte) error {
	switch {
	case t == sectionKernel && im.Kernel == nil:
		im.Kernel = data
	case t == sectionCmdline && im.Cmdline == "":
		im.Cmdline = string(data)
	case t == sectionRamdisk:
		im.Ramdisks = append(im.Ramdisks, data)
	case t == sectionMetadata && im.Metadata == nil:
		im.Metadata = data
	case t == sectionSignature && im.Signature == nil:
		im.Signature = data
	default:
		return fmt.Errorf("%w: a section of type %d is repeated or unknown", ErrFormat, t)
	}
	return nil
}
