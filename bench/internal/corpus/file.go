package corpus

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

// maxVault is the longest line of a file, in bytes.
const maxVault = 64 << 20

// format is the version of the file's form.
const format = "redoubt-corpus-1"

// ErrFile reports a file that is not a corpus.
var ErrFile = errors.New("not a corpus file")

// header is the first line of a file; each other line is a vault.
type header struct {
	Format   string          `json:"format"`
	Suite    sealed.Suite    `json:"suite"`
	Encoding sealed.Encoding `json:"encoding"`
	Region   string          `json:"region"`
	API      bool            `json:"api,omitempty"`
	Vaults   int             `json:"vaults"`
}

type line struct {
	ID      string              `json:"id"`
	Label   string              `json:"label,omitempty"`
	Wrapped []byte              `json:"wrapped,omitempty"`
	Context bool                `json:"context,omitempty"`
	Writes  []map[string][]byte `json:"writes,omitempty"`
}

// Write writes a corpus without its private keys.
func (c *Corpus) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	if err := e.Encode(header{format, c.Suite, c.Encoding, c.Region, c.API, len(c.Vaults)}); err != nil {
		return err
	}
	for i := range c.Vaults {
		v := &c.Vaults[i]
		if err := e.Encode(line{v.ID, v.Label, v.Wrapped, v.Context, v.Writes}); err != nil {
			return err
		}
	}
	return nil
}

// Read reads what Write wrote. Error: ErrFile, wrapped.
func Read(r io.Reader) (*Corpus, error) {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxVault)
	var h header
	if !s.Scan() || json.Unmarshal(s.Bytes(), &h) != nil || h.Format != format || !h.Suite.OnCurve() ||
		h.Encoding != 2 && h.Encoding != 3 || h.Vaults < 1 || h.Vaults > MaxVaults {
		return nil, ErrFile
	}
	c := &Corpus{Suite: h.Suite, Encoding: h.Encoding, Region: h.Region, API: h.API}
	for s.Scan() {
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil || !l.valid(h.API) {
			return nil, fmt.Errorf("%w: vault %d", ErrFile, len(c.Vaults))
		}
		c.Vaults = append(c.Vaults, Vault{
			ID: l.ID, Label: l.Label, Wrapped: l.Wrapped, Context: l.Context, Writes: l.Writes,
		})
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	if len(c.Vaults) != h.Vaults {
		return nil, fmt.Errorf("%w: %d vaults of %d", ErrFile, len(c.Vaults), h.Vaults)
	}
	return c, nil
}

func (l *line) valid(api bool) bool {
	if l.ID == "" || len(l.ID) > wire.MaxVaultID {
		return false
	}
	if api {
		return l.Label != "" && len(l.Wrapped) == 0 && len(l.Writes) == 0
	}
	if len(l.Wrapped) == 0 || len(l.Wrapped) > wire.MaxWrappedKey ||
		len(l.Writes) == 0 || len(l.Writes) > MaxWrites {
		return false
	}
	for _, w := range l.Writes {
		if len(w) == 0 || len(w) > wire.MaxFields {
			return false
		}
	}
	return true
}

// Save writes a corpus to a file, mode 0600.
func (c *Corpus) Save(path string) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("corpus: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := c.Write(w); err != nil {
		return fmt.Errorf("corpus: %w", err)
	}
	return w.Flush()
}

// Load reads a corpus from a file.
func Load(path string) (*Corpus, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("corpus: %w", err)
	}
	defer func() { _ = f.Close() }()
	return Read(f)
}
