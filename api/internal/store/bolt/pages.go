//go:build !wasip1

package bolt

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"slices"

	"redoubt/api/internal/store"
)

// ErrDamaged reports a store file that is not as it was written: cut, overwritten, or on a broken disk.
var ErrDamaged = store.ErrDamaged

// This is the layout of a bbolt file. It is in the machine's byte order: little endian on the machines that we build
// for.
const (
	headSize    = 16 // id 8, flags 2, count 2, overflow 4
	elementSize = 16 // branch: pos 4, key 4, page 8; leaf: flags 4, pos 4, key 4, value 4
	bucketSize  = 16 // root page 8, sequence 8
	metaSize    = 64

	flagBranch = 0x01
	flagLeaf   = 0x02
	flagList   = 0x10
	flagBucket = 0x01 // of a leaf's element

	metaMagic   = 0xED0CDAED
	metaVersion = 2

	minPage  = 1 << 10
	maxPage  = 1 << 24
	maxDepth = 64
)

// meta is what a bbolt file's first pages say about the rest.
type meta struct {
	page  int64  // size of a page
	root  uint64 // page of the root bucket
	list  uint64 // page of the list of free pages
	end   uint64 // pages from here on are not in use
	stamp uint64 // transaction that wrote it
}

// pages reads a bbolt file without bbolt. If a page is not as it was written, bbolt panics, or reads memory that is
// not mapped. So each file is checked here before bbolt opens it.
type pages struct {
	r    io.ReaderAt
	size int64
	meta meta
	used []uint64 // one bit a page; nil: pages used twice are not detected
}

func damaged(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, a...))
}

// readPages reads the meta pages, and checks that the file is as long as they say. It returns ErrFormat if there are
// none.
func readPages(r io.ReaderAt, size int64) (*pages, error) {
	if size == 0 {
		return nil, damaged("it is empty")
	}
	p := &pages{r: r, size: size}
	var err error
	if p.meta, err = p.newestMeta(); err != nil {
		return nil, err
	}
	if need := int64(p.meta.end) * p.meta.page; p.meta.end > uint64(size/p.meta.page) {
		return nil, damaged("it has %d bytes of %d", size, need)
	}
	p.used = make([]uint64, p.meta.end/64+1)
	return p, nil
}

// newestMeta chooses as bbolt does. The page size is that of the first meta page if it is whole, and otherwise that
// of the second. Of two, the one with the newer transaction counts.
func (p *pages) newestMeta() (meta, error) {
	first, ok := p.metaAt(0)
	if !ok {
		for at := int64(minPage); at <= maxPage; at *= 2 {
			if second, ok := p.metaAt(at); ok {
				return second, second.valid(at)
			}
		}
		return meta{}, ErrFormat
	}
	if err := first.valid(first.page); err != nil {
		return meta{}, err
	}
	if second, ok := p.metaAt(first.page); ok && second.stamp > first.stamp {
		return second, second.valid(first.page)
	}
	return first, nil
}

func (m meta) valid(page int64) error {
	switch {
	case m.page != page || page < minPage || page > maxPage || page&(page-1) != 0:
		return damaged("its page size is wrong")
	case m.end < 3 || m.root < 2 || m.root >= m.end || m.list < 2 || m.list >= m.end: // our files keep a list
		return damaged("its meta page is wrong")
	}
	return nil
}

// metaAt reads the meta page at an offset, if there is a whole one.
func (p *pages) metaAt(at int64) (m meta, ok bool) {
	var b [headSize + metaSize]byte
	if _, err := p.r.ReadAt(b[:], at); err != nil {
		return m, false
	}
	d := b[headSize:]
	sum := fnv.New64a()
	_, _ = sum.Write(d[:metaSize-8])
	le := binary.LittleEndian
	if le.Uint32(d) != metaMagic || le.Uint32(d[4:]) != metaVersion || le.Uint64(d[56:]) != sum.Sum64() {
		return m, false
	}
	return meta{
		page: int64(le.Uint32(d[8:])), root: le.Uint64(d[16:]), list: le.Uint64(d[32:]), end: le.Uint64(d[40:]),
		stamp: le.Uint64(d[48:]),
	}, true
}

// page is one page, together with those into which it overflows.
type page struct {
	flags uint16
	count int
	data  []byte // with the head
}

// read reads a page and marks it as used, since a page may have only one place.
func (p *pages) read(id uint64) (*page, error) {
	if id < 2 || id >= p.meta.end {
		return nil, damaged("page %d is named, and there are %d", id, p.meta.end)
	}
	var head [headSize]byte
	if _, err := p.r.ReadAt(head[:], int64(id)*p.meta.page); err != nil {
		return nil, damaged("page %d: %v", id, err)
	}
	le := binary.LittleEndian
	more := uint64(le.Uint32(head[12:]))
	if le.Uint64(head[:]) != id || more >= p.meta.end-id {
		return nil, damaged("page %d is not where it should be", id)
	}
	for i := id; i <= id+more && p.used != nil; i++ {
		if p.used[i/64]&(1<<(i%64)) != 0 {
			return nil, damaged("page %d is used twice", i)
		}
		p.used[i/64] |= 1 << (i % 64)
	}
	pg := &page{flags: le.Uint16(head[8:]), count: int(le.Uint16(head[10:]))}
	pg.data = make([]byte, int64(more+1)*p.meta.page)
	if _, err := p.r.ReadAt(pg.data, int64(id)*p.meta.page); err != nil {
		return nil, damaged("page %d: %v", id, err)
	}
	return pg, nil
}

