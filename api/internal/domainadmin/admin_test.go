package domainadmin_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/domainadmin"
	"redoubt/api/internal/domains"
	"redoubt/api/internal/store"
	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/test/attesttest"
)

func TestADomainIsMadeWithAWrapForEachKeyAndItsEntry(t *testing.T) {
	r := newRig(t)
	d := r.create(keyA, keyB)
	if d.Descriptor.ID != "acme" || d.Descriptor.Generation != 1 || len(d.Record.Wraps) != 2 || len(d.Document) == 0 {
		t.Errorf("%+v", d.Descriptor)
	}
	next := r.create(keyA)
	if next.Descriptor.Generation != 2 || r.events() != "CreateDomain CreateDomain" {
		t.Errorf("generation %d, entries %s", next.Descriptor.Generation, r.events())
	}
	list, err := r.Check(t.Context(), "acme")
	if err != nil || len(list) != 2 || !list[0].Fine() || !list[1].Fine() || list[0].Hash != hex.EncodeToString(d.Hash[:]) {
		t.Errorf("%v, %v", list, err)
	}
	report, err := audit.Verify(t.Context(), r.store, r.DomainMaker, &audit.Options{})
	if err != nil || len(report.Problems) != 0 {
		t.Errorf("audit: %+v, %v", report, err)
	}
}

// The enclave's document is about another enclave, another configuration, another domain, or not fresh.
func TestADomainOfWhichTheDocumentDoesNotSpeakIsNotStored(t *testing.T) {
	for name, change := range map[string]func(*rig){
		"another image": func(r *rig) {
			r.Spec = func(s *attesttest.Spec) { s.PCRs = attest.PCRs{0: {1}, 1: {2}, 2: {3}} }
		},
		"another configuration": func(r *rig) { r.Digest[0] ^= 1 },
		"another nonce":         func(r *rig) { r.Spec = func(s *attesttest.Spec) { s.Nonce = make([]byte, 32) } },
		"no nonce":              func(r *rig) { r.Spec = func(s *attesttest.Spec) { s.Nonce = nil } },
		"opened, not created": func(r *rig) {
			r.Spec = func(s *attesttest.Spec) {
				s.UserData = domain.OpenedUserData(configuration, domain.Hash(s.UserData[len(s.UserData)-domain.HashSize:]))
			}
		},
		"an old document": func(r *rig) {
			r.Spec = func(s *attesttest.Spec) { s.Time = time.Now().Add(-time.Hour) }
		},
		"another root": func(r *rig) {
			other, err := attesttest.New(attesttest.Chain{})
			if err != nil {
				r.Fatal(err)
			}
			r.Authority = other
		},
	} {
		r := newRig(t)
		change(r)
		if _, err := r.Create(t.Context(), admin, r.request(keyA)); !errors.Is(err, domainadmin.ErrAttestation) {
			t.Errorf("%s: %v", name, err)
		}
		r.nothing()
	}
}

