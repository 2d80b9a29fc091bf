package expr

import (
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// node is the call of a function of ours in a program, in place of cel-go's node. It charges before it works, so that
// no call costs more than is left; cel-go charges afterwards. It also gives the function the state, with which the
// function charges for what depends on more than the length of its arguments.
type node struct {
	interpreter.InterpretableCall

	sig  signature
	x, y interpreter.InterpretableV2 // y is nil for functions of one value
}

// charged is a literal or a step of a loop in a program, together with its price.
type charged struct {
	interpreter.InterpretableCall

	x     interpreter.InterpretableV2
	units uint64
}

// object is a map literal in a program. A repeated key is an error. cel-go takes the last one, so that a value meant
// as a mask could silently be missing.
type object struct {
	interpreter.InterpretableV2

	entries types.Int
}

// Exec implements cel-go's interpreter.InterpretableV2.
func (o *object) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	v := o.InterpretableV2.Exec(frame)
	if m, ok := v.(traits.Mapper); ok && m.Size() != o.entries {
		return failed(KindInput)
	}
	return v
}

// Eval implements cel-go's interpreter.Interpretable.
func (o *object) Eval(ctx interpreter.Activation) ref.Val {
	if frame, ok := ctx.(*interpreter.ExecutionFrame); ok {
		return o.Exec(frame)
	}
	return failed(KindInternal)
}

// decorator returns the function that replaces cel-go's nodes by ours while a program is planned.
func decorator(sigs []signature) interpreter.InterpretableDecoratorV2 {
	type form struct {
		name  string
		arity int
	}
	ours := map[form]signature{{operators.Add, 2}: {name: operators.Add, walk: (*state).add}}
	for _, s := range sigs {
		if n := s.arity(); n > 0 {
			ours[form{s.name, n}] = s
		}
	}
	return func(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
		if m, ok := i.(interpreter.InterpretableConstructor); ok && m.Type() == types.MapType {
			return &object{InterpretableV2: i, entries: types.Int(len(m.InitVals()) / 2)}, nil
		}
		c, ok := i.(interpreter.InterpretableCall)
		if !ok {
			return i, nil
		}
		args := c.Args()
		sig, ok := ours[form{c.Function(), len(args)}]
		switch {
		case !ok:
			return i, nil
		case sig.name == opCharged:
			return newCharged(c, args), nil
		}
		n := &node{InterpretableCall: c, sig: sig, x: args[0]}
		if len(args) > 1 {
			n.y = args[1]
		}
		return n, nil
	}
}

func newCharged(c interpreter.InterpretableCall, args []interpreter.InterpretableV2) interpreter.InterpretableV2 {
	n := &charged{InterpretableCall: c, x: args[0]}
	if price, ok := args[1].(interpreter.InterpretableConst); ok {
		if units, ok := price.Value().(types.Int); ok {
			n.units = uint64(units)
		}
	}
	return n
}

// stateOf returns the state that evaluates, or nil if it is not a state of ours that evaluates.
func stateOf(frame *interpreter.ExecutionFrame) *state {
	tracker := frame.CostTracker()
	if tracker == nil {
		return nil
	}
	st, _ := tracker.Estimator.(*state)
	return st
}

// Exec implements cel-go's interpreter.InterpretableV2.
func (n *node) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	x := n.x.Exec(frame)
	if types.IsUnknownOrError(x) {
		return x
	}
	var y ref.Val
	if n.y != nil {
		if y = n.y.Exec(frame); types.IsUnknownOrError(y) {
			return y
		}
	}
	st := stateOf(frame)
	if st == nil { // nothing is charged
		return failed(KindInternal)
	}
	return n.sig.run(st, x, y)
}

// Eval implements cel-go's interpreter.Interpretable.
func (n *node) Eval(ctx interpreter.Activation) ref.Val {
	if frame, ok := ctx.(*interpreter.ExecutionFrame); ok {
		return n.Exec(frame)
	}
	return failed(KindInternal)
}

// Exec implements cel-go's interpreter.InterpretableV2.
func (n *charged) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	st := stateOf(frame)
	if st == nil {
		return failed(KindInternal)
	}
	st.charge(n.units)
	return n.x.Exec(frame)
}

// Eval implements cel-go's interpreter.Interpretable.
func (n *charged) Eval(ctx interpreter.Activation) ref.Val {
	if frame, ok := ctx.(*interpreter.ExecutionFrame); ok {
		return n.Exec(frame)
	}
	return failed(KindInternal)
}

// run charges for a call, makes it, and charges for a text that the call returns.
func (s *signature) run(st *state, x, y ref.Val) ref.Val {
	st.charge(s.price.before(x, y))
	var v ref.Val
	switch {
	case s.walk != nil:
		v = s.walk(st, x, y)
	case s.one != nil:
		v = s.one(x)
	default:
		v = s.two(x, y)
	}
	switch r := v.(type) {
	case *types.Err:
		st.charge(failurePrice)
	case types.String:
		st.size(len(r))
		st.charge(textCost(r, bytesPerUnit))
	case types.Bytes:
		st.size(len(r))
		st.charge(textCost(r, bytesPerUnit))
	}
	return v
}

// add is x + y. It joins lists into a new one, and each element pays for its copy. cel-go would return a view of
// both, in which finding an element takes as many steps as lists were joined.
func (st *state) add(x, y ref.Val) ref.Val {
	switch a := x.(type) {
	case types.String:
		if b, ok := y.(types.String); ok {
			st.size(len(a) + len(b))
		}
	case types.Bytes:
		if b, ok := y.(types.Bytes); ok {
			st.size(len(a) + len(b))
		}
	case traits.Lister:
		b, ok := y.(traits.Lister)
		if !ok {
			return failed(KindType)
		}
		return st.join(a, b)
	}
	if a, ok := x.(traits.Adder); ok {
		return a.Add(y)
	}
	return failed(KindType)
}

// join makes one list of two. The list that a loop builds belongs to the loop, and grows in place.
func (st *state) join(a, b traits.Lister) ref.Val {
	n, ok := a.Size().(types.Int)
	m, ok2 := b.Size().(types.Int)
	if !ok || !ok2 {
		return failed(KindType)
	}
	st.elements(n + m)
	if own, ok := a.(traits.MutableLister); ok {
		st.charge(uint64(m))
		return own.Add(b)
	}
	st.charge(uint64(n + m))
	all := make([]ref.Val, 0, n+m)
	for _, l := range [...]traits.Lister{a, b} {
		for it := l.Iterator(); it.HasNext() == types.True; {
			all = append(all, it.Next())
		}
	}
	return types.NewRefValList(types.DefaultTypeAdapter, all)
}
