package secret

import "sync"

// arenaChunk is how many bytes an Arena maps and locks at a time.
const arenaChunk = 1 << 18

// Slot names one secret of an Arena.
type Slot uint32

// Arena holds many secrets of one small size without a page for each. It grows in chunks of 256 KiB up to its bound,
// and keeps what it has mapped until Destroy. Several goroutines may call Alloc, Free and Stats. The bytes of a slot
// belong to the caller that allocated it.
type Arena struct {
	mu      sync.Mutex
	size    int // bytes of a slot
	perPage int // slots of a chunk
	max     int
	next    Slot   // first slot never used
	free    []Slot // slots that were freed, wiped
	chunks  []pages
	dead    bool
}

// NewArena makes an arena of at most maxSlots secrets of slotSize bytes each (1 to 4096). It maps nothing yet.
func NewArena(slotSize, maxSlots int) (*Arena, error) {
	if slotSize <= 0 || slotSize > 4096 || maxSlots <= 0 || maxSlots > 1<<30 {
		return nil, ErrSize
	}
	per := arenaChunk / slotSize
	return &Arena{
		size: slotSize, perPage: per, max: maxSlots,
		// The slice has its full length from the start, so that Bytes may read an element while Alloc sets another.
		chunks: make([]pages, (maxSlots+per-1)/per),
	}, nil
}

// Alloc returns a zeroed slot, or [ErrFull], [ErrDestroyed], or the error of mapping another chunk.
func (a *Arena) Alloc() (Slot, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.dead {
		return 0, ErrDestroyed
	}
	if n := len(a.free); n > 0 {
		s := a.free[n-1]
		a.free = a.free[:n-1]
		return s, nil
	}
	if int(a.next) >= a.max {
		return 0, ErrFull
	}
	if c := int(a.next) / a.perPage; a.chunks[c].mem == nil {
		p, err := mapPages(arenaChunk)
		if err != nil {
			return 0, err
		}
		a.chunks[c] = p
	}
	s := a.next
	a.next++
	return s, nil
}

// Bytes returns the memory of s, which MUST be allocated. The slice is valid until Free or Destroy.
func (a *Arena) Bytes(s Slot) []byte {
	off := int(s) % a.perPage * a.size
	return a.chunks[int(s)/a.perPage].mem[off : off+a.size : off+a.size]
}

// Free wipes s and makes it available again. Each slot MUST be freed once.
func (a *Arena) Free(s Slot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.dead {
		return
	}
	Wipe(a.Bytes(s))
	a.free = append(a.free, s)
}

// Destroy wipes and returns all memory. No slot may be in use. Later calls of Alloc fail.
func (a *Arena) Destroy() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dead = true
	for i := range a.chunks {
		a.chunks[i].release()
	}
	a.free = nil
}

// InUse returns the number of allocated slots.
func (a *Arena) InUse() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.dead {
		return 0
	}
	return int(a.next) - len(a.free)
}
