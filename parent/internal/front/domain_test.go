package front

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

const xwingID = "SFBLRWR6AAEAAg=="

// record is the least of a domain's record: a descriptor and something behind it.
func record(descriptor string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(len(descriptor)))) + descriptor + "wraps"
}

// domainName is how a request names the domain of record(descriptor).
func domainName(descriptor string) string {
	sum := sha512.Sum384([]byte(descriptor))
	return hex.EncodeToString(sum[:wire.DomainNameSize])
}

// encOf is an encapsulated key of X-Wing's size, and its ref in hex.
func encOf(i int) (key, ref string) {
	key = strings.Repeat(string([]byte{byte(i + 1)}), sealed.XWing.EncSize())
	sum := sha256.Sum256([]byte(key))
	return key, hex.EncodeToString(sum[:sealed.RefSize])
}

// refBlob is a field of encoding 4 that names encapsulated key i.
func refBlob(i int) string {
	_, ref := encOf(i)
	raw, err := hex.DecodeString(ref)
	if err != nil {
		panic(err)
	}
	return "\x05" + string(raw) + strings.Repeat("c", sealed.TagSize+1)
}

// under are the changes that make a request one for a vault under a domain, with two fields and three encapsulated
// keys, of which one is not used; and further changes, where a nil value deletes a key.
func under(changes obj) obj {
	m := obj{
		"region": nil, "suite_id": xwingID, "encoding": "4", "domain": domainName("d"),
		"fields": obj{"a": b64(refBlob(2)), "b": b64(refBlob(0))}, "encs": encs(3),
	}
	for k, v := range changes {
		m[k] = v
	}
	return m
}

func encs(n int) obj {
	m := obj{}
	for i := range n {
		key, ref := encOf(i)
		m[ref] = b64(key)
	}
	return m
}

func TestRequestsUnderADomainAreCheckedBeforeAnythingIsSent(t *testing.T) {
	key, ref := encOf(0)
	changed := encs(1)
	changed[ref] = b64("x" + key[1:])
	short := encs(1)
	short[ref] = b64(key[1:])
	for _, c := range []struct {
		name   string
		change obj
		fault  *fault
	}{
		{"valid", nil, nil},
		{"an empty region", obj{"region": ""}, nil},
		{"key context 0", obj{"key_context": 0}, nil},
		{"no field and no enc", obj{"fields": obj{}, "encs": nil}, nil},
		{"its record", obj{"domain_records": []string{b64(record("d"))}}, nil},
		{"no record", obj{"domain_records": []string{}}, nil},
		{"32 encs", obj{"fields": obj{"a": b64(refBlob(31))}, "encs": encs(32)}, nil},
		{"the largest record", obj{"domain_records": []string{b64(record("d") + strings.Repeat("w", wire.MaxDomainRecord-8))}}, nil},
		{"P-384", obj{"suite_id": p384ID, "fields": obj{}, "encs": nil}, nil},

		{"a region", obj{"region": "us-east-1"}, faultDomainRegion},
		{"key context", obj{"key_context": 1}, faultDomainContext},
		{"encoding 3", obj{"encoding": "3"}, faultEncoding},
		{"no encoding", obj{"encoding": nil}, faultEncoding},
		{"encoding 5", obj{"encoding": "5"}, faultEncoding},
		{"no domain", obj{"domain": nil, "encs": nil, "region": "us-east-1", "suite_id": p384ID}, faultEncoding},
		{"no domain, encoding 2", obj{"domain": nil, "encoding": "2", "encs": nil, "region": "us-east-1"}, faultSuiteID},
		{"encs without a domain", obj{"domain": nil, "encoding": "2", "region": "us-east-1", "suite_id": p384ID}, faultNoDomain},
		{"records without a domain", obj{
			"domain": nil, "encoding": "2", "region": "us-east-1", "suite_id": p384ID, "encs": nil, "domain_records": []string{},
		}, faultNoDomain},
		{"domain null", obj{"domain": null{}}, shapeDomain},
		{"domain number", obj{"domain": 5}, shapeDomain},
		{"domain empty", obj{"domain": ""}, faultDomain},
		{"domain short", obj{"domain": domainName("d")[2:]}, faultDomain},
		{"domain long", obj{"domain": domainName("d") + "00"}, faultDomain},
		{"domain in upper case", obj{"domain": strings.ToUpper(domainName("d"))}, faultDomain},
		{"domain not hex", obj{"domain": "g" + domainName("d")[1:]}, faultDomain},
		{"suite of a reply key", obj{"reply_key": obj{"suite_id": xwingID, "public_key": "QQ=="}}, faultReplyKey},

		{"encs null", obj{"encs": null{}}, faultEncsShape},
		{"encs array", obj{"encs": []string{}}, faultEncsShape},
		{"an enc that is no text", obj{"encs": obj{ref: 5}}, faultEncsShape},
		{"33 encs", obj{"encs": encs(33)}, faultEncCount},
		{"a ref that is too short", obj{"encs": obj{ref[2:]: b64(key)}}, faultRef},
		{"a ref in upper case", obj{"encs": obj{strings.ToUpper(ref): b64(key)}}, faultRef},
		{"a ref that is not hex", obj{"encs": obj{"g" + ref[1:]: b64(key)}}, faultRef},
		{"an enc that is not base64", obj{"encs": obj{ref: "$"}}, faultEnc},
		{"an enc of another size", obj{"encs": short}, faultEnc},
		{"an enc of another suite", obj{"suite_id": p384ID}, faultEnc},
		{"an enc under another's ref", obj{"encs": changed}, faultEncRef},
		{"a field of another enc", obj{"fields": obj{"a": b64(refBlob(3))}}, faultRefUnknown},
		{"fields without encs", obj{"encs": nil}, faultRefUnknown},
		{"a field of encoding 3", obj{"fields": obj{"a": b64("\x03" + refBlob(0)[1:])}}, faultRefField},
		{"a field without a tag", obj{"fields": obj{"a": b64(refBlob(0)[:1+sealed.RefSize+sealed.TagSize-1])}}, faultRefField},
		{"an empty field", obj{"fields": obj{"a": ""}}, faultRefField},

		{"records null", obj{"domain_records": null{}}, faultRecordsShape},
		{"records object", obj{"domain_records": obj{}}, faultRecordsShape},
		{"a record that is no text", obj{"domain_records": []int{1}}, faultRecordsShape},
		{"five records", obj{"domain_records": []string{"", "", "", "", ""}}, faultRecordCount},
		{"a record that is not base64", obj{"domain_records": []string{"$"}}, faultRecord},
		{"an empty record", obj{"domain_records": []string{""}}, faultRecord},
		{"a record without a descriptor", obj{"domain_records": []string{b64("\x00\x00wraps")}}, faultRecord},
		{"a record that ends early", obj{"domain_records": []string{b64("\x00\x02d")}}, faultRecord},
		{"too large a record", obj{"domain_records": []string{b64(record("d") + strings.Repeat("w", wire.MaxDomainRecord-7))}}, faultRecord},
		{"a record of another domain", obj{"domain_records": []string{b64(record("e"))}}, faultRecordOther},
		{"two records", obj{"domain_records": []string{b64(record("d")), b64(record("d"))}}, faultRecordOther},
	} {
		var r request
		if f := r.decode(body(under(c.change)), v1); f != c.fault {
			t.Errorf("%s: %v, want %v", c.name, f, c.fault)
		}
	}
}

