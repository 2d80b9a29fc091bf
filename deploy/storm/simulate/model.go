//go:build dev

package simulate

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/kms"
	"redoubt/wire/parentapi"
)

// sentinel begins every value, so that one that is where it should not be is found.
const sentinel = "sntl-"

// model is what the callers know: the vaults that they made, and what must be in them.
type model struct {
	mu     sync.Mutex
	now    uint64 // a clock of its own: each write and read takes a number at its begin and its end
	next   int
	made   []*vaultModel
	sealed []*sealedVault
}

// tick is the next number.
func (m *model) tick() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now++
	return m.now
}

// vaults are the vaults whose creation was acknowledged.
func (m *model) vaults() []*vaultModel {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]*vaultModel(nil), m.made...)
}

// pick takes one of the vaults, nil if there is none.
func (m *model) pick(rng *rand.Rand) *vaultModel {
	all := m.vaults()
	if len(all) == 0 {
		return nil
	}
	return all[rng.IntN(len(all))]
}

// value makes a value that no other field ever has.
func (m *model) value(rng *rand.Rand) string {
	m.mu.Lock()
	m.next++
	n := m.next
	m.mu.Unlock()
	return fmt.Sprintf("%s%04d-%08x", sentinel, n, rng.Uint32())
}

// outcome of a write.
type outcome int

const (
	pending outcome = iota
	acknowledged
	refused // surely not done
	unknown // done or not, now or later
)

// version is one write of a field; the value "" is its removal.
type version struct {
	value string
	state outcome
	acked uint64 // when it was acknowledged
}

// vaultModel is a vault of the API.
type vaultModel struct {
	id      string
	writing sync.Mutex // one writer at a time

	mu      sync.Mutex
	fields  map[string][]*version
	gone    version // the deletion of the vault, or its expiry
	deleted bool    // a deletion was tried
}

// begin records a write of a field that is about to be made.
func (v *vaultModel) begin(field, value string) *version {
	v.mu.Lock()
	defer v.mu.Unlock()
	w := &version{value: value}
	v.fields[field] = append(v.fields[field], w)
	return w
}

// end records how a write ended.
func (v *vaultModel) end(w *version, state outcome, at uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w.state, w.acked = state, at
}

// may reports whether a read that began at the given number may see a value of a field.
func (v *vaultModel) may(field, value string, began uint64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := v.fields[field]
	for i, w := range all {
		if w.value != value || w.state == refused {
			continue
		}
		if w.state == unknown {
			return true // it may have been done at any time since
		}
		replaced := false
		for _, later := range all[i+1:] {
			replaced = replaced || later.state == acknowledged && later.acked < began
		}
		if !replaced {
			return true
		}
	}
	return value == "" && !v.written(field, began)
}

// written reports whether a write of the field was acknowledged before. mu is held.
func (v *vaultModel) written(field string, before uint64) bool {
	for _, w := range v.fields[field] {
		if w.state == acknowledged && w.acked < before {
			return true
		}
	}
	return false
}

// names are the fields that were ever written, sorted.
func (v *vaultModel) names() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return sortedKeys(v.fields)
}

// mayBeGone reports whether the vault may be absent for a read, and mayBeThere whether it may be present for one that
// began at the given number.
func (v *vaultModel) mayBeGone() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.deleted && v.gone.state != refused
}

func (v *vaultModel) mayBeThere(began uint64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.deleted || v.gone.state != acknowledged || v.gone.acked >= began
}

// sealedVault is a record that callers send to the parent themselves.
type sealedVault struct {
	id      string
	request parentapi.Request[[]byte]
	fields  map[string]string
}

// sealedFields are the names of a sealed record's fields.
var sealedFields = []string{"email", "city", "phone_number"}

