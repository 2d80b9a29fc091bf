package memory

import (
	"testing"
	"time"

	"redoubt/api/internal/store"
	"redoubt/api/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(_ *testing.T, now func() time.Time) store.Store { return New(now) })
}
