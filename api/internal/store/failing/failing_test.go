package failing

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"redoubt/api/internal/store"
	"redoubt/api/internal/store/memory"
	"redoubt/api/internal/store/storetest"
)

type judge struct {
	verdict Verdict
	asked   []string
	kept    int
}

func (j *judge) Judge(operation string) Verdict {
	j.asked = append(j.asked, operation)
	return j.verdict
}

func (j *judge) Kept(string, string, string) { j.kept++ }

type calm struct{}

func (calm) Judge(string) Verdict        { return Verdict{} }
func (calm) Kept(string, string, string) {}

func TestAStoreWithoutFailuresIsAStore(t *testing.T) {
	storetest.Run(t, func(_ *testing.T, now func() time.Time) store.Store { return Wrap(memory.New(now), calm{}) })
}

// Every operation of the store's contract is judged, also one that comes later; Close is none that fails.
func TestEveryOperationIsJudged(t *testing.T) {
	contract := reflect.TypeFor[store.Store]()
	j := &judge{verdict: Verdict{Before: store.ErrUnavailable}}
	s := reflect.ValueOf(Wrap(memory.New(nil), j))
	for m := range contract.Methods() {
		if m.Name == "Close" {
			continue
		}
		var in []reflect.Value
		for i := range m.Type.NumIn() {
			if i == 0 {
				in = append(in, reflect.ValueOf(context.Background()))
				continue
			}
			in = append(in, reflect.Zero(m.Type.In(i)))
		}
		out := s.MethodByName(m.Name).Call(in)
		if err, _ := out[len(out)-1].Interface().(error); !errors.Is(err, store.ErrUnavailable) ||
			!slices.Contains(j.asked, m.Name) {
			t.Errorf("%s is not judged: %v", m.Name, err)
		}
	}
}

func TestALostAcknowledgementLeavesTheWrite(t *testing.T) {
	j := &judge{verdict: Verdict{After: store.ErrUnknownOutcome}}
	s := Wrap(memory.New(nil), j)
	r := &store.Record{ID: "v_1", Fields: map[string]store.Value{}}
	if err := s.Create(t.Context(), r, &store.Entry{VaultID: "v_1"}, nil); !errors.Is(err, store.ErrUnknownOutcome) {
		t.Fatal(err)
	}
	j.verdict = Verdict{}
	if _, err := s.Get(t.Context(), "v_1"); err != nil || j.kept != 1 {
		t.Fatalf("%v, %d entries kept", err, j.kept)
	}
}
