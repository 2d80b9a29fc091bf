//go:build dev

package nsm

import (
	"crypto/rand"
	"crypto/sha512"
	"fmt"
	"maps"
	"sync"
	"time"

	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/test/attesttest"
)

// SoftConfig sets up a software module.
type SoftConfig struct {
	// RootCertPEM and RootKeyPEM are the root that signs the documents (P-384; PKCS#8 or SEC 1). If both are empty,
	// the module uses a throw-away root, which nobody else can pin.
	RootCertPEM, RootKeyPEM []byte
	// PCRs are the values of registers 0 to 15; those not named are zero. Without PCR0 the enclave looks like one in
	// debug mode, and verifiers refuse it.
	PCRs attest.PCRs
	// ModuleID is the name in the documents; empty means a fixed one.
	ModuleID string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// hardwareRegisters are set by the hypervisor and locked from the start. The enclave sets the registers above them
// itself.
const hardwareRegisters = 16

// soft is a Nitro Secure Module in software. It proves nothing about the machine on which it runs.
type soft struct {
	moduleID  string
	authority *attesttest.Authority

	mu     sync.Mutex
	closed bool
	pcrs   attest.PCRs
	locked [attest.MaxPCRs]bool
}

// NewSoft makes a software module, which signs real documents under a root of its own. It exists only in builds with
// the tag dev.
func NewSoft(cfg SoftConfig) (Module, error) {
	authority, err := attesttest.New(attesttest.Chain{
		RootCertPEM: cfg.RootCertPEM, RootKeyPEM: cfg.RootKeyPEM, Now: cfg.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("nsm: software module: %w", err)
	}
	s := &soft{moduleID: cfg.ModuleID, authority: authority, pcrs: make(attest.PCRs)}
	if s.moduleID == "" {
		s.moduleID = "i-0000000000000dev0-enc000000000000dev0"
	}
	for i := range hardwareRegisters {
		s.pcrs[i] = attest.Measurement{}
		s.locked[i] = true
	}
	for i, value := range cfg.PCRs {
		if i < 0 || i >= hardwareRegisters {
			return nil, fmt.Errorf("%w: only registers 0 to 15 can be preset", ErrArgument)
		}
		s.pcrs[i] = value
	}
	return s, nil
}

func (s *soft) Attest(userData, nonce, publicKey []byte) ([]byte, error) {
	if err := checkAttest(userData, nonce, publicKey); err != nil {
		return nil, err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, ErrClosed
	}
	reported := make(attest.PCRs)
	for i, value := range s.pcrs {
		if s.locked[i] {
			reported[i] = value
		}
	}
	s.mu.Unlock()
	document, err := s.authority.Issue(attesttest.Spec{
		ModuleID: s.moduleID, PCRs: reported, UserData: userData, Nonce: nonce, PublicKey: publicKey, Untagged: true,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: software module: %w", ErrRefused, err)
	}
	return document, nil
}

func (s *soft) Random(p []byte) error {
	if s.isClosed() {
		return ErrClosed
	}
	_, err := rand.Read(p) // never fails since Go 1.24
	return err
}

func (s *soft) Describe() (Description, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Description{}, ErrClosed
	}
	out := Description{ModuleID: s.moduleID, Major: 1, MaxPCRs: attest.MaxPCRs, Digest: "SHA384"}
	for i, locked := range s.locked {
		if locked {
			out.Locked = append(out.Locked, i)
		}
	}
	return out, nil
}

func (s *soft) PCR(index int) (attest.Measurement, bool, error) {
	if _, err := register(index); err != nil {
		return attest.Measurement{}, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return attest.Measurement{}, false, ErrClosed
	}
	return s.pcrs[index], s.locked[index], nil
}

func (s *soft) Extend(index int, data []byte) (attest.Measurement, error) {
	if _, err := register(index); err != nil {
		return attest.Measurement{}, err
	}
	if len(data) == 0 || len(data) > MaxExtend {
		return attest.Measurement{}, fmt.Errorf("%w: length of data", ErrArgument)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return attest.Measurement{}, ErrClosed
	}
	if s.locked[index] {
		return attest.Measurement{}, ErrLocked
	}
	old := s.pcrs[index]
	s.pcrs[index] = sha512.Sum384(append(old[:], data...))
	return s.pcrs[index], nil
}

func (s *soft) Lock(index int) error {
	if _, err := register(index); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if s.locked[index] {
		return ErrLocked
	}
	s.locked[index] = true
	return nil
}

func (s *soft) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	maps.DeleteFunc(s.pcrs, func(int, attest.Measurement) bool { return true })
	return nil
}

func (s *soft) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
