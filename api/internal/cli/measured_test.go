package cli

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/store"
)

// answering is a store that answers every write with one error.
type answering struct {
	store.Store
	err error
}

func (s answering) Update(context.Context, *store.Update, *store.Entry) error { return s.err }
func (s answering) Erase(context.Context, string, int64, *store.Keys, int64, *store.Entry) error {
	return s.err
}
func (s answering) AppendAudit(context.Context, *store.Entry) error { return s.err }

func TestAnEntryThatCouldNotBeStoredIsToldFromAWriteThatWasRefused(t *testing.T) {
	const name = "redoubt_api_audit_entries_total"
	for _, c := range []struct {
		err           error
		carried, lone string
	}{
		{nil, "ok", "ok"},
		{store.ErrConflict, "refused", "conflict"},
		{store.ErrNotFound, "refused", "not_found"},
		{store.ErrFull, "refused", "full"},
		{store.ErrErased, "refused", "erased"},
		{store.ErrEpochs, "refused", "epochs"},
		{store.ErrEpochsFull, "refused", "epochs_full"},
		{store.ErrInconsistent, "refused", "inconsistent"},
		{store.ErrThrottled, "throttled", "throttled"},
		{store.ErrDenied, "denied", "denied"},
		{store.ErrUnknownOutcome, "unknown", "unknown"},
	} {
		m := httpapi.NewMetrics("test")
		s := measuredStore{answering{err: c.err}, m}
		_ = s.Update(t.Context(), &store.Update{}, &store.Entry{Event: "UpdateVault"})
		_ = s.Erase(t.Context(), "", 0, nil, 0, &store.Entry{Event: "EraseVault"})
		_ = s.AppendAudit(t.Context(), &store.Entry{Event: "DecryptVault"})
		want := "# HELP " + name + " any\n# TYPE " + name + " counter\n"
		for _, line := range [][2]string{{"DecryptVault", c.lone}, {"EraseVault", c.carried}, {"UpdateVault", c.carried}} {
			want += fmt.Sprintf(name+"{event=%q,outcome=%q} 1\n", line[0], line[1])
		}
		if err := testutil.GatherAndCompare(sameHelp{m.Registry}, strings.NewReader(want), name); err != nil {
			t.Errorf("%v: %v", c.err, err)
		}
	}
}

// sameHelp gathers metrics whose help texts are all alike, so that a test does not hold to one.
type sameHelp struct{ prometheus.Gatherer }

func (g sameHelp) Gather() ([]*dto.MetricFamily, error) {
	all, err := g.Gatherer.Gather()
	for _, f := range all {
		f.Help = proto.String("any")
	}
	return all, err
}