// sealedVault makes a record that the parent's callers hold. It asks the stand-in itself, past the links.
func (m *model) sealedVault(ctx context.Context, r *run) {
	client := awskms.New(awskms.Options{
		Region: kms.DefaultRegion, BaseEndpoint: aws.String("http://" + r.w.kmsPlain), HTTPClient: r.fresh,
		Credentials: credentials.NewStaticCredentialsProvider(kms.DefaultAccessKey, kms.DefaultSecret, ""),
	})
	rng := rand.New(rand.NewPCG(r.plan.Seed, stream("sealed")+uint64(len(m.sealed))))
	v := &sealedVault{id: fmt.Sprintf("p_%d", len(m.sealed)), fields: map[string]string{}}
	suite := r.w.settings.suite
	pair, err := client.GenerateDataKeyPairWithoutPlaintext(ctx, &awskms.GenerateDataKeyPairWithoutPlaintextInput{
		KeyId: &r.w.keyARN, KeyPairSpec: types.DataKeyPairSpec(suite.KeySpec()),
		EncryptionContext: map[string]string{"vault_id": v.id},
	})
	if err != nil {
		r.fail("start", "key pair: %v", err)
		return
	}
	public, err := sealed.ParsePublicKey(suite, pair.PublicKey)
	if err != nil {
		r.fail("start", "public key: %v", err)
		return
	}
	plain := map[string][]byte{}
	for _, name := range sealedFields {
		v.fields[name] = m.value(rng)
		plain[name] = []byte(v.fields[name])
	}
	encoding := []sealed.Encoding{sealed.EncodingRecord, sealed.EncodingField}[len(m.sealed)%2]
	blobs, err := sealed.Seal(encoding, suite, public, v.id, plain)
	if err != nil {
		r.fail("start", "seal: %v", err)
		return
	}
	id := suite.ID()
	v.request = parentapi.Request[[]byte]{
		VaultID: v.id, Region: kms.DefaultRegion, Fields: blobs, SuiteID: id[:], WrappedKey: pair.PrivateKeyCiphertextBlob,
		Encoding: string('0' + byte(encoding)), KeyContext: 1,
	}
	m.sealed = append(m.sealed, v)
}

// checkVault reads a vault when no fault is left, and compares it with all that was acknowledged.
func (r *run) checkVault(ctx context.Context, v *vaultModel) {
	began := r.model.tick()
	body, err := json.Marshal(map[string]any{"fields": v.names(), "reason": "final " + v.id})
	if err != nil {
		panic(err)
	}
	var a answer
	for range 3 { // an answer that says "later" is allowed, not three
		a = r.send(ctx, request{
			link: callerAPI, method: http.MethodPost, path: "/v1/vaults/" + v.id + "/decrypt", body: body, header: jsonType,
		})
		if a.status == http.StatusOK || a.status == http.StatusNotFound {
			break
		}
		time.Sleep(time.Second)
	}
	switch {
	case a.status == http.StatusNotFound:
		if !v.mayBeGone() {
			r.fail("acknowledged", "vault %s, whose creation was acknowledged, is not there", v.id)
		}
	case a.status != http.StatusOK && !exact:
	case a.status != http.StatusOK:
		r.fail("recovery", "vault %s cannot be opened after the faults: %d %s", v.id, a.status, a.code())
	case !v.mayBeThere(began):
		r.fail("acknowledged", "vault %s is there after its deletion was acknowledged", v.id)
	default:
		r.compare(v, a, began, "final "+v.id)
	}
}

// compare holds the values of a decrypt to the model.
func (r *run) compare(v *vaultModel, a answer, began uint64, reason string) {
	var got struct {
		Data   map[string]*string `json:"data"`
		Errors []string           `json:"errors"`
	}
	if err := json.Unmarshal(a.body, &got); err != nil {
		r.fail("answer", "a decrypt's answer is not what it should be: %v", err)
		return
	}
	for name, value := range got.Data {
		text := ""
		if value != nil {
			text = *value
		}
		if text == "" && len(got.Errors) > 0 {
			continue // said to have failed
		}
		if !v.may(name, text, began) {
			r.fail("value", "field %s of vault %s is %q, which is no value that it may have: %s", name, v.id, text,
				v.history(name))
		}
	}
	if !r.w.store.audited(reason) {
		r.fail("audit", "values of vault %s were released without an audit entry before", v.id)
	}
}

// history is a field's writes, for a finding.
func (v *vaultModel) history(name string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	text := ""
	for _, w := range v.fields[name] {
		state := [...]string{"pending", "acknowledged", "refused", "unknown"}[w.state]
		text += fmt.Sprintf("[%q %s at %d]", w.value, state, w.acked)
	}
	return text
}
