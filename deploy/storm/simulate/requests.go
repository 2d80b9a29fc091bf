//go:build dev

package simulate

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"strings"
	"time"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/sealed/reply"
	"redoubt/wire/parentapi"
)

// request is what a caller sends.
type request struct {
	link, method, path string
	header             map[string]string
	body               []byte
	limit              time.Duration // the caller gives up then; 0: when the tier's bound and more has passed
	fresh              bool          // on a connection of its own
	malformed          bool          // it may be refused as malformed
}

var jsonType = map[string]string{"Content-Type": "application/json"}

// answer is what comes back. A status of 0 means that nothing did.
type answer struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
	err    error
}

// code is the error code of an answer, "" if it has none.
func (a *answer) code() string {
	var body struct {
		Code any `json:"code"` // the reference's is the status
	}
	if json.Unmarshal(a.body, &body) != nil || body.Code == nil {
		return ""
	}
	return fmt.Sprint(body.Code)
}

// bounds of the tiers' requests.
var limits = map[string]time.Duration{callerAPI: apiBound + slack, callerParent: requestTimeout + slack}

// send sends a request and holds its answer to what every answer must be: in time, with a status and a code that are
// its tier's, and an error without a value.
func (r *run) send(ctx context.Context, q request) answer {
	limit := limits[q.link]
	wait := q.limit
	if wait == 0 {
		wait = limit + 5*time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	url := "http://" + r.w.links[q.link].address() + q.path
	req, err := http.NewRequestWithContext(ctx, q.method, url, bytes.NewReader(q.body))
	if err != nil {
		panic(err)
	}
	for k, v := range q.header {
		req.Header.Set(k, v)
	}
	client := r.client
	if q.fresh {
		client = r.fresh
	}
	a := read(client, req)
	if exact && a.took > limit+r.w.links[q.link].delays() {
		r.fail("deadline", "%s %s took %v, its bound is %v (status %d, %v)", q.method, q.path, a.took, limit, a.status, a.err)
	}
	r.judge(q, a)
	return a
}

// judge holds errors to what they may say.
func (r *run) judge(q request, a answer) {
	outcome := fmt.Sprint(a.status)
	if a.status >= 400 {
		outcome += " " + a.code()
	}
	r.answered(q.method+" "+kindOf(q.path), outcome, a.took)
	if a.status > 0 && a.status < 500 {
		r.w.count(routeKind(q.link, q.method, kindOf(q.path)))
	}
	if a.status < 400 || q.path == "/ready" {
		return
	}
	if bytes.Contains(a.body, []byte(sentinel)) {
		r.fail("leak", "an error of %s holds a value", q.path)
	}
	switch code := a.code(); {
	case code == "" && a.status != http.StatusServiceUnavailable: // a full listener answers 503 without a body
		r.fail("answer", "%s %s: status %d without a code: %.200s", q.method, q.path, a.status, a.body)
	case code == "internal" || a.status == http.StatusInternalServerError:
		r.fail("answer", "%s %s: %d %s", q.method, q.path, a.status, a.body)
	case !q.malformed && (code == "bad_request" || code == "invalid_request"):
		r.fail("answer", "%s %s: a request that is well formed is refused: %d %s", q.method, q.path, a.status, a.body)
	case a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") == "":
		r.fail("answer", "%s %s: 503 %s without Retry-After", q.method, q.path, code)
	}
	if exact && !r.faulty.Load() && a.status >= 500 {
		r.fail("recovery", "%s %s: %d %s although no fault is left", q.method, q.path, a.status, a.code())
	}
}

// kindOf is a path without ids.
func kindOf(path string) string {
	path, _, _ = strings.Cut(path, "?")
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, "v_") {
			parts[i] = "{id}"
		}
	}
	return strings.Join(parts, "/")
}

// routeKind is the counter of a route.
func routeKind(link, method, path string) string {
	return strings.TrimPrefix(link, "caller-") + " " + method + " " + path
}

// ops are the requests of callers, by name: what they send, and what they make of the answer.
var ops map[string]func(r *run, rng *mathrand.Rand, e Event)

