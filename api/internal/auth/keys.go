package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"redoubt/api/internal/durable"
)

// keyPrefix begins every API key, so that secret scanners can recognise one.
const keyPrefix = "rdk_"

// keyID bytes name a key in the file. The secret's 32 bytes are kept as a hash.
const (
	keyIDSize     = 8
	keySecretSize = 32
	reloadEvery   = time.Second
)

// Errors of the key file.
var (
	ErrKeyExists   = errors.New("auth: a key of this name exists")
	ErrKeyNotFound = errors.New("auth: no key of this name")
)

// Key is one API key as stored. The secret is not in it.
type Key struct {
	// Name is the key's in audit entries and policies: 1 to 64 bytes without spaces and stars.
	Name string `json:"name"`
	// ID is the part of the key's text by which it is found, 16 hex digits.
	ID string `json:"id"`
	// Hash is the SHA-256 of the key's secret part, 64 hex digits.
	Hash string `json:"hash"`
	// Grant says what the key's holder may do.
	Grant Grant `json:"grant"`
	// Rate limits the holder's decrypts. Without it the policy's rate counts.
	Rate *Rate `json:"decrypt_rate,omitempty"`
	// Created is the Unix time of its making, in seconds.
	Created int64 `json:"created"`
	// Expires is the Unix time of its end, in seconds. 0, or left out: never.
	Expires int64 `json:"expires,omitempty"`
}

// KeyFile is the file of API keys: JSON, mode 0600, replaced whole on each change.
type KeyFile struct {
	path string
	now  func() time.Time

	mu      sync.Mutex
	checked time.Time
	stamp   time.Time
	size    int64
	byID    map[string]*readKey
}

// readKey is a key with its hash as bytes. It is not whole if the hash is malformed: nothing then passes by it.
type readKey struct {
	Key
	sum   [sha256.Size]byte
	whole bool
}

// unknownKey stands for a key that there is none of, so that it takes as long as one that there is.
var unknownKey readKey

// OpenKeyFile uses the file at path. A missing file holds no keys.
func OpenKeyFile(path string, now func() time.Time) (*KeyFile, error) {
	k := &KeyFile{path: path, now: now}
	_, err := k.read()
	return k, err
}

func (k *KeyFile) read() ([]Key, error) {
	data, err := os.ReadFile(k.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("auth: keys: %w", err)
	}
	var keys []Key
	if err := json.Unmarshal(data, &keys); err != nil {
		return nil, errors.New("auth: keys: the file is not a list of keys")
	}
	for i := range keys {
		if err := keys[i].Rate.check(); err != nil {
			return nil, fmt.Errorf("%w (key %d of the file)", err, i+1)
		}
	}
	return keys, nil
}

// List returns the keys.
func (k *KeyFile) List() ([]Key, error) { return k.read() }

// Create adds a key and returns its text, which is not kept. Error: ErrKeyExists.
func (k *KeyFile) Create(name string, grant Grant, rate *Rate, expires time.Time) (string, error) {
	if err := errors.Join(grant.check(), rate.check()); err != nil {
		return "", err
	}
	if name == "" || len(name) > 64 || strings.ContainsAny(name, " \t\r\n*") {
		return "", errors.New("auth: a key's name has 1 to 64 bytes without spaces and stars")
	}
	id, secret := make([]byte, keyIDSize), make([]byte, keySecretSize)
	_, _ = rand.Read(id) // never fails (crypto/rand)
	_, _ = rand.Read(secret)
	defer clear(secret)
	sum := sha256.Sum256(secret)
	key := Key{
		Name: name, ID: hex.EncodeToString(id), Hash: hex.EncodeToString(sum[:]), Grant: grant, Rate: rate,
		Created: k.now().Unix(),
	}
	if !expires.IsZero() {
		key.Expires = expires.Unix()
	}
	err := k.change(func(keys []Key) ([]Key, error) {
		for _, old := range keys {
			if old.Name == name {
				return nil, ErrKeyExists
			}
		}
		return append(keys, key), nil
	})
	if err != nil {
		return "", err
	}
	return keyPrefix + key.ID + "_" + base64.RawURLEncoding.EncodeToString(secret), nil
}

