// Package store defines, for the vault, the contract of what keeps its records: sealed fields, wrapped keys, the
// audit log and the memory of idempotent requests. It holds no policy and sees no plaintext.
//
// Two implementations pass one conformance suite (package storetest): store/bolt, one file, and store/dynamo, the
// DynamoDB table of the reference (the AWS sample that Redoubt succeeds), item for item.
//
// # What a Store guarantees
//
//   - A write that returned nil is durable, together with the audit entry that it carries: both or neither.
//   - Every write is conditional: Create on the record's absence, Update and Delete on the revision that was read. An
//     Update never creates a record.
//   - Audit entries are put if absent and never replaced.
//   - Reads of a record are strongly consistent. A record or idempotency item whose time to live has passed is absent
//     from that second on, whether or not it has been removed yet.
//
// It does not guarantee that what it returns is what the API wrote: an attacker who can write to the underlying file
// or table can replace records. Sealing, the key's MAC and the audit chain (packages vault and audit) narrow that.
//
// # Attributes beside the reference's
//
// All are optional. So a table filled by the reference is served as it is, and the reference can read what we add:
//
//	vault item   _kc N 1       the private key was wrapped with EncryptionContext {"vault_id": id}
//	             _km B         MAC that binds vault id, suite and public key
//	             _xf L of S    derived fields whose value a caller gave; absent: none
//	             expire_at N   time to live, Unix seconds (the table's TTL attribute, which the reference never writes)
//	audit item   _w, _n, _h, _p, _l, _a   chain, sequence number, MAC, the one before, link, and the entry's JSON
//	other items  IDEM##…       idempotent requests
//	             CHECKPOINT##  checkpoints of the audit log, one for each process that wrote
//
// A record under a domain has no _sk and no _pk, so that earlier releases take it for absent. It has:
//
//	vault item   _kd B         SHA-384 of the domain's descriptor
//	             _ke N         epoch of its key
//	             _en M of B    encapsulated keys by reference, in lower-case hex
//
// Its keys are in a key item of a table of their own, and domains in another:
//
//	key item     id S          vault id
//	             ks L of M     keys, newest first: _sk B, _pk B raw, _ks B statement, _hs B suite, created N ms
//	             rev N         number of the item's changes
//	             expire_at N   as the vault item's; never on a tombstone
//	             erased N      ms since 1970; the item is then a tombstone, without ks
//	             sums L of B   of a tombstone: SHA-384 of each _sk
//	domain item  id S, gen N   domain and generation
//	             rec B, mac B  domain record, and the API's MAC of its descriptor
//	             state S       a word of the registry's
//	             rev N         number of the item's changes
//
// The revision of a record is its _mt. Every write of ours increases it, and so do the reference's writes.
package store

import (
	"context"
	"errors"
	"time"
)

// These errors are returned by implementations, wrapped or not.
var (
	ErrNotFound = errors.New("store: not found")
	ErrExists   = errors.New("store: exists already")
	// ErrConflict reports that a condition did not hold: the record changed since it was read.
	ErrConflict = errors.New("store: changed meanwhile")
	// ErrUnknownOutcome reports a write that may have happened or not.
	ErrUnknownOutcome = errors.New("store: outcome unknown")
	// ErrTooLarge reports a record that the store cannot hold.
	ErrTooLarge = errors.New("store: record too large")
	// ErrDamaged reports a record, or a file, that is not as it was written.
	ErrDamaged = errors.New("store: the file, or a record in it, is damaged")
	// ErrCursor reports a page cursor that the store did not make.
	ErrCursor = errors.New("store: invalid cursor")
)

// Limits of pages.
const (
	DefaultPage = 50
	MaxPage     = 1000
)

// Encodings of sealed fields, as in a record's _v.
const (
	EncodingHex    = 1
	EncodingBinary = 2
	EncodingShared = 3
)

// Value is one sealed field: the blob as stored. A text value (hex#hex) is of encoding 1 and stored as a string.
type Value struct {
	Blob []byte
	Text bool
}

// Record is one vault. All byte slices belong to the holder of the Record.
type Record struct {
	ID         string
	Encoding   int               // _v
	Suite      []byte            // _hs, 10 bytes
	WrappedKey []byte            // _sk, KMS ciphertext of the private key; nil under a domain
	PublicKey  []byte            // _pk, DER SubjectPublicKeyInfo; nil under a domain
	KeyContext bool              // _kc
	KeyMAC     []byte            // _km, nil for records that the reference wrote
	Domain     []byte            // _kd, 48 bytes: the descriptor's hash; nil: the key was made by KMS
	Epoch      uint16            // _ke, of a record under a domain
	Encs       map[string][]byte // _en, encapsulated keys by reference, of a record under a domain
	Created    int64             // _ct, Unix microseconds
	Modified   int64             // _mt, Unix microseconds; also the record's revision
	ExpireAt   int64             // expire_at, Unix seconds, 0 for never
	Own        []string          // _xf, fields that the schema derives and whose value a caller gave, in order
	Fields     map[string]Value  // by field name
}

// Expired reports whether the record's time to live has passed at now.
func (r *Record) Expired(now time.Time) bool { return r.ExpireAt != 0 && r.ExpireAt <= now.Unix() }

// Update is a conditional change of one record. Set and Remove name different fields.
type Update struct {
	ID       string
	Revision int64 // the Modified that was read; if another is stored: ErrConflict
	Modified int64 // the new one, above Revision
	Encoding int   // the new _v, 0 to leave it
	Set      map[string]Value
	Remove   []string
	ExpireAt *int64    // the new time to live, nil to leave it, 0 to remove it
	Own      *[]string // the new Own, nil to leave it

	// Keyed says that the record is under a domain, so that its key item gets the new time to live too. It MUST be what
	// was read.
	Keyed bool
	// AddEncs and DropEncs change Encs. An Update that adds one that is there already returns ErrExists.
	AddEncs  map[string][]byte
	DropEncs []string
}

