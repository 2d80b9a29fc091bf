package apitest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"redoubt/api/internal/upstream"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/sealed/reply"
)

// bound is the encryption context that the request says its key was wrapped with.
func bound(r *upstream.Request) map[string]string {
	if !r.KeyContext {
		return nil
	}
	return map[string]string{"vault_id": r.VaultID}
}

// openRequest does the enclave's work once the key is there. Its errors are those of an enclave.
func openRequest(suite sealed.Suite, key *sealed.PrivateKey, r *upstream.Request, report map[string]upstream.Access) (
	*upstream.Result, error,
) {
	values := map[string]json.RawMessage{}
	out := &upstream.Result{
		Fields: map[string]json.RawMessage{}, Errors: map[string]upstream.FieldError{}, Access: report,
	}
	for name, blob := range r.Fields {
		plain, err := openField(suite, key, r, name, blob)
		if err != nil {
			out.Fields[name] = json.RawMessage("null")
			out.Errors[name] = upstream.FieldError{Code: wire.DecryptFailed.String(), Message: wire.DecryptFailed.Text()}
			continue
		}
		values[name], _ = json.Marshal(string(plain))
	}
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
	if len(r.Fields) > 0 && len(values) == 0 {
		return nil, &upstream.Error{Code: wire.DecryptFailed}
	}
	if r.ReplyKey != nil {
		return sealResult(r, out)
	}
	return out, nil
}

func openField(
	suite sealed.Suite, key *sealed.PrivateKey, r *upstream.Request, name string, raw []byte,
) ([]byte, error) {
	blob, err := splitField(suite, r, raw)
	if err != nil {
		return nil, err
	}
	if r.Domain != nil {
		c, err := key.DeriveRecord(make([]byte, sealed.RecordSize), []byte(r.VaultID), blob.Enc)
		if err != nil {
			return nil, err
		}
		return c.Open(nil, []byte(name), blob)
	}
	c, err := key.Derive(make([]byte, sealed.ContextSize), []byte(r.VaultID), blob.Enc)
	if err != nil {
		return nil, err
	}
	return c.Open(nil, []byte(name), blob)
}

// splitField splits a field as its encoding says.
func splitField(suite sealed.Suite, r *upstream.Request, raw []byte) (sealed.Blob, error) {
	if r.Domain == nil {
		return sealed.ParseBlob(suite, sealed.Encoding(r.Encoding), raw)
	}
	ref, _, err := sealed.ParseRef(raw)
	if err != nil || r.Encoding != int(sealed.EncodingRef) {
		return sealed.Blob{}, sealed.ErrBlob
	}
	return sealed.JoinBlob(suite, raw, r.Encs[hex.EncodeToString(ref[:])])
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

// sealResult seals everything that would be shown to the caller's key, failures too, as the enclave does.
func sealResult(r *upstream.Request, out *upstream.Result) (*upstream.Result, error) {
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
