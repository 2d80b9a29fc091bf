package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"redoubt/api/internal/store"
)

// These are the reference's four events.
const (
	EventCreate  = "CreateVault"
	EventUpdate  = "UpdateVault"
	EventDelete  = "DeleteVault"
	EventDecrypt = "DecryptVault"
)

// EventReseal is Redoubt's own: the vault got a new key with all its fields, or lost keys that were no longer in use.
const EventReseal = "ResealVault"

// These are about domains. Their entries are in a log of the domain's own, which is named domain.ID.
const (
	EventCreateDomain = "CreateDomain"
	EventWrapDomain   = "WrapDomain" // one more KMS key opens it
	EventImportDomain = "ImportDomain"
	EventRetireDomain = "RetireDomain"
)

// Outcomes.
const (
	OutcomeOK      = "ok"
	OutcomePartial = "partial" // some fields were released, some failed
	OutcomeFailed  = "failed"  // nothing was released or changed
	OutcomeRefused = "refused" // the caller was not allowed to, asked too often, or asked for something impossible
)

// Expirer is the principal of what the service does by itself. No caller's name has this form.
const Expirer = "service:expiry"

// These are the reasons of updates and removals, for which callers give none.
const (
	ReasonExpired      = "Expired"      // the vault's time to live had passed
	ReasonRemoveFields = "RemoveFields" // the reference's word
	ReasonSetTTL       = "SetTTL"       // the vault's time to live, perhaps beside fields
	ReasonRemoveTTL    = "RemoveTTL"
	ReasonErased       = "Erased"   // the vault's keys went with it
	ReasonDropKeys     = "DropKeys" // older keys went
)

// Caller is the caller of a request, as the host established it.
type Caller struct {
	Principal string `json:"principal"`
	Source    string `json:"source,omitempty"` // network address
	RequestID string `json:"request_id,omitempty"`
}

// Event describes what happened. It must hold no value of a field.
type Event struct {
	Caller
	VaultID     string
	Name        string // one of the events
	Fields      []string
	Expressions []string // names
	// Released are those of Fields whose values left as they are. It is nil if that was not recorded, as before a
	// decrypt was answered. Access says what each of Expressions may have let out, in their order, or is nil.
	Released []string
	Access   []Access
	Reason   string
	Outcome  string
	Code     string // why it failed or was refused: a static word
	Omitted  uint64 // refusals like this one since the last entry of one, which were only counted
	Key      *KeyChange
}

// FromKMS is the From of a vault whose key KMS made.
const FromKMS = "kms"

// KeyChange says what an event did to the keys of a vault under a domain.
type KeyChange struct {
	Domain  string   `json:"domain,omitempty"`  // hash of the descriptor, in hex
	From    string   `json:"from,omitempty"`    // the domain before a new key, or FromKMS
	Epoch   uint16   `json:"epoch,omitempty"`   // of the vault's key: of the new one, or of the one that was erased
	Dropped []uint16 `json:"dropped,omitempty"` // epochs that went
	Lost    []string `json:"lost,omitempty"`    // fields that did not open and were given up
	// Erased is the SHA-384 of each wrapped key that was erased, newest first. Since is the time in ms since 1970 from
	// which on, at least, the vault was under a domain. Window is the time in seconds after which the store has no copy
	// of its own.
	Erased [][]byte `json:"erased,omitempty"`
	Since  int64    `json:"since,omitempty"`
	Window int64    `json:"window,omitempty"`
}

// Access says what the result of one expression may tell of fields, which are among the event's Fields.
type Access struct {
	Reads []string // fields that it reads, itself or through other expressions
	Raw   []string // fields that the result may hold unchanged
	// Unknown says that no enclave reported on the expression. Reads and Raw are then all of Fields.
	Unknown bool
	// SourceMAC is a keyed hash of the expression's source (package vault): equal for equal sources.
	SourceMAC []byte
}

// body is what an entry holds beside the reference's attributes.
type body struct {
	Caller
	Expressions []string     `json:"expressions,omitempty"`
	Released    []int        `json:"released,omitzero"`
	Access      []accessBody `json:"access,omitempty"`
	Outcome     string       `json:"outcome"`
	Code        string       `json:"code,omitempty"`
	Omitted     uint64       `json:"omitted,omitempty"`
	Epoch       uint64       `json:"epoch,omitempty"` // epoch of the writer in which the entry was begun
	Key         *KeyChange   `json:"key,omitempty"`
}

