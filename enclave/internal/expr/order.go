package expr

// order returns the nodes of a graph so that each comes after those on which it depends, and whether each is part of
// a cycle. deps[i] lists what i depends on. Nodes that do not depend on one another keep their order as far as that
// allows. It is Tarjan's algorithm, which finds components with their dependencies first. Its depth is at most
// len(deps).
func order(deps [][]int) (sorted []int, cyclic []bool) {
	t := tarjan{
		deps:   deps,
		index:  make([]int, len(deps)),
		low:    make([]int, len(deps)),
		onPath: make([]bool, len(deps)),
		cyclic: make([]bool, len(deps)),
		sorted: make([]int, 0, len(deps)),
	}
	for i := range deps {
		if t.index[i] == 0 {
			t.visit(i)
		}
	}
	return t.sorted, t.cyclic
}

type tarjan struct {
	deps       [][]int
	index, low []int // counted from 1
	onPath     []bool
	cyclic     []bool
	stack      []int
	sorted     []int
	next       int
}

func (t *tarjan) visit(i int) {
	t.next++
	t.index[i], t.low[i] = t.next, t.next
	t.stack = append(t.stack, i)
	t.onPath[i] = true
	for _, d := range t.deps[i] {
		switch {
		case d == i:
			t.cyclic[i] = true
		case t.index[d] == 0:
			t.visit(d)
			t.low[i] = min(t.low[i], t.low[d])
		case t.onPath[d]:
			t.low[i] = min(t.low[i], t.index[d])
		}
	}
	if t.low[i] == t.index[i] {
		t.component(i)
	}
}

// component takes the component whose first member is root off the stack.
func (t *tarjan) component(root int) {
	at := len(t.stack) - 1
	for t.stack[at] != root {
		at--
	}
	members := t.stack[at:]
	for _, m := range members {
		t.onPath[m] = false
		t.cyclic[m] = t.cyclic[m] || len(members) > 1
	}
	t.sorted = append(t.sorted, members...)
	t.stack = t.stack[:at]
}
