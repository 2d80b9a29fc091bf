// Package vaulttest plays KMS and the enclave for tests of the API alone. Keys are real, and fields are really sealed
// and opened. What KMS and the enclave must refuse (another vault's key, another context, a bad MAC) is refused.
// Expressions are not evaluated: one whose source is "fail" fails, "len(NAME)" gives a field's length, a field's name
// its value, anything else its own text.
package vaulttest

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"redoubt/api/internal/upstream"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/sealed/reply"
)

// World is KMS and the enclave. Its fields may be set before or between requests.
type World struct {
	mu      sync.Mutex
	pairs   map[string]pair
	macKey  []byte
	fail    error
	failKMS error
	calls   map[string]int
	last    *upstream.Request
	report  *map[string]upstream.Access // nil: the true report
}

type pair struct {
	suite sealed.Suite
	key   *sealed.PrivateKey
	bind  map[string]string
}

// New makes an empty world.
func New() *World {
	return &World{pairs: map[string]pair{}, macKey: []byte(rand.Text()), calls: map[string]int{}}
}

// FailDecrypt makes every decrypt end in err until it is nil again.
func (w *World) FailDecrypt(err error) { w.set(func() { w.fail = err }) }

// FailKMS makes every call of KMS end in err until it is nil again.
func (w *World) FailKMS(err error) { w.set(func() { w.failKMS = err }) }

// Report makes answers carry this report of what expressions read; nil: none.
func (w *World) Report(r map[string]upstream.Access) { w.set(func() { w.report = &r }) }

// Calls says how often an operation was called: NewKeyPair, MAC, VerifyMAC, Decrypt.
func (w *World) Calls(operation string) (n int) {
	w.set(func() { n = w.calls[operation] })
	return n
}

// Last is the last decrypt request.
func (w *World) Last() (r *upstream.Request) {
	w.set(func() { r = w.last })
	return r
}

func (w *World) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *World) count(operation string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[operation]++
	return w.failKMS
}

// NewKeyPair implements vault.Keys.
func (w *World) NewKeyPair(_ context.Context, suite sealed.Suite, bind map[string]string) (public, wrapped []byte,
	err error,
) {
	if err := w.count("NewKeyPair"); err != nil {
		return nil, nil, err
	}
	private, err := suite.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if public, err = x509.MarshalPKIXPublicKey(private.PublicKey()); err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	key, err := sealed.ParsePrivateKey(suite, der)
	if err != nil {
		return nil, nil, err
	}
	handle := "wrapped:" + hex.EncodeToString([]byte(rand.Text()))
	w.set(func() { w.pairs[handle] = pair{suite: suite, key: key, bind: maps.Clone(bind)} })
	return public, []byte(handle), nil
}

// MAC implements vault.Keys.
func (w *World) MAC(_ context.Context, message []byte) ([]byte, error) {
	if err := w.count("MAC"); err != nil {
		return nil, err
	}
	return w.mac(message), nil
}

func (w *World) mac(message []byte) []byte {
	m := hmac.New(sha256.New, w.macKey)
	m.Write(message)
	return m.Sum(nil)
}

// VerifyMAC implements vault.Keys.
func (w *World) VerifyMAC(_ context.Context, message, mac []byte) (bool, error) {
	if err := w.count("VerifyMAC"); err != nil {
		return false, err
	}
	return hmac.Equal(w.mac(message), mac), nil
}

// Decrypt implements vault.Opener.
func (w *World) Decrypt(_ context.Context, r *upstream.Request) (*upstream.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls["Decrypt"]++
	w.last = r
	if w.fail != nil {
		return nil, w.fail
	}
	p, ok := w.pairs[string(r.WrappedKey)]
	bind := map[string]string(nil)
	if r.KeyContext {
		bind = map[string]string{"vault_id": r.VaultID}
	}
	if !ok || !maps.Equal(p.bind, bind) {
		return nil, &upstream.Error{Code: wire.KeyDenied}
	}
	values, out := w.open(p, r)
	include := slices.Collect(maps.Keys(r.Fields))
	if r.Include != nil {
		include = *r.Include
	}
	for name, v := range values {
		if slices.Contains(include, name) {
			out.Fields[name] = v
		}
	}
	for name, source := range r.Expressions {
		evaluate(out, values, name, source)
	}
	out.Access = access(r)
	if w.report != nil {
		out.Access = *w.report
	}
	if len(r.Fields) > 0 && len(values) == 0 {
		return nil, &upstream.Error{Code: wire.DecryptFailed}
	}
	if r.ReplyKey != nil {
		return seal(r, out)
	}
	return out, nil
}

