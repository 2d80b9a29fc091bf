package policy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"sort"
)

// ErrDenied reports a list of denied vaults that is not the policy's, or malformed.
var ErrDenied = errors.New("policy: not the list of denied vaults that the policy names")

const (
	// MaxDenied bounds the list of denied vaults.
	MaxDenied  = 100_000
	deniedSize = 16
)

// Denied is a list of vaults that nobody may open. It lies beside the policy, which has its SHA-256: entries of
// SHA-256(vault id)[:16], ascending, none twice.
type Denied struct{ entries []byte }

// DenyList makes the file of a list of vaults. Error: [ErrDenied] for more than [MaxDenied].
func DenyList(ids []string) ([]byte, error) {
	entries := make([][deniedSize]byte, 0, len(ids))
	for _, id := range ids {
		sum := sha256.Sum256([]byte(id))
		entries = append(entries, [deniedSize]byte(sum[:]))
	}
	slices.SortFunc(entries, func(a, b [deniedSize]byte) int { return bytes.Compare(a[:], b[:]) })
	entries = slices.Compact(entries)
	if len(entries) > MaxDenied {
		return nil, ErrDenied
	}
	out := make([]byte, 0, deniedSize*len(entries))
	for _, e := range entries {
		out = append(out, e[:]...)
	}
	return out, nil
}

// Denied reads the policy's list from its file, which it copies. Until this succeeds for a policy that names a list
// (Document.HasDenied), nothing may be opened by it. Error: [ErrDenied].
func (p *Policy) Denied(file []byte) (*Denied, error) {
	if !p.doc.HasDenied || len(file)%deniedSize != 0 || len(file) > deniedSize*MaxDenied ||
		sha256.Sum256(file) != p.doc.DenyVaults {
		return nil, ErrDenied
	}
	for i := deniedSize; i < len(file); i += deniedSize {
		if bytes.Compare(file[i-deniedSize:i], file[i:i+deniedSize]) >= 0 {
			return nil, ErrDenied
		}
	}
	return &Denied{entries: bytes.Clone(file)}, nil
}

// Len is the number of vaults. d may be nil.
func (d *Denied) Len() int {
	if d == nil {
		return 0
	}
	return len(d.entries) / deniedSize
}

// Has reports whether a vault is denied. d may be nil. It allocates nothing.
func (d *Denied) Has(vaultID []byte) bool {
	if d.Len() == 0 {
		return false
	}
	sum := sha256.Sum256(vaultID)
	i := sort.Search(d.Len(), func(i int) bool {
		return bytes.Compare(d.entries[i*deniedSize:][:deniedSize], sum[:deniedSize]) >= 0
	})
	return i < d.Len() && bytes.Equal(d.entries[i*deniedSize:][:deniedSize], sum[:deniedSize])
}
