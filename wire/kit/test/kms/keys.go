package kms

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// The aliases of the keys that every stand-in has.
const (
	AliasSymmetric = "alias/redoubt"     // wraps private keys
	AliasMAC       = "alias/redoubt-mac" // HMAC_256, for GenerateMac and VerifyMac
)

// KeysFile is the name of the file of the state folder that holds all keys and policies, mode 0600.
const KeysFile = "kms-keys.json"

// Usages and states of a key, as KMS names them.
const (
	UsageEncryptDecrypt = "ENCRYPT_DECRYPT"
	UsageMAC            = "GENERATE_VERIFY_MAC"

	StateEnabled         = "Enabled"
	StateDisabled        = "Disabled"
	StatePendingDeletion = "PendingDeletion"
)

// Key is one key with its policy. Its exported fields are what the keys file holds.
type Key struct {
	ID       string          `json:"id"`
	Alias    string          `json:"alias"`
	Usage    string          `json:"usage"`
	Spec     string          `json:"spec"`
	State    string          `json:"state"`
	Created  time.Time       `json:"created"`
	Material []byte          `json:"material"`
	Policy   json.RawMessage `json:"policy"`

	arn    string
	raw    [blobKeyIDLen]byte
	aead   cipher.AEAD // of UsageEncryptDecrypt
	policy *Policy
}

// ARN returns the key's Amazon Resource Name.
func (k *Key) ARN() string { return k.arn }

type keysDocument struct {
	Version int    `json:"version"`
	Keys    []*Key `json:"keys"`
}

// Store holds the keys of one region and account. Safe for concurrent use.
type Store struct {
	path, region, account string

	mu   sync.RWMutex
	keys []*Key
}

// OpenStore reads the keys file of dir, or makes both keys and writes the file if there is none. It refuses a file
// that other users may read.
func OpenStore(dir, region, account string, now time.Time) (*Store, error) {
	s := &Store{path: filepath.Join(dir, KeysFile), region: region, account: account}
	data, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, s.create(dir, now)
	case err != nil:
		return nil, fmt.Errorf("keys file: %w", err)
	}
	defer clear(data)
	if info, err := os.Stat(s.path); err != nil || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("keys file %s must have mode 0600", KeysFile)
	}
	var doc keysDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("keys file %s is damaged: %w", KeysFile, err)
	}
	if doc.Version != 1 {
		return nil, fmt.Errorf("keys file %s has an unknown version", KeysFile)
	}
	for _, key := range doc.Keys {
		if err := s.prepare(key); err != nil {
			return nil, fmt.Errorf("keys file: key %s: %w", key.Alias, err)
		}
	}
	s.keys = doc.Keys
	return s, nil
}

func (s *Store) create(dir string, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	for _, k := range []*Key{
		{Alias: AliasSymmetric, Usage: UsageEncryptDecrypt, Spec: "SYMMETRIC_DEFAULT"},
		{Alias: AliasMAC, Usage: UsageMAC, Spec: "HMAC_256"},
	} {
		k.State, k.Created, k.Policy = StateEnabled, now.UTC(), DefaultPolicy()
		k.ID, k.Material = newUUID(), make([]byte, 32)
		if _, err := rand.Read(k.Material); err != nil {
			return fmt.Errorf("key material: %w", err)
		}
		if err := s.prepare(k); err != nil {
			return err
		}
		s.keys = append(s.keys, k)
	}
	return s.save()
}

// prepare derives what is not kept in the file.
func (s *Store) prepare(k *Key) error {
	raw, err := hex.DecodeString(strings.ReplaceAll(k.ID, "-", ""))
	if err != nil || len(raw) != blobKeyIDLen || len(k.Material) != 32 {
		return errors.New("id or material is malformed")
	}
	copy(k.raw[:], raw)
	k.arn = "arn:aws:kms:" + s.region + ":" + s.account + ":key/" + k.ID
	if k.policy, err = ParsePolicy(k.Policy); err != nil {
		return err
	}
	if k.Usage == UsageEncryptDecrypt {
		k.aead, err = newAEAD(k.Material)
	}
	return err
}

// save writes the file anew and renames it into place. The caller holds the lock or is alone.
func (s *Store) save() error {
	data, err := json.MarshalIndent(keysDocument{Version: 1, Keys: s.keys}, "", "  ")
	if err != nil {
		return fmt.Errorf("keys file: %w", err)
	}
	defer clear(data)
	return writeFileAtomic(s.path, data, 0o600)
}

// Find returns a copy of the key that name means: an id, an ARN, an alias or an alias's ARN.
func (s *Store) Find(name string) (*Key, error) {
	short := name
	if strings.HasPrefix(name, "arn:") {
		prefix := "arn:aws:kms:" + s.region + ":" + s.account + ":"
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			return nil, notFound("Invalid arn: not of this region and account")
		}
		short = rest
		if id, isKey := strings.CutPrefix(rest, "key/"); isKey {
			short = id
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, k := range s.keys {
		if short == k.ID || short == k.Alias {
			found := *k
			return &found, nil
		}
	}
	return nil, notFound("The key or alias is not found.")
}

func (s *Store) byRawID(raw [blobKeyIDLen]byte) (*Key, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, k := range s.keys {
		if k.raw == raw {
			found := *k
			return &found, true
		}
	}
	return nil, false
}

// SetPolicy checks and keeps a key policy (JSON) for the key that name means.
func (s *Store) SetPolicy(name string, document []byte) error {
	policy, err := ParsePolicy(document)
	if err != nil {
		return err
	}
	return s.update(name, func(k *Key) { k.Policy, k.policy = json.RawMessage(document), policy })
}

// SetState makes the key that name means Enabled, Disabled or PendingDeletion.
func (s *Store) SetState(name, state string) error {
	switch state {
	case StateEnabled, StateDisabled, StatePendingDeletion:
		return s.update(name, func(k *Key) { k.State = state })
	}
	return errors.New("a key's state is Enabled, Disabled or PendingDeletion")
}

func (s *Store) update(name string, change func(*Key)) error {
	found, err := s.Find(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if k.ID == found.ID {
			change(k)
		}
	}
	return s.save()
}

// usable returns an error unless the key's state lets it be used.
func (k *Key) usable() error {
	switch k.State {
	case StateEnabled:
		return nil
	case StateDisabled:
		return clientError("DisabledException", k.arn+" is disabled.")
	}
	return clientError("KMSInvalidStateException", k.arn+" is pending deletion.")
}
