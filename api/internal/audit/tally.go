package audit

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"errors"
	"regexp"
	"strings"

	"redoubt/api/internal/store"
)

// tallyDomain begins the message of a tally's MAC.
const tallyDomain = "redoubt/v2/audit-checkpoint\x00"

// maxUnknown bounds the entries of unknown outcome that a tally lists.
const maxUnknown = 256

// tally is a writer's checkpoint: how many entries it wrote. Each entry says in which epoch of its writer it was
// begun, and cannot be forged. So if there are as many entries of the epochs up to Through as the tally counts, none
// of them is missing, whatever chains and vaults they are in.
type tally struct {
	Writer  string `json:"writer"`
	Began   int64  `json:"began"` // when the writer began, Unix microseconds
	Time    int64  `json:"time"`  // when the tally was made
	Through uint64 `json:"through"`
	Entries uint64 `json:"entries"`
	// Unknown has the beginnings of the MACs of entries of which the store did not say whether they were stored.
	// Entries does not count them. Unlisted counts those for which there was no room.
	Unknown  [][]byte `json:"unknown,omitempty"`
	Unlisted uint64   `json:"unlisted,omitempty"`
}

// unknownSize is how many bytes of a MAC a tally lists.
const unknownSize = 16

// note adds an entry of unknown outcome.
func (t *tally) note(mac []byte) {
	if len(t.Unknown) == maxUnknown {
		t.Unlisted++
		return
	}
	t.Unknown = append(t.Unknown, mac[:unknownSize])
}

// sign makes the stored form of a tally.
func (k *key) sign(t *tally) (*store.Checkpoint, error) {
	body, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	return &store.Checkpoint{Writer: t.Writer, Number: t.Through, Body: body, MAC: k.over(tallyDomain, body)}, nil
}

var errTally = errors.New("audit: not a checkpoint of its writer")

// read reverses sign. The error reports a checkpoint that the writer did not make.
func (k *key) read(c *store.Checkpoint) (*tally, error) {
	var t tally
	if !hmac.Equal(c.MAC, k.over(tallyDomain, c.Body)) || json.Unmarshal(c.Body, &t) != nil || t.Writer != c.Writer ||
		t.Through != c.Number {
		return nil, errTally
	}
	return &t, nil
}

// tokenPrefix begins a checkpoint in its one-word text form. With it a checkpoint can be found in a log or a file.
const tokenPrefix = "redoubt-audit-1." //nolint:gosec // a label, not a credential

var tokenRE = regexp.MustCompile(regexp.QuoteMeta(tokenPrefix) +
	`([A-Z2-7]{26})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})`)

// Token is a writer's checkpoint as one word. If it is kept where the store's writers cannot reach it, it shows later
// whether any of the entries that it counts was removed.
func Token(c *store.Checkpoint) string {
	raw := base64.RawURLEncoding
	return tokenPrefix + c.Writer + "." + raw.EncodeToString(c.Body) + "." + raw.EncodeToString(c.MAC)
}

// tokens finds the checkpoints in a text.
func tokens(data []byte) []store.Checkpoint {
	var all []store.Checkpoint
	for _, m := range tokenRE.FindAllSubmatch(data, -1) {
		c := store.Checkpoint{Writer: string(m[1])}
		raw := base64.RawURLEncoding.Strict()
		var err, err2 error
		c.Body, err = raw.DecodeString(string(m[2]))
		c.MAC, err2 = raw.DecodeString(string(m[3]))
		var t tally
		if errors.Join(err, err2, json.Unmarshal(c.Body, &t)) == nil {
			c.Number = t.Through
		}
		all = append(all, c) // one that cannot be read does not have the MAC of its writer either
	}
	return all
}

// isText distinguishes a text with checkpoints of writers from the heads of chains.
func isText(data []byte) bool { return strings.Contains(string(data), tokenPrefix) }
