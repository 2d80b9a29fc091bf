package kms

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"redoubt/enclave/internal/keys"
	"redoubt/wire/kit/secret"
)

// sdkClient is the part of the SDK that this package uses.
type sdkClient interface {
	Decrypt(context.Context, *awskms.DecryptInput, ...func(*awskms.Options)) (*awskms.DecryptOutput, error)
}

// A regional holds what belongs to one region.
type regional struct {
	name, arn string // arn is that of vaults' keys; empty: domains alone
	base      *url.URL
	doer      *httpDoer // for vaults' keys
	domains   *httpDoer // for domains' keys
	circuit   circuit
	answered  atomic.Pointer[time.Time]
}

// Client asks KMS. It implements keys.Unwrapper, and is safe for concurrent use.
type Client struct {
	cfg        Config
	regions    map[string]*regional // by name
	byARN      map[string]*regional // of vaults' keys
	domainKeys map[string]*regional // of domains' keys, by ARN
	transport  *http.Transport
	domains    *http.Transport // TLS 1.3 with X25519MLKEM768 alone, unless configured otherwise
	wallet     wallet
	recipients *recipients
	limiter    *limiter
	stats      counters
	offset     atomic.Int64 // KMS's clock minus ours, in nanoseconds, by the last answer
	confirmed  atomic.Int64 // the same, of which an offset that is not tolerated is the answer to a question of Reach

	ctx  context.Context //nolint:containedctx // ends with the client, not with a call
	end  context.CancelFunc
	done sync.WaitGroup
}

var _ keys.Unwrapper = (*Client)(nil)

// New checks the configuration and begins to make the RSA key pair in the background. The caller MUST call Close.
func New(cfg Config) (*Client, error) {
	cfg.setDefaults()
	if err := cfg.valid(); err != nil {
		return nil, err
	}
	roots, err := rootPool(cfg.ExtraRootsPEM)
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg: cfg, regions: make(map[string]*regional), byARN: make(map[string]*regional),
		domainKeys: make(map[string]*regional),
		recipients: newRecipients(&cfg), limiter: newLimiter(cfg.MaxConcurrent, cfg.MaxQueue),
	}
	c.transport, c.domains = newTransport(&c.cfg, roots), newDomainTransport(&c.cfg, roots)
	for name, arn := range cfg.Keys {
		r, err := c.region(name, arn)
		if err != nil {
			return nil, err
		}
		r.arn, c.byARN[arn], c.domainKeys[arn] = arn, r, r
	}
	for _, arn := range cfg.DomainKeys {
		r, err := c.region(arnForm.FindStringSubmatch(arn)[2], arn)
		if err != nil {
			return nil, err
		}
		c.domainKeys[arn] = r
	}
	c.ctx, c.end = context.WithCancel(context.Background())
	c.done.Go(func() { c.recipients.run(c.ctx) })
	return c, nil
}

// region returns what belongs to the region of that name, and makes it if there is none yet.
func (c *Client) region(name, arn string) (*regional, error) {
	if r := c.regions[name]; r != nil {
		return r, nil
	}
	base, err := c.cfg.endpoint(name, arn)
	if err != nil {
		return nil, err
	}
	r := &regional{name: name, base: base}
	r.doer = &httpDoer{transport: c.transport, host: base.Host, answered: &r.answered, offset: &c.offset}
	r.domains = &httpDoer{transport: c.domains, host: base.Host, answered: &r.answered, offset: &c.offset}
	c.regions[name] = r
	return r, nil
}

// Prepared is closed once there is an RSA key pair. Making one takes from a tenth of a second to seconds. Calls made
// before wait for it.
func (c *Client) Prepared() <-chan struct{} { return c.recipients.first }

// CredentialsValid reports whether any identity has credentials that have not ended, and when they end (zero: never).
func (c *Client) CredentialsValid() (expiry time.Time, ok bool) { return c.wallet.anyValid(c.now()) }

