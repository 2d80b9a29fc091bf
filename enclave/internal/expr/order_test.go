package expr

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestOrderIsTopological: each node once, after all it depends on, unless both are in a cycle; a node is in a cycle if and
// only if it reaches itself; the order is the same each time.
func TestOrderIsTopological(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(t, "n")
		deps := make([][]int, n)
		for i := range deps {
			deps[i] = rapid.SliceOfN(rapid.IntRange(0, n-1), 0, 3).Draw(t, "deps")
		}
		sorted, cyclic := order(deps)
		reach := reachable(deps)
		place := make([]int, n)
		for at, i := range sorted {
			place[i] = at
		}
		if len(sorted) != n || !slices.Equal(slices.Sorted(slices.Values(sorted)), count(n)) {
			t.Fatalf("%v is no order of %d nodes", sorted, n)
		}
		for i := range n {
			if cyclic[i] != reach[i][i] {
				t.Fatalf("node %d of %v: cyclic is %v", i, deps, cyclic[i])
			}
			for _, d := range deps[i] {
				if place[d] > place[i] && !reach[d][i] {
					t.Fatalf("%v: %d is before %d, on which it depends", deps, i, d)
				}
			}
		}
		again, _ := order(deps)
		if !slices.Equal(sorted, again) {
			t.Fatalf("%v, then %v", sorted, again)
		}
	})
}

func count(n int) []int {
	var all []int
	for i := range n {
		all = append(all, i)
	}
	return all
}

// reachable is the transitive closure, by the textbook.
func reachable(deps [][]int) [][]bool {
	n := len(deps)
	r := make([][]bool, n)
	for i := range r {
		r[i] = make([]bool, n)
		for _, d := range deps[i] {
			r[i][d] = true
		}
	}
	for k := range n {
		for i := range n {
			for j := range n {
				r[i][j] = r[i][j] || r[i][k] && r[k][j]
			}
		}
	}
	return r
}

// TestOrderKeepsRequestOrder of nodes that do not depend on one another.
func TestOrderKeepsRequestOrder(t *testing.T) {
	sorted, _ := order([][]int{nil, {4}, nil, {0}, nil})
	if want := []int{0, 4, 1, 2, 3}; !slices.Equal(sorted, want) {
		t.Errorf("got %v, want %v", sorted, want)
	}
}

// TestLoopsGoThroughMapsInOneOrder, whatever order Go's maps take. With sixteen keys a random order is the right one once
// in 10^13 times.
func TestLoopsGoThroughMapsInOneOrder(t *testing.T) {
	const letters = "{'p':1,'c':2,'b':3,'n':4,'a':5,'o':6,'d':7,'m':8,'e':9,'l':10,'f':11,'k':12,'g':13,'j':14,'h':15,'i':16}"
	e := newTest(t, Config{})
	for source, want := range map[string]string{
		letters + ".map(k, k)":                            `["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p"]`,
		letters + ".filter(k, k > 'm')":                   `["n","o","p"]`,
		letters + ".exists_one(k, k == 'c')":              `true`,
		"{2: 'b', 10: 'a', true: 'c', 'x': 'd'}.map(k,k)": `[10,2,true,"x"]`,
		"{1: 'a', '1': 'b', 3: 'c'}.map(k, k)":            `[1,"1",3]`,
		"{}.map(k, k)":                                    `[]`,
	} {
		for range 8 {
			if got := eval1(t, e, nil, source); got != want {
				t.Fatalf("%s is %s, want %s", source, got, want)
			}
		}
	}
}
