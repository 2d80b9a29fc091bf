package pool_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/parent/internal/pool"
	"redoubt/wire"
	"redoubt/wire/session"
)

// forgetful is an enclave that knows no domain until it was given a record. It never keeps more than it must.
type forgetful struct {
	*fakeenclave.Enclave
	open    atomic.Bool
	keeps   atomic.Bool // what it is given
	records atomic.Int64
	refusal atomic.Pointer[wire.Error]
}

func startForgetful(t *testing.T) *forgetful {
	t.Helper()
	f := &forgetful{}
	f.keeps.Store(true)
	f.Enclave = fakeenclave.Start(t, func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		if !f.open.Load() {
			resp.Code = wire.DomainUnknown
			return
		}
		fakeenclave.Echo(req, resp)
	})
	f.OnDomain(func([]byte) error {
		f.records.Add(1)
		if e := f.refusal.Load(); e != nil {
			return e
		}
		f.open.Store(f.keeps.Load())
		return nil
	})
	return f
}

// underDomain asks for a field of a vault under a domain, by Do or by Start and Finish.
func underDomain(p *pool.Pool, records []pool.Record, limit time.Duration, inSteps bool) error {
	m := requestUnderDomain()
	a := pool.Ask{Deadline: time.Now().Add(limit), Batch: inSteps, Records: records}
	var call *session.Call
	var err error
	if inSteps {
		done := make(chan *session.Call, 1)
		if err := p.Start(a, m, nil, done); err != nil {
			return err
		}
		call, err = p.Finish(context.Background(), a, m, <-done)
	} else {
		call, err = p.Do(context.Background(), a, m)
	}
	if err == nil {
		call.Release()
	}
	return err
}

func requestUnderDomain() *wire.DecryptRequest {
	m := &wire.DecryptRequest{
		VaultID: []byte("v"), Suite: 4, Encoding: 4, Domain: make([]byte, wire.DomainNameSize), Encs: [][]byte{[]byte("enc")},
	}
	m.AddField([]byte("f"), []byte("x"))
	return m
}

var oneRecord = []pool.Record{{Bytes: []byte("record")}}

func TestADomainThatAnEnclaveLacksIsHandedOverAndTheRequestSentOnce(t *testing.T) {
	for _, inSteps := range []bool{false, true} {
		e := startForgetful(t)
		p, counts := start(t, pool.Options{}, e.Enclave)
		if err := underDomain(p, nil, time.Minute, inSteps); !errors.Is(err, &wire.Error{Code: wire.DomainUnknown}) {
			t.Errorf("without its record: %v", err)
		}
		if err := underDomain(p, oneRecord, time.Minute, inSteps); err != nil {
			t.Error(err)
		}
		if err := underDomain(p, oneRecord, time.Minute, inSteps); err != nil {
			t.Error(err)
		}
		if n, r := e.Requests.Load(), e.records.Load(); n != 4 || r != 1 || counts.handedOver.Load() != 1 {
			t.Errorf("%d requests, %d records, %d counted; want 4, 1, 1", n, r, counts.handedOver.Load())
		}
	}
}

// An enclave that takes each record and never knows the domain costs a request one repetition, and no more.
func TestAnEnclaveThatNeverKeepsADomainIsGivenUp(t *testing.T) {
	for _, inSteps := range []bool{false, true} {
		e := startForgetful(t)
		e.keeps.Store(false)
		p, counts := start(t, pool.Options{}, e.Enclave)
		if err := underDomain(p, oneRecord, time.Minute, inSteps); !errors.Is(err, pool.ErrDomainNotKept) {
			t.Errorf("%v", err)
		}
		if n, r := e.Requests.Load(), e.records.Load(); n != 2 || r != 1 || counts.notKept.Load() != 1 {
			t.Errorf("%d requests, %d records, counted %d times; want 2, 1, 1", n, r, counts.notKept.Load())
		}
	}
}

func TestARefusedRecordIsNotARefusedField(t *testing.T) {
	e := startForgetful(t)
	p, counts := start(t, pool.Options{}, e.Enclave)
	for code, want := range map[wire.Code]error{
		wire.BadRequest: pool.ErrRecordRefused, wire.DecryptFailed: pool.ErrRecordRefused,
		wire.KeyDenied: &wire.Error{Code: wire.KeyDenied}, wire.KMSUnavailable: &wire.Error{Code: wire.KMSUnavailable},
		wire.Overloaded: &wire.Error{Code: wire.Overloaded},
	} {
		for _, inSteps := range []bool{false, true} {
			e.refusal.Store(&wire.Error{Code: code})
			if err := underDomain(p, oneRecord, time.Minute, inSteps); !errors.Is(err, want) {
				t.Errorf("%v: %v, want %v", code, err, want)
			}
		}
	}
	if n := counts.handOverFailed.Load(); n != 10 {
		t.Errorf("%d failures counted, want 10", n)
	}
}

