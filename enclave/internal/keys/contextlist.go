package keys

import "redoubt/wire/kit/secret"

// add puts a new node at the young end and into its key's chain. The shard is locked.
func (s *contextShard) add(id contextID, slot secret.Slot) {
	i := s.free
	if i != none {
		s.free = s.nodes[i].next
	} else {
		i = uint32(len(s.nodes))
		s.nodes = append(s.nodes, contextNode{})
	}
	chain, ok := s.byKey[id.key]
	if !ok {
		chain = none
	} else {
		s.nodes[chain].kprev = i
	}
	s.nodes[i] = contextNode{id: id, slot: slot, prev: none, next: s.head, kprev: none, knext: chain}
	if s.head != none {
		s.nodes[s.head].prev = i
	} else {
		s.tail = i
	}
	s.head = i
	s.byKey[id.key] = i
	s.index[id] = i
	s.used++
}

// unlink takes node i out of everything and puts it on the free list. The shard is locked.
func (s *contextShard) unlink(i uint32) {
	n := s.nodes[i]
	if s.hand == i {
		s.hand = n.prev
	}
	if n.prev != none {
		s.nodes[n.prev].next = n.next
	} else {
		s.head = n.next
	}
	if n.next != none {
		s.nodes[n.next].prev = n.prev
	} else {
		s.tail = n.prev
	}
	switch {
	case n.kprev != none:
		s.nodes[n.kprev].knext = n.knext
	case n.knext != none:
		s.byKey[n.id.key] = n.knext
	default:
		delete(s.byKey, n.id.key)
	}
	if n.knext != none {
		s.nodes[n.knext].kprev = n.kprev
	}
	delete(s.index, n.id)
	s.nodes[i] = contextNode{next: s.free}
	s.free = i
	s.used--
}
