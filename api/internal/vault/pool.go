package vault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"redoubt/api/internal/domains"
	"redoubt/api/internal/store"
	"redoubt/api/internal/upstream"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/pksuid"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

const (
	// poolFull is how many keys are made at once, and poolLow is how few are left when that begins.
	poolFull = parentapi.MaxMint
	poolLow  = poolFull / 2
	// poolInline is how many are made at once for a request that waits, where nothing runs between requests.
	poolInline = 8
	// poolAge is how long a key waits for its vault. The vault's id has the time of the key.
	poolAge = 10 * time.Minute
	// idSkew is how far the time in an id that the enclave made may be from this process's clock.
	idSkew = time.Hour
	// poolRetry is what a caller is told to wait when no key can be made.
	poolRetry = time.Second
)

// NoKeyError reports that there is no key for a new vault, and that none can be made at present.
type NoKeyError struct {
	RetryAfter time.Duration
	Err        error // the enclave's, or why its answer was not believed
}

func (e *NoKeyError) Error() string { return "vault: no key for a new vault: " + e.Err.Error() }
func (e *NoKeyError) Unwrap() error { return e.Err }

// ErrMinted reports keys that are not what was asked for, or that the domain did not make.
var ErrMinted = errors.New("vault: keys that the domain did not make; is somebody between the API and the enclave?")

// minted is a verified key for a new vault.
type minted struct {
	id    string
	epoch store.Epoch
	suite sealed.Suite
	made  time.Time // when it came, by our clock
}

// minter makes n keys of a domain.
type minter func(ctx context.Context, d *domains.Domain, n int) ([]minted, error)

// pool keeps keys for new vaults, in memory alone. All are of one generation of a domain.
type pool struct {
	mint  minter
	now   func() time.Time
	count int  // made at once
	alone bool // nothing runs in the background

	group   singleflight.Group
	running sync.WaitGroup
	stop    context.CancelFunc
	life    context.Context //nolint:containedctx // ends with the pool

	mu      sync.Mutex
	domain  domain.Hash
	keys    []minted
	filling bool
	closed  bool
}

func newPool(now func() time.Time, inline bool, mint minter) *pool {
	p := &pool{mint: mint, now: now, count: poolFull, alone: inline}
	if inline {
		p.count = poolInline
	}
	p.life, p.stop = context.WithCancel(context.Background())
	return p
}

// close ends what runs in the background, and waits for it.
func (p *pool) close() {
	p.mu.Lock()
	p.closed, p.keys = true, nil
	p.mu.Unlock()
	p.stop()
	p.running.Wait()
}

// size is the number of keys that wait for a vault.
func (p *pool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.keys)
}

// take returns a key of d, which no other caller gets. If there is none it waits until some are made, together with
// all that wait. Error: [*NoKeyError], or the context's.
func (p *pool) take(ctx context.Context, d *domains.Domain) (minted, error) {
	for {
		if k, ok := p.pop(d); ok {
			return k, nil
		}
		done := p.group.DoChan(string(d.Hash[:]), func() (any, error) {
			ctx, cancel := detached(ctx) // others wait for it too
			defer cancel()
			return nil, p.fill(ctx, d)
		})
		select {
		case <-ctx.Done():
			return minted{}, ctx.Err()
		case res := <-done:
			if res.Err != nil {
				wait := poolRetry
				var up *upstream.Error
				if errors.As(res.Err, &up) && up.RetryAfter > 0 {
					wait = up.RetryAfter
				}
				return minted{}, &NoKeyError{RetryAfter: wait, Err: res.Err}
			}
		}
	}
}

// pop takes a key, and has more made if few are left. Keys of another generation, and old ones, are dropped.
func (p *pool) pop(d *domains.Domain) (k minted, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.domain != d.Hash {
		p.domain, p.keys = d.Hash, nil
	}
	for len(p.keys) > 0 && !ok {
		k, p.keys = p.keys[0], p.keys[1:]
		ok = p.now().Sub(k.made) < poolAge
	}
	if ok && len(p.keys) < poolLow && !p.alone && !p.filling && !p.closed {
		p.filling = true
		p.running.Go(func() { p.refill(d) })
	}
	return k, ok
}

// refill fills the pool in the background. A failure is met again by the request that finds the pool empty.
func (p *pool) refill(d *domains.Domain) {
	ctx, cancel := context.WithTimeout(p.life, auditTimeout)
	defer cancel()
	_ = p.fill(ctx, d)
	p.mu.Lock()
	p.filling = false
	p.mu.Unlock()
}