// Idempotency is the memory of one create request.
type Idempotency struct {
	Key      string // opaque, made from principal and the caller's key
	MAC      []byte // keyed MAC of the request's body
	VaultID  string
	ExpireAt int64 // Unix seconds
}

// Summary is a record's line in a list.
type Summary struct {
	ID       string
	Created  int64
	Modified int64
	ExpireAt int64
}

// TimeAltered is the Time of an entry whose key, which orders the log, has another time than its attributes.
const TimeAltered = -1

// EventUnreadable is the Event of an entry of which only the key can be read.
const EventUnreadable = "(unreadable)"

// Entry is one audit entry as stored. The reference's attributes are plain. The rest is in Body, which package audit
// interprets. Entries that the reference wrote have no Chain.
type Entry struct {
	VaultID string
	Time    int64    // _ct, Unix microseconds
	Event   string   // _e
	Reason  string   // _r
	Fields  []string // _f
	Chain   string   // _w
	Seq     uint64   // _n, from 1
	Prev    []byte   // _p, MAC of the entry before in the chain; empty for the first
	Link    []byte   // _l, MAC of another chain's entry, in a chain's first entry
	Hash    []byte   // MAC; in earlier releases a hash without a key
	Body    []byte   // _a, JSON
}

// Checkpoint is a statement of one writer of the audit log about everything that it wrote. Package audit interprets
// its content.
type Checkpoint struct {
	Writer string
	Number uint64 // rises with each checkpoint of a writer
	Body   []byte
	MAC    []byte
}

// Page asks for one page of a list. Cursor is empty for the first page; otherwise it is what the page before
// returned.
type Page struct {
	Cursor string
	Limit  int // 1 to MaxPage; 0 means DefaultPage
}

// Size returns the page's limit, within its bounds.
func (p Page) Size() int {
	if p.Limit <= 0 {
		return DefaultPage
	}
	return min(p.Limit, MaxPage)
}

// Store keeps records. Implementations are safe for concurrent use. Entries passed to a write are stored with it in
// one transaction; a nil entry stores none.
type Store interface {
	// Create stores a new record, its audit entry and, unless nil, the idempotency item. It returns ErrExists, and
	// stores nothing, if the entry exists, or an unexpired record or idempotency item of that id or key.
	Create(ctx context.Context, r *Record, e *Entry, i *Idempotency) error
	// Get returns a record with all its fields. ErrNotFound, ErrDamaged.
	Get(ctx context.Context, id string) (*Record, error)
	// Update changes a record at the given revision. ErrNotFound, ErrConflict.
	Update(ctx context.Context, u *Update, e *Entry) error
	// Delete removes a record at the given revision. ErrNotFound, ErrConflict; ErrKeyed for a record under a domain.
	Delete(ctx context.Context, id string, revision int64, e *Entry) error
	// List returns records in an order of the store's own, and the next cursor, which is empty at the end. A record
	// that cannot be read is left out, so that it hides no other. ErrCursor.
	List(ctx context.Context, p Page) ([]Summary, string, error)

	// AppendAudit stores an entry. It returns ErrExists if there is one of that time, chain and sequence number.
	AppendAudit(ctx context.Context, e *Entry) error
	// Audit returns a vault's entries, oldest first, and the next cursor, which is empty at the end. An entry that
	// cannot be read is an [EventUnreadable]. ErrCursor.
	Audit(ctx context.Context, vaultID string, p Page) ([]Entry, string, error)
	// LastAudit returns a vault's newest entry, and ErrNotFound if there is none.
	LastAudit(ctx context.Context, vaultID string) (*Entry, error)
	// AuditedVaults calls yield once with the id of each vault that has audit entries, deleted vaults included.
	AuditedVaults(ctx context.Context, yield func(vaultID string) error) error

	// PutCheckpoint stores a writer's checkpoint in place of the one before. It returns ErrConflict if the one before
	// has a higher number. One of the same number is replaced, so that a write whose outcome is unknown can be tried
	// again.
	PutCheckpoint(ctx context.Context, c *Checkpoint) error
	// Checkpoints calls yield with each writer's checkpoint.
	Checkpoints(ctx context.Context, yield func(*Checkpoint) error) error

	// Idempotency returns the unexpired item of a key. ErrNotFound.
	Idempotency(ctx context.Context, key string) (*Idempotency, error)

	Domains

	// Ping reports whether the store answers. It returns [ErrFull] if the store does, but has only its reserve left.
	Ping(ctx context.Context) error
	// Close releases the store; no call may follow.
	Close() error
}

// These errors come from a store that cannot do what it is asked at present. A caller may try again.
var (
	// ErrThrottled reports that the store was asked for more than it is provisioned for. Nothing was stored.
	ErrThrottled = errors.New("store: throttled")
	// ErrUnavailable reports that the store did not answer, or answered that it is unable to.
	ErrUnavailable = errors.New("store: unavailable")
	// ErrDenied reports that the store refuses this process: it has no right, or its credentials are expired or not
	// known.
	ErrDenied = errors.New("store: access denied; look at the rights and the credentials of this service")
	// ErrMissing reports that a table of the store does not exist.
	ErrMissing = errors.New("store: table not found; look at names and region: " +
		"--store, --key-table, --domain-table, --region")
	// ErrFull reports a write that found no room. Nothing was stored. Removals, and the audit of reads, have a
	// reserve.
	ErrFull = errors.New("store: full")
)
