//go:build dev

package simulate

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/test/kms"
	"redoubt/wire/parentapi"
)

// fault is a kind of fault.
type fault struct {
	// counts are the counters that show that it really happened.
	counts []string
	draw   func(rng *rand.Rand) Event
	apply  func(r *run, e Event)
}

// Kinds are the counters of all faults and requests, and of the parent's routes. A set of seeds must move each.
func Kinds() []string {
	set := map[string]bool{}
	for _, f := range faults {
		for _, c := range f.counts {
			set[c] = true
		}
	}
	for name := range ops {
		set["ask "+name] = true
	}
	for _, route := range parentapi.Routes {
		set[routeKind(callerParent, route.Method, route.Path)] = true
	}
	return sortedKeys(set)
}

// faults are the kinds of faults, by name.
var faults map[string]fault

func init() { // it refers to itself by way of the plan
	faults = map[string]fault{
		"net.cut":       {[]string{"network.cut"}, onLink(4000, 0), cut},
		"net.duplicate": {[]string{"network.duplicate"}, onLink(4000, 400), cut},
		"net.stall": {[]string{"network.stalled"}, onLink(400, 0), onNet(func(l *link, e Event) {
			l.stall = time.Now().Add(ms(e.N))
		})},
		"net.late": {[]string{"network.late_answers"}, onLink(400, 0), onNet(func(l *link, e Event) {
			l.late = time.Now().Add(ms(e.N))
		})},
		"outlived":   {[]string{"outlived"}, lasting(400, 1000), (*run).outlived},
		"late.grant": {[]string{"late.grant"}, lasting(400, 1000), (*run).lateGrant},
		"net.slow": {[]string{"network.slow", "network.reordered"}, onLink(800, 40), onNet(func(l *link, e Event) {
			l.slow, l.slowBy = time.Now().Add(ms(e.N)), ms(e.M)
		})},
		"net.refuse": {[]string{"network.refused"}, onLink(300, 0), onNet(func(l *link, e Event) {
			l.refuse = time.Now().Add(ms(e.N))
		})},
		"net.pieces": {[]string{"network.pieces"}, onLink(500, 0), onNet(func(l *link, e Event) {
			l.pieces = time.Now().Add(ms(e.N))
		})},
		"store.fail": {[]string{"store.failed"}, lasting(400, 0), onStore(func(s *storeFaults, e Event) {
			s.fail = time.Now().Add(ms(e.N))
		})},
		"store.stall": {[]string{"store.stalled"}, lasting(400, 300), onStore(func(s *storeFaults, e Event) {
			s.stall, s.by = time.Now().Add(ms(e.N)), ms(e.M)
		})},
		"store.lose": {[]string{"store.lost"}, lasting(600, 0), onStore(func(s *storeFaults, e Event) {
			s.lose = time.Now().Add(ms(e.N))
		})},
		"kms.deny":    {[]string{"kms.deny"}, lasting(3600, 0), deny},
		"kms.disable": {[]string{"kms.disable"}, lasting(3600, 0), disable},
		"kms.outage": {[]string{"kms.outage"}, lasting(500, 0), func(r *run, e Event) {
			r.w.links[enclaveKMS].lead(false)
			r.w.links[apiKMS].lead(false)
			r.w.count("kms.outage")
			r.after(ms(e.N), func() {
				r.w.links[enclaveKMS].lead(true)
				r.w.links[apiKMS].lead(true)
			})
		}},
		"credentials.expire": {[]string{"credentials.expire"}, lasting(700, 0), expire},
		"clock.jump": {
			[]string{"clock.jump"},
			func(rng *rand.Rand) Event { return Event{N: rng.IntN(7_200_000) - 3_600_000} },
			func(r *run, e Event) {
				r.m.Lock()
				defer r.m.Unlock()
				to := min(max(r.ahead+ms(e.N), -time.Hour), time.Hour)
				if jumpClock(to - r.ahead) {
					r.ahead = to
					r.jumped.Store(true)
					r.w.count("clock.jump")
				}
			},
		},
		"roll.enclave": {[]string{"roll.enclave"}, rolled, func(r *run, e Event) {
			r.roll(func(f *features) { f.enclave = lacking(e.N) })
			r.replace(partEnclave, false, "roll.enclave")
		}},
		"roll.parent": {[]string{"roll.parent"}, rolled, func(r *run, e Event) {
			r.roll(func(f *features) { f.parent = lacking(e.N) })
			r.replace(partParent, false, "roll.parent")
		}},
	}
	for _, name := range []string{partEnclave, partParent, partAPI} {
		for verb, kill := range map[string]bool{"kill.": true, "restart.": false} {
			faults[verb+name] = fault{
				[]string{verb + name}, lasting(300, 0), func(r *run, _ Event) { r.replace(name, kill, verb+name) },
			}
		}
	}
	for _, kind := range []string{
		kms.FaultThrottle, kms.FaultError, kms.FaultDrop, kms.FaultDelay, kms.FaultPlaintext, kms.FaultWrongKeyID,
		kms.FaultNoCMS, kms.FaultCorruptCMS,
	} {
		faults["kms."+kind] = fault{[]string{"kms." + kind}, lasting(800, 500), func(r *run, e Event) {
			f := kms.Fault{Kind: kind}
			if kind == kms.FaultDelay {
				f.DelayMS = 1 + e.M
			}
			r.kms(f, ms(e.N))
		}}
	}
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// onLink draws a link and two numbers below n and m.
func onLink(n, m int) func(*rand.Rand) Event {
	return func(rng *rand.Rand) Event {
		e := Event{On: linkNames[rng.IntN(len(linkNames))], N: 1 + rng.IntN(n)}
		if m > 0 {
			e.M = 1 + rng.IntN(m)
		}
		return e
	}
}

// lasting draws two numbers, the first at least a quarter of n.
func lasting(n, m int) func(*rand.Rand) Event {
	return func(rng *rand.Rand) Event {
		e := Event{N: n/4 + rng.IntN(n-n/4)}
		if m > 0 {
			e.M = 1 + rng.IntN(m)
		}
		return e
	}
}

// rolled draws the bit of a feature that the other version lacks; one in four rolls is to a version that has all.
func rolled(rng *rand.Rand) Event {
	if rng.IntN(4) == 0 {
		return Event{N: -1}
	}
	bits := featureBits()
	return Event{N: bits[rng.IntN(len(bits))]}
}

// featureBits are the bits of the product's own table.
func featureBits() (bits []int) {
	for bit := range 64 {
		if wire.AllFeatures().Has(1 << bit) {
			bits = append(bits, bit)
		}
	}
	return bits
}

// lacking is all features but that of a bit, and all for -1.
func lacking(bit int) wire.Features {
	if bit < 0 {
		return 0
	}
	return wire.AllFeatures() &^ (1 << bit)
}

func onNet(f func(l *link, e Event)) func(*run, Event) {
	return func(r *run, e Event) { r.w.links[e.On].change(func(l *link) { f(l, e) }) }
}

func onStore(f func(s *storeFaults, e Event)) func(*run, Event) {
	return func(r *run, e Event) { r.w.store.change(func(s *storeFaults) { f(s, e) }) }
}

func cut(r *run, e Event) {
	r.w.links[e.On].change(func(l *link) { l.cutAfter, l.linger = e.N, ms(e.M) })
}

// replace ends a part and starts it again. Parts are replaced one after the other.
func (r *run) replace(name string, kill bool, kind string) {
	r.wg.Go(func() {
		r.replacing.Lock()
		defer r.replacing.Unlock()
		if name == partParent { // its counters begin anew
			r.bounds(context.Background())
		}
		r.w.end(name, kill)
		if err := r.w.start(context.Background(), name, r.roll(func(*features) {})); err != nil {
			r.fail("restart", "%s does not start again: %v", name, err)
			return
		}
		r.w.count(kind)
	})
}

// kms sets a fault of the stand-in for a while.
func (r *run) kms(f kms.Fault, d time.Duration) {
	r.w.admin(http.MethodPost, "faults", f)
	r.after(d, r.clearKMS)
}

// clearKMS ends the stand-in's faults and counts how often they struck.
func (r *run) clearKMS() {
	var list []kms.Fault
	if err := json.Unmarshal(r.w.admin(http.MethodGet, "faults", nil), &list); err != nil {
		panic(err)
	}
	r.w.admin(http.MethodDelete, "faults", nil)
	for _, f := range list {
		for range f.Hits {
			r.w.count("kms." + f.Kind)
		}
	}
}

// deny takes the right to the key away for a while, as an operator does who revokes it.
func deny(r *run, e Event) {
	r.revoke("kms.deny", ms(e.N), func(on bool) {
		policy := json.RawMessage(r.policy)
		if on {
			policy = json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*",` +
				`"Action":"kms:Decrypt","Resource":"*"}}`)
		}
		r.w.admin(http.MethodPut, "policy", policy)
	})
}

