package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"redoubt/api/internal/store"
)

// Events, the reference's four.
const (
	EventCreate  = "CreateVault"
	EventUpdate  = "UpdateVault"
	EventDelete  = "DeleteVault"
	EventDecrypt = "DecryptVault"
)

// Outcomes.
const (
	OutcomeOK      = "ok"
	OutcomePartial = "partial" // some fields were released, some failed
	OutcomeFailed  = "failed"  // nothing was released or changed
	OutcomeRefused = "refused" // the caller was not allowed to, asked too often, or for what cannot be
)

// Reasons of updates, for which callers give none.
const (
	ReasonRemoveFields = "RemoveFields" // the reference's
	ReasonSetTTL       = "SetTTL"       // the vault's time to live, perhaps beside fields
	ReasonRemoveTTL    = "RemoveTTL"
)

// Caller is who asked, as the host established it.
type Caller struct {
	Principal string `json:"principal"`
	Source    string `json:"source,omitempty"` // network address
	RequestID string `json:"request_id,omitempty"`
}

// Event is what happened. It must hold no value of a field.
type Event struct {
	Caller
	VaultID     string
	Name        string // one of the events
	Fields      []string
	Expressions []string // names
	Reason      string
	Outcome     string
	Code        string // why it failed or was refused: a static word
	Omitted     uint64 // refusals like this one since the last entry of one, which were counted only
}

// body is what an entry holds beside the reference's attributes.
type body struct {
	Caller
	Expressions []string `json:"expressions,omitempty"`
	Outcome     string   `json:"outcome"`
	Code        string   `json:"code,omitempty"`
	Omitted     uint64   `json:"omitted,omitempty"`
}

// Read gives the event of a stored entry back. Entries of the reference have no caller and no outcome.
func Read(e *store.Entry) (Event, error) {
	ev := Event{VaultID: e.VaultID, Name: e.Event, Fields: e.Fields, Reason: e.Reason}
	if len(e.Body) == 0 {
		return ev, nil
	}
	var b body
	if err := json.Unmarshal(e.Body, &b); err != nil {
		return ev, fmt.Errorf("audit: entry: %w", err)
	}
	ev.Caller, ev.Expressions, ev.Outcome, ev.Code, ev.Omitted = b.Caller, b.Expressions, b.Outcome, b.Code, b.Omitted
	return ev, nil
}

// hashDomain separates entry hashes from every other use of SHA-256.
const hashDomain = "redoubt/v1/audit\x00"

// Hash is the entry's hash: SHA-256 over the domain and all attributes, each with its length before it.
func Hash(e *store.Entry) []byte {
	h := []byte(hashDomain)
	h = appendText(h, e.VaultID)
	h = binary.BigEndian.AppendUint64(h, uint64(e.Time))
	h = appendText(h, e.Event)
	h = appendText(h, e.Reason)
	h = binary.BigEndian.AppendUint32(h, uint32(len(e.Fields)))
	for _, f := range e.Fields {
		h = appendText(h, f)
	}
	h = appendText(h, e.Chain)
	h = binary.BigEndian.AppendUint64(h, e.Seq)
	h = appendText(h, e.Prev)
	h = appendText(h, e.Link)
	h = appendText(h, e.Body)
	sum := sha256.Sum256(h)
	return sum[:]
}

func appendText[T string | []byte](h []byte, text T) []byte {
	h = binary.BigEndian.AppendUint32(h, uint32(len(text)))
	return append(h, text...)
}
