package keys

import (
	"redoubt/wire/kit/sealed"
)

// Opening is a context in use. End MUST be called once, on the goroutine that began it.
type Opening struct {
	k       Key
	d       *derivation
	l       *lease
	context reading
	err     error
	leads   bool // other claimants of the context wait for this opening
	derived bool
	kept    bool
}

// Begin makes the context of the share's encapsulated key, enc, ready for use: from the cache, from another claimant,
// or by one key agreement. While another goroutine derives it, Begin does not wait: parked is true, there is no
// Opening, and w is told when to call Begin again. If the deriving goroutine gives up or panics, the next one takes
// over.
func (s Share) Begin(enc []byte, w Parked) (o Opening, parked bool) {
	l := s.k.c.scratch.get()
	if l == nil {
		return Opening{err: sealed.ErrOpen}, false
	}
	o = Opening{k: s.k, d: s.d, l: l}
	if s.d != nil {
		var state derivationState
		switch state, o.kept = s.d.take(s.k.c.shares.arena, l.context(), w); state {
		case running:
			s.k.c.scratch.put(l)
			return Opening{}, true
		case ready:
			o.context = s.k.load(l.context())
			return o, false
		case invalid:
			o.err = sealed.ErrOpen
			return o, false
		case idle:
			o.leads = true
		}
	}
	done := false
	defer func() {
		if !done {
			o.give(idle)
		}
	}()
	o.derive(enc)
	done = true
	return o, false
}

// derive fills in the context.
func (o *Opening) derive(enc []byte) {
	c, mem := o.k.c, o.l.context()
	if c.contexts.load(mem, o.k.contextID(enc)) {
		o.context, o.kept = o.k.load(mem), true
		return
	}
	o.kept, o.derived = false, true
	o.context, o.err = o.k.derive(mem, enc)
}

// Derived reports whether Begin cost a key agreement.
func (o *Opening) Derived() bool { return o.derived }

// Open opens a field as [Key.Open] does.
func (o *Opening) Open(dst, name []byte, blob sealed.Blob) ([]byte, error) {
	if o.err != nil {
		return dst, o.err
	}
	plain, err := o.context.Open(dst, name, blob)
	if err == nil && !o.kept {
		c := o.k.c
		c.contexts.store(o.k.e.owner(), o.k.contextID(blob.Enc), o.l.context())
		o.kept = true
	}
	return plain, err
}

// End hands the context to the other claimants and wipes this copy.
func (o *Opening) End() {
	state := ready
	if o.err != nil {
		state = invalid
	}
	o.give(state)
}

func (o *Opening) give(state derivationState) {
	if o.l == nil {
		return
	}
	if o.leads {
		o.d.settle(o.k.c.shares.arena, state, o.l.context(), o.kept)
	}
	o.k.c.scratch.put(o.l)
	o.l = nil
}
