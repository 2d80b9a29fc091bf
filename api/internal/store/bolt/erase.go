//go:build !wasip1

package bolt

import (
	"bytes"
	"errors"
	"io"
	"math/bits"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// eraseAfter is how long after a removal the pages that it freed are erased, together with those of other
	// removals meanwhile.
	eraseAfter = time.Second
	// eraseBatch is how many pages are looked at before waiting writes get their turn.
	eraseBatch = 1024
	// erasePause is the pause between two batches.
	erasePause = 20 * time.Millisecond
	// eraseRetry is the pause after an error of the disk before erasing is tried again.
	eraseRetry = time.Minute
	// eraseAtEnd bounds the time that closing spends on erasing. Pages that it leaves are erased after the next start.
	eraseAtEnd = time.Second
)

// These are the steps of erasing, as tests see them.
const (
	stepFound     = "found"     // there are pages to erase
	stepPostponed = "postponed" // a copy may read them
	stepWrote     = "wrote"     // some pages in a row were made zero
)

// eraser knows which unused pages may hold data that was removed or changed. bbolt writes a changed page to another
// place, and leaves the old one as it was until it is used again. Each page holds neighbours of what changed.
//
// A page is erased only if neither of the two newest states of the file uses it: after a crash bbolt takes the
// newest, or the one before if the newest was not written whole. Nor may a reader use it: a reader sees the state of
// its beginning. So a crash in the middle of erasing changes nothing that any reader sees.
//
// Only the goroutine that commits uses the eraser.
type eraser struct {
	known  bool     // the fields below describe the newest state
	free   []uint64 // free pages, in order
	before []uint64 // free pages of the state before
	end    uint64   // pages from here on were never in use
	list   run      // pages of the list of free pages, which holds only numbers
	dirty  pageSet  // pages among free, or from end on, that may hold data
}

// run is some pages in a row.
type run struct{ from, to uint64 }

func (r run) has(page uint64) bool { return r.from <= page && page < r.to }

// pageSet is a set of pages.
type pageSet struct {
	words []uint64
	n     int
}

func (s *pageSet) has(page uint64) bool {
	return page/64 < uint64(len(s.words)) && s.words[page/64]&(1<<(page%64)) != 0
}

func (s *pageSet) add(page uint64) {
	if s.has(page) {
		return
	}
	for page/64 >= uint64(len(s.words)) {
		s.words = append(s.words, 0)
	}
	s.words[page/64] |= 1 << (page % 64)
	s.n++
}

func (s *pageSet) remove(page uint64) {
	if s.has(page) {
		s.words[page/64] &^= 1 << (page % 64)
		s.n--
	}
}

// first returns up to n pages of the set, in order.
func (s *pageSet) first(n int) []uint64 {
	out := make([]uint64, 0, min(n, s.n))
	for i, w := range s.words {
		for ; w != 0; w &= w - 1 {
			if len(out) == n {
				return out
			}
			out = append(out, uint64(i*64+bits.TrailingZeros64(w)))
		}
	}
	return out
}

// state reads the newest state of an open file: its free pages, and where the list of them is.
func (f *file) state() (m meta, free []uint64, list run, err error) {
	p := &pages{r: f.f}
	if p.meta, err = p.newestMeta(); err != nil {
		return m, nil, list, err
	}
	free, size, err := p.free()
	return p.meta, free, run{p.meta.list, p.meta.list + size}, err
}

// committed is called after each commit. The pages that the commit freed may hold data.
func (f *file) committed() {
	m, free, list, err := f.state()
	e := &f.erase
	if err != nil || !e.known {
		e.known = false
		return
	}
	for page := e.end; page < m.end; page++ {
		e.dirty.remove(page)
	}
	diff(e.free, free, e.dirty.remove, func(page uint64) {
		if !e.list.has(page) {
			e.dirty.add(page)
		}
	})
	e.before, e.free, e.end, e.list = e.free, free, m.end, list
}

// diff calls gone for each element that only a has, and come for each that only b has. Both are in order.
func diff(a, b []uint64, gone, come func(uint64)) {
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0] < b[0]:
			gone(a[0])
			a = a[1:]
		case len(a) == 0 || b[0] < a[0]:
			come(b[0])
			b = b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
}

