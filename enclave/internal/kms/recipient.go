package kms

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/enclave/internal/nsm"
)

const (
	rsaBits         = 2048 // what KMS asks for
	keyRetryPause   = time.Second
	documentRetries = 1
)

// A recipient is one RSA key pair with the attestation document for it. A call keeps the recipient that it sent, so
// that the answer opens though another has taken its place.
type recipient struct {
	key  *rsa.PrivateKey
	spki []byte
	born time.Time

	mu       sync.Mutex
	document []byte
	made     time.Time     // when the document was made
	making   chan struct{} // closed when the document under way is made, or has failed
}

// recipients makes RSA key pairs and documents for KMS.
type recipients struct {
	module       nsm.Module
	newKey       func() (*rsa.PrivateKey, error)
	keyLife      time.Duration
	documentLife time.Duration

	current   atomic.Pointer[recipient]
	first     chan struct{} // closed when there is a key pair
	keys      atomic.Uint64
	documents atomic.Uint64
	failures  atomic.Uint64 // of the module
}

func newRecipients(cfg *Config) *recipients {
	newKey := cfg.NewRecipient
	if newKey == nil {
		newKey = func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, rsaBits) }
	}
	return &recipients{
		module: cfg.Module, newKey: newKey, keyLife: cfg.RSAKeyLife, documentLife: cfg.DocumentLife,
		first: make(chan struct{}),
	}
}

// run makes a key pair now and another whenever one's life is over, until ctx ends.
func (r *recipients) run(ctx context.Context) {
	for {
		pause := r.keyLife
		if err := r.renew(); err != nil {
			pause = keyRetryPause
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (r *recipients) renew() error {
	key, err := r.newKey()
	if err != nil {
		return err
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	former := r.current.Swap(&recipient{key: key, spki: spki, born: time.Now()})
	r.keys.Add(1)
	if former == nil {
		close(r.first)
	}
	return nil
}

// get returns the key pair in use and a document that is young enough. It waits for both until ctx ends.
func (r *recipients) get(ctx context.Context) (*recipient, []byte, Cause) {
	select {
	case <-r.first:
	case <-ctx.Done():
		return nil, nil, ended(ctx, NoDocument)
	}
	current := r.current.Load()
	document, cause := current.get(ctx, r)
	return current, document, cause
}

func (p *recipient) get(ctx context.Context, r *recipients) ([]byte, Cause) {
	for range 1 + documentRetries {
		p.mu.Lock()
		if p.document != nil && time.Since(p.made) < r.documentLife {
			defer p.mu.Unlock()
			return p.document, OK
		}
		if p.making == nil {
			p.making = make(chan struct{})
			go p.make(r)
		}
		making := p.making
		p.mu.Unlock()
		select {
		case <-making:
		case <-ctx.Done():
			return nil, ended(ctx, NoDocument)
		}
	}
	// The module failed. Its last document may still be young enough.
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.document != nil && time.Since(p.made) < MaxDocumentLife {
		return p.document, OK
	}
	return nil, NoDocument
}

// make asks the module, which may take its time, on a goroutine that no caller's deadline ends.
func (p *recipient) make(r *recipients) {
	began := time.Now()
	document, err := r.module.Attest(nil, nil, p.spki)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.document, p.made = document, began
		r.documents.Add(1)
	} else {
		r.failures.Add(1)
	}
	close(p.making)
	p.making = nil
}

// distrust drops a document that KMS refused, unless there is another already.
func (p *recipient) distrust(document []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.document) > 0 && len(document) > 0 && &p.document[0] == &document[0] {
		p.document = nil
	}
}

// ages returns the ages of key pair and document. ok is false if there is none.
func (r *recipients) ages(now time.Time) (key, document time.Duration, ok bool) {
	current := r.current.Load()
	if current == nil {
		return 0, 0, false
	}
	current.mu.Lock()
	defer current.mu.Unlock()
	if current.document != nil {
		document = now.Sub(current.made)
	}
	return now.Sub(current.born), document, true
}
