package workers

// heap is a binary min-heap of tasks, ordered by due. It is container/heap without the interface.
type heap []*Task

func (h *heap) push(t *Task) {
	*h = append(*h, t)
	s := *h
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 2
		if s[up].due <= t.due {
			break
		}
		s[i] = s[up]
		i = up
	}
	s[i] = t
}

// pop removes the first task.
func (h *heap) pop() {
	s := *h
	n := len(s) - 1
	t := s[n]
	s[n] = nil
	s = s[:n]
	*h = s
	if n == 0 {
		return
	}
	i := 0
	for {
		down := 2*i + 1
		if down >= n {
			break
		}
		if down+1 < n && s[down+1].due < s[down].due {
			down++
		}
		if t.due <= s[down].due {
			break
		}
		s[i] = s[down]
		i = down
	}
	s[i] = t
}

// ahead sums the work, in ns, that comes before t.
func (h heap) ahead(t *Task) int64 {
	var sum int64
	for _, q := range h {
		if q.due <= t.due {
			sum += int64(q.units-q.next) * q.cost
		}
	}
	return sum
}
