package secret

import "errors"

// This file is for simulations, where there is no memory but the heap.

// HardenProcess cannot harden anything here.
func HardenProcess() error { return errors.ErrUnsupported }

// pages is memory of the heap.
type pages struct {
	mem    []byte
	locked bool
}

// mapPages returns n zeroed bytes.
func mapPages(n int) (pages, error) {
	stats.mapped.Add(int64(n))
	stats.locked.Add(int64(n))
	return pages{mem: make([]byte, n), locked: true}, nil
}

// release wipes the memory. Slices of it read zeros from here on, where those of pages fault.
func (p *pages) release() {
	if p.mem == nil {
		return
	}
	Wipe(p.mem)
	stats.mapped.Add(-int64(len(p.mem)))
	stats.locked.Add(-int64(len(p.mem)))
	p.mem = nil
}
