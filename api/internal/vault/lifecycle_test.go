package vault_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/audit"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/domains"
	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
	"redoubt/api/internal/store/memory"
	"redoubt/api/internal/upstream"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

// The life of a vault under a domain is explored, not sampled. Two jobs, a writer and a reader work on one vault, on the
// true service over the store in memory. Each call of the store is a step, and after a write there is one more, so that
// a process can die between a write and its acknowledgement. TestTheLifeOfAVaultIsExplored goes through all orders of
// these steps, and in each of them lets the process die once, wherever it stands. After that another process begins:
// the jobs are run again to their end, and the checks of world.settled are made.
//
// Two orders that lead to the same state are continued once: state says what a state is. A state is reached by running
// the service from the beginning, since a goroutine cannot be copied.

// These are the jobs, the writers and the reader, by name. They are what a scenario is made of.
var actions = map[string]func(context.Context, *life, *vault.Service) error{
	"reseal": func(ctx context.Context, l *life, s *vault.Service) error {
		_, err := s.Reseal(ctx, l.caller, &vault.ResealRequest{ID: l.id})
		return err
	},
	"erase": func(ctx context.Context, l *life, s *vault.Service) error {
		return s.Delete(ctx, l.caller, &vault.DeleteRequest{ID: l.id, All: true})
	},
	"drop": func(ctx context.Context, l *life, s *vault.Service) error {
		_, err := s.DropKeys(ctx, l.caller, l.id)
		return err
	},
	"restore": func(ctx context.Context, l *life, _ *vault.Service) error {
		return l.step(ctx, "restore", true, func() error {
			l.store.Store.(*memory.Store).PutBack(l.initial.record)
			l.restored = true
			return nil
		})
	},
	"expire": func(ctx context.Context, l *life, s *vault.Service) error {
		if err := l.step(ctx, "time", true, func() error { // the explorer lets it pass
			l.late, l.overdue = true, l.mortal
			return nil
		}); err != nil {
			return err
		}
		return l.step(ctx, "sweep", true, func() error { return l.sweep(ctx, s) })
	},
	"patch": func(ctx context.Context, l *life, s *vault.Service) error {
		_, err := s.Patch(ctx, l.caller, &vault.PatchRequest{ID: l.id, Values: map[string]string{"city": "Basel"}})
		return err
	},
	"remove": func(ctx context.Context, l *life, s *vault.Service) error {
		return s.Delete(ctx, l.caller, &vault.DeleteRequest{ID: l.id, Fields: []string{"city"}})
	},
	"ttl": func(ctx context.Context, l *life, s *vault.Service) error {
		ttl := lifeTTL
		_, err := s.Patch(ctx, l.caller, &vault.PatchRequest{
			ID: l.id, TTL: &ttl, Values: map[string]string{"city": "Basel"},
		})
		return err
	},
	"read": func(ctx context.Context, l *life, s *vault.Service) error {
		out, err := s.Decrypt(ctx, l.caller, &vault.DecryptRequest{
			ID: l.id, Fields: []string{"city", "first_name"}, Reason: "test",
		})
		if err == nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.seen(out)
		}
		return err
	},
	"create": func(ctx context.Context, l *life, s *vault.Service) error {
		out, err := s.Create(ctx, l.caller, &vault.CreateRequest{Values: both, IdempotencyKey: "once"})
		if err == nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.made = append(l.made, out.ID)
		}
		return err
	},
}

const lifeTTL = time.Hour

// initial is a vault before its jobs begin.
type initial struct {
	record *store.Record
	keys   *store.Keys // nil: KMS made the key
}

// life is one world in which one order of steps is run.
type life struct {
	*testing.T
	shared  *lifeWorld
	caller  *vault.Caller
	initial *initial
	id      string
	store   *lifeStore
	actors  []*actor

	mu   sync.Mutex
	dead bool // the process has died

	erased, restored, late, removed, expired bool // what the store has done
	written, mortal, overdue                 bool // it has kept the writer's value, a time to live, and that has passed
	made                                     []string
	keySums                                  map[uint16]string // of each epoch ever seen
	wrong                                    []string
}

// remembering is an enclave that is asked the same many times, and answers the same.
type remembering struct {
	*apitest.World
	resealed map[string]*parentapi.Resealed
}

