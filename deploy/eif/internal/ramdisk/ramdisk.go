// Package ramdisk lays out, for eif, the two ramdisks of a Redoubt enclave image.
//
// The first, [Code], holds everything that runs: the enclave as /init and the kernel modules that it loads, in order.
// It is the same for every deployment, so PCR1 is a published measure of the code. The second, [Config], holds the
// deployment's configuration and nothing else; PCR2 measures it. The kernel unpacks both into one root file system.
package ramdisk

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"redoubt/deploy/eif/internal/cpio"
)

// ConfigPath is where the enclave reads its configuration.
const ConfigPath = "/etc/redoubt/enclave.yaml"

// ModuleDir is where the enclave finds the modules that it loads at start, in the order of their names.
const ModuleDir = "/modules"

// Module is a kernel module: an uncompressed ELF object.
type Module struct {
	Name string // file name, for instance nsm.ko
	Data []byte
}

var elfMagic = []byte("\x7fELF")

// Code is the first ramdisk: init is the static enclave binary.
func Code(init []byte, modules []Module) ([]byte, error) {
	if !bytes.HasPrefix(init, elfMagic) {
		return nil, errors.New("the enclave binary is not an ELF program")
	}
	var b bytes.Buffer
	w := cpio.NewWriter(&b)
	errs := []error{w.File("/init", 0o755, init), w.CharDevice("/dev/console", 5, 1)}
	for _, dir := range []string{"/proc", "/sys", "/tmp", "/etc/redoubt", ModuleDir} {
		errs = append(errs, w.Dir(dir))
	}
	for i, m := range modules {
		if !bytes.HasPrefix(m.Data, elfMagic) {
			return nil, fmt.Errorf("module %s is not an ELF object; decompress it first (xz -d, zstd -d)", m.Name)
		}
		name := fmt.Sprintf("%s/%02d-%s", ModuleDir, i, strings.TrimSpace(filepath.Base(m.Name)))
		errs = append(errs, w.File(name, 0o644, m.Data))
	}
	errs = append(errs, w.Close())
	return b.Bytes(), errors.Join(errs...)
}

// File is a file that the configuration names, such as a certificate. It lies beside the configuration.
type File struct {
	Name string // file name, for instance kms-ca.pem
	Data []byte
}

// Config is the second ramdisk: the configuration and the files that it names. All are readable by every process of
// the enclave, which has only one.
func Config(yaml []byte, extra []File) ([]byte, error) {
	var b bytes.Buffer
	w := cpio.NewWriter(&b)
	errs := []error{w.File(ConfigPath, 0o644, yaml)}
	for _, f := range extra {
		errs = append(errs, w.File(path.Join(path.Dir(ConfigPath), filepath.Base(f.Name)), 0o644, f.Data))
	}
	errs = append(errs, w.Close())
	return b.Bytes(), errors.Join(errs...)
}
