package dynamo

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"redoubt/api/internal/store"
)

func num(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

var truth types.AttributeValue = &types.AttributeValueMemberBOOL{Value: true}

// putOdd stores a record of which attributes are other than ours; nil takes one away.
func putOdd(t *testing.T, s *Store, id string, odd item) {
	t.Helper()
	it := recordItem(&store.Record{
		ID: id, Encoding: 2, Suite: []byte("HPKE"), WrappedKey: []byte("w"), PublicKey: []byte("p"), Created: 5, Modified: 6,
		Fields: map[string]store.Value{"email": {Blob: []byte{4, 0}}},
	})
	for name, v := range odd {
		if it[name] = v; v == nil {
			delete(it, name)
		}
	}
	if _, err := s.db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: s.table, Item: it}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatCanBeReadCanBeChangedAndErased(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	s := newStore(t, func() time.Time { return at })
	for name, odd := range map[string]item{
		"no _mt":                {"_mt": nil},
		"_mt is a fraction":     {"_mt": num("1735000000000000.5")},
		"_mt is too large":      {"_mt": num("99999999999999999999999999")},
		"_mt is negative":       {"_mt": num("-5")},
		"_mt is a text":         {"_mt": text("6")},
		"_mt is true":           {"_mt": truth},
		"expires in a fraction": {"expire_at": num("1800000000.5")},
		"expires, a text":       {"expire_at": text("1800000001")},
		"expires, no time":      {"expire_at": text("soon")},
		"expires, true":         {"expire_at": truth},
		"expires at 0":          {"expire_at": num("0")},
		"_v is another":         {"_v": num("7")},
		"_v is a text":          {"_v": text("2")},
		"_ct is a fraction":     {"_ct": num("0.5")},
		"a field is a number":   {"age": num("5")},
	} {
		t.Run(name, func(t *testing.T) {
			for _, then := range []string{"change", "erase"} {
				putOdd(t, s, "v_1", odd)
				r, err := s.Get(t.Context(), "v_1")
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Delete(t.Context(), "v_1", r.Modified+1, nil); !errors.Is(err, store.ErrConflict) {
					t.Errorf("at another revision: %v", err)
				}
				if then == "change" {
					u := &store.Update{ID: "v_1", Revision: r.Modified, Modified: 1_800_000_000_000_000}
					if err := s.Update(t.Context(), u, nil); err != nil {
						t.Fatalf("change: %v", err)
					}
					if r, err = s.Get(t.Context(), "v_1"); err != nil || r.Modified != u.Modified {
						t.Fatalf("changed: %+v, %v", r, err)
					}
				}
				list, _, err := s.List(t.Context(), store.Page{})
				if err != nil || len(list) != 1 || list[0].Modified < 0 {
					t.Errorf("list %+v, %v", list, err)
				}
				if err := s.Delete(t.Context(), "v_1", r.Modified, nil); err != nil {
					t.Fatalf("erase: %v", err)
				}
				if _, err := s.Get(t.Context(), "v_1"); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("erased: %v", err)
				}
			}
		})
	}
}

func TestATimeToLiveThatIsNoWholeNumberIsKept(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	s := newStore(t, func() time.Time { return at })
	for name, c := range map[string]struct {
		v    types.AttributeValue
		last int64 // the last second in which the record is there; 0: it is there for ever
	}{
		"fraction": {num("1800000010.5"), 1_800_000_010}, "text": {text("1800000010"), 1_800_000_009},
		"text, fraction": {text("1800000010.5"), 1_800_000_010}, "negative": {num("-0.5"), 1},
		"far": {num("1E+40"), 0}, "zero": {num("0"), 0}, "none": {nil, 0}, "unreadable": {text("soon"), 0},
		"not a number": {text("NaN"), 0},
	} {
		putOdd(t, s, "v_1", item{"expire_at": c.v})
		for now := int64(1_800_000_000); now < 1_800_000_020; now++ {
			at = time.Unix(now, 0)
			_, err := s.Get(t.Context(), "v_1")
			if there := c.last == 0 || now <= c.last; there && err != nil || !there && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s, at %d: %v", name, now, err)
			}
		}
	}
}

func TestARecordOfOtherTypesIsDamagedAndNotAbsent(t *testing.T) {
	s := newStore(t, time.Now)
	for name, odd := range map[string]item{
		"_sk is a text": {"_sk": text("w")}, "_pk is a text": {"_pk": text("p")}, "_hs is a number": {"_hs": num("1")},
		"_km is a text": {"_km": text("m")}, "_kc is true": {"_kc": truth},
		"_kd is a text": {"_kd": text("d")}, "_ke is a text": {"_ke": text("1")}, "_ke is too large": {"_ke": num("65536")},
		"_en is a text": {"_en": text("e")}, "_en has a text": {"_en": &types.AttributeValueMemberM{Value: item{"r": text("e")}}},
	} {
		putOdd(t, s, "v_1", odd)
		before := s.Damaged()
		if _, err := s.Get(t.Context(), "v_1"); !errors.Is(err, store.ErrDamaged) || s.Damaged() != before+1 {
			t.Errorf("%s: %v, counted %d", name, err, s.Damaged()-before)
		}
	}
	putOdd(t, s, "v_1", item{"age": num("5")})
	r, err := s.Get(t.Context(), "v_1")
	if err != nil {
		t.Fatal(err)
	}
	if v, there := r.Fields["age"]; !there || !v.Text || v.Blob != nil {
		t.Errorf("the field of another type: %+v, %v", v, there)
	}
}

func TestAMalformedAuditEntryIsMarkedAndHidesNoOther(t *testing.T) {
	s := newStore(t, time.Now)
	good := &store.Entry{VaultID: "v_1", Time: 1_700_000_000_000_000, Event: "DecryptVault", Chain: "c", Seq: 1, Hash: []byte{1}}
	if err := s.AppendAudit(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	odd := []item{
		{"_e": num("1")},
		{"_e": nil},
		{"_f": text("email")},
		{"_f": &types.AttributeValueMemberL{Value: []types.AttributeValue{num("1")}}},
		{"_ct": num("99999999999999999999")},
		{"_ct": num("1.5")},
		{"_a": blob([]byte("{}"))},
		{"_h": text("h")},
		{"_n": num("-1")},
	}
	for i, change := range odd {
		e := *good
		e.Seq = uint64(i + 2)
		it := entryItem(&e)
		for name, v := range change {
			if it[name] = v; v == nil {
				delete(it, name)
			}
		}
		if _, err := s.db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: s.table, Item: it}); err != nil {
			t.Fatal(err)
		}
	}
	log, _, err := s.Audit(t.Context(), "v_1", store.Page{})
	if err != nil || len(log) != 1+len(odd) || log[0].Event != good.Event {
		t.Fatalf("%d entries, %v", len(log), err)
	}
	for i, e := range log[1:] {
		if e.Event != store.EventUnreadable {
			t.Errorf("%v: %s", odd[i], e.Event)
		}
	}
	if s.Damaged() != uint64(len(odd)) {
		t.Errorf("counted %d", s.Damaged())
	}
}