func (p *pool) fill(ctx context.Context, d *domains.Domain) error {
	keys, err := p.mint(ctx, d, p.count)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.domain != d.Hash || len(p.keys) >= poolFull {
		return nil
	}
	p.keys = append(p.keys, keys...)
	return nil
}

// mint asks the enclave for keys, and believes none that the domain does not state to have made for its id.
func (s *Service) mint(ctx context.Context, d *domains.Domain, n int) ([]minted, error) {
	out, err := s.mintVerified(ctx, d, n)
	if err != nil {
		s.counts.mintFailures.Add(1)
		return nil, err
	}
	s.counts.minted.Add(uint64(len(out)))
	return out, nil
}

func (s *Service) mintVerified(ctx context.Context, d *domains.Domain, n int) ([]minted, error) {
	answer, err := s.cfg.Enclave.Mint(ctx, &upstream.Mint{
		Domain: d.Hash, Suite: s.cfg.KeySuite, Count: n, Records: s.cfg.Domains.Record,
	})
	if err != nil {
		return nil, refused(err)
	}
	if len(answer) != n {
		return nil, ErrMinted
	}
	now := s.cfg.Now()
	seen := make(map[string]bool, n)
	out := make([]minted, n)
	for i, a := range answer {
		at, ok := pksuid.Time(prefix, a.VaultID)
		if !ok || seen[a.VaultID] || now.Sub(at).Abs() > idSkew || len(a.Statement) != domain.SignatureSize {
			return nil, ErrMinted
		}
		seen[a.VaultID] = true
		signature := [domain.SignatureSize]byte(a.Statement)
		head, err := domain.ParseHead(a.WrappedKey)
		if err != nil || head.Epoch != 1 || d.Descriptor.VerifyKey(
			d.Hash, domain.Made, a.VaultID, a.WrappedKey, a.PublicKey, signature) != nil {
			return nil, ErrMinted
		}
		if want := s.cfg.KeySuite; want != "" && head.Suite.String() != want {
			return nil, ErrMinted
		}
		id := head.Suite.ID()
		out[i] = minted{id: a.VaultID, suite: head.Suite, made: now, epoch: store.Epoch{
			WrappedKey: a.WrappedKey, PublicKey: a.PublicKey, Statement: a.Statement, Suite: id[:], Created: now.UnixMilli(),
		}}
	}
	return out, nil
}

// newKeyed takes a key that the enclave made, and seals the values to it.
func (s *Service) newKeyed(ctx context.Context, values map[string]string, ttl time.Duration) (
	*store.Record, *store.Epoch, error,
) {
	d, err := s.current(ctx)
	if err != nil {
		return nil, nil, err
	}
	k, err := s.pool.take(ctx, d)
	if err != nil {
		return nil, nil, fmt.Errorf("vault: %w", err)
	}
	now := s.cfg.Now()
	r := &store.Record{
		ID: k.id, Encoding: store.EncodingDomain, Suite: k.epoch.Suite, Domain: d.Hash[:], Epoch: 1,
		Created: now.UnixMicro(), Modified: now.UnixMicro(), Fields: map[string]store.Value{}, Encs: map[string][]byte{},
	}
	if len(values) > 0 {
		ref, enc, set, err := sealTo(k.suite, k.epoch.PublicKey, k.id, values)
		if err != nil {
			return nil, nil, err
		}
		r.Encs[ref], r.Fields = enc, set
	}
	if ttl > 0 {
		r.ExpireAt = now.Add(ttl).Unix()
	}
	return r, &k.epoch, nil
}

// counts are the numbers that [Service.Counts] reports.
type counts struct {
	minted, mintFailures, reseals, resealFailures, erases atomic.Uint64
}

// Counts are numbers about vaults under domains, since the service began.
type Counts struct {
	Pooled               int // keys that wait for a new vault, at present
	Minted, MintFailures uint64
	Reseals              uint64 // vaults that got a new key
	ResealFailures       uint64 // moves to a new key that the enclave did not make, or whose result was not believed
	Erases               uint64
}

// Counts returns the numbers.
func (s *Service) Counts() Counts {
	c := &s.counts
	return Counts{
		Pooled: s.pool.size(), Minted: c.minted.Load(), MintFailures: c.mintFailures.Load(), Reseals: c.reseals.Load(),
		ResealFailures: c.resealFailures.Load(), Erases: c.erases.Load(),
	}
}