// A parent answers with the record of another domain, with another wrap, or with bytes that it changed.
func TestARecordThatWasNotAskedForIsNotStored(t *testing.T) {
	other := newRig(t)
	q := other.request(keyA)
	q.ID = "other"
	elsewhere, err := other.Create(t.Context(), admin, q)
	if err != nil {
		t.Fatal(err)
	}
	same := other.create(keyA)
	edit := func(change func(*domain.Record)) func([]byte) []byte {
		return func(b []byte) []byte {
			r, _, err := domain.ParseRecord(b)
			if err != nil {
				t.Fatal(err)
			}
			change(r)
			out, err := r.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
	}
	for name, c := range map[string]struct {
		record func([]byte) []byte
		want   error
	}{
		"another domain":            {func([]byte) []byte { return elsewhere.Encoded }, domainadmin.ErrAnswer},
		"another secret":            {func([]byte) []byte { return same.Encoded }, domainadmin.ErrAnswer},
		"another secret, our wraps": {edit(func(r *domain.Record) { r.Descriptor = same.Record.Descriptor }), domainadmin.ErrAttestation},
		"a wrap less":               {edit(func(r *domain.Record) { r.Wraps = r.Wraps[:1] }), domainadmin.ErrAnswer},
		"a wrap that does not open": {edit(func(r *domain.Record) { r.Wraps[1].Sealed[0] ^= 1 }), domainadmin.ErrOpen},
		"another key":               {edit(func(r *domain.Record) { r.Wraps[1].ARN = "arn:other" }), domainadmin.ErrAnswer},
		"nothing":                   {func([]byte) []byte { return nil }, domainadmin.ErrAnswer},
	} {
		r := newRig(t)
		r.Record = c.record
		if _, err := r.Create(t.Context(), admin, r.request(keyA, keyB)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		r.nothing()
	}
}

func TestWhoSaysNotWhichEnclaveGetsNoDomain(t *testing.T) {
	for name, change := range map[string]func(*domainadmin.Expect){
		"no measurements":  func(e *domainadmin.Expect) { e.PCRs = nil },
		"no PCR0":          func(e *domainadmin.Expect) { delete(e.PCRs[0], 0) },
		"half a PCR0":      func(e *domainadmin.Expect) { e.PCRs[0][0] = e.PCRs[0][0][:48] },
		"no configuration": func(e *domainadmin.Expect) { e.Configuration = "" },
		"half a digest":    func(e *domainadmin.Expect) { e.Configuration = e.Configuration[:32] },
	} {
		r := newRig(t)
		q := r.request(keyA)
		change(&q.Expect)
		if _, err := r.Create(t.Context(), admin, q); !errors.Is(err, domainadmin.ErrExpected) {
			t.Errorf("%s: %v", name, err)
		}
		r.nothing()
	}
}

func TestOfTwoAdministratorsWhoCreateAtOnceOneWins(t *testing.T) {
	r := newRig(t)
	var both sync.WaitGroup
	both.Add(2)
	r.Creating = func() { // both have seen that there is none
		both.Done()
		both.Wait()
	}
	var won, lost atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			switch _, err := newAdmin(r.DomainMaker, r.store).Create(t.Context(), admin, r.request(keyA)); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, domainadmin.ErrTaken):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 1 || r.events() != "CreateDomain" {
		t.Errorf("%d won, %d lost, %s", won.Load(), lost.Load(), r.events())
	}
	q := r.request(keyA)
	q.Generation = 1
	if _, err := r.Create(t.Context(), admin, q); !errors.Is(err, domainadmin.ErrTaken) {
		t.Errorf("later: %v", err)
	}
}

// failing is a store whose n-th call fails, before it happens or after.
type failing struct {
	store.Store
	calls, at int
	after     bool
}

var errCrash = errors.New("crash")

func (f *failing) step(do func() error) error {
	f.calls++
	if f.calls == f.at && !f.after {
		return errCrash
	}
	err := do()
	if f.calls == f.at {
		return errCrash
	}
	return err
}

func (f *failing) PutDomain(ctx context.Context, d *store.Domain, e *store.Entry) error {
	return f.step(func() error { return f.Store.PutDomain(ctx, d, e) })
}

func (f *failing) Domain(ctx context.Context, id string, generation uint16) (d *store.Domain, err error) {
	err = f.step(func() error {
		d, err = f.Store.Domain(ctx, id, generation)
		return err
	})
	return d, err
}

func (f *failing) ListDomains(ctx context.Context, yield func(*store.Domain) error) error {
	return f.step(func() error { return f.Store.ListDomains(ctx, yield) })
}

// Whatever step is the last one, the command can be given again, and what is stored opens.
func TestACreationThatWasCutOffIsGivenAgain(t *testing.T) {
	for at := 1; at <= 3; at++ {
		for _, after := range []bool{false, true} {
			r := newRig(t)
			cut := newAdmin(r.DomainMaker, &failing{Store: r.store, at: at, after: after})
			if _, err := cut.Create(t.Context(), admin, r.request(keyA)); !errors.Is(err, errCrash) {
				t.Fatalf("step %d: %v", at, err)
			}
			r.create(keyA)
			list, err := r.Check(t.Context(), "")
			if err != nil || len(list) == 0 {
				t.Fatal(err)
			}
			for _, s := range list {
				if !s.Fine() {
					t.Errorf("step %d: %v", at, s)
				}
			}
		}
	}
}

func TestAWrapOfAnotherKeyIsAddedAndOpensAlone(t *testing.T) {
	r := newRig(t)
	before := r.create(keyA)
	d, err := r.Wrap(t.Context(), admin, "acme", 0, keyB)
	if err != nil || len(d.Record.Wraps) != 2 || d.Hash != before.Hash || r.events() != "CreateDomain WrapDomain" {
		t.Fatalf("%v, %s", err, r.events())
	}
	if _, err := r.Wrap(t.Context(), admin, "acme", 1, keyB); !errors.Is(err, domainadmin.ErrTaken) {
		t.Errorf("again: %v", err)
	}
	r.Denied[keyA] = true
	list, err := r.Check(t.Context(), "acme")
	if err != nil || list[0].Fine() || list[0].Wraps[0].Opens || !list[0].Wraps[1].Opens {
		t.Errorf("with the first key denied: %+v, %v", list[0], err)
	}
	if _, err := r.Wrap(t.Context(), admin, "none", 0, keyB); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no such domain: %v", err)
	}
}

func TestOfTwoAdministratorsWhoWrapAtOnceOneWins(t *testing.T) {
	r := newRig(t)
	r.create(keyA)
	once := false
	r.Wrapping = func() {
		if once {
			return
		}
		once = true
		if _, err := newAdmin(r.DomainMaker, r.store).Wrap(t.Context(), admin, "acme", 1, "arn:third"); err != nil {
			t.Error(err)
		}
	}
	if _, err := r.Wrap(t.Context(), admin, "acme", 1, keyB); !errors.Is(err, domainadmin.ErrMeanwhile) {
		t.Errorf("the second: %v", err)
	}
	d, err := r.Get(t.Context(), "acme", 1)
	if err != nil || len(d.Record.Wraps) != 2 || d.Record.Wraps[1].ARN != "arn:third" {
		t.Errorf("%v", err)
	}
}

