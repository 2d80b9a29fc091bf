// Package nsm gives the enclave its Nitro Secure Module: the source of attestation documents, measurements and
// entropy.
//
// # What it guarantees
//
// Documents and measurements come from the hypervisor through /dev/nsm, and from nowhere else. The software module
// that the local stack uses (NewSoft) is compiled only under the build tag dev. A test proves that the production
// enclave links neither it nor the issuer of documents below it. There is no run-time switch between the two.
//
// # Limits
//
// The module answers one request at a time. Callers may be concurrent; requests queue in the driver. A document takes
// a few milliseconds. Errors carry the module's static error names, never data.
//
// # Source
//
// aws-nitro-enclaves-nsm-api; Linux drivers/misc/nsm.c and uapi/linux/nsm.h. Requests and answers in CBOR are those
// of github.com/hf/nsm. The ioctl is our own, for the reason given at driver.exchange.
package nsm

import (
	"errors"

	"redoubt/wire/kit/attest"
)

// Limits of a request's fields, in bytes.
const (
	// MaxUserData bounds user data and nonce each. The module has accepted more at times; 512 is what AWS documents.
	MaxUserData = 512
	// MaxPublicKey bounds the public key (DER SubjectPublicKeyInfo).
	MaxPublicKey = 1024
	// MaxExtend bounds the data of one Extend.
	MaxExtend = 512
)

// Errors of a [Module]. Match them with errors.Is.
var (
	// ErrUnavailable: the module cannot be opened or does not answer. Perhaps this machine is not an enclave.
	ErrUnavailable = errors.New("nsm: module unavailable")
	// ErrRefused: the module answered with an error, or with something that is not an answer to the request.
	ErrRefused = errors.New("nsm: request refused by module")
	// ErrLocked: the register is locked and cannot be changed until the enclave ends.
	ErrLocked = errors.New("nsm: register is locked")
	// ErrArgument: a field is too long or a register's index out of range; the module was not asked.
	ErrArgument = errors.New("nsm: invalid argument")
	// ErrClosed: the module was closed.
	ErrClosed = errors.New("nsm: module closed")
)

// A Description is what the module says of itself.
type Description struct {
	ModuleID            string
	Major, Minor, Patch uint16
	// MaxPCRs is the number of registers; Locked lists those that can no longer change.
	MaxPCRs int
	Locked  []int
	// Digest is "SHA384".
	Digest string
}

// A Module is a Nitro Secure Module. Implementations are safe for concurrent use.
type Module interface {
	// Attest returns a new signed attestation document (COSE_Sign1), which the caller owns. Each argument may be nil,
	// which leaves the field out. The arguments are not kept.
	Attest(userData, nonce, publicKey []byte) ([]byte, error)
	// Random fills p with entropy of the module.
	Random(p []byte) error
	// Describe returns what the module says of itself.
	Describe() (Description, error)
	// PCR returns a register's value and whether it is locked.
	PCR(index int) (value attest.Measurement, locked bool, err error)
	// Extend sets a register (16 to 31) to SHA-384(value ‖ data) and returns the new value.
	Extend(index int, data []byte) (attest.Measurement, error)
	// Lock makes a register unchangeable for the enclave's life.
	Lock(index int) error
	// Close releases the device. Later calls fail with ErrClosed.
	Close() error
}
