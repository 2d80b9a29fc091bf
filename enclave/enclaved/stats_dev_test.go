//go:build dev

package enclaved

import (
	"testing"

	"redoubt/wire"
)

// TestEveryNumberOfTheTableIsTold: one that nothing adds would be a metric that is never there.
func TestEveryNumberOfTheTableIsTold(t *testing.T) {
	r := newRig(t, "")
	var m wire.Stats
	if err := r.client.Stats(t.Context(), &m); err != nil {
		t.Fatal(err)
	}
	for id := range wire.StatID(wire.MaxStats) {
		if _, told := m.Value(id); told != id.Known() {
			t.Errorf("%d (%s): told %v", id, id.Info().Family, told)
		}
	}
}
