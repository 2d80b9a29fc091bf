package audit

import (
	"encoding/hex"
	"reflect"
	"testing"
	"time"

	"redoubt/api/internal/store"
)

func TestAccessComesBackFromItsEntry(t *testing.T) {
	for name, change := range map[string]func(*Event){
		"nothing recorded": func(*Event) {},
		"nothing released": func(ev *Event) { ev.Released = []string{} },
		"reports": func(ev *Event) {
			ev.Released = []string{"ssn9"}
			ev.Access = []Access{
				{Reads: []string{"dob", "ssn9"}, Raw: []string{"dob"}, SourceMAC: []byte{1, 2}},
				{Reads: ev.Fields, Raw: ev.Fields, Unknown: true, SourceMAC: []byte{3}},
			}
		},
	} {
		s := newStore(t)
		want := event("v_1")
		want.Fields, want.Expressions = []string{"ssn9", "email", "dob"}, []string{"age", "card"}
		change(&want)
		if err := newLog(s, time.Now).Write(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		list, _, err := s.Audit(t.Context(), "v_1", store.Page{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Read(&list[0]); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
		if r := verify(t, s); len(r.Problems) > 0 {
			t.Errorf("%s: %v", name, r.Problems)
		}
	}
}

func TestAccessThatIsNotOfTheEventIsRefused(t *testing.T) {
	for name, change := range map[string]func(*Event){
		"a field that was not asked for": func(ev *Event) { ev.Released = []string{"ssn9"} },
		"reads one":                      func(ev *Event) { ev.Access = []Access{{Reads: []string{"ssn9"}}} },
		"holds one":                      func(ev *Event) { ev.Access = []Access{{Raw: []string{"ssn9"}}} },
		"a second expression":            func(ev *Event) { ev.Access = make([]Access, 2) },
	} {
		ev := event("v_1")
		change(&ev)
		if err := newLog(newStore(t), time.Now).Write(t.Context(), ev); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	for _, body := range []string{
		`{"expressions":["x"],"released":[1]}`, `{"expressions":["x"],"released":[-1]}`,
		`{"expressions":["x"],"access":[{"reads":[1]}]}`, `{"expressions":["x"],"access":[{"raw":[7]}]}`,
		`{"access":[{}]}`,
	} {
		if _, err := Read(&store.Entry{Fields: []string{"email"}, Body: []byte(body)}); err == nil {
			t.Errorf("%s is read", body)
		}
	}
}

// TestEntriesOfEarlierReleasesVerify: the entry's hash was computed by another program.
func TestEntriesOfEarlierReleasesVerify(t *testing.T) {
	hash, err := hex.DecodeString("8873211b6989939490c38016f57cb576765888835b5a20a5e8804674b9104710")
	if err != nil {
		t.Fatal(err)
	}
	s := newStore(t)
	err = s.AppendAudit(t.Context(), &store.Entry{
		VaultID: "v_1", Time: 1767225600000000, Event: EventDecrypt, Reason: "support", Fields: []string{"dob", "ssn9"},
		Chain: "w-1", Seq: 1, Hash: hash,
		Body: []byte(`{"principal":"key:a","source":"192.0.2.1","request_id":"r","expressions":["age"],"outcome":"ok"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, newLog(s, time.Now), "v_1", 1)
	if r := verify(t, s); len(r.Problems) > 0 || r.Entries != 2 || r.Legacy != 0 {
		t.Errorf("%+v", r)
	}
	list, _, err := s.Audit(t.Context(), "v_1", store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	if ev, err := Read(&list[0]); err != nil || ev.Released != nil || ev.Access != nil || ev.Outcome != OutcomeOK {
		t.Errorf("%+v, %v", ev, err)
	}
}
