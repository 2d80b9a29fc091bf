// Package probe checks for the parent's operators whether KMS still lets this host's enclaves decrypt.
//
// A probe key is a key pair that KMS made and that belongs to no vault. Again and again the parent seals a fresh
// random value to its public key and sends it to each enclave as an ordinary request, after it told the enclave to
// forget the key. So the enclave must make an attested Decrypt, and the answer proves that KMS allowed it:
// credentials, the way to KMS, the key's policy with its measurements, and the key's state are right. A caller's
// request does not prove that, since enclaves remember keys. A caller's denied request does not prove the opposite,
// since callers may send keys that are not ours.
//
// # Against whom
//
// It protects against nobody: it is for operators. The parent holds no secret of a probe key, sees only random values
// of its own, and cannot use the probe to bypass the enclave. A hostile enclave or host can lie about the outcome.
//
// # Limits
//
// A probe takes one Decrypt of KMS per probe key, enclave and [Options.Every]. The state is at most that old.
package probe

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"redoubt/parent/internal/pool"
	"redoubt/wire"
	"redoubt/wire/session"
)

const (
	// sooner is how many times sooner an enclave that failed its last probe is asked again.
	sooner = 6
	// tick is how often the prober checks which probes are due. A new enclave waits no longer for its first.
	tick = 500 * time.Millisecond
	// timeout bounds one probe: KMS calls inside the enclave are tried again within it.
	timeout = 10 * time.Second
)

// These are words of State.Said beside the codes of package wire.
const (
	// NotAsked: no enclave has been asked since it started.
	NotAsked = "not_asked"
	// noSession: no enclave could be asked.
	noSession = "no_enclave"
)

// Enclaves is what the prober asks. The pool implements it.
type Enclaves interface {
	Enclaves() []pool.Status
	Fresh(ctx context.Context, url string, purge *wire.Purge, msg wire.LaneMessage) (*session.Call, error)
}

// Options of a Prober.
type Options struct {
	Enclaves Enclaves
	// Observer gets the outcome of each probe: the name of a code of package wire, or no_enclave.
	Observer func(outcome string)
	Log      *slog.Logger
	// Every is the time between two probes of an enclave that passed the last one. For one that failed it is a sixth
	// of that.
	Every time.Duration
}

// Prober probes. Its methods are safe for concurrent use.
type Prober struct {
	o Options

	mu   sync.Mutex
	keys []*Key
	last map[about]outcome
}

// about is an enclave and a key.
type about struct{ url, arn string }

// outcome of the last probe.
type outcome struct {
	started int64 // start of the enclave: one with another start has not been asked
	at      time.Time
	said    string
}

// New makes a prober without keys.
func New(o Options) *Prober { return &Prober{o: o, last: map[about]outcome{}} }

// ErrTwice reports two probe keys under one key of KMS.
var ErrTwice = errors.New("two probe keys are wrapped by the same KMS key: give one for each")

// SetKeys replaces the keys. On an error nothing changes.
func (p *Prober) SetKeys(keys []*Key) error {
	seen := map[string]bool{}
	for _, k := range keys {
		if seen[k.ARN] {
			return ErrTwice
		}
		seen[k.ARN] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys, p.last = keys, map[about]outcome{}
	return nil
}

// State is the state of one key at all enclaves together.
type State struct {
	ARN, Region string
	// Said is "ok" if every enclave with a session passed its last probe, and otherwise the reason why one did not.
	Said string
}

// OK reports whether the key opens.
func (s State) OK() bool { return s.Said == wire.OK.String() }

// States are the states of all keys, in their order.
func (p *Prober) States() []State {
	enclaves := p.o.Enclaves.Enclaves()
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []State
	for _, k := range p.keys {
		s := State{ARN: k.ARN, Region: k.Region, Said: NotAsked}
		for _, e := range enclaves {
			if e.Sessions == 0 {
				continue
			}
			o, asked := p.last[about{e.URL, k.ARN}]
			if !asked || o.started != e.Started {
				s.Said = NotAsked
				break
			}
			if s.Said = o.said; !s.OK() {
				break
			}
		}
		out = append(out, s)
	}
	return out
}

// Run probes until ctx ends.
func (p *Prober) Run(ctx context.Context) {
	t := time.NewTicker(min(tick, p.o.Every/sooner))
	defer t.Stop()
	for {
		p.round(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// round makes the probes that are due, at all enclaves at the same time.
func (p *Prober) round(ctx context.Context) {
	p.mu.Lock()
	keys := p.keys
	p.mu.Unlock()
	if len(keys) == 0 {
		return
	}
	var wg sync.WaitGroup
	enclaves := p.o.Enclaves.Enclaves()
	p.forget(enclaves)
	for _, e := range enclaves {
		for _, k := range keys {
			if e.Sessions > 0 && p.due(e, k) {
				wg.Go(func() { p.note(ctx, e, k, p.probe(ctx, e.URL, k)) })
			}
		}
	}
	wg.Wait()
}

// forget drops what is known of enclaves that are gone.
func (p *Prober) forget(enclaves []pool.Status) {
	here := map[string]bool{}
	for _, e := range enclaves {
		here[e.URL] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for a := range p.last {
		if !here[a.url] {
			delete(p.last, a)
		}
	}
}

func (p *Prober) due(e pool.Status, k *Key) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	o, asked := p.last[about{e.URL, k.ARN}]
	wait := p.o.Every
	if o.said != wire.OK.String() {
		wait /= sooner
	}
	return !asked || o.started != e.Started || time.Since(o.at) >= wait
}

// note records an outcome, and logs it if it differs from the one before. Keys that were replaced meanwhile are
// forgotten.
func (p *Prober) note(ctx context.Context, e pool.Status, k *Key, said string) {
	if ctx.Err() != nil {
		return
	}
	p.o.Observer(said)
	p.mu.Lock()
	defer p.mu.Unlock()
	current := false
	for _, now := range p.keys {
		current = current || now == k
	}
	if !current {
		return
	}
	before := p.last[about{e.URL, k.ARN}].said
	p.last[about{e.URL, k.ARN}] = outcome{e.Started, time.Now(), said}
	if said == before {
		return
	}
	attrs := []any{slog.String("enclave", e.URL), slog.String("key", k.ARN), slog.String("outcome", said)}
	if said == wire.OK.String() {
		p.o.Log.Info("KMS opens the probe key", attrs...)
		return
	}
	p.o.Log.Error("KMS does not open the probe key: the enclave decrypts nothing that it does not remember", attrs...)
}

// probe asks one enclave to open a fresh value, and returns the outcome.
func (p *Prober) probe(ctx context.Context, url string, k *Key) string {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	msg, want, err := k.question()
	if err != nil {
		return wire.Internal.String()
	}
	call, err := p.o.Enclaves.Fresh(ctx, url, &wire.Purge{VaultID: msg.VaultID}, msg)
	var failure *wire.Error
	switch {
	case errors.As(err, &failure):
		return failure.Code.String()
	case err != nil:
		return noSession
	}
	defer call.Release()
	return judge(call.Answer, want).String()
}
