package keys

import (
	"runtime"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// scratch lends secret memory for what a goroutine opens fields with.
type scratch struct {
	mem  *secret.Buffer
	free chan *lease
}

// lease has room for a context, a field's key, and AES-GCM that is set up.
type lease struct {
	mem    []byte         // of context and field
	cipher *sealed.Cipher // nil: this build keeps none
}

func (l *lease) context() []byte { return l.mem[:sealed.ContextSize:sealed.ContextSize] }
func (l *lease) field() []byte   { return l.mem[sealed.ContextSize:] }

// A lease begins with the cipher, and is padded to whole cache lines to avoid false sharing.
const (
	scratchUsed = sealed.CipherSize + sealed.ContextSize + sealed.FieldSize
	scratchSize = (scratchUsed + 63) / 64 * 64
)

func newScratch() (*scratch, error) {
	n := 32 + 4*runtime.GOMAXPROCS(0)
	mem, err := secret.New(n * scratchSize)
	if err != nil {
		return nil, err
	}
	s := &scratch{mem: mem, free: make(chan *lease, n)}
	for b := mem.Bytes(); len(b) >= scratchSize; b = b[scratchSize:] {
		s.free <- &lease{
			cipher: sealed.NewCipher(b[:sealed.CipherSize]), mem: b[sealed.CipherSize:scratchUsed:scratchUsed],
		}
	}
	return s, nil
}

// get returns nil once the cache is closed.
func (s *scratch) get() *lease { return <-s.free }

func (s *scratch) put(l *lease) {
	secret.Wipe(l.mem)
	if l.cipher != nil {
		secret.Wipe(l.cipher.Memory())
	}
	s.free <- l
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

// Reader opens fields whose context is cached. End MUST be called once, on the goroutine that began it.
type Reader struct {
	k Key
	l *lease
}

// Reader begins to read fields. It waits until a lease is free, which others hold as long as it takes to open the
// fields of one request.
func (k Key) Reader() Reader { return Reader{k, k.c.scratch.get()} }

// End wipes what the reader used.
func (r *Reader) End() {
	if r.l != nil {
		r.k.c.scratch.put(r.l)
		r.l = nil
	}
}

// Open opens blob if its context is cached. It does no public-key work, so a lane's reader may call it. name is
// the field's name in lower case. The plaintext is appended to dst, for which see [sealed.Context.Open]. ok is false
// if the context is not cached: let a worker call [Key.Open]. err is [sealed.ErrOpen].
func (r *Reader) Open(dst, name []byte, blob sealed.Blob) (plain []byte, ok bool, err error) {
	if r.l == nil {
		return dst, false, nil
	}
	c := r.k.c
	if !hasFieldKeys(blob.Encoding) {
		id := r.k.contextID(blob.Enc)
		if r.ready(&c.contexts, id) {
			plain, err = r.l.cipher.Open(dst, name, blob)
			return plain, true, err
		}
		return r.openContext(dst, name, id, blob)
	}
	id := r.k.fieldID(blob.Enc, name)
	if r.ready(&c.fields, id) {
		plain, err = r.l.cipher.Open(dst, name, blob)
		return plain, true, err
	}
	if plain, ok, err = r.openField(dst, name, id, blob); ok {
		return plain, true, err
	}
	return r.openFirst(dst, name, id, blob)
}

// ready loads AES-GCM that is set up, if it is kept for id. That counts as a hit of of.
func (r *Reader) ready(of *contexts, id contextID) bool {
	if r.l.cipher == nil {
		return false
	}
	ok, _ := r.k.c.ciphers.find(r.l.cipher.Memory(), id)
	if ok {
		of.shard(&id).hits.Add(1)
	}
	return ok
}

// keep is where an open leaves AES-GCM that is set up, if it is to be kept.
func (r *Reader) keep(often bool) *sealed.Cipher {
	if often {
		return r.l.cipher
	}
	return nil
}

// kept keeps what an open has left.
func (r *Reader) kept(keep *sealed.Cipher, id contextID, err error) {
	if keep != nil && err == nil {
		r.k.c.ciphers.store(r.k.e.owner(), id, keep.Memory())
	}
}

// openContext opens a field of encoding 1 or 2 with its context, if that is kept.
func (r *Reader) openContext(dst, name []byte, id contextID, blob sealed.Blob) (plain []byte, ok bool, err error) {
	mem := r.l.context()
	ok, often := r.k.c.contexts.read(mem, id)
	if !ok {
		return dst, false, nil
	}
	keep := r.keep(often)
	plain, err = r.k.load(mem).OpenFor(keep, dst, name, blob)
	r.kept(keep, id, err)
	return plain, true, err
}

// openField opens a field of encoding 3 or 4 with its own key, if that is kept.
func (r *Reader) openField(dst, name []byte, id contextID, blob sealed.Blob) (plain []byte, ok bool, err error) {
	mem := r.l.field()
	ok, often := r.k.c.fields.read(mem, id)
	if !ok {
		return dst, false, nil
	}
	keep := r.keep(often)
	plain, err = sealed.LoadField(mem).OpenFor(keep, dst, name, blob)
	r.kept(keep, id, err)
	return plain, true, err
}

// openFirst opens a field of encoding 3 or 4 with its context, if that is kept. It then keeps the field's key: the
// record was read before, and exporting the key again costs four times as much as opening.
func (r *Reader) openFirst(dst, name []byte, field contextID, blob sealed.Blob) ([]byte, bool, error) {
	c, mem := r.k.c, r.l.context()
	if !c.contexts.load(mem, r.k.contextID(blob.Enc)) {
		return dst, false, nil
	}
	own := r.l.field()
	f, err := r.k.load(mem).Field(own, name)
	if err != nil {
		return dst, true, err
	}
	plain, err := f.Open(dst, name, blob)
	if err == nil {
		c.fields.store(r.k.e.owner(), field, own)
	}
	return plain, true, err
}

// OpenCached opens one field with a [Reader].
func (k Key) OpenCached(dst, name []byte, blob sealed.Blob) (plain []byte, ok bool, err error) {
	r := k.Reader()
	defer r.End()
	return r.Open(dst, name, blob)
}

// Open opens blob. It derives the context (one ECDH) if that is not cached, and keeps it if the blob opens. The
// derivation is not shared with other callers: work that many may want at once takes a [Share]. Open fields that
// share an encapsulated key (encoding 3) one after another: then one derivation serves them all. Error:
// [sealed.ErrOpen].
func (k Key) Open(dst, name []byte, blob sealed.Blob) ([]byte, error) {
	l := k.c.scratch.get()
	if l == nil {
		return dst, sealed.ErrOpen
	}
	defer k.c.scratch.put(l)
	id, mem := k.contextID(blob.Enc), l.context()
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