// Requests that find a domain unknown at the same time hand its record over once, and no request waits beyond its own
// deadline.
func TestRequestsShareAHandOverAndKeepTheirDeadlines(t *testing.T) {
	e := startForgetful(t)
	begun, goOn := make(chan struct{}, 100), make(chan struct{})
	e.OnDomain(func(record []byte) error {
		begun <- struct{}{}
		<-goOn
		if !bytes.Equal(record, oneRecord[0].Bytes) {
			return errors.New("another record")
		}
		e.open.Store(true)
		return nil
	})
	p, counts := start(t, pool.Options{}, e.Enclave)
	const callers = 50
	outcomes := make(chan error, callers)
	for i := range callers {
		go func() { outcomes <- underDomain(p, oneRecord, time.Minute, i%2 == 0) }()
	}
	<-begun
	if err := underDomain(p, oneRecord, 50*time.Millisecond, false); !errors.Is(err, &wire.Error{Code: wire.DeadlineExceeded}) {
		t.Errorf("a short deadline: %v", err)
	}
	fakeenclave.Wait(t, "all requests", func() bool { return e.Requests.Load() == callers+1 })
	close(goOn)
	for range callers {
		if err := <-outcomes; err != nil {
			t.Error(err)
		}
	}
	if len(begun) > 0 {
		t.Errorf("%d hand-overs more than one", len(begun))
	}
	if n := counts.handedOver.Load(); n > callers {
		t.Errorf("%d counted", n)
	}
}

// However many records arrive at once, an enclave gets few at a time.
func TestHandOversToAnEnclaveAreBounded(t *testing.T) {
	e := startForgetful(t)
	var now, most atomic.Int64
	full := make(chan struct{})
	var once sync.Once
	e.OnDomain(func([]byte) error {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n >= 4 {
			once.Do(func() { time.AfterFunc(100*time.Millisecond, func() { close(full) }) }) // time for a fifth
		}
		<-full
		return &wire.Error{Code: wire.KeyDenied}
	})
	p, _ := start(t, pool.Options{}, e.Enclave)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			err := underDomain(p, []pool.Record{{Bytes: []byte{byte(i)}}}, time.Minute, false)
			if !errors.Is(err, &wire.Error{Code: wire.KeyDenied}) {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	if most.Load() != 4 {
		t.Errorf("%d records at once, want 4", most.Load())
	}
}

// A domain is asked for at an enclave that knows domains, and the request fails for itself where there is none.
func TestARequestUnderADomainGoesToAnEnclaveThatKnowsDomains(t *testing.T) {
	older := fakeenclave.StartOlder(t, nil, wire.FeatureDomains)
	newer := startForgetful(t)
	p, _ := start(t, pool.Options{}, older)
	if err := underDomain(p, oneRecord, time.Minute, false); !errors.Is(err, pool.ErrNoDomains) {
		t.Errorf("%v", err)
	}
	if _, err := ask(p, "x", time.Minute); err != nil {
		t.Error(err)
	}
	if err := p.Set([]string{older.URL, newer.URL}); err != nil {
		t.Fatal(err)
	}
	fakeenclave.Wait(t, "the newer enclave", func() bool { return p.Enclaves()[1].Ready == 2 })
	for range 10 {
		if err := underDomain(p, oneRecord, time.Minute, false); err != nil {
			t.Error(err)
		}
	}
	if older.Requests.Load() != 1 {
		t.Errorf("the older enclave was asked %d times, want once", older.Requests.Load())
	}
}

// The enclave that is given the record drains. Another one, which lacks the domain as well, is given the record too.
func TestTheNextEnclaveIsGivenTheRecordAsWell(t *testing.T) {
	for _, inSteps := range []bool{false, true} {
		draining, other := startForgetful(t), startForgetful(t)
		p, counts := start(t, pool.Options{Sessions: 1, RetryMax: time.Hour}, draining.Enclave, other.Enclave)
		draining.refusal.Store(&wire.Error{Code: wire.ShuttingDown})
		for range 3 { // enclaves take turns
			if err := underDomain(p, oneRecord, time.Minute, inSteps); err != nil {
				t.Error(err)
			}
		}
		if other.records.Load() != 1 || counts.retried.Load() == 0 {
			t.Errorf("%d records, sent again %d times; want 1, and some", other.records.Load(), counts.retried.Load())
		}
	}
}

// The enclave that lacks the domain leaves the pool before the record can be handed over. The next one gets it.
func TestARecordIsHandedOverAlsoWhenItsEnclaveHasLeft(t *testing.T) {
	leaving, other := startForgetful(t), startForgetful(t)
	p, _ := start(t, pool.Options{}, leaving.Enclave)
	m := requestUnderDomain()
	a := pool.Ask{Deadline: time.Now().Add(time.Minute), Batch: true, Records: oneRecord}
	done := make(chan *session.Call, 1)
	if err := p.Start(a, m, nil, done); err != nil {
		t.Fatal(err)
	}
	call := <-done
	if err := p.Set([]string{other.URL}); err != nil {
		t.Fatal(err)
	}
	fakeenclave.Wait(t, "the other enclave", p.Ready)
	call, err := p.Finish(context.Background(), a, m, call)
	if err != nil || leaving.records.Load() != 0 || other.records.Load() != 1 {
		t.Fatalf("%v; %d and %d records", err, leaving.records.Load(), other.records.Load())
	}
	call.Release()
}