func (r *remembering) Reseal(ctx context.Context, q *upstream.Reseal) (*parentapi.Resealed, error) {
	key := fmt.Sprintf("%x %x %d %v", q.Old.WrappedKey, q.To, q.Epoch, q.Old.Fields)
	if a := r.resealed[key]; a != nil {
		return a, nil
	}
	a, err := r.World.Reseal(ctx, q)
	if err == nil {
		r.resealed[key] = a
	}
	return a, err
}

// lifeWorld is what all lives share: keys, the enclave, its domains and vaults as they were at the beginning.
type lifeWorld struct {
	world   *remembering
	records [][]byte
	vaults  map[string]*initial
	first   *vault.Service // remembers what it has verified, for all
}

// actor is a job, the writer or the reader.
type actor struct {
	name string
	go_  chan struct{}
	at   string // the step that it waits for
	done bool
	err  error
	// saw is what it has read last, or how it has ended.
	saw string
	// read is the revision of record and keys that it has read last.
	read [2]int64
}

type actorKey struct{}

// step makes one step of the actor in ctx, once it is its turn. A write has a second step, after it was made.
func (l *life) step(ctx context.Context, name string, write bool, do func() error) error {
	a, _ := ctx.Value(actorKey{}).(*actor)
	if a == nil {
		return do()
	}
	a.turn(l, name)
	l.mu.Lock()
	err := do()
	if err != nil {
		a.saw = outcomeOf(err)
	}
	l.mu.Unlock()
	if write {
		a.turn(l, "after "+name)
	}
	return err
}

// turn waits until it is the actor's turn. If the process has died, the actor ends here.
func (a *actor) turn(l *life, name string) {
	l.mu.Lock()
	a.at = name
	l.mu.Unlock()
	<-a.go_
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		runtime.Goexit()
	}
	a.at = ""
}

