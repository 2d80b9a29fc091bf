// Package command is the command line of eif, for those who build and check images.
package command

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"redoubt/deploy/eif/internal/image"
	"redoubt/deploy/eif/internal/kernel"
	"redoubt/deploy/eif/internal/ramdisk"
	"redoubt/wire/kit/program"
)

// CLI is every command of eif.
type CLI struct {
	Build    Build    `cmd:"" help:"Build an image and print its measurements."`
	Describe Describe `cmd:"" help:"Print what an image holds and its measurements."`
	Verify   Verify   `cmd:"" help:"Compare an image's measurements with a file of expected ones."`
	Boot     Boot     `cmd:"" help:"Start an image under QEMU and wait until the enclave in it serves."`
	PCR3     PCR3     `cmd:"" name:"pcr3" help:"Print PCR3 for an instance role."`

	ToolVersion kong.VersionFlag `name:"version" help:"Print the version and exit."`
}

// Output is where results go, and where everything else goes.
type Output struct {
	io.Writer
	Warnings io.Writer // may be nil
}

func (o Output) warn(text string) {
	if o.Warnings != nil {
		fmt.Fprintln(o.Warnings, "eif: warning:", text)
	}
}

func (o Output) json(v any) error {
	enc := json.NewEncoder(o)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// Result is what build prints, as `nitro-cli build-enclave` does.
type Result struct {
	Measurements image.Measurements `json:"Measurements"`
	Kernel       KernelInfo         `json:"Kernel"`
}

// KernelInfo identifies a kernel: PCR0 and PCR1 change with it.
type KernelInfo struct {
	Version string   `json:"Version,omitempty"` // as the kernel itself says; empty if it does not
	SHA256  string   `json:"SHA256"`
	Bytes   int      `json:"Bytes"`
	Cmdline string   `json:"Cmdline"`
	Modules []string `json:"Modules,omitempty"` // in load order, each with its SHA-256
}

// Build makes an image.
type Build struct {
	Blobs      string   `type:"existingdir" xor:"kernel" required:"" placeholder:"DIR" help:"${help_blobs}"`
	Kernel     string   `type:"existingfile" xor:"kernel" required:"" help:"Kernel: a bzImage (amd64) or Image (arm64)."`
	KernelConf string   `name:"kernel-config" type:"existingfile" help:"The .config that --kernel was built with."`
	Cmdline    string   `help:"Kernel command line, in place of the blobs' or of \"${cmdline}\"."`
	Init       string   `required:"" type:"existingfile" help:"Enclave binary, statically linked, which runs as PID 1."`
	Module     []string `type:"existingfile" help:"${help_module}"`
	Config     string   `required:"" type:"existingfile" help:"The deployment's enclave.yaml (second ramdisk, PCR2)."`
	ConfigFile []string `type:"existingfile" help:"File that enclave.yaml names, put beside it; repeatable."`
	Output     string   `short:"o" required:"" type:"path" help:"The image to write."`
	Arch       string   `default:"${arch}" enum:"amd64,arm64" help:"Processor: amd64 or arm64 (default: this machine's)."`
	Name       string   `default:"redoubt" help:"Image name in the metadata."`
	Version    string   `name:"image-version" default:"dev" help:"Image version in the metadata."`

	SignCert string `type:"existingfile" help:"PEM certificate to sign with (gives PCR8)."`
	SignKey  string `type:"existingfile" help:"PEM P-384 private key of that certificate."`
	RoleARN  string `name:"role-arn" help:"Instance role ARN, to print PCR3 beside the others."`
	PCRs     string `name:"pcrs" type:"path" help:"Also write the measurements to this file."`
}

// Vars are the defaults that the flags' help shows.
func Vars() map[string]string {
	arch := runtime.GOARCH
	if arch != string(image.ARM64) {
		arch = string(image.AMD64)
	}
	return map[string]string{
		"arch":    arch,
		"cmdline": kernel.DefaultCmdline,
		"help_blobs": "Folder with a kernel, its configuration, nsm.ko and command line, as the package " +
			"aws-nitro-enclaves-cli-devel installs it in " + kernel.DefaultBlobs + ".",
		"help_module": "Kernel module to load at start, decompressed; repeat in load order. They are loaded before the " +
			"blobs' nsm.ko.",
		"help_qemu": "QEMU with the nitro-enclave machine (default: ${testbed}/qemu-nsm, or qemu-system-x86_64 of PATH).",
		"testbed":   testbed(),
	}
}

// Run builds, writes and prints.
func (b *Build) Run(out Output) error {
	k, err := b.kernel(out)
	if err != nil {
		return err
	}
	im, err := b.image(k)
	if err != nil {
		return err
	}
	if err := b.sign(im); err != nil {
		return err
	}
	file, err := im.Bytes()
	if err != nil {
		return err
	}
	m, err := im.Measure()
	if err != nil {
		return err
	}
	if b.RoleARN != "" {
		m.PCR3 = image.RolePCR3(b.RoleARN).String()
	}
	if err := writeFile(b.Output, file); err != nil {
		return err
	}
	res := Result{Measurements: m, Kernel: describe(k)}
	if b.PCRs != "" {
		j, err := json.MarshalIndent(res, "", "  ")
		if err != nil {
			return fmt.Errorf("encode the measurements: %w", err)
		}
		if err := writeFile(b.PCRs, append(j, '\n')); err != nil {
			return err
		}
	}
	return out.json(res)
}

// kernel reads the kernel and its files, and refuses a kernel on which no enclave can run.
func (b *Build) kernel(out Output) (*kernel.Kernel, error) {
	modules, err := readModules(b.Module)
	if err != nil {
		return nil, err
	}
	var k *kernel.Kernel
	if b.Blobs != "" {
		if b.KernelConf != "" {
			return nil, program.Mistake("--kernel-config goes with --kernel: blobs have a configuration of their own")
		}
		k, err = kernel.ReadBlobs(os.DirFS(b.Blobs), image.Arch(b.Arch), modules)
	} else {
		k, err = b.plainKernel(modules)
	}
	if err != nil {
		return nil, err
	}
	if b.Cmdline != "" {
		k.Cmdline = strings.TrimSpace(b.Cmdline)
	}
	warnings, err := k.Check()
	for _, w := range warnings {
		out.warn(w)
	}
	return k, err
}

func (b *Build) plainKernel(modules []kernel.Module) (*kernel.Kernel, error) {
	k := &kernel.Kernel{Arch: image.Arch(b.Arch), Modules: modules, Cmdline: kernel.DefaultCmdline}
	var err error
	if k.Image, err = os.ReadFile(b.Kernel); err != nil {
		return nil, fmt.Errorf("read the kernel: %w", err)
	}
	if b.KernelConf != "" {
		if k.Config, err = os.ReadFile(b.KernelConf); err != nil {
			return nil, fmt.Errorf("read the kernel's configuration: %w", err)
		}
	}
	return k, nil
}

func readModules(files []string) ([]kernel.Module, error) {
	modules := make([]kernel.Module, 0, len(files))
	for _, m := range files {
		data, err := os.ReadFile(m)
		if err != nil {
			return nil, fmt.Errorf("read a module: %w", err)
		}
		modules = append(modules, kernel.Module{Name: filepath.Base(m), Data: data})
	}
	return modules, nil
}

func describe(k *kernel.Kernel) KernelInfo {
	sum := func(data []byte) string {
		s := sha256.Sum256(data)
		return hex.EncodeToString(s[:])
	}
	info := KernelInfo{Version: k.Version(), SHA256: sum(k.Image), Bytes: len(k.Image), Cmdline: k.Cmdline}
	for _, m := range k.Modules {
		info.Modules = append(info.Modules, m.Name+" "+sum(m.Data))
	}
	return info
}

func (b *Build) image(k *kernel.Kernel) (*image.Image, error) {
	initBinary, err := os.ReadFile(b.Init)
	if err != nil {
		return nil, fmt.Errorf("read the enclave binary: %w", err)
	}
	code, err := ramdisk.Code(initBinary, k.Modules)
	if err != nil {
		return nil, err
	}
	yaml, err := os.ReadFile(b.Config)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	extra := make([]ramdisk.File, 0, len(b.ConfigFile))
	for _, f := range b.ConfigFile {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("read a file of the configuration: %w", err)
		}
		extra = append(extra, ramdisk.File{Name: filepath.Base(f), Data: data})
	}
	conf, err := ramdisk.Config(yaml, extra)
	if err != nil {
		return nil, err
	}
	meta, err := b.metadata(k)
	if err != nil {
		return nil, err
	}
	return &image.Image{
		Arch: k.Arch, Memory: image.DefaultMemory, CPUs: image.DefaultCPUs,
		Kernel: k.Image, Cmdline: k.Cmdline, Ramdisks: [][]byte{code, conf}, Metadata: meta,
	}, nil
}

