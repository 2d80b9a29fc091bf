package domainadmin_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/audit"
	"redoubt/api/internal/domainadmin"
	"redoubt/api/internal/domains"
	"redoubt/api/internal/store"
	"redoubt/api/internal/store/memory"
	"redoubt/wire/kit/test/attesttest"
)

const (
	keyA = "arn:aws:kms:eu-central-1:111122223333:key/a"
	keyB = "arn:aws:kms:eu-west-1:111122223333:key/b"
)

var (
	configuration = sha256.Sum256([]byte("enclave.yaml"))
	admin         = audit.Caller{Principal: "operator"}
)

// journal writes each event's entry with its change, as the API does.
type journal struct{ log *audit.Log }

func (j journal) Carry(ctx context.Context, ev *audit.Event, write func(*store.Entry) error) error {
	p, err := j.log.Begin(ctx, *ev)
	if err != nil {
		return err
	}
	err = write(p.Entry())
	p.Done(err)
	return err
}

type rig struct {
	*testing.T
	*apitest.DomainMaker
	*domainadmin.Admin
	store store.Store
	root  []byte
}

func newRig(t *testing.T) *rig {
	t.Helper()
	w := apitest.NewDomainMaker(t)
	s := memory.New(nil)
	return &rig{T: t, DomainMaker: w, store: s, Admin: newAdmin(w, s), root: w.Authority.RootCertPEM()}
}

func newAdmin(w *apitest.DomainMaker, s store.Store) *domainadmin.Admin {
	return &domainadmin.Admin{
		Store: s, Registry: domains.New(s, w), KMS: w, MACs: w, Enclave: w,
		Journal: journal{audit.New(audit.Config{Store: s, Keys: w, Now: time.Now})},
	}
}

// request is a Create that goes well.
func (r *rig) request(keys ...string) *domainadmin.Create {
	pcrs := map[int]string{}
	for i, m := range attesttest.DefaultPCRs() {
		pcrs[i] = m.String()
	}
	return &domainadmin.Create{
		ID: "acme", Suites: []string{"X-Wing", "P-384"}, RequestSuites: []string{"P-384"}, KeyARNs: keys,
		Expect: domainadmin.Expect{PCRs: []map[int]string{pcrs}, Configuration: hex.EncodeToString(configuration[:]), Root: r.root},
	}
}

func (r *rig) create(keys ...string) *domainadmin.Created {
	r.Helper()
	d, err := r.Create(r.Context(), admin, r.request(keys...))
	if err != nil {
		r.Fatal(err)
	}
	return d
}

// events lists what the audit log has of the domain.
func (r *rig) events() string {
	r.Helper()
	list, _, err := r.store.Audit(r.Context(), domainadmin.EntryID("acme"), store.Page{})
	if err != nil {
		r.Fatal(err)
	}
	var names []string
	for i := range list {
		names = append(names, list[i].Event)
	}
	return strings.Join(names, " ")
}

// nothing checks that there is no domain.
func (r *rig) nothing() {
	r.Helper()
	list, err := r.List(r.Context(), "")
	if err != nil || len(list) != 0 || r.events() != "" {
		r.Errorf("stored: %v, %v, %q", list, err, r.events())
	}
}
