package kernel

import (
	"errors"
	"fmt"
	"io/fs"

	"redoubt/deploy/eif/internal/image"
)

// DefaultBlobs is where the package aws-nitro-enclaves-cli-devel puts AWS's kernel.
const DefaultBlobs = "/usr/share/nitro_enclaves/blobs"

// images are a kernel's file names, by processor. Its configuration has the same name and .config.
var images = map[image.Arch]string{image.AMD64: "bzImage", image.ARM64: "Image"}

// ReadBlobs reads a kernel from a folder with the layout of AWS's: bzImage or Image, its .config, cmdline, and nsm.ko
// unless the kernel has the driver built in. before are modules to load first, for a kernel that has more than one.
// The other files of AWS's folder (init, linuxkit) are only for nitro-cli.
func ReadBlobs(dir fs.FS, arch image.Arch, before []Module) (*Kernel, error) {
	k := &Kernel{Arch: arch, Modules: before}
	var err error
	if k.Image, err = fs.ReadFile(dir, images[arch]); err != nil {
		return nil, fmt.Errorf("blobs: the kernel for %s: %w", arch, err)
	}
	if k.Config, err = fs.ReadFile(dir, images[arch]+".config"); err != nil {
		return nil, fmt.Errorf("blobs: the kernel's configuration, which says whether it has the driver: %w", err)
	}
	line, err := fs.ReadFile(dir, "cmdline")
	if err != nil {
		return nil, fmt.Errorf("blobs: the kernel's command line: %w", err)
	}
	k.Cmdline = Merge(string(line))
	module, err := fs.ReadFile(dir, nsm)
	switch {
	case errors.Is(err, fs.ErrNotExist): // Check says whether the kernel needs it
	case err != nil:
		return nil, fmt.Errorf("blobs: %w", err)
	default:
		k.Modules = append(k.Modules, Module{Name: nsm, Data: module})
	}
	return k, nil
}