// metadata takes the build time from SOURCE_DATE_EPOCH, or the epoch itself, never from the clock.
func (b *Build) metadata(k *kernel.Kernel) ([]byte, error) {
	var epoch int64
	if v := os.Getenv("SOURCE_DATE_EPOCH"); v != "" {
		var err error
		if epoch, err = strconv.ParseInt(v, 10, 64); err != nil {
			return nil, errors.New("SOURCE_DATE_EPOCH is not a number of seconds")
		}
	}
	return image.Metadata{
		ImageName: b.Name, ImageVersion: b.Version,
		BuildMetadata: image.BuildMetadata{
			BuildTime: time.Unix(epoch, 0).UTC().Format(time.RFC3339), BuildTool: "redoubt eif",
			BuildToolVersion: "1", OperatingSystem: "Linux", KernelVersion: cmp.Or(k.Version(), "unspecified"),
		},
	}.JSON()
}

func (b *Build) sign(im *image.Image) error {
	if b.SignCert == "" && b.SignKey == "" {
		return nil
	}
	if b.SignCert == "" || b.SignKey == "" {
		return program.Mistake("--sign-cert and --sign-key go together")
	}
	cert, err := os.ReadFile(b.SignCert)
	if err != nil {
		return fmt.Errorf("read the signing certificate: %w", err)
	}
	key, err := readKey(b.SignKey)
	if err != nil {
		return err
	}
	return im.Sign(cert, key)
}

// readKey reads a P-384 key, PKCS#8 or SEC 1, whatever precedes it in the file (openssl writes parameters first).
func readKey(file string) (*ecdsa.PrivateKey, error) {
	rest, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("the signing key is not a PEM EC private key")
		}
		if k, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return k, nil
		}
		if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if ec, ok := k.(*ecdsa.PrivateKey); ok {
				return ec, nil
			}
		}
	}
}

// writeFile writes all or nothing: a half-written image is never left under its name.
func writeFile(name string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, werr := tmp.Write(data)
	if err := errors.Join(werr, tmp.Chmod(0o644), tmp.Close()); err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.Rename(tmp.Name(), name)
}
