// Package cpio writes the ramdisks of an enclave image for eif: archives in the "newc" format that Linux unpacks as
// its initramfs (kernel documentation, driver-api/early-userspace/buffer-format).
//
// It guarantees that the same entries give the same bytes, whoever builds, when and where: no times, no owners, inode
// numbers by position, parents before children in the order given. That makes PCR1 and PCR2 reproducible.
package cpio

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Limits of one entry. The header holds 32-bit numbers; a file of an enclave's ramdisk is far smaller.
const (
	MaxFileSize   = 1 << 30 // bytes
	MaxNameLength = 4096    // bytes, the kernel's PATH_MAX
)

// archiveAlign is the padding of the whole archive, in bytes, so that archives can be laid one after another.
const archiveAlign = 512

const (
	typeDir  = 0o040000
	typeFile = 0o100000
	typeChar = 0o020000
)

// ErrEntry is wrapped by every error that says an entry cannot be written.
var ErrEntry = errors.New("cpio: bad entry")

// Writer writes one archive. The zero value is not usable; see [NewWriter]. It is not safe for concurrent use.
type Writer struct {
	w    io.Writer
	n    int64
	ino  uint32
	seen map[string]bool
	err  error
}

// NewWriter returns a Writer on w. Call Close to end the archive; w itself is left open.
func NewWriter(w io.Writer) *Writer {
	return &Writer{w: w, seen: map[string]bool{}}
}

// Dir adds a directory with permissions 0755, and its parents. Adding one twice is no error.
func (c *Writer) Dir(name string) error {
	name = clean(name)
	if name == "." || c.seen[name] {
		return c.err
	}
	if err := c.Dir(path.Dir(name)); err != nil {
		return err
	}
	return c.entry(name, typeDir|0o755, 0, 0, nil)
}

// File adds a regular file and its parent directories. Only the permission bits of mode count.
func (c *Writer) File(name string, mode uint32, data []byte) error {
	name = clean(name)
	if err := c.Dir(path.Dir(name)); err != nil {
		return err
	}
	return c.entry(name, typeFile|mode&0o777, 0, 0, data)
}

// CharDevice adds a character device with permissions 0600, and its parent directories.
func (c *Writer) CharDevice(name string, major, minor uint32) error {
	name = clean(name)
	if err := c.Dir(path.Dir(name)); err != nil {
		return err
	}
	return c.entry(name, typeChar|0o600, major, minor, nil)
}

// Close writes the trailer and pads the archive to 512 bytes.
func (c *Writer) Close() error {
	c.header("TRAILER!!!", 0, 0, 0, 0)
	c.pad(archiveAlign)
	return c.err
}

func clean(name string) string {
	return path.Clean(strings.TrimPrefix(name, "/"))
}

func (c *Writer) entry(name string, mode, major, minor uint32, data []byte) error {
	switch {
	case c.err != nil:
		return c.err
	case name == "." || strings.HasPrefix(name, "..") || len(name) > MaxNameLength || strings.ContainsRune(name, 0):
		return fmt.Errorf("%w: name %q", ErrEntry, name)
	case c.seen[name]:
		return fmt.Errorf("%w: %q is there twice", ErrEntry, name)
	case len(data) > MaxFileSize:
		return fmt.Errorf("%w: %q has more than %d bytes", ErrEntry, name, MaxFileSize)
	}
	c.seen[name] = true
	c.ino++
	c.header(name, mode, major, minor, len(data))
	c.write(data)
	c.pad(4)
	return c.err
}

// header writes the fixed fields and the name. The device number of the entry itself, its owner, its time and its
// checksum are zero.
func (c *Writer) header(name string, mode, major, minor uint32, size int) {
	ino, links := c.ino, 1
	if mode == 0 {
		ino = 0
	}
	c.write(fmt.Appendf(nil, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		ino, mode, 0, 0, links, 0, size, 0, 0, major, minor, len(name)+1, 0))
	c.write(append([]byte(name), 0))
	c.pad(4)
}

func (c *Writer) pad(align int64) {
	if over := c.n % align; over != 0 {
		c.write(make([]byte, align-over))
	}
}

func (c *Writer) write(p []byte) {
	if c.err != nil {
		return
	}
	n, err := c.w.Write(p)
	c.n += int64(n)
	c.err = err
}