// A name that is given twice, which a map of Go cannot say.
func TestAnEncGivenTwiceIsRefused(t *testing.T) {
	key, ref := encOf(0)
	twice := strings.Replace(string(body(under(obj{"fields": obj{}}))), `"encs":{`, fmt.Sprintf(`"encs":{%q:%q,`, ref, b64(key)), 1)
	var r request
	if f := r.decode([]byte(twice), v1); f != faultEncTwice {
		t.Errorf("%v, want %v", f, faultEncTwice)
	}
}

// The reference's route knows no domain: it ignores the members, as it does others of /v1.
func TestTheReferencesRouteIgnoresDomains(t *testing.T) {
	var r request
	f := r.decode(body(obj{"domain": 5, "encs": []int{}, "domain_records": "x"}), reference)
	if f != nil || len(r.msg.Domain) > 0 || len(r.records) > 0 {
		t.Errorf("%v, domain %x, %d records", f, r.msg.Domain, len(r.records))
	}
	if f := r.decode(body(under(obj{"region": "us-east-1"})), reference); f != faultSuiteID {
		t.Errorf("X-Wing on the reference's route: %v", f)
	}
}

func TestADecodedRequestUnderADomainIsWhatWasSent(t *testing.T) {
	doc := body(under(obj{"domain_records": []string{b64(record("d"))}}))
	var r request
	for range 3 { // reuse leaves nothing behind
		if f := r.decode(doc, v1); f != nil {
			t.Fatal(f)
		}
		var m wire.DecryptRequest
		if err := m.Decode(r.msg.Append(nil)); err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(m.Domain) != domainName("d") || m.Suite != uint8(sealed.XWing) || len(m.Encs) != 2 {
			t.Errorf("domain %x, suite %d, %d encs: the one that no field names is not sent", m.Domain, m.Suite, len(m.Encs))
		}
		for i, want := range []int{2, 0} {
			key, _ := encOf(want)
			if string(m.Encs[m.Fields[i].Enc]) != key || string(m.Fields[i].Blob) != refBlob(want) {
				t.Errorf("field %d has another encapsulated key", i)
			}
		}
		if len(r.records) != 1 || string(r.records[0].Bytes) != record("d") || !bytes.Equal(r.records[0].Name[:], m.Domain) {
			t.Error("another record")
		}
		if f := r.decode(body(nil), v1); f != nil || len(r.msg.Domain)+len(r.msg.Encs)+len(r.records)+len(r.encs) > 0 {
			t.Errorf("%v, something is left", f)
		}
	}
}
