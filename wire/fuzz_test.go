package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

// fuzzMessage feeds a decoder. What it accepts must be within the limits, survive a round trip, and decode to the same
// when the message has been used before.
func fuzzMessage(f *testing.F, name string) {
	f.Helper()
	for _, v := range vectors(f) {
		if v.Type == name && len(v.Hex) < 4096 {
			f.Add(v.body(f))
		}
	}
	used := messages[name]()
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		m := messages[name]()
		err := m.Decode(b)
		if errUsed := used.Decode(b); !errors.Is(errUsed, err) && !errors.Is(err, errUsed) {
			t.Fatalf("a used message decodes otherwise: %v, %v", err, errUsed)
		}
		if !bytes.Equal(b, before) {
			t.Fatal("decoding changed its input")
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		if !reflect.DeepEqual(plain(value(m)), plain(value(used))) {
			t.Fatal("a used message decodes otherwise")
		}
		if v, ok := m.(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				t.Fatalf("accepted what Validate refuses: %v", err)
			}
		}
		again := messages[name]()
		if err := again.Decode(m.Append(nil)); err != nil {
			t.Fatalf("does not decode what it encoded: %v", err)
		}
		if !reflect.DeepEqual(plain(value(m)), plain(value(again))) {
			t.Fatal("changed on its way")
		}
	})
}

func FuzzHeader(f *testing.F)          { fuzzMessage(f, "Header") }
func FuzzDecryptRequest(f *testing.F)  { fuzzMessage(f, "DecryptRequest") }
func FuzzDecryptResponse(f *testing.F) { fuzzMessage(f, "DecryptResponse") }
func FuzzHello(f *testing.F)           { fuzzMessage(f, "Hello") }
func FuzzCredentials(f *testing.F)     { fuzzMessage(f, "Credentials") }
func FuzzPurge(f *testing.F)           { fuzzMessage(f, "Purge") }
func FuzzPurged(f *testing.F)          { fuzzMessage(f, "Purged") }
func FuzzPing(f *testing.F)            { fuzzMessage(f, "Ping") }
func FuzzPong(f *testing.F)            { fuzzMessage(f, "Pong") }
func FuzzStats(f *testing.F)           { fuzzMessage(f, "Stats") }
func FuzzAttestRequest(f *testing.F)   { fuzzMessage(f, "AttestRequest") }
func FuzzDomainRecord(f *testing.F)    { fuzzMessage(f, "DomainRecord") }

func FuzzCreateDomainRequest(f *testing.F)  { fuzzMessage(f, "CreateDomainRequest") }
func FuzzCreateDomainResponse(f *testing.F) { fuzzMessage(f, "CreateDomainResponse") }
func FuzzWrapDomainRequest(f *testing.F)    { fuzzMessage(f, "WrapDomainRequest") }
func FuzzWrapDomainResponse(f *testing.F)   { fuzzMessage(f, "WrapDomainResponse") }
func FuzzMintRequest(f *testing.F)          { fuzzMessage(f, "MintRequest") }
func FuzzMintResponse(f *testing.F)         { fuzzMessage(f, "MintResponse") }
func FuzzResealRequest(f *testing.F)        { fuzzMessage(f, "ResealRequest") }
func FuzzResealResponse(f *testing.F)       { fuzzMessage(f, "ResealResponse") }

func FuzzAttestResponse(f *testing.F) { fuzzMessage(f, "AttestResponse") }
func FuzzLog(f *testing.F)            { fuzzMessage(f, "Log") }
func FuzzGoAway(f *testing.F)         { fuzzMessage(f, "GoAway") }
func FuzzErrorBody(f *testing.F)      { fuzzMessage(f, "ErrorBody") }