func init() { // the plan, to which they belong, draws from them
	ops = map[string]func(*run, *mathrand.Rand, Event){
		"create": func(r *run, rng *mathrand.Rand, _ Event) { r.create(rng, "") },
		"again": func(r *run, rng *mathrand.Rand, _ Event) {
			key := fmt.Sprintf("key-%d", rng.Uint32())
			r.createAgain(rng, key)
		},
		"expiring":    (*run).expiring,
		"update":      (*run).update,
		"removefield": (*run).removeField,
		"delete":      (*run).delete,
		"present":     (*run).present,
		"list":        func(r *run, _ *mathrand.Rand, _ Event) { r.get("/v1/vaults?limit=50") },
		"schema":      func(r *run, _ *mathrand.Rand, _ Event) { r.get("/v1/schema") },
		"document":    func(r *run, _ *mathrand.Rand, _ Event) { r.get("/openapi.json") },
		"audit": func(r *run, rng *mathrand.Rand, _ Event) {
			if v := r.model.pick(rng); v != nil {
				r.get("/v1/vaults/" + v.id + "/audit")
			}
		},
		"decrypt": (*run).decrypt,
		"masked":  (*run).masked,
		"open": func(r *run, rng *mathrand.Rand, e Event) {
			if v := r.anySealed(rng); v != nil {
				r.openSealed(v, "open", deadline(e, 0))
			}
		},
		"reference": func(r *run, rng *mathrand.Rand, _ Event) {
			if v := r.anySealed(rng); v != nil {
				r.openSealed(v, "reference", time.Time{})
			}
		},
		"hurried": func(r *run, rng *mathrand.Rand, e Event) {
			if v := r.anySealed(rng); v != nil {
				r.openSealed(v, "open", deadline(e, 5+rng.IntN(200)))
			}
		},
		"sealed":  (*run).sealedReply,
		"batch":   (*run).batch,
		"attest":  func(r *run, rng *mathrand.Rand, _ Event) { r.attest(rng) },
		"purge":   (*run).purge,
		"routes":  (*run).anyRoute,
		"metrics": func(r *run, _ *mathrand.Rand, _ Event) { r.bounds(context.Background()) },
	}
}

// deadline is the end of a caller's patience: the event's own part of a burst shifts it.
func deadline(e Event, limit int) time.Time {
	if limit == 0 {
		return time.Time{}
	}
	return time.Now().Add(ms(limit + e.M/10))
}

func (r *run) anySealed(rng *mathrand.Rand) *sealedVault {
	if len(r.model.sealed) == 0 {
		return nil
	}
	return r.model.sealed[rng.IntN(len(r.model.sealed))]
}

// ctx bounds nothing: send does.
func (r *run) ctx() context.Context { return context.Background() }

func (r *run) get(path string) answer {
	return r.send(r.ctx(), request{link: callerAPI, method: http.MethodGet, path: path})
}

// state is the outcome of a write by its answer.
func state(a answer) outcome {
	switch {
	case a.status >= 200 && a.status < 300:
		return acknowledged
	case a.status >= 400 && a.status < 500:
		return refused
	}
	return unknown
}

func (r *run) values(rng *mathrand.Rand) map[string]string {
	return map[string]string{"email": r.model.value(rng), "city": r.model.value(rng), "first_name": r.model.value(rng)}
}

func (r *run) create(rng *mathrand.Rand, key string) (id string, values map[string]string) {
	values = r.values(rng)
	return r.createWith(values, key, ""), values
}

// createWith makes a vault. It returns its id, "" if there was no acknowledgement.
func (r *run) createWith(values map[string]string, key, query string) string {
	body, err := json.Marshal(values)
	if err != nil {
		panic(err)
	}
	header := map[string]string{"Content-Type": "application/json"}
	if key != "" {
		header["Idempotency-Key"] = key
	}
	a := r.send(r.ctx(), request{
		link: callerAPI, method: http.MethodPost, path: "/v1/vaults" + query, body: body, header: header,
	})
	var made struct {
		ID string `json:"id"`
	}
	if state(a) != acknowledged || json.Unmarshal(a.body, &made) != nil {
		return ""
	}
	v := &vaultModel{id: made.ID, fields: map[string][]*version{}}
	for name, value := range values {
		v.end(v.begin(name, value), acknowledged, r.model.tick())
	}
	if query != "" { // it ends some time
		v.deleted, v.gone.state = true, unknown
	}
	r.model.mu.Lock()
	defer r.model.mu.Unlock()
	for _, known := range r.model.made {
		if known.id == made.ID {
			return made.ID // an idempotent request's second answer
		}
	}
	r.model.made = append(r.model.made, v)
	return made.ID
}

