package hist

import (
	"sync"
	"testing"
	"time"
)

func TestShardsLoseNothing(t *testing.T) {
	const goroutines, each = 20, 1000
	s := NewShards(goroutines)
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() {
			for n := range each {
				s.Add(i, time.Duration(n)*time.Microsecond)
			}
		})
	}
	wg.Wait()
	if h := s.Merged(); h.N() != goroutines*each || h.Max() < each-2 {
		t.Errorf("%d recorded, up to %v µs", h.N(), h.Max())
	}
}
