//go:build !wasip1

package bolt

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	bbolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"redoubt/api/internal/store"
)

// DefaultReserve is the room that a store keeps for removals and the audit of reads, in bytes.
const DefaultReserve = 16 << 20

// retryRoom is the time after a failed look for room before the next one.
const retryRoom = time.Second

// errFull reports a write that may not use the rest of the room.
var errFull = fmt.Errorf("bolt: no room in the store's file system, quota or limit of file size: "+
	"make room there, or delete vaults: %w", store.ErrFull)

// use says what a write is for, and so how much of the reserve it may use.
type use int

const (
	forMore    use = iota // uses none of the reserve
	forAudit              // an entry alone: records can be read while there is no room for more
	forRemoval            // makes room
)

// keeps is how much of the reserve a write leaves for the kinds after its own.
func (u use) keeps(reserve int64) int64 {
	switch u {
	case forMore:
		return reserve
	case forAudit:
		return reserve / 2 // a removal writes its neighbours to pages in a row: it needs more than it adds
	}
	return 0
}

// tail is the part of the file behind the last page in use. Its blocks are allocated. So pages can be written there,
// as to free pages before it, when file system, quota and limit of file size have nothing more to give. bbolt alone
// makes the file longer without blocks, and may run out of room in the middle of any commit.
type tail struct {
	mu   sync.Mutex
	size int64 // of the file; 0 before the first look
	// full is the reason why the file could not be made longer, until the time when that is tried again: a failure
	// may take long.
	full  error
	until time.Time
}

// level is what the file has room for, in bytes.
type level struct {
	free int64 // in free pages
	tail int64
	list int64 // the list of free pages, which each commit writes anew, in one piece
}

// spare is the room beside what a commit needs for itself.
func (l level) spare() int64 { return l.free + l.tail - 2*l.list }

// step is how much longer than necessary the file is made.
func step(reserve int64) int64 { return max(reserve/4, 64<<10) }

// provide makes the file longer, if it can, until its tail holds the reserve and need bytes more. It returns what the
// tail has. The file is not closed meanwhile: the caller holds s.mu.
func (f *file) provide(reserve, need int64) (level, error) {
	f.tail.mu.Lock()
	defer f.tail.mu.Unlock()
	var (
		l   level
		end int64
	)
	err := f.look(func(tx *bbolt.Tx) error {
		end = tx.Size()
		return nil
	})
	if err != nil {
		return l, wrap(err)
	}
	stats := f.Stats()
	l.free = int64(stats.FreePageN) * f.page
	l.list = int64(stats.FreePageN+stats.PendingPageN) * 8
	want := reserve + need + 2*l.list
	if f.tail.size-end < want {
		err = f.lengthen((end + want + step(reserve)) / f.page * f.page)
	}
	l.tail = f.tail.size - end
	return l, err
}

// lengthen makes the file to bytes long. The caller holds f.tail.mu.
func (f *file) lengthen(to int64) error {
	if f.tail.full != nil && time.Now().Before(f.tail.until) {
		return f.tail.full
	}
	info, err := f.f.Stat()
	if err != nil {
		return wrap(err)
	}
	if info.Size() < f.tail.size { // made longer again, it would look whole
		return damaged("it was cut to %d bytes of %d", info.Size(), f.tail.size)
	}
	from := f.tail.size // the whole file the first time: it may be a copy with holes
	f.tail.full = errors.Join(allocate(f.f, from, max(from, to)), f.measure())
	f.tail.until = time.Now().Add(retryRoom)
	return f.tail.full
}

func (f *file) measure() error {
	info, err := f.f.Stat()
	if err != nil {
		return wrap(err)
	}
	f.tail.size = info.Size()
	return nil
}

// allocate gives f blocks for the bytes between from and to, and makes it at least to bytes long. It changes no byte
// of f.
func allocate(f *os.File, from, to int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, from, to-from)
	for errors.Is(err, unix.EINTR) {
		err = unix.Fallocate(int(f.Fd()), 0, from, to-from)
	}
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		err = fillFrom(f, to)
	}
	if err != nil {
		return wrap(err)
	}
	return wrap(f.Sync())
}

// fillFrom writes zeros from the file's end on, for file systems that cannot allocate otherwise.
func fillFrom(f *os.File, to int64) error {
	info, err := f.Stat()
	if err != nil {
		return wrap(err)
	}
	_, err = io.CopyN(io.NewOffsetWriter(f, info.Size()), zeros{}, max(0, to-info.Size()))
	return wrap(err)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// admit refuses the writes for which there is no room, and returns the others.
func (s *Store) admit(group []*write) []*write {
	need := int64(0)
	for _, w := range group {
		need += 4 * w.size // a record is written together with its neighbours in the page, and with its entry
	}
	l, err := s.db.provide(s.reserve, need)
	if err != nil && !noRoom(err) {
		return group // the transaction will return the error
	}
	spare := l.spare()
	admitted := group[:0:0]
	for _, w := range group {
		if w.use != forRemoval && spare-4*w.size < w.use.keeps(s.reserve) {
			w.err = errFull
			continue
		}
		spare -= 4 * w.size
		admitted = append(admitted, w)
	}
	return admitted
}

// limit sets the length that the file may have after a transaction of these writes. The file has this length already.
// The room behind that length is for writes of other kinds. bbolt refuses to go beyond it, before it writes anything.
func (f *file) limit(reserve int64, group []*write) {
	keep := int64(0)
	for _, w := range group {
		keep = max(keep, w.use.keeps(reserve)/2)
	}
	f.tail.mu.Lock()
	defer f.tail.mu.Unlock()
	f.MaxSize = int(max(1, f.tail.size-keep))
}

// Full reports whether writes are refused, or will be soon. Removals and, as long as the reserve lasts, the audit of
// reads are not. It checks whether there is room by now.
func (s *Store) Full() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db.IsReadOnly() || s.broken.Load() || s.db.stuck.Load() {
		return false
	}
	l, err := s.db.provide(s.reserve, step(s.reserve))
	return noRoom(err) && l.spare() < forMore.keeps(s.reserve)+step(s.reserve)
}

// noRoom reports whether an error is that of a write for which there is no room.
func noRoom(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG) ||
		errors.Is(err, berrors.ErrMaxSizeReached) || errors.Is(err, store.ErrFull)
}
