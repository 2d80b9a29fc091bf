package keys

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// domainKMS is a DomainOpener whose ciphertexts are the data keys themselves.
type domainKMS struct {
	gated
	err map[string]error // by ARN
}

func (k *domainKMS) OpenDataKey(ctx context.Context, r DataKeyRequest) (*secret.Buffer, error) {
	defer k.leave()
	if err := k.enter(ctx); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.err[r.KeyARN]; err != nil {
		return nil, err
	}
	return secret.NewFrom(bytes.Clone(r.Wrapped))
}

func (k *domainKMS) fail(arn string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.err = map[string]error{}
	}
	k.err[arn] = err
}

const (
	firstARN  = "arn:aws:kms:us-east-1:000000000000:key/1"
	secondARN = "arn:aws:kms:eu-west-1:000000000000:key/2"
	otherARN  = "arn:aws:kms:us-east-1:000000000000:key/3"
)

// testDomain is a domain, its record, and its keys, which the test holds beside the cache.
type testDomain struct {
	record []byte
	name   DomainName
	keys   *domain.Keys
}

func newTestDomain(t testing.TB, id string, generation uint16, arns ...string) testDomain {
	t.Helper()
	ds := make([]byte, domain.SecretSize)
	_, _ = rand.Read(ds)
	descriptor, err := domain.Describe(ds, id, generation, 1, []sealed.Suite{sealed.XWing, sealed.P256}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return testDomain{recordOf(t, descriptor, ds, arns...), NameDomain(domain.Sum(descriptor)), keysOf(t, descriptor, ds)}
}

func keysOf(t testing.TB, descriptor, ds []byte) *domain.Keys {
	t.Helper()
	k, err := domain.OpenKeys(descriptor, ds)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Destroy)
	return k
}

