package kms

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"redoubt/enclave/internal/cms"
	"redoubt/wire"
	"redoubt/wire/kit/secret"
)

// MaxAttempts bounds the attempts of one call.
const MaxAttempts = 5

// Pauses between attempts are random, between zero and a bound that doubles from base to cap.
const (
	backoffBase         = 50 * time.Millisecond
	backoffCap          = time.Second
	throttleBackoffBase = 100 * time.Millisecond
	throttleBackoffCap  = 2 * time.Second
)

// A question is one Decrypt.
type question struct {
	by      *Identity
	region  *regional
	arn     string // of the key; the answer's must be the same
	domain  bool   // the domains' connections are used
	wrapped []byte
	context map[string]string
}

// ask makes attempts until one succeeds, no further one can succeed, or time is up.
func (c *Client) ask(ctx context.Context, q question) (*secret.Buffer, error) {
	switch {
	case q.region == nil || q.arn == "":
		return nil, c.refuse(Denied)
	case len(q.wrapped) == 0 || len(q.wrapped) > MaxWrapped:
		return nil, c.refuse(Invalid)
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.CallTimeout)
	defer cancel()
	stop := context.AfterFunc(c.ctx, cancel) //nolint:contextcheck // the end of the client ends the call
	defer stop()

	tries := tracker{}
	for {
		plain, with, failure := c.attempt(ctx, q)
		if failure == nil {
			c.stats.calls[OK].Add(1)
			c.wallet.judge(with.set, false)
			return plain, nil
		}
		changed := with.changed
		pause, again := tries.next(ctx, failure)
		if failure.Cause == BadCredentials {
			c.wallet.judge(with.set, true)
		}
		if !again || !sleep(ctx, pause, changed) {
			if failure.Cause == Cancelled && c.ctx.Err() != nil {
				failure.code = wire.ShuttingDown
			}
			c.stats.calls[failure.Cause].Add(1)
			return nil, failure
		}
		c.stats.retries.Add(1)
	}
}

// A tracker decides whether and when a call tries again.
type tracker struct{ made, rejected, skewed int }

func (t *tracker) next(ctx context.Context, failure *Error) (pause time.Duration, again bool) {
	t.made++
	switch failure.Cause {
	case Rejected: // once, with a fresh document
		if t.rejected++; t.rejected > 1 {
			return 0, false
		}
	case ClockSkew: // once, with a corrected clock; after that the secret is wrong
		if t.skewed++; t.skewed > 1 {
			failure.Cause = BadCredentials
		}
	}
	if !failure.Cause.retryable() || t.made >= MaxAttempts || ctx.Err() != nil {
		return 0, false
	}
	pause = backoff(failure.Cause, t.made-1)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= pause {
		return 0, false
	}
	return pause, true
}

// backoff is full jitter: random between zero and the bound of the n-th retry.
func backoff(cause Cause, n int) time.Duration {
	base, limit := backoffBase, backoffCap
	if cause == Throttled {
		base, limit = throttleBackoffBase, throttleBackoffCap
	}
	return rand.N(min(base<<n, limit)) //nolint:gosec // jitter needs no secrecy
}

// sleep waits. It returns false if ctx ended first. If the channel early is closed, as for new credentials, the wait
// ends early.
func sleep(ctx context.Context, pause time.Duration, early <-chan struct{}) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-early:
	case <-ctx.Done():
		return false
	}
	return true
}

// used says with which credentials an attempt was made. If the attempt failed for want of credentials, changed is
// closed once there are others.
type used struct {
	set     *set
	changed <-chan struct{}
}

// attempt asks once.
func (c *Client) attempt(ctx context.Context, q question) (*secret.Buffer, used, *Error) {
	s, others := c.wallet.acquire(q.by, c.now())
	if s == nil {
		return nil, used{changed: others}, newError(NoCredentials)
	}
	defer c.wallet.release(s)
	with := used{set: s}
	to, document, cause := c.recipients.get(ctx)
	if cause != OK {
		return nil, with, newError(cause)
	}
	answer, failure := c.send(ctx, q, s.client(q), document)
	if failure != nil {
		switch failure.Cause {
		case Rejected:
			to.distrust(document)
		case BadCredentials:
			with.changed = others
		}
		return nil, with, failure
	}
	plain, err := cms.Open(to.key, answer)
	if err != nil {
		return nil, with, newError(BadAnswer)
	}
	return plain, with, nil
}

// send puts the question to KMS under limiter and circuit, and returns the envelope.
func (c *Client) send(ctx context.Context, q question, client sdkClient, document []byte) ([]byte, *Error) {
	if wait, opener, refuses := q.region.circuit.refuses(time.Now()); refuses {
		return nil, circuitError(wait, opener)
	}
	if cause := c.limiter.acquire(ctx); cause != OK {
		return nil, newError(cause)
	}
	defer c.limiter.release()
	p, ok, wait, opener := q.region.circuit.allow(time.Now())
	if !ok {
		return nil, circuitError(wait, opener)
	}
	if q.domain {
		c.stats.domains.Add(1)
	}
	began, cause, cut := time.Now(), Unavailable, false
	defer func() { // also if the SDK panics: a probe that never ends would keep the circuit open
		c.stats.attempt(cause, time.Since(began))
		verdict := cause
		if cut {
			verdict = Cancelled
		}
		q.region.circuit.report(time.Now(), p, verdict)
	}()
	var answer []byte
	var personal bool
	if answer, cause, personal = c.decrypt(ctx, q, client, document); cause != OK {
		cut = cutShort(ctx, cause, time.Since(began))
		failure := newError(cause)
		failure.cut, failure.personal = cut, personal
		return nil, failure
	}
	return answer, nil
}

// cutShort reports whether the caller's own deadline ended an attempt so soon that it says nothing about KMS.
func cutShort(ctx context.Context, cause Cause, took time.Duration) bool {
	const patience = time.Second
	return cause == Timeout && ctx.Err() != nil && took < patience
}

// decrypt makes the call and checks its answer. personal means that with other credentials the call may end
// otherwise.
func (c *Client) decrypt(
	ctx context.Context, q question, client sdkClient, document []byte,
) (envelope []byte, cause Cause, personal bool) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	out, err := client.Decrypt(ctx, &awskms.DecryptInput{
		CiphertextBlob: q.wrapped, KeyId: aws.String(q.arn), EncryptionContext: q.context,
		EncryptionAlgorithm: types.EncryptionAlgorithmSpecSymmetricDefault,
		Recipient: &types.RecipientInfo{
			AttestationDocument: document, KeyEncryptionAlgorithm: types.KeyEncryptionMechanismRsaesOaepSha256,
		},
	})
	if err != nil {
		cause := classify(err)
		return nil, cause, ofCaller(err, cause)
	}
	defer secret.Wipe(out.Plaintext)
	if len(out.Plaintext) > 0 || aws.ToString(out.KeyId) != q.arn || len(out.CiphertextForRecipient) == 0 {
		return nil, BadAnswer, false
	}
	return out.CiphertextForRecipient, OK, false
}