// createAgain sends one create twice with the same key: both answers must name one vault.
func (r *run) createAgain(rng *mathrand.Rand, key string) {
	values := r.values(rng)
	first := r.createWith(values, key, "")
	second := r.createWith(values, key, "")
	if first != "" && second != "" && first != second {
		r.fail("idempotency", "one Idempotency-Key made two vaults, %s and %s", first, second)
	}
}

// expiring makes a vault that ends, and looks for it afterwards.
func (r *run) expiring(rng *mathrand.Rand, _ Event) {
	id := r.createWith(r.values(rng), "", "?ttl=1")
	if id == "" {
		return
	}
	time.Sleep(2100 * time.Millisecond)
	a := r.send(r.ctx(), request{link: callerAPI, method: http.MethodGet, path: "/v1/vaults/" + id})
	if a.status == http.StatusOK && !r.jumped.Load() {
		r.fail("expiry", "vault %s is there though its time has passed", id)
	}
}

// change sends a write of one field and records its outcome.
func (r *run) change(v *vaultModel, field, value, method string, body any) {
	v.writing.Lock()
	defer v.writing.Unlock()
	data, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	w := v.begin(field, value)
	a := r.send(r.ctx(), request{
		link: callerAPI, method: method, path: "/v1/vaults/" + v.id, body: data, header: jsonType,
	})
	v.end(w, state(a), r.model.tick())
	if a.status == http.StatusNotFound && !v.mayBeGone() {
		r.fail("acknowledged", "vault %s, whose creation was acknowledged, is not found by a write", v.id)
	}
}

func (r *run) update(rng *mathrand.Rand, _ Event) {
	if v := r.model.pick(rng); v != nil {
		field, value := []string{"email", "city"}[rng.IntN(2)], r.model.value(rng)
		r.change(v, field, value, http.MethodPatch, map[string]string{field: value})
	}
}

func (r *run) removeField(rng *mathrand.Rand, _ Event) {
	if v := r.model.pick(rng); v != nil {
		r.change(v, "first_name", "", http.MethodDelete, map[string]any{"fields": []string{"first_name"}})
	}
}

func (r *run) delete(rng *mathrand.Rand, _ Event) {
	v := r.model.pick(rng)
	if v == nil {
		return
	}
	v.writing.Lock()
	defer v.writing.Unlock()
	v.mu.Lock()
	before := v.gone
	tried := v.deleted
	v.deleted, v.gone.state = true, pending
	v.mu.Unlock()
	a := r.send(r.ctx(), request{
		link: callerAPI, method: http.MethodDelete, path: "/v1/vaults/" + v.id, body: []byte(`{"delete_all":true}`),
		header: jsonType,
	})
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gone.state, v.gone.acked = state(a), r.model.tick()
	if tried && v.gone.state == refused { // it was gone already, or may be
		v.gone = before
	}
}

func (r *run) present(rng *mathrand.Rand, _ Event) {
	v := r.model.pick(rng)
	if v == nil {
		return
	}
	began := r.model.tick()
	a := r.get("/v1/vaults/" + v.id)
	r.presence(v, a, began)
}

// presence holds an answer about a vault to whether it can be there. It reports whether the answer has its content.
func (r *run) presence(v *vaultModel, a answer, began uint64) bool {
	switch {
	case a.status == http.StatusNotFound && !v.mayBeGone():
		r.fail("acknowledged", "vault %s, whose creation was acknowledged, is not found", v.id)
	case a.status == http.StatusOK && !v.mayBeThere(began):
		r.fail("acknowledged", "vault %s is found after its deletion was acknowledged", v.id)
	}
	return a.status == http.StatusOK
}