func outcomeOf(err error) string {
	for _, known := range []error{
		store.ErrNotFound, store.ErrConflict, store.ErrErased, store.ErrInconsistent, store.ErrExists, store.ErrEpochs,
		vault.ErrNotFound, vault.ErrConflict, vault.ErrNotMovable,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return fmt.Sprint(err)
}

// lifeStore makes steps of the calls that the service makes for vaults, and notes what they did.
type lifeStore struct {
	store.Store
	l *life
}

func (s *lifeStore) GetKeyed(ctx context.Context, id string) (r *store.Record, k *store.Keys, err error) {
	err = s.l.step(ctx, "get", false, func() error {
		r, k, err = s.Store.GetKeyed(ctx, id)
		if a, _ := ctx.Value(actorKey{}).(*actor); a != nil && err == nil {
			a.read = [2]int64{r.Modified, 0}
			if k != nil {
				a.read[1] = k.Revision
			}
			a.saw = s.l.content(r, k)
			if a.name == "read" && s.l.erased {
				s.l.fail("the vault was read after it was erased")
			}
		}
		return err
	})
	return r, k, err
}

func (s *lifeStore) Keys(ctx context.Context, id string) (k *store.Keys, err error) {
	err = s.l.step(ctx, "keys", false, func() error {
		k, err = s.Store.Keys(ctx, id)
		if a, _ := ctx.Value(actorKey{}).(*actor); a != nil && err == nil {
			a.read[1] = k.Revision
		}
		return err
	})
	return k, err
}

func (s *lifeStore) Update(ctx context.Context, u *store.Update, e *store.Entry) error {
	return s.l.step(ctx, "update", true, func() error {
		err := s.Store.Update(ctx, u, e)
		if err == nil {
			_, wrote := u.Set["city"]
			s.l.written = s.l.written || wrote
			s.l.mortal = s.l.mortal || u.ExpireAt != nil
			s.l.removed = s.l.removed || slices.Contains(u.Remove, "city")
		}
		return s.l.kept(err)
	})
}

func (s *lifeStore) Reseal(ctx context.Context, r *store.Reseal, e *store.Entry) error {
	return s.l.step(ctx, "reseal", true, func() error {
		err := s.Store.Reseal(ctx, r, e)
		if err == nil && e.Event == audit.EventUpdate {
			s.l.written, s.l.mortal = true, s.l.find("ttl") != nil
		}
		return s.l.kept(err)
	})
}

func (s *lifeStore) Delete(ctx context.Context, id string, revision int64, e *store.Entry) error {
	return s.l.step(ctx, "delete", true, func() error {
		err := s.Store.Delete(ctx, id, revision, e)
		s.l.erased = s.l.erased || err == nil
		return s.l.kept(err)
	})
}

func (s *lifeStore) Erase(ctx context.Context, id string, revision int64, k *store.Keys, at int64, e *store.Entry) error {
	return s.l.step(ctx, "erase", true, func() error {
		err := s.Store.Erase(ctx, id, revision, k, at, e)
		s.l.erased = s.l.erased || err == nil
		return s.l.kept(err)
	})
}

func (s *lifeStore) DropEpochs(
	ctx context.Context, id string, revision int64, k *store.Keys, drop []uint16, e *store.Entry,
) error {
	return s.l.step(ctx, "drop", true, func() error {
		return s.l.kept(s.Store.DropEpochs(ctx, id, revision, k, drop, e))
	})
}

func (s *lifeStore) CreateKeyed(
	ctx context.Context, r *store.Record, k *store.Epoch, e *store.Entry, i *store.Idempotency,
) error {
	return s.l.step(ctx, "create", true, func() error { return s.Store.CreateKeyed(ctx, r, k, e, i) })
}

func (s *lifeStore) Idempotency(ctx context.Context, key string) (i *store.Idempotency, err error) {
	err = s.l.step(ctx, "remembered", false, func() error {
		i, err = s.Store.Idempotency(ctx, key)
		return err
	})
	return i, err
}

func (s *lifeStore) AppendAudit(ctx context.Context, e *store.Entry) error {
	return s.l.step(ctx, "audit", true, func() error { return s.Store.AppendAudit(ctx, e) })
}

// fail notes what must not happen.
func (l *life) fail(format string, a ...any) { l.wrong = append(l.wrong, fmt.Sprintf(format, a...)) }

// kept checks, after each write, that the store's content is one that may be: a record's key is among its vault's keys,
// each of its fields names one of its encapsulated keys, and no number was ever that of two keys.
func (l *life) kept(err error) error {
	if err != nil {
		return err
	}
	inner := l.store.Store.(*memory.Store)
	k, none := inner.Keys(context.Background(), l.id)
	if none == nil && k.Erased != 0 && len(k.Epochs) > 0 {
		l.fail("a tombstone with keys")
	}
	if none == nil {
		last := uint16(0)
		for i := range k.Epochs {
			n, _ := k.Epochs[i].Number()
			if i > 0 && n >= last {
				l.fail("epochs out of order")
			}
			last = n
			sum := string(k.Epochs[i].WrappedKey)
			if was, ok := l.keySums[n]; ok && was != sum {
				l.fail("epoch %d is of two keys", n)
			}
			l.keySums[n] = sum
		}
	}
	r, gone := inner.Get(context.Background(), l.id)
	switch {
	case gone != nil, r.Domain == nil, l.restored:
	case none != nil, k.Epoch(r.Epoch) == nil:
		l.fail("a record under a key that went")
	default:
		l.named(r)
	}
	return err
}

// named checks that each field names one of the record's encapsulated keys.
func (l *life) named(r *store.Record) {
	for name, v := range r.Fields {
		if ref, _, err := sealed.ParseRef(v.Blob); err != nil || r.Encs[fmt.Sprintf("%x", ref[:])] == nil {
			l.fail("field %s names no encapsulated key", name)
		}
	}
}

// sweep removes the vault if its time has passed, as the store's sweeper does.
func (l *life) sweep(ctx context.Context, s *vault.Service) error {
	inner := l.store.Store.(*memory.Store)
	if !slices.Contains(inner.Due(), l.id) {
		return nil
	}
	p, err := s.Expiring(context.WithoutCancel(ctx), l.id)
	if err != nil {
		return err
	}
	err = inner.Expire(l.id, p.Entry())
	p.Done(err)
	l.expired = l.expired || err == nil
	return err
}

// content says what a record and its keys are, but for their revisions.
func (l *life) content(r *store.Record, k *store.Keys) string {
	if r == nil {
		return "none"
	}
	names := slices.Sorted(maps.Keys(r.Fields))
	own := 0
	for _, name := range names { // which fields were sealed by another write than the first
		if i := l.initial.record.Fields[name]; string(i.Blob) != string(r.Fields[name].Blob) {
			own++
		}
	}
	text := fmt.Sprint(r.Domain != nil, r.Epoch, " ", names, own, len(r.Encs), r.ExpireAt != 0)
	if k != nil {
		text += fmt.Sprint(" keys", k.Erased != 0)
		for i := range k.Epochs {
			n, _ := k.Epochs[i].Number()
			text += fmt.Sprint(" ", n)
		}
	}
	return text
}

// state says everything on which the rest of a life depends: the store's content, what has happened, and of each actor
// where it is, what it has seen, and whether that is still so.
func (l *life) state() string {
	inner := l.store.Store.(*memory.Store)
	ctx := context.Background()
	r, _ := inner.Get(ctx, l.id)
	k, _ := inner.Keys(ctx, l.id)
	var b strings.Builder
	fmt.Fprint(&b, l.content(r, k), l.erased, l.restored, l.late, l.removed, l.expired, l.written, l.mortal, l.overdue, len(l.made))
	for _, a := range l.actors {
		fmt.Fprint(&b, "|", a.at, a.done, a.saw)
		if a.done {
			continue
		}
		if r != nil {
			fmt.Fprint(&b, a.read[0] == r.Modified, a.read[0] == l.initial.record.Modified)
		}
		if k != nil {
			fmt.Fprint(&b, a.read[1] == k.Revision)
		}
	}
	return b.String()
}

// seen checks what a reader got.
func (l *life) seen(out *vault.Decrypted) error {
	city, first := string(out.Data["city"]), string(out.Data["first_name"])
	if first != `"Ada"` || city != `"Bern"` && city != `"Basel"` && city != "null" || len(out.Errors) > 0 {
		l.fail("read %s and %s, %v", city, first, out.Errors)
	}
	return nil
}

func (l *life) find(name string) *actor {
	for _, a := range l.actors {
		if a.name == name {
			return a
		}
	}
	return nil
}

// acked reports whether the caller of an action was told that it was done.
func (l *life) acked(name string) bool {
	a := l.find(name)
	return a != nil && a.done && a.err == nil
}

// service is a process over the store.
func (l *life) service() *vault.Service {
	s, err := vault.New(vault.Config{
		Store: l.store, Keys: l.shared.world, Opener: l.shared.world, Schema: schema.Default(), Suite: sealed.P256,
		Encoding: sealed.EncodingRecord, Now: time.Now, KeyConfig: vault.KeyConfig{
			Mode: vault.KeysDomain, Domains: domains.New(l.store, l.shared.world), Enclave: l.shared.world, Domain: "acme",
			MovedBefore: time.Now(), KeepEpochs: 1, Inline: true,
		},
	})
	if err != nil {
		l.Fatal(err)
	}
	if l.shared.first == nil {
		l.shared.first = s
	}
	s.RememberAs(l.shared.first)
	return s
}

// begin starts the actors of a scenario.
func (l *life) begin(s *vault.Service, names []string) {
	for i, name := range names {
		a := &actor{name: name, go_: make(chan struct{})}
		if slices.Contains(names[:i], name) {
			a.name += " again"
		}
		l.actors = append(l.actors, a)
	}
	for i, a := range l.actors {
		go func() {
			err := actions[names[i]](context.WithValue(context.Background(), actorKey{}, a), l, s)
			l.mu.Lock()
			defer l.mu.Unlock()
			a.err, a.done = err, true
			a.saw = "ended " + outcomeOf(err)
		}()
	}
}

// ready lists the actors that wait for their turn. Those that pause between two attempts are waited for.
func (l *life) ready() (out []*actor) {
	for {
		synctest.Wait()
		out = out[:0]
		paused := false
		l.mu.Lock()
		for _, a := range l.actors {
			switch {
			case a.at != "":
				out = append(out, a)
			case !a.done:
				paused = true
			}
		}
		l.mu.Unlock()
		if !paused {
			return alone(out)
		}
		time.Sleep(time.Second)
	}
}

// alone returns the actors whose steps have to be tried in all orders. A step that changes nothing that another sees,
// as the acknowledgement of a write, comes first: what the process does before and after it is the same in any order,
// and it may die before it and after it.
func alone(ready []*actor) []*actor {
	for i, a := range ready {
		if strings.HasPrefix(a.at, "after ") || a.at == "audit" {
			return ready[i : i+1]
		}
	}
	return ready
}

// die ends the process: all actors, wherever they are.
func (l *life) die() {
	l.ready()
	l.mu.Lock()
	l.dead = true
	l.mu.Unlock()
	for _, a := range l.actors {
		close(a.go_)
	}
	synctest.Wait()
}

// settled is called when all is done, or the process has died. It runs the jobs again and then checks what is left.
func (l *life) settled(names []string) {
	s := l.service()
	defer func() { _ = s.Close(context.Background()) }()
	jobs := slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		return n == "read" || n == "patch" || n == "remove" || n == "ttl" || n == "restore" || n == "expire"
	})
	if l.dead {
		for _, name := range jobs {
			switch err := actions[name](context.Background(), l, s); {
			case err == nil, errors.Is(err, store.ErrErased), errors.Is(err, vault.ErrNotFound):
			case errors.Is(err, store.ErrInconsistent) && l.restored:
			default:
				l.fail("%s, once more: %v", name, err)
			}
		}
	}
	if slices.Contains(names, "create") {
		l.once(s)
		return
	}
	l.written = l.written && !l.restored
	out, err := s.Decrypt(context.Background(), l.caller, &vault.DecryptRequest{
		ID: l.id, Fields: []string{"city", "first_name"}, Reason: "test",
	})
	gone := l.erased || l.expired
	switch {
	case err == nil && l.erased && l.initial.keys != nil:
		l.fail("the vault is there after it was erased")
	case err == nil && l.overdue && !l.restored:
		l.fail("the vault is there after its time")
	case err == nil:
		l.readable(out)
	case gone && (errors.Is(err, store.ErrErased) || errors.Is(err, vault.ErrNotFound)):
	case l.restored && errors.Is(err, store.ErrInconsistent) && (gone || slices.Contains(names, "drop")):
	case l.late && errors.Is(err, vault.ErrNotFound): // its time has passed
	default:
		l.fail("the vault is not readable: %v", err)
	}
	l.logged(s)
}