// Revoke removes a key. Error: ErrKeyNotFound.
func (k *KeyFile) Revoke(name string) error {
	return k.change(func(keys []Key) ([]Key, error) {
		for i, old := range keys {
			if old.Name == name {
				return append(keys[:i], keys[i+1:]...), nil
			}
		}
		return nil, ErrKeyNotFound
	})
}

// change replaces the file under a lock that other processes respect.
func (k *KeyFile) change(edit func([]Key) ([]Key, error)) error {
	lock, err := os.OpenFile(k.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("auth: keys: %w", err)
	}
	defer lock.Close()
	if err := flock(lock); err != nil {
		return fmt.Errorf("auth: keys: %w", err)
	}
	keys, err := k.read()
	if err != nil {
		return err
	}
	if keys, err = edit(keys); err != nil {
		return err
	}
	data, err := json.MarshalIndent(keys, "", " ")
	if err != nil {
		return fmt.Errorf("auth: keys: %w", err)
	}
	if err := durable.WriteFile(k.path, data); err != nil {
		return fmt.Errorf("auth: keys: %w", err)
	}
	return nil
}

// IsKey reports whether a bearer token is meant to be an API key.
func IsKey(token string) bool { return strings.HasPrefix(token, keyPrefix) }

// Authenticate finds the principal of a key's text. Errors: [ErrUnauthenticated], and [ErrUnavailable] if the file
// cannot be read.
func (k *KeyFile) Authenticate(token string) (Principal, error) {
	rest, ok := strings.CutPrefix(token, keyPrefix)
	id, text, ok2 := strings.Cut(rest, "_")
	secret, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || !ok2 || err != nil || strings.ContainsAny(text, "\r\n") || len(secret) != keySecretSize {
		return Principal{}, ErrUnauthenticated
	}
	defer clear(secret)
	key, known, err := k.lookup(id)
	if err != nil {
		return Principal{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	sum := sha256.Sum256(secret)
	// An unknown id is compared too, with zeros, and so is a key whose hash is malformed.
	if subtle.ConstantTimeCompare(sum[:], key.sum[:]) != 1 || !known || !key.whole ||
		key.Expires != 0 && key.Expires <= k.now().Unix() {
		return Principal{}, ErrUnauthenticated
	}
	return Principal{Name: "key:" + key.Name, Scope: &key.Grant, Rate: key.Rate}, nil
}

// lookup finds a key by id. It reads the file again if it changed.
func (k *KeyFile) lookup(id string) (*readKey, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := k.now(); k.byID == nil || now.Sub(k.checked) >= reloadEvery {
		if err := k.reload(); err != nil {
			return nil, false, err
		}
		k.checked = now
	}
	key, ok := k.byID[id]
	if !ok {
		key = &unknownKey
	}
	return key, ok, nil
}

func (k *KeyFile) reload() error {
	info, err := os.Stat(k.path)
	if err == nil && k.byID != nil && info.ModTime().Equal(k.stamp) && info.Size() == k.size {
		return nil
	}
	keys, err := k.read()
	if err != nil {
		return err
	}
	k.byID = make(map[string]*readKey, len(keys))
	for _, key := range keys {
		r := &readKey{Key: key}
		if sum, err := hex.DecodeString(key.Hash); err == nil && len(sum) == len(r.sum) {
			r.sum, r.whole = [sha256.Size]byte(sum), true
		}
		k.byID[key.ID] = r
	}
	if info != nil {
		k.stamp, k.size = info.ModTime(), info.Size()
	}
	return nil
}

// bearer returns the request's bearer token. A request with more than one Authorization header has none.
func bearer(r *http.Request) (string, bool) {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(headers[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", false
	}
	return token, true
}

// BearerKeys authenticates requests by the keys of a file.
type BearerKeys struct{ Keys *KeyFile }

// Authenticate finds the key in the Authorization header.
func (b BearerKeys) Authenticate(r *http.Request) (Principal, bool, error) {
	token, ok := bearer(r)
	if !ok || !IsKey(token) {
		return Principal{}, false, nil
	}
	p, err := b.Keys.Authenticate(token)
	return p, err == nil, err
}