func (r *run) decrypt(rng *mathrand.Rand, e Event) {
	v := r.model.pick(rng)
	if v == nil {
		return
	}
	reason := fmt.Sprintf("reason %d.%d %d", e.N, e.M, r.model.tick())
	body, err := json.Marshal(map[string]any{"fields": v.names(), "reason": reason})
	if err != nil {
		panic(err)
	}
	began, at := r.model.tick(), time.Now()
	a := r.send(r.ctx(), request{
		link: callerAPI, method: http.MethodPost, path: "/v1/vaults/" + v.id + "/decrypt", body: body, header: jsonType,
		fresh: rng.IntN(2) == 0,
	})
	if r.presence(v, a, began) {
		r.compare(v, a, began, reason)
		r.notDenied(at)
	}
}

// masked asks for a masked view alone. The answer must not hold the value.
func (r *run) masked(rng *mathrand.Rand, e Event) {
	v := r.model.pick(rng)
	if v == nil {
		return
	}
	reason := fmt.Sprintf("masked %d.%d %d", e.N, e.M, r.model.tick())
	body, err := json.Marshal(map[string]any{
		"fields": []string{"city"}, "include": []string{}, "expressions": map[string]string{"m": "city.mask()"},
		"reason": reason,
	})
	if err != nil {
		panic(err)
	}
	began := r.model.tick()
	a := r.send(r.ctx(), request{
		link: callerAPI, method: http.MethodPost, path: "/v1/vaults/" + v.id + "/decrypt", body: body, header: jsonType,
	})
	if bytes.Contains(a.body, []byte(sentinel)) {
		r.fail("masked", "a masked view of vault %s holds the value", v.id)
	}
	if r.presence(v, a, began) && !r.w.store.audited(reason) {
		r.fail("audit", "a masked view of vault %s was released without an audit entry before", v.id)
	}
}

// openSealed asks the parent to open a record.
func (r *run) openSealed(v *sealedVault, how string, until time.Time) {
	q, path := v.request, parentapi.PathV1Decrypt
	if how == "reference" {
		path = parentapi.PathDecrypt
	}
	body, err := q.JSON()
	if err != nil {
		panic(err)
	}
	req := request{link: callerParent, method: http.MethodPost, path: path, body: body, header: jsonType}
	if !until.IsZero() {
		req.limit = time.Until(until)
	}
	at := time.Now()
	a := r.send(r.ctx(), req)
	if a.status == http.StatusOK {
		var got struct {
			Fields map[string]*string `json:"fields"`
		}
		if err := json.Unmarshal(a.body, &got); err != nil {
			r.fail("answer", "an answer of the parent is not what it should be: %v", err)
			return
		}
		r.sealedValues(v, got.Fields)
		r.notDenied(at)
	} else if a.code() == "decrypt_failed" {
		r.fail("value", "the parent could not open what was sealed for it")
	}
	if exact && !r.faulty.Load() && a.status != http.StatusOK {
		r.fail("recovery", "%s cannot be opened after the faults: %d %s", v.id, a.status, a.code())
	}
}

func (r *run) sealedValues(v *sealedVault, got map[string]*string) {
	for _, name := range sealedFields {
		if got[name] == nil {
			r.fail("value", "field %s of %s has no value", name, v.id)
		} else if *got[name] != v.fields[name] {
			r.fail("value", "field %s of %s is %q, not %q", name, v.id, *got[name], v.fields[name])
		}
	}
}

// notDenied holds an opening that began at a time to the revocations of the key.
func (r *run) notDenied(began time.Time) {
	r.m.Lock()
	d := r.denied
	r.m.Unlock()
	switch {
	case !d.active:
	case exact && began.Sub(d.from) > keyTTL+500*time.Millisecond:
		r.fail("denied", "a key opens %v after it was denied, its time to live is %v", began.Sub(d.from), keyTTL)
	case !d.purged.IsZero() && began.After(d.purged):
		r.fail("denied", "a key that was denied opens after a purge")
	}
}

