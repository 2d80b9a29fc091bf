package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"redoubt/deploy/eif/internal/image"
)

// Describe prints an image's parts.
type Describe struct {
	File string `arg:"" type:"existingfile" help:"The image."`
}

// Description is what describe prints.
type Description struct {
	Version      int                `json:"EifVersion"`
	Arch         image.Arch         `json:"Architecture"`
	Memory       uint64             `json:"DefaultMemoryBytes"`
	CPUs         uint64             `json:"DefaultCPUs"`
	Cmdline      string             `json:"Cmdline"`
	KernelSize   int                `json:"KernelBytes"`
	RamdiskSizes []int              `json:"RamdiskBytes"`
	Signed       bool               `json:"IsSigned"`
	SignatureOK  *bool              `json:"CheckSignature,omitempty"`
	CheckCRC     bool               `json:"CheckCRC"`
	Metadata     json.RawMessage    `json:"Metadata"`
	Measurements image.Measurements `json:"Measurements"`
}

// Run prints the description as JSON.
func (d *Describe) Run(out Output) error {
	im, m, err := load(d.File)
	if err != nil {
		return err
	}
	desc := Description{
		Version: image.Version, Arch: im.Arch, Memory: im.Memory, CPUs: im.CPUs, Cmdline: im.Cmdline,
		KernelSize: len(im.Kernel), Signed: len(im.Signature) > 0, CheckCRC: true, // Parse refuses a wrong one
		Metadata: im.Metadata, Measurements: m,
	}
	for _, r := range im.Ramdisks {
		desc.RamdiskSizes = append(desc.RamdiskSizes, len(r))
	}
	if desc.Signed {
		ok := im.VerifySignature() == nil
		desc.SignatureOK = &ok
	}
	return out.json(desc)
}

// Verify compares an image with expected measurements.
type Verify struct {
	File string `arg:"" type:"existingfile" help:"The image."`
	PCRs string `name:"pcrs" required:"" type:"existingfile" help:"Expected measurements: JSON as build prints it, or an object of PCRs."`
}

// ErrMismatch reports that an image is not the expected one.
var ErrMismatch = errors.New("the image's measurements are not the expected ones")

// Run prints each register's outcome. After printing all, it fails if any differs.
func (v *Verify) Run(out Output) error {
	im, m, err := load(v.File)
	if err != nil {
		return err
	}
	want, err := readExpected(v.PCRs)
	if err != nil {
		return err
	}
	failed := false
	for _, r := range []struct{ name, want, got string }{
		{"PCR0", want.PCR0, m.PCR0}, {"PCR1", want.PCR1, m.PCR1}, {"PCR2", want.PCR2, m.PCR2}, {"PCR8", want.PCR8, m.PCR8},
	} {
		switch {
		case r.want == "" && r.got == "":
			continue
		case r.want == "":
			fmt.Fprintf(out, "%s not given, image has %s\n", r.name, r.got)
		case !strings.EqualFold(r.want, r.got):
			failed = true
			fmt.Fprintf(out, "%s DIFFERS: expected %s, image has %s\n", r.name, r.want, r.got)
		default:
			fmt.Fprintf(out, "%s equal %s\n", r.name, r.got)
		}
	}
	if len(im.Signature) > 0 {
		if err := im.VerifySignature(); err != nil {
			return err
		}
	}
	if failed {
		return ErrMismatch
	}
	return nil
}

// PCR3 prints one register.
type PCR3 struct {
	RoleARN string `arg:"" name:"role-arn" help:"The instance role's ARN, path included."`
}

// Run prints PCR3 in hex.
func (p *PCR3) Run(out Output) error {
	_, err := fmt.Fprintln(out, image.RolePCR3(p.RoleARN))
	return err
}

func load(file string) (*image.Image, image.Measurements, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, image.Measurements{}, fmt.Errorf("open the image: %w", err)
	}
	if info.Size() > image.MaxImage {
		return nil, image.Measurements{}, fmt.Errorf("the image has more than %d bytes", int64(image.MaxImage))
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, image.Measurements{}, fmt.Errorf("read the image: %w", err)
	}
	im, err := image.Parse(b)
	if err != nil {
		return nil, image.Measurements{}, err
	}
	m, err := im.Measure()
	return im, m, err
}

// readExpected reads {"Measurements": {...}} or the inner object, and requires at least PCR0: a file that names
// nothing must not verify anything.
func readExpected(file string) (image.Measurements, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return image.Measurements{}, fmt.Errorf("read the expected measurements: %w", err)
	}
	var wrapped Result
	if err := json.Unmarshal(b, &wrapped); err != nil {
		return image.Measurements{}, fmt.Errorf("%s is not JSON: %w", file, err)
	}
	m := wrapped.Measurements
	if m.PCR0 == "" {
		if err := json.Unmarshal(b, &m); err != nil {
			return image.Measurements{}, fmt.Errorf("%s is not JSON: %w", file, err)
		}
	}
	if len(m.PCR0) != 96 {
		return image.Measurements{}, fmt.Errorf("%s names no PCR0 of 96 hex digits", file)
	}
	return m, nil
}
