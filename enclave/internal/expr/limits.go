package expr

import "errors"

// Defaults of [Limits].
const (
	DefaultSource        = 10_240
	DefaultRequestSource = 128 << 10
	DefaultExpressions   = 100
	DefaultDepth         = 200
	DefaultNodes         = 5_000
	DefaultLoopNesting   = 3
	DefaultCost          = 100_000
	DefaultRequestCost   = 400_000
	DefaultValue         = 1 << 20
	DefaultElements      = 10_000
	DefaultOutput        = 512 << 10
	DefaultRequestOutput = 1 << 20
	DefaultCache         = 16 << 20
)

// Limits bound what one request may cost. Zero means the default; a negative number is refused.
type Limits struct {
	// Source bounds one expression, in bytes (the reference's limit), and RequestSource the sum over a request.
	// Compiling takes up to 1 ms for 1 KiB. Expressions beyond the sum, in request order, count as too long.
	Source, RequestSource int
	// Expressions is the largest number of expressions in a request (the reference's limit).
	Expressions int
	// Depth and Nodes bound the syntax tree, macros expanded. A chain of n operators is n deep.
	Depth, Nodes int
	// LoopNesting bounds loops (all, exists, map, filter) inside loops.
	LoopNesting int
	// Cost bounds one expression, and RequestCost all expressions of a request together. A unit is about one
	// operation, one element gone through, or ten bytes touched. It is paid before the work is done. A unit takes
	// some 20 to 100 ns of CPU, and at most 200 ns. So by default no expression takes more than 20 ms, and no request
	// more than 80 ms, beside compiling.
	Cost, RequestCost int
	// Value bounds each intermediate string or byte string, in bytes, and Elements each intermediate list.
	Value, Elements int
	// Output bounds one result and RequestOutput all results of a request, in bytes.
	Output, RequestOutput int
	// Cache bounds the estimated memory of cached programs, in bytes, and likewise that of cached plans.
	Cache int
}

var errLimits = errors.New("expr: negative limit")

// withDefaults returns l with each zero replaced by its default.
func (l Limits) withDefaults() (Limits, error) {
	for _, f := range []struct {
		value *int
		def   int
	}{
		{&l.Source, DefaultSource},
		{&l.RequestSource, DefaultRequestSource},
		{&l.Expressions, DefaultExpressions},
		{&l.Depth, DefaultDepth},
		{&l.Nodes, DefaultNodes},
		{&l.LoopNesting, DefaultLoopNesting},
		{&l.Cost, DefaultCost},
		{&l.RequestCost, DefaultRequestCost},
		{&l.Value, DefaultValue},
		{&l.Elements, DefaultElements},
		{&l.Output, DefaultOutput},
		{&l.RequestOutput, DefaultRequestOutput},
		{&l.Cache, DefaultCache},
	} {
		if *f.value < 0 {
			return l, errLimits
		}
		if *f.value == 0 {
			*f.value = f.def
		}
	}
	return l, nil
}
