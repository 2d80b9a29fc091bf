package kms

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"redoubt/enclave/internal/keys"
)

// An Identity holds the credentials that one session of a parent gave, and no others. With it KMS is asked for that
// session. It is safe for concurrent use. A request names its session's identity in [keys.Request.By].
type Identity struct {
	client *Client
	number atomic.Uint64 // number of current; 0 without credentials

	// Guarded by wallet.mu.
	current *set
	changed chan struct{} // closed when current is replaced
	closed  bool
}

var _ keys.Credentials = (*Identity)(nil)

// wallet holds the identities, and through them the sets of credentials.
type wallet struct {
	mu         sync.Mutex
	identities []*Identity // open identities; the one that was given credentials last comes last
	macBy      uint64      // the set that last opened the HMAC key
	closed     bool
	renewed    uint64
	last       uint64 // number given to the newest set
}

// NewIdentity returns an identity without credentials. The caller MUST close it.
func (c *Client) NewIdentity() *Identity {
	i := &Identity{client: c, changed: make(chan struct{})}
	w := &c.wallet
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		i.closed = true
		close(i.changed)
		return i
	}
	w.identities = append(w.identities, i)
	return i
}

// Set replaces the credentials. The former ones are wiped as soon as no call and no other identity uses them. If the
// new ones are unusable, Set fails with ErrCredentials and keeps the former. After Close it does nothing.
func (i *Identity) Set(creds Credentials) error {
	if err := creds.valid(i.client.now()); err != nil {
		return err
	}
	w := &i.client.wallet
	w.mu.Lock()
	defer w.mu.Unlock()
	if i.closed {
		return nil
	}
	next := w.find(&creds)
	if next == nil {
		next = i.client.newSet(&creds)
	}
	w.renewed++
	w.replace(i, next)
	w.identities = append(slices.DeleteFunc(w.identities, func(x *Identity) bool { return x == i }), i)
	return nil
}

// newSet makes a set of a copy of creds. The caller holds the wallet.
func (c *Client) newSet(creds *Credentials) *set {
	c.wallet.last++
	s := &set{
		number: c.wallet.last, accessKeyID: string(creds.AccessKeyID), expiry: creds.Expiry,
		clients: make(map[string]clients, len(c.regions)),
		secret:  append([]byte(nil), creds.SecretAccessKey...), token: append([]byte(nil), creds.SessionToken...),
	}
	for name, r := range c.regions {
		s.clients[name] = clients{vaults: r.client(s, r.doer), domains: r.client(s, r.domains)}
	}
	return s
}

// client makes an SDK client of the region that signs with s and sends by doer.
func (r *regional) client(s *set, doer *httpDoer) sdkClient {
	return awskms.New(awskms.Options{
		Region: r.name, BaseEndpoint: aws.String(r.base.String()), HTTPClient: doer, Credentials: s,
		HTTPSignerV4: v4.NewSigner(), Retryer: aws.NopRetryer{},
	})
}

// Number implements [keys.Credentials].
func (i *Identity) Number() uint64 { return i.number.Load() }

// Valid reports whether there are credentials that have not ended and that KMS did not refuse lately, and when they
// end (zero: never).
func (i *Identity) Valid() (expiry time.Time, ok bool) {
	now := i.client.now()
	w := &i.client.wallet
	w.mu.Lock()
	defer w.mu.Unlock()
	if i.current == nil {
		return time.Time{}, false
	}
	return i.current.expiry, i.current.good(now) && time.Since(i.current.refused) >= refusedFor
}

// Close gives the credentials up. Running calls may finish with them. Later calls have none.
func (i *Identity) Close() {
	w := &i.client.wallet
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(i)
}

// find returns a set of equal credentials that some identity has, or nil.
func (w *wallet) find(creds *Credentials) *set {
	for _, i := range w.identities {
		if i.current != nil && i.current.is(creds) {
			return i.current
		}
	}
	return nil
}

// replace puts next, which may be nil, in the place of i's set. The caller holds mu.
func (w *wallet) replace(i *Identity, next *set) {
	old := i.current
	i.current = next
	i.number.Store(0)
	if next != nil {
		next.held++
		i.number.Store(next.number)
	}
	if old != nil {
		old.held--
		old.retire()
	}
	close(i.changed)
	i.changed = make(chan struct{})
}

// retire wipes a set that is no longer in use. The caller holds mu.
func (s *set) retire() {
	if s.held == 0 && s.uses == 0 {
		s.wipe()
	}
}

// remove closes an identity. The caller holds mu.
func (w *wallet) remove(i *Identity) {
	if i.closed {
		return
	}
	i.closed = true
	w.replace(i, nil)
	close(i.changed) // nothing will change any more, so nothing may wait for a change
	w.identities = slices.DeleteFunc(w.identities, func(x *Identity) bool { return x == i })
}

// close closes every identity, those that come later too.
func (w *wallet) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, i := range slices.Clone(w.identities) {
		w.remove(i)
	}
}

// acquire returns the set to use, or nil if there is none that is still good. It also returns a channel that is
// closed when there is another set. The caller must release the set.
func (w *wallet) acquire(i *Identity, now time.Time) (*set, <-chan struct{}) {
	if i == nil {
		return nil, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !i.current.good(now) {
		return nil, i.changed
	}
	i.current.uses++
	return i.current, i.changed
}

func (w *wallet) release(used *set) {
	w.mu.Lock()
	defer w.mu.Unlock()
	used.uses--
	used.retire()
}

// judge records whether KMS refused the credentials themselves.
func (w *wallet) judge(s *set, refused bool) {
	if s == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.refused = time.Time{}
	if refused {
		s.refused = time.Now()
	}
}

// anyValid reports whether an identity has credentials that have not ended, and when the first of these end.
func (w *wallet) anyValid(now time.Time) (expiry time.Time, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range w.identities {
		if !i.current.good(now) {
			continue
		}
		if end := i.current.expiry; !ok || (!end.IsZero() && (expiry.IsZero() || end.Before(expiry))) {
			expiry = end
		}
		ok = true
	}
	return expiry, ok
}

// holders lists identities with credentials that are good, one for each set. First comes the one that last opened the
// HMAC key, then those that KMS did not refuse, newer credentials before older ones.
func (w *wallet) holders(now time.Time) []*Identity {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*Identity
	rank := func(s *set) int {
		switch {
		case s.number == w.macBy:
			return 0
		case time.Since(s.refused) >= refusedFor:
			return 1
		}
		return 2
	}
	for _, i := range slices.Backward(w.identities) {
		if i.current.good(now) && !slices.ContainsFunc(out, func(x *Identity) bool { return x.current == i.current }) {
			out = append(out, i)
		}
	}
	slices.SortStableFunc(out, func(a, b *Identity) int { return rank(a.current) - rank(b.current) })
	return out
}
