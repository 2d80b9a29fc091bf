package budget

import (
	"sync"
	"testing"
)

func TestNoMoreIsTakenThanThereIs(t *testing.T) {
	b := New(100)
	var wg sync.WaitGroup
	got := make([]int, 8)
	for i := range got {
		wg.Go(func() {
			for range 50 {
				if b.Take(1) {
					got[i]++
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range got {
		sum += n
	}
	if sum > 100 || int64(sum) != 100-b.Left() {
		t.Fatalf("%d taken of 100, %d left", sum, b.Left())
	}
	b.Give(sum)
	if b.Take(101) || !b.Take(100) || b.Left() != 0 {
		t.Fatal("a part was taken, or not all can be")
	}
}
