package engine

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"slices"
	"testing"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

// reportOf shows an access report: "masked:ssn9 copy:ssn9!".
func reportOf(q *wire.DecryptRequest, m *wire.DecryptResponse) []string {
	report := []string{}
	for _, r := range m.Reads {
		line := fmt.Sprintf("%s:%s", q.Expressions[r.Expression].Name, q.Fields[r.Field].Name)
		if r.Raw {
			line += "!"
		}
		report = append(report, line)
	}
	return report
}

// TestTheAccessReportTellsARawReleaseFromAMaskedOne: in the clear and sealed, cold and with a cached plan, and whether or
// not the expression has a value. Who does not ask gets none.
func TestTheAccessReportTellsARawReleaseFromAMaskedOne(t *testing.T) {
	w := newWorld(t, options{})
	v := w.vault("v_1", sealed.P256, true)
	blobs := w.seal(v, sealed.EncodingRecord, record)
	blobs["dob"] = blobs["ssn9"] // cannot be opened under that name
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	for name, reply := range map[string][]byte{"clear": nil, "sealed": spki} {
		q := v.request(sealed.EncodingRecord, blobs, "dob", "ssn9")
		q.ReplySuite, q.ReplyKey = uint8(sealed.P256), reply
		q.AddExpression([]byte("masked"), []byte("ssn9.mask(4)"))
		q.AddExpression([]byte("copy"), []byte("ssn9"))
		q.AddExpression([]byte("fails"), []byte("copy + dob"))
		q.AddExpression([]byte("malformed"), []byte("ssn9 +"))
		for range 2 {
			m, code := w.do(q)
			if code != wire.OK || m.AccessReported || len(m.Reads) > 0 {
				t.Errorf("%s: %v, %v without being asked", name, code, m.Reads)
			}
			asks := *q
			asks.ReportAccess = true
			m, code = w.do(&asks)
			want := []string{"masked:ssn9", "copy:ssn9!", "fails:dob!", "fails:ssn9!"}
			if got := reportOf(q, m); code != wire.OK || !m.AccessReported || !slices.Equal(got, want) {
				t.Errorf("%s: %v, report %v, want %v", name, code, got, want)
			}
		}
	}
	q := v.request(sealed.EncodingRecord, blobs, "ssn9")
	q.ReportAccess = true
	if m, _ := w.do(q); !m.AccessReported || len(m.Reads) > 0 {
		t.Error("a request without expressions has no empty report")
	}
}
