package wire

import (
	"encoding/binary"
	"strconv"
)

// ExpressionKind says why an expression failed, for reasons that follow from the request's names and sources alone. A
// failure that depends on a value has no kind, since a kind would tell something of the value. The numbers are part
// of the protocol and never change their meaning.
type ExpressionKind uint8

// The kinds of the protocol. Zero says that nothing is told.
const (
	ExpressionUntold ExpressionKind = iota
	// ExpressionTooLong: the source, or all sources of the request together, are longer than the limit.
	ExpressionTooLong
	// ExpressionSyntax: the source is not CEL, or uses a part of it that is not available.
	ExpressionSyntax
	// ExpressionTooComplex: too deep, too many nodes, loops nested too far.
	ExpressionTooComplex
	// ExpressionUndeclaredName: a name that is neither a field nor an expression of the request.
	ExpressionUndeclaredName
	// ExpressionUnknownFunction: no such function, or none that takes this number of arguments.
	ExpressionUnknownFunction
	// ExpressionCycle: the expression refers to itself by way of others.
	ExpressionCycle
	// ExpressionDependency: the expression refers to one that failed, whose own result says the same.
	ExpressionDependency

	expressionKinds
)

// ExpressionKinds is the number of known kinds; they are 0 to ExpressionKinds-1.
const ExpressionKinds = int(expressionKinds)

var expressionKindNames = [expressionKinds]string{
	"", "too_long", "syntax", "too_complex", "undeclared_name", "unknown_function", "cycle", "dependency",
}

var expressionKindTexts = [expressionKinds]string{
	ExpressionUntold:          codeTexts[ExpressionFailed],
	ExpressionTooLong:         "the expression, or all of the request's together, are longer than the limit",
	ExpressionSyntax:          "the expression is not valid CEL, or uses a part of CEL that is not available",
	ExpressionTooComplex:      "the expression is nested too deeply or has too many parts",
	ExpressionUndeclaredName:  "the expression uses a name that is neither a field nor an expression of the request",
	ExpressionUnknownFunction: "the expression calls a function that does not exist with that number of arguments",
	ExpressionCycle:           "the expression is part of a cycle of expressions",
	ExpressionDependency:      "the expression refers to an expression that failed",
}

// String is the kind's snake_case name, as callers see it in JSON and in metric labels; "" for [ExpressionUntold]
// and for a kind that this version does not know.
func (k ExpressionKind) String() string {
	if k >= expressionKinds {
		return ""
	}
	return expressionKindNames[k]
}

// Text is a short static sentence for the kind. It never depends on a request.
func (k ExpressionKind) Text() string {
	if k >= expressionKinds {
		k = ExpressionUntold
	}
	return expressionKindTexts[k]
}

// Failure says more about an expression whose code is [ExpressionFailed].
type Failure struct {
	// Index into the request's Expressions.
	Index uint16
	Kind  ExpressionKind
	// Line and Column say where in the source, both from 1, the column in bytes. Both are 0 if no place is given.
	Line, Column uint32
}

// AppendFailures appends the extension of a response that holds failures. It appends nothing if there are none.
func AppendFailures(dst []byte, failures []Failure) []byte {
	if len(failures) == 0 {
		return dst
	}
	var room [1 + MaxExpressions*maxFailure]byte
	v := binary.AppendUvarint(room[:0], uint64(len(failures)))
	for _, f := range failures {
		v = binary.AppendUvarint(v, uint64(f.Index))
		v = append(v, byte(f.Kind))
		v = binary.AppendUvarint(v, uint64(f.Line))
		v = binary.AppendUvarint(v, uint64(f.Column))
	}
	return appendExtension(dst, extFailures, v)
}

// maxFailure bounds an encoded failure: index, kind, line and column.
const maxFailure = 1 + 1 + binary.MaxVarintLen32 + binary.MaxVarintLen32

// FailuresSize bounds what [AppendFailures] appends for n failures.
func FailuresSize(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + binary.MaxVarintLen32 + 1 + n*maxFailure
}

// decodeFailures reads the extension. Kinds of a newer peer are skipped.
func (m *DecryptResponse) decodeFailures(v []byte) error {
	m.Failures = m.Failures[:0]
	r := reader{b: v}
	for range r.count(MaxExpressions, 4) {
		index := r.uvarint()
		f := Failure{Kind: ExpressionKind(r.u8()), Line: r.u32(), Column: r.u32()}
		if r.err != nil {
			return r.err
		}
		if index >= MaxExpressions {
			return ErrValue
		}
		if f.Index = uint16(index); f.Kind != ExpressionUntold && f.Kind < expressionKinds {
			m.Failures = append(m.Failures, f)
		}
	}
	if r.err == nil && len(r.b) > 0 {
		return ErrExtension
	}
	return r.err
}

// AppendProblem appends the JSON object that tells a caller of /v1 why a field or an expression has no value:
//
//	{"code":"expression_failed","message":"…","kind":"syntax","position":{"line":1,"column":7}}
//
// f counts for an expression that failed; kind and position are there if it tells them. At most [MaxProblem] bytes.
func AppendProblem(dst []byte, c Code, f Failure) []byte {
	text, kind := c.Text(), ""
	if c == ExpressionFailed {
		text, kind = f.Kind.Text(), f.Kind.String()
	}
	dst = append(append(dst, `{"code":"`...), c.String()...)
	dst = append(append(dst, `","message":"`...), text...)
	if kind != "" {
		dst = append(append(dst, `","kind":"`...), kind...)
	}
	dst = append(dst, '"')
	if kind != "" && f.Line > 0 {
		dst = append(dst, `,"position":{"line":`...)
		dst = strconv.AppendUint(dst, uint64(f.Line), 10)
		dst = append(dst, `,"column":`...)
		dst = strconv.AppendUint(dst, uint64(f.Column), 10)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// MaxProblem bounds what [AppendProblem] appends.
const MaxProblem = 240
