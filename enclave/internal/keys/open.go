package keys

import (
	"runtime"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// scratch lends secret memory for the context and the field's key that a goroutine uses.
type scratch struct {
	mem  *secret.Buffer
	free chan []byte
}

// A lease holds one context and one field key. It is padded to whole cache lines, to avoid false sharing.
const (
	scratchUsed = sealed.ContextSize + sealed.FieldSize
	scratchSize = (scratchUsed + 63) / 64 * 64
)

func newScratch() (*scratch, error) {
	n := 32 + 4*runtime.GOMAXPROCS(0)
	mem, err := secret.New(n * scratchSize)
	if err != nil {
		return nil, err
	}
	s := &scratch{mem: mem, free: make(chan []byte, n)}
	for b := mem.Bytes(); len(b) >= scratchSize; b = b[scratchSize:] {
		s.free <- b[:scratchUsed:scratchUsed]
	}
	return s, nil
}

// get returns nil once the cache is closed.
func (s *scratch) get() []byte { return <-s.free }

func (s *scratch) put(b []byte) {
	secret.Wipe(b)
	s.free <- b
}

// close waits until every lease is given back, then frees the memory.
func (s *scratch) close() {
	for range cap(s.free) {
		<-s.free
	}
	close(s.free)
	s.mem.Destroy()
}

// hasFieldKeys reports whether a field of the encoding has a key of its own, which can be kept.
func hasFieldKeys(e sealed.Encoding) bool {
	return e == sealed.EncodingRecord || e == sealed.EncodingRef
}

// openField opens a field of encoding 3 or 4 with its own key, if that key is kept.
func (k Key) openField(mem, dst, name []byte, id contextID, blob sealed.Blob) (plain []byte, ok bool, err error) {
	if !k.c.fields.load(mem[:sealed.FieldSize], id) {
		return dst, false, nil
	}
	plain, err = sealed.LoadField(mem[:sealed.FieldSize]).Open(dst, name, blob)
	return plain, true, err
}

// openContext opens a field with a kept context. It then keeps the key of a field of encoding 3: the record was read
// before, and exporting the key again costs four times as much as opening.
func (k Key) openContext(mem, dst, name []byte, field contextID, blob sealed.Blob) ([]byte, bool, error) {
	if !k.c.contexts.load(mem[:sealed.ContextSize], k.contextID(blob.Enc)) {
		return dst, false, nil
	}
	context := k.load(mem[:sealed.ContextSize])
	if !hasFieldKeys(blob.Encoding) {
		plain, err := context.Open(dst, name, blob)
		return plain, true, err
	}
	own := mem[sealed.ContextSize:]
	f, err := context.Field(own, name)
	if err != nil {
		return dst, true, err
	}
	plain, err := f.Open(dst, name, blob)
	if err == nil {
		k.c.fields.store(k.e.owner(), field, own)
	}
	return plain, true, err
}

// OpenCached opens blob if its context is cached. It does no public-key work, so a lane's reader may call it. name is
// the field's name in lower case. The plaintext is appended to dst, for which see [sealed.Context.Open]. ok is false
// if the context is not cached: let a worker call Open. err is [sealed.ErrOpen].
func (k Key) OpenCached(dst, name []byte, blob sealed.Blob) (plain []byte, ok bool, err error) {
	mem := k.c.scratch.get()
	if mem == nil {
		return dst, false, nil
	}
	defer k.c.scratch.put(mem)
	var field contextID
	if hasFieldKeys(blob.Encoding) {
		field = k.fieldID(blob.Enc, name)
		if plain, ok, err = k.openField(mem, dst, name, field, blob); ok {
			return plain, ok, err
		}
	}
	return k.openContext(mem, dst, name, field, blob)
}

// Open opens blob. It derives the context (one ECDH) if that is not cached, and keeps it if the blob opens. The
// derivation is not shared with other callers: work that many may want at once takes a [Share]. Open fields that
// share an encapsulated key (encoding 3) one after another: then one derivation serves them all. Error:
// [sealed.ErrOpen].
func (k Key) Open(dst, name []byte, blob sealed.Blob) ([]byte, error) {
	mem := k.c.scratch.get()
	if mem == nil {
		return dst, sealed.ErrOpen
	}
	defer k.c.scratch.put(mem)
	id := k.contextID(blob.Enc)
	mem = mem[:sealed.ContextSize]
	if k.c.contexts.load(mem, id) {
		return k.load(mem).Open(dst, name, blob)
	}
	context, err := k.derive(mem, blob.Enc)
	if err != nil {
		return dst, err
	}
	plain, err := context.Open(dst, name, blob)
	if err == nil {
		k.c.contexts.store(k.e.owner(), id, mem)
	}
	return plain, err
}