// Unwrap asks KMS to open a wrapped private key, with the credentials of the identity r.By. Without an identity it
// fails for want of credentials. A request for an ARN that is not configured is denied. Errors are *Error, which
// unwraps to a *wire.Error. Unwrap returns when ctx ends, or after the configuration's CallTimeout.
func (c *Client) Unwrap(ctx context.Context, r keys.Request) (*secret.Buffer, error) {
	by, _ := r.By.(*Identity)
	q := question{by: by, region: c.byARN[r.KeyARN], arn: r.KeyARN, wrapped: r.Wrapped}
	if len(r.VaultID) == 0 || len(r.VaultID) > maxVaultID {
		return nil, c.refuse(Invalid)
	}
	if r.KeyContext {
		q.context = map[string]string{"vault_id": string(r.VaultID)}
	}
	return c.ask(ctx, q)
}

// UnwrapHMACKey opens the deployment's key of hmac_sha256. The region's key wraps it, with the encryption context
// {"purpose": "redoubt-hmac"}. The call belongs to no request. So it tries the credentials of each identity in turn
// until one is answered, beginning with those that last opened this key. Errors are those of Unwrap, for the last
// identity that was asked. An error about the wrapped key itself ends the search.
func (c *Client) UnwrapHMACKey(ctx context.Context, region string, wrapped []byte) (*secret.Buffer, error) {
	q := question{
		region: c.regions[region], wrapped: wrapped, context: map[string]string{"purpose": "redoubt-hmac"},
	}
	if q.region != nil {
		q.arn = q.region.arn
	}
	holders := c.wallet.holders(c.now())
	if len(holders) == 0 {
		return c.ask(ctx, q)
	}
	var failure error
	for _, q.by = range holders {
		number := q.by.Number()
		plain, err := c.ask(ctx, q)
		if err == nil {
			c.wallet.mu.Lock()
			c.wallet.macBy = number
			c.wallet.mu.Unlock()
			return plain, nil
		}
		failure = err
		var e *Error
		if ctx.Err() != nil || !errors.As(err, &e) || !e.OfCredentials() {
			break
		}
	}
	return nil, failure
}

// refuse counts a call that is not made, and returns its failure.
func (c *Client) refuse(cause Cause) *Error {
	c.stats.calls[cause].Add(1)
	return newError(cause)
}

// Reach reports whether a region's KMS answers. It returns nil if KMS did within the last minute, or does now. It
// asks without credentials. So any answer below 500 will do, once TLS has proved that it comes from KMS.
func (c *Client) Reach(ctx context.Context, region string) error {
	const fresh = time.Minute
	r := c.regions[region]
	if r == nil {
		return newError(Denied)
	}
	offset := c.offset.Load()
	agrees := time.Duration(offset).Abs() <= tolerated
	if at := r.answered.Load(); at != nil && time.Since(*at) < fresh && agrees {
		c.confirmed.Store(offset)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base.JoinPath("ping").String(), http.NoBody)
	if err != nil {
		return newError(Invalid)
	}
	answer, err := r.doer.Do(req)
	if err != nil {
		return newError(byTransport(err))
	}
	if err := answer.Body.Close(); err != nil {
		return newError(Unreachable)
	}
	if theirs, ok := offsetOf(answer, time.Now()); ok {
		c.confirmed.Store(int64(theirs))
	}
	if answer.StatusCode >= http.StatusInternalServerError {
		return newError(Unavailable)
	}
	return nil
}

// tolerated is how far KMS's clock may be from ours before it is followed.
const tolerated = time.Minute

// ClockOffset is KMS's clock minus ours, to the second. One answer with another time changes nothing: Reach asks again,
// and what it is told counts.
func (c *Client) ClockOffset() time.Duration { return time.Duration(c.confirmed.Load()) }

// now is our clock. It is corrected by the time in KMS's answers if it is off by more than a minute.
func (c *Client) now() time.Time {
	if offset := time.Duration(c.offset.Load()); offset.Abs() > tolerated {
		return time.Now().Add(offset)
	}
	return time.Now()
}

// Close ends running calls and the background work, closes connections and wipes the credentials. Later calls fail.
func (c *Client) Close() {
	c.end()
	c.done.Wait()
	c.wallet.close()
	c.transport.CloseIdleConnections()
	c.domains.CloseIdleConnections()
}