func disable(r *run, e Event) {
	r.revoke("kms.disable", ms(e.N), func(on bool) {
		state := kms.StateEnabled
		if on {
			state = kms.StateDisabled
		}
		r.w.admin(http.MethodPut, "keys/state", map[string]string{"state": state})
	})
}

// lateGrant holds KMS's answers up until after the key was denied and the caches were purged: what KMS granted before
// must serve nobody who asks after.
func (r *run) lateGrant(e Event) {
	r.after(0, func() {
		r.purge(nil, Event{})
		r.w.links[enclaveKMS].change(func(l *link) { l.late = time.Now().Add(ms(e.N)) })
		for i := range 3 {
			r.ask(Event{Kind: "open", N: e.M + i})
		}
		time.Sleep(ms(e.N / 4))
		deny(r, Event{N: 2500})
		time.Sleep(ms(e.N / 4))
		r.purge(nil, Event{})
		r.w.count("late.grant")
		time.Sleep(ms(e.N))
		for i := range 3 {
			r.ask(Event{Kind: "open", N: e.M + i})
		}
	})
}

// outlived asks for keys, has them denied, and asks again when their time to live is over.
func (r *run) outlived(e Event) {
	ask := func() {
		for i := range 3 {
			r.ask(Event{Kind: "open", N: e.M + i})
		}
	}
	r.after(0, func() {
		ask()
		time.Sleep(ms(e.N))
		deny(r, Event{N: 4000})
		time.Sleep(keyTTL + time.Second)
		r.w.count("outlived")
		ask()
	})
}

// revoke denies the key for a while. One revocation is in force at a time.
func (r *run) revoke(kind string, d time.Duration, set func(on bool)) {
	r.m.Lock()
	defer r.m.Unlock()
	if r.denied.active {
		return
	}
	set(true)
	r.denied = denial{active: true, from: time.Now()}
	r.w.count(kind)
	r.after(d, func() {
		r.m.Lock()
		defer r.m.Unlock()
		set(false)
		r.denied.active = false
		r.lastDenied = time.Now()
	})
}

// expire makes the stand-in refuse the host's credentials as ended.
func expire(r *run, e Event) {
	set := func(expires time.Time) {
		r.w.admin(http.MethodPut, "credentials", []kms.Credential{{
			AccessKeyID: kms.DefaultAccessKey, SecretAccessKey: kms.DefaultSecret, Expires: expires,
		}})
	}
	set(time.Now().Add(-time.Hour))
	r.w.count("credentials.expire")
	r.after(ms(e.N), func() { set(time.Time{}) })
}
