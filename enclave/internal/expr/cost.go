package expr

import (
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// bytesPerUnit is how many bytes a function touches for one unit of cost.
const bytesPerUnit = 10

// deadlineInterval is how many units pass between two checks of the clock.
const deadlineInterval = 1024

// newTracker returns cel-go's tracker with our prices. All expressions that a state evaluates share it. Its cost only
// grows, and st.limit moves ahead of it (see state.arm).
func newTracker(st *state) (*cost.Tracker, error) {
	tracker, err := cost.NewTracker(st, cost.TrackerLimitExceededHandler(func() { st.cancel(KindCost) }))
	if err != nil {
		return nil, err
	}
	tracker.Limit = &st.limit
	return tracker, nil
}

// cancel ends the evaluation: cel-go or [state.evaluate] recovers the panic.
func (st *state) cancel(k Kind) {
	st.cancelled = k
	panic(interpreter.EvalCancelledError{Cause: interpreter.CostLimitExceeded, Message: "evaluation cancelled"})
}

// charge pays for work that is about to be done. It ends the evaluation if the expression or the request cannot pay,
// or if time is up. Units charged here are subtracted from what cel-go's tracker may still count.
func (st *state) charge(units uint64) {
	if units > st.limit-min(st.limit, st.tracker.ActualCost()) {
		st.cancel(KindCost)
	}
	st.limit -= units
	st.requestEnd -= units
	st.tick(units)
}

// tick checks the clock each time that some work has been paid for.
func (st *state) tick(units uint64) {
	st.sinceClock += units
	if st.sinceClock < deadlineInterval {
		return
	}
	st.sinceClock = 0
	if st.expired() {
		st.cancel(KindDeadline)
	}
}

// size ends the evaluation if a string or byte string of n bytes may not exist.
func (st *state) size(n int) {
	if n > st.e.limits.Value {
		st.cancel(KindCost)
	}
}

// elements ends the evaluation if a list of n elements may not exist.
func (st *state) elements(n types.Int) {
	if int64(n) > int64(st.e.limits.Elements) {
		st.cancel(KindCost)
	}
}

// CallCost prices a call of one of cel-go's own operators after it has run. All other calls are nodes of ours, which
// charge before they run (see [node]). cel-go asks for the cost of every call, because we register no price for an
// overload: cel-go would not find prices by overload for arguments whose type is known only at run time.
func (st *state) CallCost(_, _ string, args []ref.Val, result ref.Val) *uint64 {
	st.price = 1
	if types.IsError(result) {
		st.price += failurePrice
	}
	for _, arg := range args {
		st.price += textCost(arg, bytesPerUnit)
	}
	st.tick(st.price)
	return &st.price
}

// textCost is the cost of going through the bytes of v. It is zero unless v is a string or a byte string.
func textCost(v ref.Val, perUnit int) uint64 {
	switch t := v.(type) {
	case types.String:
		return uint64(len(t) / perUnit)
	case types.Bytes:
		return uint64(len(t) / perUnit)
	}
	return 0
}

// same reports whether x and y are equal by CEL's rules. A list may hold the same list many times, so a few values
// can make a comparison that never ends. So each pair of elements is paid for before it is compared.
func (st *state) same(x, y ref.Val) bool {
	st.charge(1)
	switch a := x.(type) {
	case types.String:
		b, ok := y.(types.String)
		if !ok || len(a) != len(b) {
			return false
		}
		st.charge(textCost(a, bytesPerUnit))
		return a == b
	case types.Bytes:
		if b, ok := y.(types.Bytes); ok && len(a) == len(b) {
			st.charge(textCost(a, bytesPerUnit))
		}
	case traits.Mapper:
		b, ok := y.(traits.Mapper)
		return ok && a.Size() == b.Size() && st.sameMaps(a, b)
	case traits.Lister:
		b, ok := y.(traits.Lister)
		return ok && a.Size() == b.Size() && st.sameLists(a, b)
	}
	return types.Equal(x, y) == types.True
}

func (st *state) sameLists(a, b traits.Lister) bool {
	for i, k := a.Iterator(), b.Iterator(); i.HasNext() == types.True; {
		if !st.same(i.Next(), k.Next()) {
			return false
		}
	}
	return true
}

// perEntry is the price of iterating over an entry of a map: its key is copied, and looked up twice.
const perEntry = 4

func (st *state) sameMaps(a, b traits.Mapper) bool {
	st.chargeEntries(a)
	for it := a.Iterator(); it.HasNext() == types.True; {
		k := it.Next()
		st.charge(2 * textCost(k, bytesPerUnit))
		v, found := a.Find(k)
		w, found2 := b.Find(k)
		if !found || !found2 || !st.same(v, w) {
			return false
		}
	}
	return true
}

// chargeEntries pays for an iterator over m, which copies all keys at once.
func (st *state) chargeEntries(m traits.Mapper) {
	if n, ok := m.Size().(types.Int); ok {
		st.charge(perEntry * uint64(n))
	}
}
