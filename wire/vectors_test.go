package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"testing"
)

// message is what all messages have.
type message interface {
	Append(dst []byte) []byte
	Decode(b []byte) error
}

// headerMessage makes a message of a header.
type headerMessage struct{ Header }

func (m *headerMessage) Append(dst []byte) []byte { return AppendHeader(dst, m.Header) }

func (m *headerMessage) Decode(b []byte) (err error) {
	m.Header, err = ParseHeader(b)
	return err
}

var messages = map[string]func() message{
	"Header":               func() message { return new(headerMessage) },
	"DecryptRequest":       func() message { return new(DecryptRequest) },
	"DecryptResponse":      func() message { return new(DecryptResponse) },
	"Hello":                func() message { return new(Hello) },
	"Credentials":          func() message { return new(Credentials) },
	"Purge":                func() message { return new(Purge) },
	"Purged":               func() message { return new(Purged) },
	"Ping":                 func() message { return new(Ping) },
	"Pong":                 func() message { return new(Pong) },
	"Stats":                func() message { return new(Stats) },
	"AttestRequest":        func() message { return new(AttestRequest) },
	"AttestResponse":       func() message { return new(AttestResponse) },
	"DomainRecord":         func() message { return new(DomainRecord) },
	"CreateDomainRequest":  func() message { return new(CreateDomainRequest) },
	"CreateDomainResponse": func() message { return new(CreateDomainResponse) },
	"WrapDomainRequest":    func() message { return new(WrapDomainRequest) },
	"WrapDomainResponse":   func() message { return new(WrapDomainResponse) },
	"MintRequest":          func() message { return new(MintRequest) },
	"MintResponse":         func() message { return new(MintResponse) },
	"ResealRequest":        func() message { return new(ResealRequest) },
	"ResealResponse":       func() message { return new(ResealResponse) },
	"Log":                  func() message { return new(Log) },
	"GoAway":               func() message { return new(GoAway) },
	"ErrorBody":            func() message { return new(ErrorBody) },
}

type vector struct {
	Name    string          `json:"name"`
	Type    string          `json:"type"`
	Value   json.RawMessage `json:"value"`
	Hex     string          `json:"hex"`
	Lax     bool            `json:"lax"`
	Invalid bool            `json:"invalid"`
}

func vectors(tb testing.TB) []vector {
	tb.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		tb.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(b, &vs); err != nil {
		tb.Fatal(err)
	}
	return vs
}

func (v *vector) body(tb testing.TB) []byte {
	tb.Helper()
	b, err := hex.DecodeString(v.Hex)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// plain turns a message into what encoding/json makes of a vector's value: byte strings in hex.
func plain(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return hex.EncodeToString(v.Bytes())
		}
		out := make([]any, v.Len())
		for i := range out {
			out[i] = plain(v.Index(i))
		}
		return out
	case reflect.Struct:
		out := map[string]any{}
		for i := range v.NumField() {
			out[v.Type().Field(i).Name] = plain(v.Field(i))
		}
		return out
	case reflect.Bool:
		return v.Bool()
	}
	return json.Number(fmt.Sprint(v.Convert(numberType(v)).Interface()))
}

func numberType(v reflect.Value) reflect.Type {
	if v.CanInt() {
		return reflect.TypeFor[int64]()
	}
	return reflect.TypeFor[uint64]()
}

// unplain is its inverse.
func unplain(t *testing.T, from any, to reflect.Value) {
	t.Helper()
	switch x := from.(type) {
	case string:
		b, err := hex.DecodeString(x)
		if err != nil {
			t.Fatal(err)
		}
		to.SetBytes(b)
	case []any:
		to.Set(reflect.MakeSlice(to.Type(), len(x), len(x)))
		for i := range x {
			unplain(t, x[i], to.Index(i))
		}
	case map[string]any:
		for name, v := range x {
			unplain(t, v, to.FieldByName(name))
		}
	case bool:
		to.SetBool(x)
	case json.Number:
		if err := json.Unmarshal([]byte(x), to.Addr().Interface()); err != nil {
			t.Fatal(err)
		}
	}
}

func value(m message) reflect.Value {
	if h, ok := m.(*headerMessage); ok {
		return reflect.ValueOf(&h.Header).Elem()
	}
	return reflect.ValueOf(m).Elem()
}

func (v *vector) want(t *testing.T) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(v.Value))
	d.UseNumber()
	var want any
	if err := d.Decode(&want); err != nil {
		t.Fatal(err)
	}
	return want
}

func TestVectorsDecodeToTheirValues(t *testing.T) {
	for _, v := range vectors(t) {
		m := messages[v.Type]()
		err := m.Decode(v.body(t))
		switch {
		case v.Invalid:
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: %s is not refused: %v", v.Type, v.Name, err)
			}
		case err != nil:
			t.Errorf("%s: %s: %v", v.Type, v.Name, err)
		case !reflect.DeepEqual(plain(value(m)), v.want(t)):
			t.Errorf("%s: %s: decoded to %v", v.Type, v.Name, plain(value(m)))
		}
	}
}

func TestVectorsAreWhatTheirValuesEncodeTo(t *testing.T) {
	for _, v := range vectors(t) {
		if v.Invalid || v.Lax {
			continue
		}
		m := messages[v.Type]()
		unplain(t, v.want(t), value(m))
		if got := hex.EncodeToString(m.Append(nil)); got != v.Hex {
			t.Errorf("%s: %s: encoded to %s", v.Type, v.Name, got)
		}
	}
}

