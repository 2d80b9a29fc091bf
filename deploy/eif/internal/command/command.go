// Package command is the command line of eif.
package command

import (
	"crypto/ecdsa"
	"crypto/x509"
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
	"redoubt/deploy/eif/internal/ramdisk"
	"redoubt/wire/program"
)

// CLI is every command of eif.
type CLI struct {
	Build    Build    `cmd:"" help:"Build an image and print its measurements."`
	Describe Describe `cmd:"" help:"Print what an image holds and its measurements."`
	Verify   Verify   `cmd:"" help:"Compare an image's measurements with a file of expected ones."`
	PCR3     PCR3     `cmd:"" name:"pcr3" help:"Print PCR3 for an instance role."`

	ToolVersion kong.VersionFlag `name:"version" help:"Print the version and exit."`
}

// Output is where results go.
type Output struct{ io.Writer }

func (o Output) json(v any) error {
	enc := json.NewEncoder(o)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// Result is what build prints, as `nitro-cli build-enclave` does.
type Result struct {
	Measurements image.Measurements `json:"Measurements"`
}

// Build makes an image.
type Build struct {
	Kernel     string   `required:"" type:"existingfile" help:"Kernel: a bzImage (amd64) or Image (arm64)."`
	Cmdline    string   `default:"${cmdline}" help:"Kernel command line (default: \"${default}\")."`
	Init       string   `required:"" type:"existingfile" help:"The static enclave binary, which runs as PID 1."`
	Module     []string `type:"existingfile" help:"Kernel module to load at start, decompressed; repeat in load order."`
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
		"cmdline": "reboot=k panic=30 pci=off nomodules console=ttyS0 random.trust_cpu=off",
	}
}

// Run builds, writes and prints.
func (b *Build) Run(out Output) error {
	im, err := b.image()
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
	res := Result{Measurements: m}
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

func (b *Build) image() (*image.Image, error) {
	kernel, err := os.ReadFile(b.Kernel)
	if err != nil {
		return nil, fmt.Errorf("read the kernel: %w", err)
	}
	initBinary, err := os.ReadFile(b.Init)
	if err != nil {
		return nil, fmt.Errorf("read the enclave binary: %w", err)
	}
	modules := make([]ramdisk.Module, 0, len(b.Module))
	for _, m := range b.Module {
		data, err := os.ReadFile(m)
		if err != nil {
			return nil, fmt.Errorf("read a module: %w", err)
		}
		modules = append(modules, ramdisk.Module{Name: filepath.Base(m), Data: data})
	}
	code, err := ramdisk.Code(initBinary, modules)
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
	meta, err := b.metadata()
	if err != nil {
		return nil, err
	}
	return &image.Image{
		Arch: image.Arch(b.Arch), Memory: image.DefaultMemory, CPUs: image.DefaultCPUs,
		Kernel: kernel, Cmdline: strings.TrimSpace(b.Cmdline), Ramdisks: [][]byte{code, conf}, Metadata: meta,
	}, nil
}

// metadata takes the build time from SOURCE_DATE_EPOCH, or the epoch itself, never from the clock.
func (b *Build) metadata() ([]byte, error) {
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
			BuildToolVersion: "1", OperatingSystem: "Linux", KernelVersion: "unspecified",
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

// readKey reads a P-384 key, PKCS#8 or SEC 1, whatever comes before it in the file (openssl writes parameters first).
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

// writeFile writes whole or not at all: a half-written image is never left under its name.
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
