package vault

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
	"redoubt/api/internal/upstream"
	"redoubt/api/internal/verified"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

// Limits and defaults.
const (
	MaxReason      = 4096 // bytes
	MaxFields      = 100
	MaxExpressions = 100
	MaxExpression  = 10_240 // bytes of one CEL source, the reference's
	MaxIdempotency = 255    // bytes of an Idempotency-Key
	MaxTTL         = 100 * 365 * 24 * time.Hour
	IdempotencyTTL = 24 * time.Hour
	prefix         = "v"
	writeAttempts  = 12
	createAttempts = 6
	// MaxExpressionName is the most bytes of an expression's name, the parent's.
	MaxExpressionName = 256
	// auditTimeout bounds writes of audit entries alone. Such a write does not end when the caller leaves.
	auditTimeout = 5 * time.Second
	// auditGrace is the time that these writes have beyond the deadline of the work. It is less than the host, AWS
	// Lambda, has left by then.
	auditGrace = 500 * time.Millisecond
)

// Codes of refusals in audit entries.
const (
	codeForbidden   = "forbidden"
	codeInvalid     = "invalid_request"
	codeRateLimited = "rate_limited"
)

// Errors. They wrap the errors of store, audit, upstream and KMS.
var (
	ErrNotFound = errors.New("vault: not found")
	// ErrPrecondition reports an If-Match that names another revision.
	ErrPrecondition = errors.New("vault: precondition failed")
	// ErrConflict reports that concurrent writes won every time.
	ErrConflict = errors.New("vault: changed meanwhile")
	// ErrIdempotency reports an Idempotency-Key that was used for another request.
	ErrIdempotency = errors.New("vault: idempotency key was used for another request")
	// ErrGone reports a retry of a request whose vault was removed, or has expired, since.
	ErrGone = errors.New("vault: the vault that the idempotency key made is gone")
	// ErrKeyUnverified reports a record whose public key is not the one that the API made.
	ErrKeyUnverified = errors.New("vault: public key not verified")
	// ErrEncoding reports a record of an encoding that this version does not know, and so cannot write to.
	ErrEncoding = errors.New("vault: unknown encoding")
	// ErrAudit reports that the audit log could not be written; nothing was released.
	ErrAudit = errors.New("vault: audit log not written")
	// ErrCutover reports a cut-over in the future: until then, new records would pass for the reference's.
	ErrCutover = errors.New("vault: the cut-over is later than now")
)

// RateError reports a principal that decrypts too often, or that is refused too often.
type RateError struct{ RetryAfter time.Duration }

func (*RateError) Error() string { return "vault: too many requests" }

// Keys makes keys and MACs. Package kmsclient implements it with KMS.
type Keys interface {
	NewKeyPair(ctx context.Context, suite sealed.Suite, bind map[string]string) (public, wrapped []byte, err error)
	MAC(ctx context.Context, message []byte) ([]byte, error)
	VerifyMAC(ctx context.Context, message, mac []byte) (bool, error)
}

// Opener opens sealed fields. Package upstream implements it by asking the parent.
type Opener interface {
	Decrypt(ctx context.Context, r *upstream.Request) (*upstream.Result, error)
}

// Enclave makes keys of vaults under a domain, and moves vaults to them. Package upstream implements it by asking the
// parent. Its answers are worth nothing until the domain's statements in them are verified.
type Enclave interface {
	Opener
	// Mint returns as many keys as were asked for, each with a vault id of its own.
	Mint(ctx context.Context, m *upstream.Mint) ([]parentapi.VaultKey, error)
	// Reseal returns the fields under a new key. If one does not open, the code is wire.DecryptFailed.
	Reseal(ctx context.Context, r *upstream.Reseal) (*parentapi.Resealed, error)
}

// Config of a service. Everything is required except Policy, Cutover, Now and what comes after it.
type Config struct {
	Store    store.Store
	Keys     Keys
	Opener   Opener
	Schema   *schema.Schema
	Policy   *auth.Policy // nil: a principal's own scope decides
	Suite    sealed.Suite
	Encoding sealed.Encoding // of new records: EncodingRecord or EncodingField
	Cutover  time.Time       // records without a MAC take writes if their id is older; not in the future; zero: none do
	Now      func() time.Time
	// CheckpointEvery and Checkpointed are Every and Kept of the audit log.
	CheckpointEvery time.Duration
	Checkpointed    func(*store.Checkpoint, error)
	KeyConfig
}

// Service is the vault. It is safe for concurrent use.
type Service struct {
	cfg      Config
	log      *audit.Log
	limiter  *auth.Limiter
	refusals *refusals
	bound    *verified.MACs // of records' public keys
	sources  macKey         // hashes sources of expressions
	cursors  macKey         // seals cursors of lists
	stated   *verified.Set  // of statements about keys
	target   target
	pool     *pool
	counts   counts
}