// TestVectorsAtTheirLimitsDecode is the other side of the vectors that exceed a limit by one.
func TestVectorsAtTheirLimitsDecode(t *testing.T) {
	big := DecryptRequest{
		Encoding: 2, VaultID: make([]byte, MaxVaultID), Region: make([]byte, MaxRegion),
		WrappedKey: make([]byte, MaxWrappedKey), ReplyKey: make([]byte, MaxReplyKey),
		CallerToken: make([]byte, MaxCallerToken),
	}
	for range MaxFields {
		big.AddField(make([]byte, MaxName), make([]byte, 1000))
		big.AddExpression(make([]byte, MaxName), make([]byte, 1000))
	}
	var res DecryptResponse
	for i := range MaxFields {
		res.Add(Result{Kind: ResultField, Index: uint16(i)})
		res.Add(Result{Kind: ResultExpression, Index: uint16(i)})
		res.Failures = append(res.Failures, Failure{Index: uint16(i), Kind: ExpressionCycle, Line: math.MaxUint32})
		for k := range MaxFields {
			res.Reads = append(res.Reads, FieldRead{Expression: uint16(i), Field: uint16(k), Raw: true})
		}
	}
	res.AccessReported = true
	hello := Hello{MinVersion: 1, MaxVersion: 9, BuildID: make([]byte, MaxBuildID), EnclaveID: make([]byte, MaxEnclaveID)}
	for i := range MaxPCRs {
		hello.PCRs = append(hello.PCRs, PCR{Index: uint8(i), Value: make([]byte, MaxPCR)})
	}
	bigKey := VaultKey{make([]byte, MaxWrappedKey), make([]byte, MaxPublicKey), make([]byte, StatementSize)}
	bigOld := DecryptRequest{
		Encoding: 4, VaultID: make([]byte, MaxVaultID), WrappedKey: make([]byte, MaxWrappedKey),
		Domain: make([]byte, DomainNameSize), Encs: slices.Repeat([][]byte{make([]byte, MaxEnc)}, MaxEncs),
	}
	var allFields []uint8
	for i := range MaxFields {
		bigOld.AddField(make([]byte, MaxName), make([]byte, 20_000)).Enc = MaxEncs - 1
		allFields = append(allFields, uint8(i))
	}
	var st Stats
	for i := range MaxStats {
		st.Add(StatID(i), int64(i))
		st.AddHistogram(Stage(i), 1, MaxBuckets)
	}
	for _, m := range []interface {
		message
		Validate() error
	}{
		&big, &res, &hello, &st,
		&Credentials{
			AccessKeyID: make([]byte, MaxCredential), Secret: make([]byte, MaxCredential),
			Token: make([]byte, MaxSessionToken),
		},
		&AttestRequest{Nonce: make([]byte, MaxNonce)},
		&AttestResponse{Document: make([]byte, MaxDocument)},
		&DomainRecord{Record: make([]byte, MaxDomainRecord)},
		&CreateDomainRequest{
			ID: make([]byte, MaxDomainID), Generation: math.MaxUint16, Suites: make([]byte, MaxSuites),
			RequestSuites: make([]byte, MaxRequestSuites), Nonce: make([]byte, MaxNonce), DataKeys: slices.Repeat([]DataKey{{
				make([]byte, MaxKeyARN), make([]byte, MaxWrappedKey),
			}}, MaxDataKeys),
		},
		&CreateDomainResponse{make([]byte, MaxDomainRecord), make([]byte, MaxDocument)},
		&WrapDomainRequest{
			make([]byte, MaxDomainRecord), []DataKey{{make([]byte, MaxKeyARN), make([]byte, MaxWrappedKey)}},
		},
		&WrapDomainResponse{make([]byte, MaxDomainRecord)},
		&MintRequest{Domain: make([]byte, DomainNameSize), Suite: 255, Count: MaxMint},
		&MintResponse{slices.Repeat([]Minted{{make([]byte, MaxVaultID), bigKey}}, MaxMint)},
		&ResealRequest{To: make([]byte, DomainNameSize), Suite: 255, Epoch: math.MaxUint16, Old: bigOld},
		&ResealResponse{
			Key: bigKey, Enc: make([]byte, MaxEnc), Fields: slices.Repeat([][]byte{make([]byte, 20_000)}, MaxFields),
			Statement: make([]byte, StatementSize),
		},
		&ResealResponse{Code: DecryptFailed, Unopened: allFields},
		&ResealResponse{Code: DomainUnknown, RetryAfterMS: math.MaxUint32, Domain: make([]byte, DomainNameSize)},
		&Log{Text: make([]byte, MaxLogText), Numbers: make([]LogNumber, MaxLogNumbers)},
	} {
		if err := m.Validate(); err != nil {
			t.Errorf("%T: refuses its limits: %v", m, err)
		}
		fresh := reflect.New(reflect.TypeOf(m).Elem()).Interface().(message)
		if err := fresh.Decode(m.Append(nil)); err != nil {
			t.Errorf("%T: does not decode at its limits: %v", m, err)
		}
		if !reflect.DeepEqual(plain(value(m)), plain(value(fresh))) {
			t.Errorf("%T: changed on its way", m)
		}
	}
}