// accessBody is an Access with indexes into the entry's fields. The names of a hundred fields for each of a hundred
// expressions would be more than a DynamoDB item holds.
type accessBody struct {
	Reads     []int  `json:"reads,omitempty"`
	Raw       []int  `json:"raw,omitempty"`
	Unknown   bool   `json:"unknown,omitempty"`
	SourceMAC []byte `json:"source_mac"`
}

func bodyOf(ev *Event) (*body, error) {
	b := &body{
		Caller: ev.Caller, Expressions: ev.Expressions, Outcome: ev.Outcome, Code: ev.Code, Omitted: ev.Omitted,
		Key: ev.Key,
	}
	if len(ev.Access) > 0 && len(ev.Access) != len(ev.Expressions) {
		return nil, errIndex
	}
	var err error
	if b.Released, err = indexes(ev.Fields, ev.Released); err != nil {
		return nil, err
	}
	for _, a := range ev.Access {
		out := accessBody{Unknown: a.Unknown, SourceMAC: a.SourceMAC}
		if !a.Unknown {
			var err2 error
			out.Reads, err = indexes(ev.Fields, a.Reads)
			out.Raw, err2 = indexes(ev.Fields, a.Raw)
			if err != nil || err2 != nil {
				return nil, errIndex
			}
		}
		b.Access = append(b.Access, out)
	}
	return b, nil
}

// restore fills the event with what bodyOf took from it.
func (b *body) restore(ev *Event) error {
	ev.Caller, ev.Expressions, ev.Outcome, ev.Code, ev.Omitted = b.Caller, b.Expressions, b.Outcome, b.Code, b.Omitted
	ev.Key = b.Key
	if len(b.Access) > 0 && len(b.Access) != len(b.Expressions) {
		return errIndex
	}
	var err error
	if ev.Released, err = names(ev.Fields, b.Released); err != nil {
		return err
	}
	for _, in := range b.Access {
		a := Access{Reads: ev.Fields, Raw: ev.Fields, Unknown: in.Unknown, SourceMAC: in.SourceMAC}
		if !in.Unknown {
			var err2 error
			a.Reads, err = names(ev.Fields, in.Reads)
			a.Raw, err2 = names(ev.Fields, in.Raw)
			if err != nil || err2 != nil {
				return errIndex
			}
		}
		ev.Access = append(ev.Access, a)
	}
	return nil
}

var errIndex = errors.New("audit: an entry refers to a field that is not in it")

// indexes are the places of some names among all. They are nil if some is nil.
func indexes(all, some []string) ([]int, error) {
	if some == nil {
		return nil, nil
	}
	out := make([]int, len(some))
	for i, name := range some {
		if out[i] = slices.Index(all, name); out[i] < 0 {
			return nil, errIndex
		}
	}
	return out, nil
}

// names reverses indexes.
func names(all []string, places []int) ([]string, error) {
	if places == nil {
		return nil, nil
	}
	out := make([]string, len(places))
	for i, at := range places {
		if at < 0 || at >= len(all) {
			return nil, errIndex
		}
		out[i] = all[at]
	}
	return out, nil
}

// Read restores the event of a stored entry. Entries of the reference have no caller and no outcome.
func Read(e *store.Entry) (Event, error) {
	ev, _, err := read(e)
	return ev, err
}

// read returns the writer's epoch too, and 0 if there is none.
func read(e *store.Entry) (Event, uint64, error) {
	ev := Event{VaultID: e.VaultID, Name: e.Event, Fields: e.Fields, Reason: e.Reason}
	if len(e.Body) == 0 {
		return ev, 0, nil
	}
	var b body
	if err := json.Unmarshal(e.Body, &b); err != nil {
		return ev, 0, fmt.Errorf("audit: entry: %w", err)
	}
	return ev, b.Epoch, b.restore(&ev)
}

// hashDomain separates entry hashes from every other use of SHA-256.
const hashDomain = "redoubt/v1/audit\x00"

// Hash is the hash of an entry of an earlier release, whose chains have no key: SHA-256 over the message that a MAC
// covers too.
func Hash(e *store.Entry) []byte {
	sum := sha256.Sum256(appendEntry(nil, hashDomain, e))
	return sum[:]
}

// appendEntry appends the domain and all attributes of an entry except its hash, each preceded by its length.
func appendEntry(h []byte, domain string, e *store.Entry) []byte {
	h = append(h, domain...)
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
	return appendText(h, e.Body)
}

func appendText[T string | []byte](h []byte, text T) []byte {
	h = binary.BigEndian.AppendUint32(h, uint32(len(text)))
	return append(h, text...)
}