// seal seals everything that would be shown to the caller's key, failures too, as the enclave does.
func seal(r *upstream.Request, out *upstream.Result) (*upstream.Result, error) {
	refused := &upstream.Error{Code: wire.BadRequest}
	id, err := base64.StdEncoding.DecodeString(r.ReplyKey.SuiteID)
	der, err2 := base64.StdEncoding.DecodeString(r.ReplyKey.PublicKey)
	suite, err3 := sealed.ParseSuite(id)
	if errors.Join(err, err2, err3) != nil {
		return nil, refused
	}
	key, err := sealed.ParsePublicKey(suite, der)
	if err != nil {
		return nil, refused
	}
	bodies := map[string][]byte{}
	for name, v := range out.Fields {
		bodies[name] = reply.Append(nil, reply.JSON, v)
	}
	for name, e := range out.Errors {
		v, err := json.Marshal(e)
		if err != nil {
			return nil, refused
		}
		bodies[name] = reply.Append(nil, reply.Problem, v)
	}
	blobs, err := sealed.SealRecord(suite, key, reply.Info(r.VaultID), bodies)
	if err != nil {
		return nil, &upstream.Error{Code: wire.Internal}
	}
	out.Fields, out.Sealed = map[string]json.RawMessage{}, map[string]string{}
	out.Errors = map[string]upstream.FieldError{}
	for name, blob := range blobs {
		out.Sealed[name] = base64.StdEncoding.EncodeToString(blob)
	}
	return out, nil
}

func (w *World) open(p pair, r *upstream.Request) (map[string]json.RawMessage, *upstream.Result) {
	values := map[string]json.RawMessage{}
	out := &upstream.Result{Fields: map[string]json.RawMessage{}, Errors: map[string]upstream.FieldError{}}
	for name, blob := range r.Fields {
		plain, err := open(p, r.VaultID, name, sealed.Encoding(r.Encoding), blob)
		if err != nil {
			out.Fields[name] = json.RawMessage("null")
			out.Errors[name] = upstream.FieldError{Code: wire.DecryptFailed.String(), Message: wire.DecryptFailed.Text()}
			continue
		}
		values[name], _ = json.Marshal(string(plain))
	}
	return values, out
}

func open(p pair, info, name string, e sealed.Encoding, raw []byte) ([]byte, error) {
	blob, err := sealed.ParseBlob(p.suite, e, raw)
	if err != nil {
		return nil, err
	}
	c, err := p.key.Derive(make([]byte, sealed.ContextSize), []byte(info), blob.Enc)
	if err != nil {
		return nil, err
	}
	return c.Open(nil, []byte(name), blob)
}

func evaluate(out *upstream.Result, values map[string]json.RawMessage, name, source string) {
	switch source {
	case "null":
		out.Fields[name] = json.RawMessage("null")
		return
	case "fail":
		out.Errors[name] = upstream.FieldError{Code: wire.ExpressionFailed.String(), Message: wire.ExpressionFailed.Text()}
		return
	case "1 + typo":
		k := wire.ExpressionUndeclaredName
		out.Errors[name] = upstream.FieldError{
			Code: wire.ExpressionFailed.String(), Message: k.Text(), Kind: k.String(),
			Position: &upstream.Position{Line: 1, Column: 5},
		}
		return
	}
	if v, ok := values[source]; ok {
		out.Fields[name] = slices.Clone(v)
		return
	}
	var v any = source
	if of, ok := strings.CutPrefix(source, "len("); ok {
		v = len(values[strings.TrimSuffix(of, ")")]) - 2
	}
	out.Fields[name], _ = json.Marshal(v)
}

// access is the report on what evaluate does.
func access(r *upstream.Request) map[string]upstream.Access {
	report := map[string]upstream.Access{}
	for name, source := range r.Expressions {
		a := upstream.Access{Reads: []string{}, Raw: []string{}}
		of, reduced := strings.CutPrefix(strings.TrimSuffix(source, ")"), "len(")
		if _, ok := r.Fields[of]; ok {
			a.Reads = append(a.Reads, of)
			if !reduced {
				a.Raw = append(a.Raw, of)
			}
		}
		report[name] = a
	}
	return report
}