// free reads the list of free pages, in order, and says how many pages it takes.
func (p *pages) free() (list []uint64, size uint64, err error) {
	pg, err := p.read(p.meta.list)
	if err != nil {
		return nil, 0, err
	}
	count, ids := uint64(pg.count), pg.data[headSize:]
	if pg.count == 0xFFFF && len(ids) >= 8 { // too many for the head: the first number says how many follow
		count, ids = binary.LittleEndian.Uint64(ids), ids[8:]
	}
	if pg.flags != flagList || count > uint64(len(ids)/8) {
		return nil, 0, damaged("its list of free pages is wrong")
	}
	list = make([]uint64, count)
	for i := range list {
		list[i] = binary.LittleEndian.Uint64(ids[i*8:])
		if list[i] < 2 || list[i] >= p.meta.end || i > 0 && list[i] <= list[i-1] {
			return nil, 0, damaged("its list of free pages is wrong")
		}
	}
	return list, uint64(int64(len(pg.data)) / p.meta.page), nil
}

// whole reads every page in use, and checks that none of them is also free.
func (p *pages) whole() error {
	list, _, err := p.free()
	if err != nil {
		return err
	}
	if err := p.tree(p.meta.root, nil, maxDepth); err != nil {
		return err
	}
	if i := slices.IndexFunc(list, func(id uint64) bool { return p.used[id/64]&(1<<(id%64)) != 0 }); i >= 0 {
		return damaged("page %d is in use and free", list[i])
	}
	return nil
}

// tree checks the pages below one page, whose keys are not below from.
func (p *pages) tree(id uint64, from []byte, depth int) error {
	if depth == 0 {
		return damaged("page %d is too deep", id)
	}
	pg, err := p.read(id)
	if err != nil {
		return err
	}
	switch pg.flags {
	case flagBranch:
		return p.branch(id, pg, from, depth)
	case flagLeaf:
		return p.leaf(id, pg, from, depth)
	}
	return damaged("page %d is of no known kind", id)
}

func (p *pages) branch(id uint64, pg *page, from []byte, depth int) error {
	if pg.count == 0 {
		return damaged("page %d is empty", id)
	}
	for i := range pg.count {
		at := headSize + i*elementSize
		if at+elementSize > len(pg.data) {
			return damaged("page %d is cut", id)
		}
		le := binary.LittleEndian
		key, ok := part(pg.data, at, le.Uint32(pg.data[at:]), 0, le.Uint32(pg.data[at+4:]))
		if !ok || i > 0 && slices.Compare(key, from) <= 0 || i == 0 && slices.Compare(key, from) < 0 {
			return damaged("key %d of page %d is wrong", i, id)
		}
		from = key
		if err := p.tree(le.Uint64(pg.data[at+8:]), key, depth-1); err != nil {
			return err
		}
	}
	return nil
}

func (p *pages) leaf(id uint64, pg *page, from []byte, depth int) error {
	for i := range pg.count {
		at := headSize + i*elementSize
		if at+elementSize > len(pg.data) {
			return damaged("page %d is cut", id)
		}
		le := binary.LittleEndian
		e := pg.data[at:]
		key, ok := part(pg.data, at, le.Uint32(e[4:]), 0, le.Uint32(e[8:]))
		value, whole := part(pg.data, at, le.Uint32(e[4:]), le.Uint32(e[8:]), le.Uint32(e[12:]))
		if !ok || !whole || len(key) == 0 || i > 0 && slices.Compare(key, from) <= 0 || slices.Compare(key, from) < 0 {
			return damaged("key %d of page %d is wrong", i, id)
		}
		from = key
		switch le.Uint32(e) {
		case 0:
		case flagBucket:
			if err := p.bucket(id, value, depth-1); err != nil {
				return err
			}
		default:
			return damaged("key %d of page %d is of no known kind", i, id)
		}
	}
	return nil
}

// bucket checks a bucket. It has pages of its own, or is small and lies within the value.
func (p *pages) bucket(id uint64, value []byte, depth int) error {
	if len(value) < bucketSize {
		return damaged("a bucket of page %d is cut", id)
	}
	le := binary.LittleEndian
	if root := le.Uint64(value); root != 0 {
		return p.tree(root, nil, depth)
	}
	in := value[bucketSize:]
	if depth == 0 || len(in) < headSize || le.Uint16(in[8:]) != flagLeaf {
		return damaged("a bucket of page %d is wrong", id)
	}
	return p.leaf(id, &page{flags: flagLeaf, count: int(le.Uint16(in[10:])), data: in}, nil, depth)
}

// part returns a key or value of the element at an offset of the page: size bytes, after skip, from pos on.
func part(data []byte, at int, pos, skip, size uint32) ([]byte, bool) {
	from := uint64(at) + uint64(pos) + uint64(skip)
	if pos < elementSize || from+uint64(size) > uint64(len(data)) {
		return nil, false
	}
	return data[from : from+uint64(size)], true
}