// New checks the configuration and makes a service. Error: [ErrCutover].
func New(cfg Config) (*Service, error) {
	if cfg.Store == nil || cfg.Keys == nil || cfg.Opener == nil || cfg.Schema == nil || !cfg.Suite.OnCurve() {
		return nil, errors.New("vault: incomplete configuration")
	}
	if cfg.Encoding != sealed.EncodingField && cfg.Encoding != sealed.EncodingRecord {
		return nil, errors.New("vault: new records are sealed in encoding 2 or 3")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Cutover.After(cfg.Now()) {
		return nil, ErrCutover
	}
	if err := cfg.check(cfg.Now()); err != nil {
		return nil, err
	}
	s := &Service{
		cfg: cfg, log: audit.New(audit.Config{
			Store: cfg.Store, Keys: cfg.Keys, Now: cfg.Now, Every: cfg.CheckpointEvery, Kept: cfg.Checkpointed,
		}),
		limiter:  auth.NewLimiter(cfg.Policy, cfg.Now),
		refusals: newRefusals(cfg.Now), bound: verified.New(cfg.Keys, maxBound),
		sources: macKey{domain: sourceDomain}, cursors: macKey{domain: cursorDomain},
		stated: verified.NewSet(maxStated),
	}
	s.pool = newPool(cfg.Now, cfg.Inline, s.mint)
	return s, nil
}

// Schema returns the service's schema.
func (s *Service) Schema() *schema.Schema { return s.cfg.Schema }

// Ready reports whether the log's key is there, so that audit entries can be written. The error is the key service's.
func (s *Service) Ready(ctx context.Context) error { return s.log.Ready(ctx) }

// Close makes a last checkpoint of the audit log and wipes its key, after running writes have ended. Later writes are
// refused with [ErrAudit]. The error says why there is no checkpoint.
func (s *Service) Close(ctx context.Context) error {
	s.pool.close()
	return s.log.Close(ctx)
}

// Replace runs fn, which replaces the content of the store, while no write runs.
func (s *Service) Replace(fn func() error) error { return s.log.Replace(fn) }

// Caller is the principal of a request, with what the audit log says of it.
type Caller struct {
	auth.Principal
	Source    string
	RequestID string
}

func (c *Caller) audit() audit.Caller {
	return audit.Caller{Principal: c.Name, Source: c.Source, RequestID: c.RequestID}
}

var idRE = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}$`)

// get reads a vault. It returns [ErrNotFound] also for a text that cannot be an id. store.ErrErased,
// store.ErrInconsistent.
func (s *Service) get(ctx context.Context, id string) (*item, error) {
	if !idRE.MatchString(id) {
		return nil, ErrNotFound
	}
	r, err := s.read(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return r, nil
}

// permit checks the caller's rights. A refusal that concerns an existing vault goes into its audit log.
func (s *Service) permit(ctx context.Context, c *Caller, op auth.Operation, fields []string, ev *audit.Event) error {
	err := s.cfg.Policy.Permit(&c.Principal, op, fields)
	if err == nil || ev == nil {
		return err
	}
	return s.refuse(ctx, ev, codeForbidden, err)
}

// record audits an event that ended in why (nil for success). It returns why, or [ErrAudit].
func (s *Service) record(ctx context.Context, ev *audit.Event, why error) error {
	ctx, cancel := detached(ctx)
	defer cancel()
	if err := s.log.Write(ctx, *ev); err != nil {
		return errors.Join(ErrAudit, err)
	}
	return why
}

// detached is a context for writes that must happen although the caller may have left, perhaps for that very reason.
// The deadline of the work, which AWS Lambda sets, still counts, with a grace: work that it ends must be audited too.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	end := time.Now().Add(auditTimeout)
	if work, ok := ctx.Deadline(); ok && work.Add(auditGrace).Before(end) {
		end = work.Add(auditGrace)
	}
	return context.WithDeadline(context.WithoutCancel(ctx), end)
}

// carry runs a write that stores the event's entry together with its change. After a panic the outcome counts as
// unknown, and the log remains usable. Errors: [ErrAudit], write's.
func (s *Service) carry(ctx context.Context, ev *audit.Event, write func(*store.Entry) error) error {
	p, err := s.log.Begin(ctx, *ev)
	if err != nil {
		return errors.Join(ErrAudit, err)
	}
	err = store.ErrUnknownOutcome // the outcome after a panic
	defer func() { p.Done(err) }()
	err = write(p.Entry())
	return err
}

// Carry runs a write about domains that stores the event's entry together with its change. Errors: [ErrAudit], write's.
func (s *Service) Carry(ctx context.Context, ev *audit.Event, write func(*store.Entry) error) error {
	return s.carry(ctx, ev, write)
}

// stored converts the store's errors of a conditional write to the vault's.
func stored(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound):
		return ErrNotFound
	case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrExists):
		return ErrConflict
	}
	return fmt.Errorf("vault: %w", err)
}

// tag is a record's entity tag, made from its revision.
func tag(revision int64) string { return fmt.Sprintf("%q", fmt.Sprintf("%x", revision)) }