// readable checks that the vault is as it was acknowledged.
func (l *life) readable(out *vault.Decrypted) {
	_ = l.seen(out)
	city := string(out.Data["city"])
	switch {
	case l.restored:
	case l.removed:
		if city != "null" {
			l.fail("a field that was removed is %s", city)
		}
	case (l.acked("patch") || l.acked("ttl") || l.written) != (city == `"Basel"`):
		l.fail("city is %s; acknowledged %v, stored %v", city, l.acked("patch"), l.written)
	}
}

// logged checks that the audit log has one entry for each new key, and one for an erasure.
func (l *life) logged(s *vault.Service) {
	list, _, err := s.Audit(context.Background(), l.caller, l.id, store.Page{Limit: store.MaxPage})
	if err != nil && !errors.Is(err, vault.ErrNotFound) {
		l.fail("audit: %v", err)
	}
	made, erased := map[uint16]int{}, 0
	for i := range list {
		ev := &list[i]
		if ev.Outcome != audit.OutcomeOK {
			continue
		}
		if ev.Key != nil && ev.Key.From != "" {
			made[ev.Key.Epoch]++
		}
		if ev.Name == audit.EventDelete && ev.Key != nil {
			erased++
		}
	}
	for epoch := range l.keySums {
		first := l.initial.keys != nil && l.initial.keys.Epoch(epoch) != nil
		if want := map[bool]int{true: 0, false: 1}[first]; made[epoch] != want {
			l.fail("%d entries for the key of epoch %d", made[epoch], epoch)
		}
	}
	if k, err := l.store.Store.Keys(context.Background(), l.id); err == nil && (k.Erased != 0) != (erased == 1) {
		l.fail("%d entries for an erasure", erased)
	}
	// Two jobs that give the vault a new key give it one, unless an older record came back.
	if most := 2; l.initial.keys != nil && !l.restored && len(l.keySums) > len(l.initial.keys.Epochs)+most-1 {
		l.fail("%d keys", len(l.keySums))
	}
}