func TestAWrapThatTheParentForgedIsNotStored(t *testing.T) {
	r := newRig(t)
	r.create(keyA)
	foreign := newRig(t).create(keyA, keyB)
	for name, c := range map[string]struct {
		record func([]byte) []byte
		want   error
	}{
		"another domain's record": {func([]byte) []byte { return foreign.Encoded }, domainadmin.ErrAnswer},
		"its last byte changed": {func(b []byte) []byte {
			b = bytes.Clone(b)
			b[len(b)-1] ^= 1
			return b
		}, domainadmin.ErrOpen},
	} {
		r.Record = c.record
		if _, err := r.Wrap(t.Context(), admin, "acme", 1, keyB); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if d, err := r.Get(t.Context(), "acme", 1); err != nil || len(d.Record.Wraps) != 1 {
		t.Error(err)
	}
}

func TestARetiredGenerationIsNoLongerTheCurrentOne(t *testing.T) {
	r := newRig(t)
	r.create(keyA)
	r.create(keyA)
	for range 2 { // the second changes nothing
		if d, err := r.Retire(t.Context(), admin, "acme", 2); err != nil || d.State != domains.StateRetired {
			t.Fatal(err)
		}
	}
	if d, err := r.Get(t.Context(), "acme", 0); err != nil || d.Descriptor.Generation != 1 {
		t.Error(err)
	}
	if r.events() != "CreateDomain CreateDomain RetireDomain" {
		t.Error(r.events())
	}
}

func TestAnExportedDomainComesBackAfterItsRecordWasLost(t *testing.T) {
	r := newRig(t)
	d := r.create(keyA, keyB)
	if _, err := r.Retire(t.Context(), admin, "acme", 1); err != nil {
		t.Fatal(err)
	}
	x, err := r.Export(t.Context(), "acme", 1)
	if err != nil {
		t.Fatal(err)
	}
	lost := newRig(t) // another store and another account, with the same HMAC key
	lost.Enclave = r.DomainMaker
	r.Denied[keyA] = true // one wrap that opens is enough
	for range 2 {
		back, err := lost.Import(t.Context(), admin, x, "")
		if err != nil || back.Hash != d.Hash || back.State != domains.StateRetired || !bytes.Equal(back.Encoded, d.Encoded) {
			t.Fatal(err)
		}
	}
	if got := lost.events(); got != "ImportDomain RetireDomain" {
		t.Error(got)
	}
	report, err := audit.Verify(t.Context(), lost.store, lost.DomainMaker, &audit.Options{})
	if err != nil || len(report.Problems) != 0 {
		t.Errorf("audit: %+v, %v", report, err)
	}
}

func TestADomainIsImportedOnlyWithAMACOrAPin(t *testing.T) {
	r := newRig(t)
	d := r.create(keyA)
	x, err := r.Export(t.Context(), "acme", 1)
	if err != nil {
		t.Fatal(err)
	}
	other := newRig(t)
	other.MACKey = []byte("of another account")
	other.Enclave = r.DomainMaker
	pin := hex.EncodeToString(d.Hash[:])
	for name, c := range map[string]struct {
		change func(*domainadmin.Exported)
		pin    string
		want   error
	}{
		"another account":   {nil, "", domainadmin.ErrProof},
		"no MAC":            {func(x *domainadmin.Exported) { x.MAC = nil }, "", domainadmin.ErrProof},
		"another pin":       {nil, strings.Repeat("0", 96), domainadmin.ErrPin},
		"another name":      {func(x *domainadmin.Exported) { x.ID = "b" }, pin, domainadmin.ErrRequest},
		"another record":    {func(x *domainadmin.Exported) { x.Record = x.Record[1:] }, pin, domain.ErrRecord},
		"a key that denies": {func(*domainadmin.Exported) { r.Denied[keyA] = true }, pin, domainadmin.ErrOpen},
	} {
		copied := *x
		if c.change != nil {
			c.change(&copied)
		}
		if _, err := other.Import(t.Context(), admin, &copied, c.pin); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		other.nothing()
		clear(r.Denied)
	}
	if _, err := other.Import(t.Context(), admin, x, pin); err != nil {
		t.Errorf("pinned: %v", err)
	}
	x.Generation = 2
	if _, err := other.Import(t.Context(), admin, x, pin); !errors.Is(err, domainadmin.ErrRequest) {
		t.Errorf("as another generation: %v", err)
	}
}

func TestADomainThatIsNotBelievedIsListedAsThat(t *testing.T) {
	r := newRig(t)
	r.create(keyA)
	stored, err := r.store.Domain(t.Context(), "acme", 1)
	if err != nil {
		t.Fatal(err)
	}
	stored.MAC = []byte("forged")
	if err := r.store.UpdateDomain(t.Context(), stored, nil); err != nil {
		t.Fatal(err)
	}
	list, err := newAdmin(r.DomainMaker, r.store).Check(t.Context(), "")
	if err != nil || len(list) != 1 || list[0].Fine() || list[0].Believed || !strings.Contains(list[0].String(), "NOT BELIEVED") {
		t.Errorf("%v, %v", list, err)
	}
}