func recordOf(t testing.TB, descriptor, ds []byte, arns ...string) []byte {
	t.Helper()
	if len(arns) == 0 {
		arns = []string{firstARN}
	}
	r := domain.Record{Descriptor: descriptor}
	for _, arn := range arns {
		dk := make([]byte, domain.DataKeySize)
		_, _ = rand.Read(dk)
		w, err := domain.SealSecret(dk, [32]byte(dk), domain.Sum(descriptor), arn, dk, ds)
		if err != nil {
			t.Fatal(err)
		}
		r.Wraps = append(r.Wraps, w)
	}
	b, err := r.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// domainVault is a vault under a domain with one sealed field.
type domainVault struct {
	req  Request
	blob sealed.Blob
}

func (d testDomain) vault(t testing.TB, id string) domainVault {
	t.Helper()
	m, err := d.keys.Mint(rand.Reader, domain.Made, id, sealed.XWing, 1)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := sealed.NewPublicKey(sealed.XWing, m.Public)
	if err != nil {
		t.Fatal(err)
	}
	w, err := sealed.SealRefs(sealed.XWing, pk, id, map[string][]byte{"ssn": []byte("value of " + id)})
	if err != nil {
		t.Fatal(err)
	}
	blob, err := sealed.JoinBlob(sealed.XWing, w.Fields["ssn"], w.Enc)
	if err != nil {
		t.Fatal(err)
	}
	name := d.name
	return domainVault{Request{Suite: sealed.XWing, VaultID: []byte(id), Wrapped: m.Wrapped, Domain: &name}, blob}
}

// read asks for the vault's key and opens its field.
func (v domainVault) read(t testing.TB, c *Cache) wire.Code {
	t.Helper()
	k, err := c.Get(context.Background(), &v.req)
	if err != nil {
		return codeOf(err)
	}
	defer k.Release()
	plain, ok, err := k.OpenCached(nil, []byte("ssn"), v.blob)
	if !ok {
		plain, err = k.Open(nil, []byte("ssn"), v.blob)
	}
	if err != nil {
		return wire.DecryptFailed
	}
	if want := "value of " + string(v.req.VaultID); string(plain) != want {
		t.Errorf("another plaintext: %q, want %q", plain, want)
	}
	return wire.OK
}

func (v domainVault) want(t testing.TB, c *Cache, code wire.Code) {
	t.Helper()
	if got := v.read(t, c); got != code {
		t.Errorf("%v, want %v", got, code)
	}
}

func domainBubble(t *testing.T, cfg DomainConfig, f func(t *testing.T, c *Cache, k *domainKMS)) {
	t.Helper()
	k := &domainKMS{}
	cfg.Opener = k
	if cfg.KeyARNs == nil {
		cfg.KeyARNs = []string{firstARN, secondARN}
	}
	bubble(t, Config{Domains: cfg}, func(t *testing.T, c *Cache, _ *kms) { f(t, c, k) })
}

func open(t testing.TB, c *Cache, record []byte) wire.Code {
	t.Helper()
	return codeOf(c.OpenDomain(context.Background(), record, nil))
}

func (d testDomain) mustOpen(t testing.TB, c *Cache) {
	t.Helper()
	if code := open(t, c, d.record); code != wire.OK {
		t.Fatalf("the domain is not opened: %v", code)
	}
}

func TestAVaultUnderAnOpenDomainCostsNoCallToKMS(t *testing.T) {
	d := newTestDomain(t, "acme", 1)
	domainBubble(t, DomainConfig{}, func(t *testing.T, c *Cache, k *domainKMS) {
		one := d.vault(t, "v_1")
		one.want(t, c, wire.DomainUnknown)
		k.wantCalls(t, 0)
		d.mustOpen(t, c)
		d.mustOpen(t, c)
		for range 3 {
			one.want(t, c, wire.OK)
			for i := range 5 {
				d.vault(t, fmt.Sprint("v_", i)).want(t, c, wire.OK)
			}
		}
		k.wantCalls(t, 1)
		if st := c.Stats(); st.Domains != 1 || st.VaultKeys != 16 || st.VaultsOpened != 16 || st.DomainUnknown != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// Keys and contexts of one vault open nothing of another, although both are kept under the domain.
func TestVaultsUnderADomainShareNothing(t *testing.T) {
	d, other := newTestDomain(t, "acme", 1), newTestDomain(t, "other", 1)
	domainBubble(t, DomainConfig{}, func(t *testing.T, c *Cache, _ *domainKMS) {
		d.mustOpen(t, c)
		other.mustOpen(t, c)
		a, b := d.vault(t, "v_1"), d.vault(t, "v_2")
		a.want(t, c, wire.OK)
		b.want(t, c, wire.OK)
		for what, spoil := range map[string]func(v *domainVault){
			"another's field":       func(v *domainVault) { v.blob = b.blob },
			"another's wrapped key": func(v *domainVault) { v.req.Wrapped = b.req.Wrapped },
			"another's id":          func(v *domainVault) { v.req.VaultID = b.req.VaultID },
			"another domain":        func(v *domainVault) { v.req.Domain = &other.name },
			"a changed key": func(v *domainVault) {
				v.req.Wrapped = bytes.Clone(v.req.Wrapped)
				v.req.Wrapped[60] ^= 1
			},
			"a key of KMS's":  func(v *domainVault) { v.req.Wrapped = make([]byte, 102) },
			"another suite":   func(v *domainVault) { v.req.Suite = sealed.P256 },
			"no wrapped key":  func(v *domainVault) { v.req.Wrapped = nil },
			"a generation up": func(v *domainVault) { v.req.Wrapped = bytes.Clone(v.req.Wrapped); v.req.Wrapped[3]++ },
		} {
			v := a
			spoil(&v)
			for range 2 {
				if code := v.read(t, c); code != wire.DecryptFailed {
					t.Errorf("%s: %v", what, code)
				}
			}
		}
		a.want(t, c, wire.OK)
	})
}

func TestADomainGoesWithAllThatIsUnderIt(t *testing.T) {
	for what, end := range map[string]func(t *testing.T, c *Cache, k *domainKMS, v domainVault){
		"its time ends": func(*testing.T, *Cache, *domainKMS, domainVault) { time.Sleep(DefaultTTL + 2*time.Second) },
		"KMS denies the refresh": func(t *testing.T, c *Cache, k *domainKMS, v domainVault) {
			time.Sleep(DefaultTTL * 9 / 10)
			k.fail(firstARN, coded(wire.KeyDenied))
			v.want(t, c, wire.OK) // starts the refresh, for which nobody waits
			synctest.Wait()
		},
		"a purge": func(_ *testing.T, c *Cache, _ *domainKMS, _ domainVault) { c.PurgeAll() },
	} {
		t.Run(what, func(t *testing.T) {
			d := newTestDomain(t, "acme", 1)
			domainBubble(t, DomainConfig{}, func(t *testing.T, c *Cache, k *domainKMS) {
				d.mustOpen(t, c)
				v := d.vault(t, "v_1")
				v.want(t, c, wire.OK)
				v.want(t, c, wire.OK)
				v.want(t, c, wire.OK)
				v.want(t, c, wire.OK) // read so often, its AES-GCM stays set up
				if st := c.Stats(); st.VaultKeys != 1 || st.Contexts != 1 || st.Fields != 1 || c.ciphers.count.Load() != 1 {
					t.Fatalf("%+v", st)
				}
				v.want(t, c, wire.OK)
				end(t, c, k, v)
				v.want(t, c, wire.DomainUnknown)
				if st := c.Stats(); st.Domains != 0 || st.VaultKeys != 0 || st.Contexts != 0 || st.Fields != 0 {
					t.Errorf("%+v", st)
				}
				if n := c.ciphers.arena.InUse(); n != 0 {
					t.Errorf("AES-GCM of %d fields is left", n)
				}
			})
		})
	}
}

// A reader that holds a key when its domain goes finishes, but leaves nothing behind.
func TestAKeyInUseOutlivesItsDomainAndLeavesNothing(t *testing.T) {
	d := newTestDomain(t, "acme", 1)
	domainBubble(t, DomainConfig{}, func(t *testing.T, c *Cache, _ *domainKMS) {
		d.mustOpen(t, c)
		v := d.vault(t, "v_1")
		k, err := c.Get(context.Background(), &v.req)
		if err != nil {
			t.Fatal(err)
		}
		c.PurgeAll()
		if plain, err := k.Open(nil, []byte("ssn"), v.blob); err != nil || string(plain) != "value of v_1" {
			t.Error(err)
		}
		k.Release()
		if st := c.Stats(); st.VaultKeys != 0 || st.Contexts != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestADomainIsRefreshedAheadAndSurvivesAnOutage(t *testing.T) {
	d := newTestDomain(t, "acme", 1)
	domainBubble(t, DomainConfig{}, func(t *testing.T, c *Cache, k *domainKMS) {
		d.mustOpen(t, c)
		v := d.vault(t, "v_1")
		for range 120 {
			time.Sleep(30 * time.Second)
			v.want(t, c, wire.OK)
			synctest.Wait()
		}
		if n := k.calls.Load(); n < 12 || n > 20 {
			t.Errorf("%d calls in an hour", n)
		}
		k.fail(firstARN, coded(wire.KMSUnavailable))
		time.Sleep(DefaultTTL * 9 / 10)
		c.Stats()
		if code := v.read(t, c); code != wire.OK && code != wire.DomainUnknown {
			t.Errorf("%v", code)
		}
		synctest.Wait()
		time.Sleep(DefaultTTL)
		v.want(t, c, wire.DomainUnknown)
		if code := open(t, c, d.record); code != wire.KMSUnavailable {
			t.Errorf("%v", code)
		}
		k.fail(firstARN, nil) // an outage is not remembered against the record
		d.mustOpen(t, c)
		v.want(t, c, wire.OK)
	})
}

func TestRefusedRecordsAreRefusedFromMemoryForThirtySeconds(t *testing.T) {
	d := newTestDomain(t, "acme", 1)
	// A record that somebody made of a secret of his own for this descriptor, and one whose wrap was changed.
	rec, _, err := domain.ParseRecord(d.record)
	if err != nil {
		t.Fatal(err)
	}
	forged := recordOf(t, rec.Descriptor, make([]byte, domain.SecretSize))
	changed := bytes.Clone(d.record)
	changed[len(changed)-1] ^= 1
	domainBubble(t, DomainConfig{}, func(t *testing.T, c *Cache, k *domainKMS) {
		for i, record := range [][]byte{forged, changed} {
			for range 3 {
				if code := open(t, c, record); code != wire.DecryptFailed {
					t.Errorf("%v", code)
				}
			}
			k.wantCalls(t, int64(i+1))
		}
		d.mustOpen(t, c) // one record's refusal is not another's
		c.PurgeAll()
		k.calls.Store(0)
		k.fail(firstARN, coded(wire.KeyDenied))
		for range 3 {
			if code := open(t, c, d.record); code != wire.KeyDenied {
				t.Errorf("%v", code)
			}
		}
		k.wantCalls(t, 1)
		k.fail(firstARN, nil)
		time.Sleep(29 * time.Second)
		if code := open(t, c, d.record); code != wire.KeyDenied {
			t.Errorf("after 29 s: %v", code)
		}
		time.Sleep(2 * time.Second)
		d.mustOpen(t, c)
	})
}

func TestMalformedRecordsAskNothingOfKMS(t *testing.T) {
	d := newTestDomain(t, "acme", 1)
	foreign := newTestDomain(t, "acme", 2, otherARN)
	domainBubble(t, DomainConfig{}, func(t *testing.T, c *Cache, k *domainKMS) {
		for _, record := range [][]byte{nil, {1}, d.record[:len(d.record)-1], append(bytes.Clone(d.record), 0)} {
			if code := open(t, c, record); code != wire.BadRequest {
				t.Errorf("%v", code)
			}
		}
		if code := open(t, c, foreign.record); code != wire.KeyDenied {
			t.Errorf("no wrap of a key that is allowed: %v", code)
		}
		k.wantCalls(t, 0)
	})
	bubble(t, Config{}, func(t *testing.T, c *Cache, _ *kms) {
		if code := open(t, c, d.record); code != wire.KeyDenied {
			t.Errorf("without domains: %v", code)
		}
	})
}

func TestAnotherWrapServesWhereOneFails(t *testing.T) {
	for failure, want := range map[wire.Code]wire.Code{wire.KeyDenied: wire.OK, wire.KMSUnavailable: wire.OK} {
		d := newTestDomain(t, "acme", 1, otherARN, secondARN, firstARN)
		domainBubble(t, DomainConfig{}, func(t *testing.T, c *Cache, k *domainKMS) {
			k.fail(firstARN, coded(failure))
			if code := open(t, c, d.record); code != want {
				t.Errorf("%v: %v", failure, code)
			}
			k.wantCalls(t, 2) // the configuration's order, and the foreign key passed over
		})
	}
	d := newTestDomain(t, "acme", 1, firstARN, secondARN)
	domainBubble(t, DomainConfig{}, func(t *testing.T, c *Cache, k *domainKMS) {
		k.fail(firstARN, coded(wire.KMSUnavailable))
		k.fail(secondARN, coded(wire.KeyDenied))
		for range 2 { // what may pass is told, and not remembered
			if code := open(t, c, d.record); code != wire.KMSUnavailable {
				t.Errorf("%v", code)
			}
		}
		k.wantCalls(t, 4)
	})
}

func TestOneCallForADomainAndFourInAll(t *testing.T) {
	var all []testDomain
	for i := range 10 {
		all = append(all, newTestDomain(t, fmt.Sprint("d", i), 1))
	}
	domainBubble(t, DomainConfig{}, func(t *testing.T, c *Cache, k *domainKMS) {
		release := k.hold()
		var done sync.WaitGroup
		for _, d := range all {
			for range 5 {
				done.Go(func() {
					if code := open(t, c, d.record); code != wire.OK {
						t.Errorf("%v", code)
					}
				})
			}
		}
		synctest.Wait()
		if n := k.inside.Load(); n != maxDomainOpens {
			t.Errorf("%d calls at a time, want %d", n, maxDomainOpens)
		}
		release()
		done.Wait()
		k.wantCalls(t, 10)
		if m := k.most.Load(); m > maxDomainOpens {
			t.Errorf("%d calls at a time", m)
		}
	})
}

// A hostile parent hands a bad record of the same domain over first: who has the good one is not refused for it.
func TestABadRecordDoesNotStandInForAGoodOneOfTheSameDomain(t *testing.T) {
	d := newTestDomain(t, "acme", 1)
	bad := bytes.Clone(d.record)
	bad[len(bad)-1] ^= 1
	domainBubble(t, DomainConfig{}, func(t *testing.T, c *Cache, k *domainKMS) {
		release := k.hold()
		var done sync.WaitGroup
		done.Go(func() {
			if code := open(t, c, bad); code != wire.DecryptFailed {
				t.Errorf("bad: %v", code)
			}
		})
		synctest.Wait()
		done.Go(func() {
			if code := open(t, c, d.record); code != wire.OK {
				t.Errorf("good: %v", code)
			}
		})
		synctest.Wait()
		k.wantCalls(t, 1)
		release()
		done.Wait()
		k.wantCalls(t, 2)
	})
}

func TestAnOpeningThatAPurgeOvertakesIsNotKept(t *testing.T) {
	d := newTestDomain(t, "acme", 1)
	domainBubble(t, DomainConfig{}, func(t *testing.T, c *Cache, k *domainKMS) {
		release := k.hold()
		code := make(chan wire.Code, 1)
		go func() { code <- open(t, c, d.record) }()
		synctest.Wait()
		c.PurgeAll()
		release()
		if got := <-code; got != wire.Overloaded {
			t.Errorf("%v", got)
		}
		if c.Stats().Domains != 0 {
			t.Error("it is kept")
		}
	})
}

func TestAWaiterLeavesAtItsDeadlineAndCloseEndsAnOpening(t *testing.T) {
	d := newTestDomain(t, "acme", 1)
	domainBubble(t, DomainConfig{}, func(t *testing.T, c *Cache, k *domainKMS) {
		k.hold()
		first := make(chan wire.Code, 1)
		go func() { first <- open(t, c, d.record) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if code := codeOf(c.OpenDomain(ctx, d.record, nil)); code != wire.DeadlineExceeded {
			t.Errorf("%v", code)
		}
		c.Close()
		if code := <-first; code != wire.ShuttingDown {
			t.Errorf("%v", code)
		}
		if code := open(t, c, d.record); code != wire.ShuttingDown {
			t.Errorf("after Close: %v", code)
		}
		d.vault(t, "v_1").want(t, c, wire.ShuttingDown)
	})
}

func TestBudgetsStartEmptyAndBoundVaultsNotReads(t *testing.T) {
	d := newTestDomain(t, "acme", 1)
	rule := func(string) DomainRule { return DomainRule{PerSecond: 10} }
	domainBubble(t, DomainConfig{Rule: rule}, func(t *testing.T, c *Cache, _ *domainKMS) {
		d.mustOpen(t, c)
		n := 0
		next := func() wire.Code { n++; return d.vault(t, fmt.Sprint("v_", n)).read(t, c) }
		if code := next(); code != wire.Overloaded {
			t.Fatalf("at once: %v", code)
		}
		time.Sleep(100 * time.Millisecond)
		v := d.vault(t, "v_again")
		v.want(t, c, wire.OK)
		for range 20 { // the same vault counts once
			v.want(t, c, wire.OK)
		}
		time.Sleep(time.Hour / 60)
		opened := 0
		for range 50 {
			if next() == wire.OK {
				opened++
			}
		}
		if opened != 10 {
			t.Errorf("%d vaults at once after a pause, want 10", opened)
		}
		var e *wire.Error
		more := d.vault(t, "v_more")
		_, err := c.Get(context.Background(), &more.req)
		if !errors.As(err, &e) || e.Code != wire.Overloaded || e.RetryAfterMS == 0 || e.RetryAfterMS > 100 {
			t.Errorf("%v", err)
		}
		if got := c.Stats().OverBudget; got != 1+40+1 {
			t.Errorf("%d counted", got)
		}
	})
}

// The hour's bucket holds a minute's worth, and a domain that is opened again, or its next generation, gains nothing.
func TestTheBudgetOfAnHourIsOfAllGenerations(t *testing.T) {
	one, two := newTestDomain(t, "acme", 1), newTestDomain(t, "acme", 2)
	rule := func(string) DomainRule { return DomainRule{PerHour: 600} }
	domainBubble(t, DomainConfig{Rule: rule}, func(t *testing.T, c *Cache, _ *domainKMS) {
		one.mustOpen(t, c)
		two.mustOpen(t, c)
		n, opened := 0, 0
		count := func() {
			for _, d := range []testDomain{one, two} {
				for range 15 {
					n++
					if d.vault(t, fmt.Sprint("v_", n)).read(t, c) == wire.OK {
						opened++
					}
				}
			}
		}
		time.Sleep(4 * time.Minute)
		count()
		if opened != 10 {
			t.Errorf("%d vaults at once, want a minute's 10", opened)
		}
		c.PurgeAll()
		one.mustOpen(t, c)
		two.mustOpen(t, c)
		opened = 0
		count()
		if opened != 0 {
			t.Errorf("%d vaults after domains were opened again, want none", opened)
		}
	})
}

func TestAClosedGenerationServesResealAlone(t *testing.T) {
	old, now := newTestDomain(t, "acme", 1), newTestDomain(t, "acme", 2)
	rule := func(string) DomainRule { return DomainRule{Lowest: 2} }
	domainBubble(t, DomainConfig{Rule: rule}, func(t *testing.T, c *Cache, _ *domainKMS) {
		old.mustOpen(t, c)
		now.mustOpen(t, c)
		v := old.vault(t, "v_1")
		v.want(t, c, wire.GenerationClosed)
		v.req.Reseal = true
		v.want(t, c, wire.OK)
		v.req.Reseal = false
		v.want(t, c, wire.GenerationClosed) // also when it is cached
		now.vault(t, "v_1").want(t, c, wire.OK)
	})
}

func TestTheDomainUsedLongestAgoMakesRoom(t *testing.T) {
	a, b, e := newTestDomain(t, "a", 1), newTestDomain(t, "b", 1), newTestDomain(t, "c", 1)
	domainBubble(t, DomainConfig{MaxDomains: 2}, func(t *testing.T, c *Cache, _ *domainKMS) {
		a.mustOpen(t, c)
		b.mustOpen(t, c)
		va, vb := a.vault(t, "v_1"), b.vault(t, "v_1")
		vb.want(t, c, wire.OK)
		va.want(t, c, wire.OK)
		e.mustOpen(t, c)
		va.want(t, c, wire.OK)
		vb.want(t, c, wire.DomainUnknown)
		e.vault(t, "v_1").want(t, c, wire.OK)
		if st := c.Stats(); st.Domains != 2 || st.VaultKeys != 2 {
			t.Errorf("%+v", st)
		}
	})
}

func TestPurgingAVaultDropsTheKeysUnderDomains(t *testing.T) {
	d := newTestDomain(t, "acme", 1)
	domainBubble(t, DomainConfig{}, func(t *testing.T, c *Cache, k *domainKMS) {
		d.mustOpen(t, c)
		v := d.vault(t, "v_1")
		v.want(t, c, wire.OK)
		c.PurgeVault([]byte("v_1"))
		if st := c.Stats(); st.VaultKeys != 0 || st.Contexts != 0 || st.Domains != 1 {
			t.Errorf("%+v", st)
		}
		v.want(t, c, wire.OK)
		k.wantCalls(t, 1)
	})
}

// Opening, reading, purging and refreshing at once, for the race detector; nothing is left at the end.
func TestDomainsUnderContention(t *testing.T) {
	ds := []testDomain{newTestDomain(t, "a", 1), newTestDomain(t, "b", 1)}
	k := &domainKMS{}
	before := secret.Stats().Mapped
	c := newCache(t, Config{Domains: DomainConfig{Opener: k, KeyARNs: []string{firstARN}, MaxDomains: 1}}, &kms{})
	vaults := []domainVault{ds[0].vault(t, "v_1"), ds[1].vault(t, "v_2")}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 30 {
				n := i % 2
				if err := c.OpenDomain(context.Background(), ds[n].record, nil); err != nil && codeOf(err) != wire.Overloaded {
					t.Errorf("%v", err)
				}
				if code := vaults[n].read(t, c); code != wire.OK && code != wire.DomainUnknown {
					t.Errorf("%v", code)
				}
				if i == 7 {
					c.PurgeAll()
				}
			}
		})
	}
	all.Wait()
	c.Close()
	if n := secret.Stats().Mapped - before; n != 0 {
		t.Errorf("%d bytes of secret memory are left", n)
	}
}

// the design's target: 512 MiB holds a million vault keys.
func TestMemoryPerVaultKey(t *testing.T) {
	const n = 100_000
	if 1_000_000*VaultKeyCost > 512<<20 {
		t.Error("the promised cost does not fit the target")
	}
	c := newCache(t, Config{Domains: DomainConfig{Opener: &domainKMS{}, KeyARNs: []string{firstARN}, MaxVaultKeys: 2 * n}}, &kms{})
	defer c.Close()
	e := &entry{id: 1}
	before, outside := liveHeap(), secret.Stats().Mapped
	for i := range n {
		c.domains.keys.store(e, contextID{e.id, [2]uint64{uint64(i), uint64(i)}}, make([]byte, vaultKeySize))
	}
	off := float64(secret.Stats().Mapped-outside) / n
	per := 2*float64(liveHeap()-before)/n + off
	if c.Stats().VaultKeys != n || per > VaultKeyCost {
		t.Errorf("%.0f bytes a vault key, promised %d", per, VaultKeyCost)
	}
	t.Logf("%.0f bytes a vault key, %.0f of them locked, promised %d", per, off, VaultKeyCost)
}

// BenchmarkVaultNeverSeen is the target: find the domain, unwrap, expand, derive, open one field.
func BenchmarkVaultNeverSeen(b *testing.B) {
	d := newTestDomain(b, "acme", 1)
	c := newCache(b, Config{Domains: DomainConfig{Opener: &domainKMS{}, KeyARNs: []string{firstARN}}}, &kms{})
	defer c.Close()
	d.mustOpen(b, c)
	var all []domainVault
	for i := range 2000 {
		all = append(all, d.vault(b, fmt.Sprint("v_", i)))
	}
	b.ReportAllocs()
	i, before := 0, cpuTime(b)
	defer func() { b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op") }()
	for b.Loop() {
		if i == len(all) {
			b.StopTimer()
			c.purgeVaults()
			i = 0
			b.StartTimer()
		}
		if code := all[i].read(b, c); code != wire.OK {
			b.Fatal(code)
		}
		i++
	}
}

// cpuTime is what the process has used, which other processes of the machine disturb less than they do the clock.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