// once checks that a create that was tried several times made one vault.
func (l *life) once(s *vault.Service) {
	out, err := s.Create(context.Background(), l.caller, &vault.CreateRequest{Values: both, IdempotencyKey: "once"})
	if err != nil {
		l.fail("create: %v", err)
		return
	}
	for _, id := range l.made {
		if id != out.ID {
			l.fail("two vaults were made")
		}
	}
	got, err := s.Decrypt(context.Background(), l.caller, &vault.DecryptRequest{
		ID: out.ID, Fields: []string{"city", "first_name"}, Reason: "test",
	})
	if err != nil || string(got.Data["city"]) != `"Bern"` {
		l.fail("what was made: %v", err)
	}
	if records, _ := l.store.Store.(*memory.Store).Counts(); records != 2 { // and the one of the world
		l.fail("%d records", records)
	}
}

// newLifeWorld makes the vaults with which lives begin: one under a domain that has had two keys, one with a key of KMS's.
func newLifeWorld(t *testing.T) *lifeWorld {
	w := &lifeWorld{
		world: &remembering{apitest.NewWorld(), map[string]*parentapi.Resealed{}}, vaults: map[string]*initial{},
	}
	ctx := context.Background()
	s := memory.New(time.Now)
	registry := domains.New(s, w.world)
	caller := &vault.Caller{Principal: auth.Anonymous()}
	for n := uint16(1); n <= 2; n++ {
		record, err := w.world.Make("acme", n, sealed.P256)
		if err != nil {
			t.Fatal(err)
		}
		w.records = append(w.records, record)
	}
	if _, err := registry.Add(ctx, w.records[0], nil); err != nil {
		t.Fatal(err)
	}
	for kind, mode := range map[string]vault.KeyMode{"domain": vault.KeysDomain, "kms": vault.KeysKMS} {
		svc, err := vault.New(vault.Config{
			Store: s, Keys: w.world, Opener: w.world, Schema: schema.Default(), Suite: sealed.P256,
			Encoding: sealed.EncodingRecord, Now: time.Now, KeyConfig: vault.KeyConfig{
				Mode: mode, Domains: registry, Enclave: w.world, Domain: "acme", Inline: true,
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		out, err := svc.Create(ctx, caller, &vault.CreateRequest{Values: both})
		if err != nil {
			t.Fatal(err)
		}
		if mode == vault.KeysDomain {
			if _, err := svc.Reseal(ctx, caller, &vault.ResealRequest{ID: out.ID, Force: true}); err != nil {
				t.Fatal(err)
			}
		}
		r, k, err := s.GetKeyed(ctx, out.ID)
		if err != nil {
			t.Fatal(err)
		}
		w.vaults[kind] = &initial{r, k}
		_ = svc.Close(ctx)
	}
	time.Sleep(24 * time.Hour) // these vaults are old
	return w
}

// newLife makes a store with both generations of the domain and one vault.
func newLife(t *testing.T, w *lifeWorld, kind string) *life {
	l := &life{
		T: t, shared: w, caller: &vault.Caller{Principal: auth.Anonymous()}, initial: w.vaults[kind],
		keySums: map[uint16]string{},
	}
	l.id = l.initial.record.ID
	inner := memory.New(time.Now)
	l.store = &lifeStore{inner, l}
	registry := domains.New(inner, w.world)
	for _, record := range w.records {
		if _, err := registry.Add(context.Background(), record, nil); err != nil {
			t.Fatal(err)
		}
	}
	if l.initial.keys == nil {
		inner.PutBack(l.initial.record)
	} else {
		inner.PutBackKeyed(l.initial.record, l.initial.keys)
	}
	_ = l.kept(nil)
	return l
}

// explorer goes through the orders of one scenario.
type explorer struct {
	t       *testing.T
	world   *lifeWorld
	kind    string
	names   []string
	memo    map[string]float64 // how many orders go on from a state
	runs    int
	failure string
}

// lived is a state that a run came to, and how many options it has. The last is the death of the process.
type lived struct {
	state   string
	options int
}

// run makes the steps of a prefix, and then the first of each state's options until it comes to a state that is known,
// or to the end. It returns the states after the prefix.
func (x *explorer) run(prefix []int) (path []lived) {
	x.runs++
	l := newLife(x.t, x.world, x.kind)
	s := l.service()
	defer func() { _ = s.Close(context.Background()) }()
	l.begin(s, x.names)
	var steps []string
	for depth := 0; ; depth++ {
		ready := l.ready()
		pick := 0
		if depth < len(prefix) {
			pick = prefix[depth]
		} else if len(ready) > 0 {
			at := lived{l.state(), len(ready) + 1}
			path = append(path, at)
			if _, known := x.memo[at.state]; known || len(l.wrong) > 0 {
				l.die()
				break
			}
		}
		if len(ready) == 0 || pick == len(ready) {
			if len(ready) > 0 {
				steps = append(steps, "death")
				l.die()
			}
			l.settled(x.names)
			break
		}
		a := ready[pick]
		steps = append(steps, a.name+": "+a.at)
		if a.at == "time" {
			time.Sleep(2 * lifeTTL)
		}
		a.go_ <- struct{}{}
	}
	if len(l.wrong) > 0 && x.failure == "" {
		x.failure = fmt.Sprintf("%s vault, %v:\n%s\nafter %s", x.kind, x.names, strings.Join(l.wrong, "\n"),
			strings.Join(steps, ", "))
	}
	return path
}

// explore returns how many orders begin with the prefix.
func (x *explorer) explore(prefix []int) float64 {
	if x.failure != "" {
		return 0
	}
	path := x.run(prefix)
	total := 1.0
	for i := len(path) - 1; i >= 0; i-- {
		if n, known := x.memo[path[i].state]; known {
			total = n
			continue
		}
		to := append(slices.Clone(prefix), make([]int, i+1)...) // the first option of each state on the way
		for other := 1; other < path[i].options; other++ {
			to[len(to)-1] = other
			total += x.explore(to)
		}
		x.memo[path[i].state] = total
	}
	return total
}

// lifeScenarios are two jobs, a writer and a reader on a vault of a kind. LIFECYCLE=all asks for all that there are.
func lifeScenarios() (out [][]string) {
	if os.Getenv("LIFECYCLE") != "all" {
		return [][]string{
			{"domain", "reseal", "reseal", "patch", "read"},
			{"domain", "reseal", "erase", "patch", "read"},
			{"domain", "reseal", "drop", "patch", "read"},
			{"domain", "reseal", "restore", "patch"},
			{"domain", "erase", "restore", "read"},
			{"domain", "drop", "restore", "patch"},
			{"domain", "reseal", "expire", "ttl"},
			{"domain", "erase", "drop", "remove", "read"},
			{"kms", "reseal", "reseal", "patch"},
			{"kms", "reseal", "erase", "patch"},
			{"domain", "create", "create"},
		}
	}
	jobs := []string{"reseal", "erase", "drop", "restore", "expire"}
	for _, kind := range []string{"domain", "kms"} {
		for i, one := range jobs {
			for _, other := range jobs[i:] {
				for _, writer := range []string{"patch", "remove", "ttl"} {
					out = append(out, []string{kind, one, other, writer, "read"})
				}
			}
		}
	}
	return append(out, []string{"domain", "create", "create", "create"})
}

func TestTheLifeOfAVaultIsExplored(t *testing.T) {
	orders, states, runs := 0.0, 0, 0
	for _, scenario := range lifeScenarios() {
		t.Run(strings.Join(scenario, "_"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Date(2026, 6, 1, 0, 0, 0, 500_000, time.UTC)))
				x := explorer{
					t: t, world: newLifeWorld(t), kind: scenario[0], names: scenario[1:], memo: map[string]float64{},
				}
				n := x.explore(nil)
				if x.failure != "" {
					t.Fatal(x.failure)
				}
				t.Logf("%.0f orders, %d states, %d runs", n, len(x.memo), x.runs)
				orders, states, runs = orders+n, states+len(x.memo), runs+x.runs
			})
		})
	}
	t.Logf("%.0f orders of steps by %d states, %d runs", orders, states, runs)
	if orders < 10_000 {
		t.Errorf("only %.0f orders", orders)
	}
}
