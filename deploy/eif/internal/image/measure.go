package image

import (
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// PCR is a platform configuration register of an enclave: SHA-384.
type PCR [sha512.Size384]byte

func (p PCR) String() string { return hex.EncodeToString(p[:]) }

// extend is the value of a register that was zero and then extended by the digest of parts.
func extend(parts ...[]byte) PCR {
	h := sha512.New384()
	for _, p := range parts {
		h.Write(p)
	}
	return extendBy(h.Sum(nil))
}

func extendBy(data []byte) PCR {
	return sha512.Sum384(append(make([]byte, sha512.Size384), data...))
}

// Measurements are the registers that an image determines, in the form that `nitro-cli build-enclave` prints. PCR3 is
// not the image's: it is there if a role was given to [RolePCR3].
type Measurements struct {
	HashAlgorithm string `json:"HashAlgorithm"`
	PCR0          string `json:"PCR0"`
	PCR1          string `json:"PCR1"`
	PCR2          string `json:"PCR2"`
	PCR3          string `json:"PCR3,omitempty"`
	PCR8          string `json:"PCR8,omitempty"`
}

// Measure computes the registers: PCR0 over kernel, command line and all ramdisks; PCR1 over kernel, command line and
// the first ramdisk; PCR2 over the others; PCR8 over the signing certificate.
func (im *Image) Measure() (Measurements, error) {
	if err := im.check(); err != nil {
		return Measurements{}, err
	}
	boot := [][]byte{im.Kernel, []byte(im.Cmdline)}
	m := Measurements{
		HashAlgorithm: "Sha384 { ... }", // as nitro-cli prints it
		PCR0:          extend(append(boot[:2:2], im.Ramdisks...)...).String(),
		PCR1:          extend(append(boot[:2:2], im.Ramdisks[0])...).String(),
		PCR2:          extend(im.Ramdisks[1:]...).String(),
	}
	if len(im.Signature) > 0 {
		cert, _, err := parseSignature(im.Signature)
		if err != nil {
			return Measurements{}, err
		}
		m.PCR8 = extend(cert.Raw).String()
	}
	return m, nil
}

// RolePCR3 is PCR3 of an enclave on an instance with the given IAM role ARN (path included).
func RolePCR3(arn string) PCR { return extendBy([]byte(arn)) }

// Metadata is the JSON section that names the image. Its build time is a parameter, so that two builds agree.
type Metadata struct {
	ImageName      string            `json:"ImageName"`
	ImageVersion   string            `json:"ImageVersion"`
	BuildMetadata  BuildMetadata     `json:"BuildMetadata"`
	DockerInfo     map[string]string `json:"DockerInfo"`
	CustomMetadata map[string]string `json:"CustomMetadata"`
}

// BuildMetadata says what made the image.
type BuildMetadata struct {
	BuildTime        string `json:"BuildTime"` // RFC 3339
	BuildTool        string `json:"BuildTool"`
	BuildToolVersion string `json:"BuildToolVersion"`
	OperatingSystem  string `json:"OperatingSystem"`
	KernelVersion    string `json:"KernelVersion"`
}

// JSON is the section's bytes.
func (m Metadata) JSON() ([]byte, error) {
	if m.DockerInfo == nil {
		m.DockerInfo = map[string]string{}
	}
	if m.CustomMetadata == nil {
		m.CustomMetadata = map[string]string{}
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode metadata: %w", err)
	}
	return b, nil
}
