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

// deadlineInterval is how many units pass between two looks at the clock.
const deadlineInterval = 1024

// newTracker returns cel-go's tracker with our prices. It is used for all expressions that a state evaluates: its cost
// only grows, and st.limit moves ahead of it (see state.arm).
func newTracker(st *state) (*cost.Tracker, error) {
	tracker, err := cost.NewTracker(st, cost.TrackerLimitExceededHandler(func() { st.cancel(KindCost) }))
	if err != nil {
		return nil, err
	}
	tracker.Limit = &st.limit
	return tracker, nil
}

// cancel ends the evaluation: cel-go recovers the panic and returns an error.
func (st *state) cancel(k Kind) {
	st.cancelled = k
	panic(interpreter.EvalCancelledError{Cause: interpreter.CostLimitExceeded, Message: "evaluation cancelled"})
}

// CallCost prices a call after it has run, and stops an evaluation whose values grow too large or whose time is up.
// cel-go asks for every call, because we register no price for an overload: prices by overload would not be found for
// arguments whose type is known only at run time.
func (st *state) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	limits := &st.e.limits
	st.price = 1
	for _, arg := range args {
		st.price += st.argCost(function, arg)
	}
	switch r := result.(type) {
	case types.String:
		st.price += uint64(len(r)) / bytesPerUnit
		if len(r) > limits.Value {
			st.cancel(KindCost)
		}
	case types.Bytes:
		st.price += uint64(len(r)) / bytesPerUnit
		if len(r) > limits.Value {
			st.cancel(KindCost)
		}
	case traits.Lister:
		if n, ok := r.Size().(types.Int); ok && int64(n) > int64(limits.Elements) {
			st.cancel(KindCost)
		}
	}
	st.sinceClock += st.price
	if st.sinceClock >= deadlineInterval {
		st.sinceClock = 0
		if st.expired() {
			st.cancel(KindDeadline)
		}
	}
	return &st.price
}

// argCost prices reading an argument. Lists count where the function goes through them.
func (st *state) argCost(function string, arg ref.Val) uint64 {
	switch v := arg.(type) {
	case types.String:
		return uint64(len(v)) / bytesPerUnit
	case types.Bytes:
		return uint64(len(v)) / bytesPerUnit
	case types.Int:
		if function == opLiteral {
			return uint64(v)
		}
	case traits.Lister, traits.Mapper:
		switch function {
		case opEqual, opNotEqual, opIn, opMax, opMin, "contains":
			return weigh(v, uint64(st.e.limits.Cost))
		}
	}
	return 0
}

// weigh returns the cost of going through all of a value, each list as often as it occurs: one unit for each element
// and one for each ten bytes. It stops soon after it has passed limit.
func weigh(v ref.Val, limit uint64) uint64 {
	switch c := v.(type) {
	case types.String:
		return 1 + uint64(len(c))/bytesPerUnit
	case types.Bytes:
		return 1 + uint64(len(c))/bytesPerUnit
	case traits.Mapper:
		total := uint64(1)
		for it := c.Iterator(); total <= limit && it.HasNext() == types.True; {
			k := it.Next()
			total += weigh(k, limit)
			if val, found := c.Find(k); found && total <= limit {
				total += weigh(val, limit-total)
			}
		}
		return total
	case traits.Lister:
		total := uint64(1)
		for it := c.Iterator(); total <= limit && it.HasNext() == types.True; {
			total += weigh(it.Next(), limit-total)
		}
		return total
	default:
		return 1
	}
}