// sealedReply asks for values sealed to the caller.
func (r *run) sealedReply(rng *mathrand.Rand, _ Event) {
	v := r.anySealed(rng)
	if v == nil {
		return
	}
	pair, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	public, err := x509.MarshalPKIXPublicKey(pair.PublicKey())
	if err != nil {
		panic(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		panic(err)
	}
	key, err := sealed.ParsePrivateKey(sealed.P256, private)
	if err != nil {
		panic(err)
	}
	defer key.Destroy()
	id := sealed.P256.ID()
	q := v.request
	q.ReplyKey = &parentapi.ReplyKey{
		SuiteID: base64.StdEncoding.EncodeToString(id[:]), PublicKey: base64.StdEncoding.EncodeToString(public),
	}
	body, err := q.JSON()
	if err != nil {
		panic(err)
	}
	a := r.send(r.ctx(), request{
		link: callerParent, method: http.MethodPost, path: parentapi.PathV1Decrypt, body: body, header: jsonType,
	})
	if bytes.Contains(a.body, []byte(sentinel)) {
		r.fail("leak", "an answer that should be sealed to its caller holds a value")
	}
	if a.status != http.StatusOK {
		return
	}
	var got struct {
		Sealed map[string][]byte `json:"sealed"`
	}
	if err := json.Unmarshal(a.body, &got); err != nil {
		r.fail("answer", "a sealed answer is not what it should be: %v", err)
		return
	}
	for _, name := range sealedFields {
		value, err := reply.Open(key, v.id, name, got.Sealed[name])
		switch {
		case err != nil:
			r.fail("value", "the sealed field %s of %s does not open: %v", name, v.id, err)
		case value.Type == reply.Problem:
		case string(value.Data) != v.fields[name]:
			r.fail("value", "the sealed field %s of %s is another value", name, v.id)
		}
	}
}

// batch asks for several records at once, one of which cannot be opened.
func (r *run) batch(rng *mathrand.Rand, _ Event) {
	if len(r.model.sealed) == 0 {
		return
	}
	n := 1 + rng.IntN(8)
	var asked []*sealedVault
	var b parentapi.Batch[[]byte]
	for range n {
		v := r.anySealed(rng)
		q := v.request
		asked, b.Items = append(asked, v), append(b.Items, &q)
	}
	bad := -1
	if n > 1 && rng.IntN(2) == 0 {
		bad = rng.IntN(n)
		q := *b.Items[bad]
		q.VaultID = "p_other" // KMS binds the key to its vault
		b.Items[bad] = &q
	}
	body, err := json.Marshal(b)
	if err != nil {
		panic(err)
	}
	a := r.send(r.ctx(), request{
		link: callerParent, method: http.MethodPost, path: parentapi.PathBatch, body: body, header: jsonType,
	})
	if a.status != http.StatusOK {
		return
	}
	var got struct {
		Items []struct {
			Status int                `json:"status"`
			Fields map[string]*string `json:"fields"`
		} `json:"items"`
	}
	if err := json.Unmarshal(a.body, &got); err != nil || len(got.Items) != n {
		r.fail("answer", "a batch of %d has an answer of %d items (%v)", n, len(got.Items), err)
		return
	}
	for i, item := range got.Items {
		switch {
		case i == bad:
			if item.Status == http.StatusOK {
				r.fail("value", "a batch opens a record whose key is another vault's")
			}
		case item.Status == http.StatusOK:
			r.sealedValues(asked[i], item.Fields)
		}
	}
}

func (r *run) attest(rng *mathrand.Rand) {
	nonce := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%016x", rng.Uint64()))
	r.send(r.ctx(), request{link: callerParent, method: http.MethodGet, path: "/v1/attestation?nonce=" + nonce})
}

// purge empties the enclave's caches, as an operator does after a revocation.
func (r *run) purge(*mathrand.Rand, Event) {
	r.m.Lock()
	began := r.denied
	r.m.Unlock()
	r.w.mu.Lock()
	address := r.w.metricsAddress
	r.w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/purge", strings.NewReader("{}"))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if read(r.fresh, req).status != http.StatusOK {
		r.answered("purge", "failed", 0)
		return
	}
	r.answered("purge", "ok", 0)
	r.m.Lock()
	defer r.m.Unlock()
	if r.denied.active && began.active && r.denied.from.Equal(began.from) {
		r.denied.purged = time.Now()
	}
}