// learn takes every unused page for dirty, after a start and after a commit that failed while it wrote.
func (f *file) learn() error {
	m, free, list, err := f.state()
	if err != nil {
		return err
	}
	info, err := f.f.Stat()
	if err != nil {
		return wrap(err)
	}
	f.erase = eraser{known: true, free: free, end: m.end, list: list} // nothing is known of the state before
	for _, page := range free {
		f.erase.dirty.add(page)
	}
	for page := m.end; page < uint64(info.Size()/m.page); page++ {
		f.erase.dirty.add(page)
	}
	return nil
}

// erase erases some pages, and returns after how long to go on: 0 if nothing is left to do. The caller does not hold
// s.mu.
func (s *Store) erase() time.Duration {
	wait, err := s.eraseSome()
	if err != nil {
		return eraseRetry
	}
	return wait
}

// eraseLast erases what it can when the store is closed. due says whether there is anything to erase.
func (s *Store) eraseLast(due bool) {
	for end := time.Now().Add(eraseAtEnd); due && time.Now().Before(end); {
		due = s.erase() == erasePause
	}
}

func (s *Store) eraseSome() (time.Duration, error) {
	db, held, err := s.remains()
	if err != nil {
		return 0, err
	}
	if len(held) > 0 {
		s.erasing(stepFound)
		if s.observed() {
			s.erasing(stepPostponed)
			return s.eraseAfter, nil
		}
		if err := s.wipe(db, held); err != nil {
			return 0, err
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db.erase.dirty.n == 0 {
		return 0, nil
	}
	return erasePause, nil
}

// remains looks at the next dirty pages and returns those that hold data and may be erased, and whose they are. If the
// state before the newest uses some of them, it makes an empty commit, so that another state is the one before.
func (s *Store) remains() (*file, []uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.broken.Load() {
		return nil, nil, errUnreadable
	}
	if !s.db.erase.known {
		if err := s.db.learn(); err != nil {
			return nil, nil, err
		}
	}
	e := &s.db.erase
	held, err := s.db.holding(e.dirty.first(eraseBatch))
	if err != nil {
		return nil, nil, err
	}
	if slices.ContainsFunc(held, func(page uint64) bool { return !e.unused(page) }) {
		if err := s.transact(nil); err != nil {
			return nil, nil, err
		}
		held = slices.DeleteFunc(held, func(page uint64) bool { return !e.dirty.has(page) || !e.unused(page) })
	}
	return s.db, held, nil
}

// unused reports whether neither of the two newest states uses a dirty page.
func (e *eraser) unused(page uint64) bool {
	if page >= e.end {
		return true
	}
	_, free := slices.BinarySearch(e.before, page)
	return free
}

// holding returns those of the pages that are not zero. The others are no longer dirty.
func (f *file) holding(all []uint64) (held []uint64, err error) {
	size := f.page
	zero, buf := make([]byte, size), make([]byte, size)
	for _, page := range all {
		n, err := f.f.ReadAt(buf, int64(page)*size)
		if err != nil && (!errors.Is(err, io.EOF) || n == 0) {
			return nil, wrap(err)
		}
		if bytes.Equal(buf[:n], zero[:n]) {
			f.erase.dirty.remove(page)
		} else {
			held = append(held, page)
		}
	}
	return held, nil
}

// observed waits until every read that began before now has ended. It reports whether a copy is still reading, which
// takes longer.
func (s *Store) observed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshots.Load() > 0
}

// wipe writes zeros over pages of db. If a restore has put another file in its place meanwhile, those are no longer
// free pages of the store: then it does nothing.
func (s *Store) wipe(db *file, all []uint64) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db != db {
		return nil
	}
	size := s.db.page
	for rest := all; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n] == rest[0]+uint64(n) {
			n++
		}
		if _, err := s.db.f.WriteAt(make([]byte, int64(n)*size), int64(rest[0])*size); err != nil {
			return wrap(err)
		}
		s.erasing(stepWrote)
		rest = rest[n:]
	}
	if err := unix.Fdatasync(int(s.db.f.Fd())); err != nil {
		return wrap(err)
	}
	for _, page := range all {
		s.db.erase.dirty.remove(page)
	}
	return nil
}
