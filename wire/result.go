package wire

import "encoding/binary"

// ResultKind says what a result belongs to.
type ResultKind uint8

// Kinds of results.
const (
	ResultField      ResultKind = 1
	ResultExpression ResultKind = 2
)

// ValueKind says how to read a result's value.
type ValueKind uint8

const (
	// ValueAbsent means that there is no value: the result's code says why, or the value was not asked for.
	ValueAbsent ValueKind = 0
	// ValueString is a string, raw UTF-8, not quoted.
	ValueString ValueKind = 1
	// ValueJSON is the JSON text of a value.
	ValueJSON ValueKind = 2
	// ValueSealed is a value, or the reason why there is none, padded and sealed to the request's reply key (package
	// sealed/reply).
	ValueSealed ValueKind = 4

	// valueUnpadded was a value sealed without padding. It showed the value's length, and is refused.
	valueUnpadded ValueKind = 3
)

// Result is the outcome of one field or expression.
type Result struct {
	Kind ResultKind
	// Index into the request's Fields or Expressions.
	Index uint16
	Code  Code
	// ValueKind says how to read Value, which is empty if ValueKind is ValueAbsent.
	ValueKind ValueKind
	Value     []byte
}

// DecryptResponse answers a [DecryptRequest]. If Code is not OK there are no results.
//
// After Decode each Value borrows from the decoded frame. Reuse after Reset allocates nothing.
type DecryptResponse struct {
	Code Code
	// RetryAfterMS says when a retry may help, in milliseconds; 0 = unknown.
	RetryAfterMS uint32
	Results      []Result
	// Failures say more about expressions that failed: at most one for each, behind [FeatureExpressionKinds].
	Failures []Failure
	// AccessReported says that the answer has an access report; Reads is the report, in the order of expressions and, for
	// each, of fields.
	AccessReported bool
	Reads          []FieldRead
}

// FieldRead says that an expression of the request reads a field of the request, itself or through other expressions.
type FieldRead struct {
	// Expression and Field are indexes into the request's lists.
	Expression, Field uint16
	// Raw says that the expression's result may hold the field's value unchanged.
	Raw bool
}

// Extensions of a response.
const (
	extFailures = 1
	extAccess   = 2
)

// Reset empties the response, keeps its slices and drops borrowed memory. It does not wipe the values.
func (m *DecryptResponse) Reset() {
	clear(m.Results)
	*m = DecryptResponse{Results: m.Results[:0], Failures: m.Failures[:0], Reads: m.Reads[:0]}
}

// Add appends a result; value is kept, not copied.
func (m *DecryptResponse) Add(r Result) {
	m.Results = append(m.Results, r)
}

// Validate checks the limits of what Append would write. It returns [ErrLimit] or [ErrValue].
func (m *DecryptResponse) Validate() error {
	if len(m.Results) > MaxResults || len(m.Failures) > MaxExpressions {
		return ErrLimit
	}
	if m.Code != OK && len(m.Results) > 0 {
		return ErrValue
	}
	size := 16 + FailuresSize(len(m.Failures))
	for i := range m.Results {
		r := &m.Results[i]
		if err := r.check(); err != nil {
			return err
		}
		size += 12 + len(r.Value)
	}
	if err := m.checkReads(); err != nil {
		return err
	}
	size += AccessSize(len(m.Reads))
	if size > MaxBody {
		return ErrLimit
	}
	return nil
}

func (r *Result) check() error {
	limit := uint16(MaxFields)
	if r.Kind == ResultExpression {
		limit = MaxExpressions
	}
	if r.Kind < ResultField || r.Kind > ResultExpression || r.Index >= limit ||
		r.ValueKind > ValueSealed || r.ValueKind == valueUnpadded || (r.ValueKind == ValueAbsent && len(r.Value) > 0) ||
		(r.Code != OK && r.ValueKind != ValueAbsent) {
		return ErrValue
	}
	return nil
}

// Append appends the response's body. It does not check limits: see Validate.
func (m *DecryptResponse) Append(dst []byte) []byte {
	dst = AppendResponseHead(dst, m.Code, m.RetryAfterMS, len(m.Results))
	for i := range m.Results {
		dst = AppendResult(dst, m.Results[i])
	}
	dst = AppendFailures(dst, m.Failures)
	if m.AccessReported {
		dst = AppendAccess(dst, m.Reads)
	}
	return dst
}

// AppendResponseHead appends the part of a response before its results. Exactly n calls of [AppendResult] must
// follow. With the two the enclave encodes without gathering results first.
func AppendResponseHead(dst []byte, c Code, retryAfterMS uint32, n int) []byte {
	dst = append(dst, byte(c))
	dst = binary.AppendUvarint(dst, uint64(retryAfterMS))
	return binary.AppendUvarint(dst, uint64(n))
}

// AppendResult appends one result; see [AppendResponseHead].
func AppendResult(dst []byte, r Result) []byte {
	dst = append(dst, byte(r.Kind))
	dst = binary.AppendUvarint(dst, uint64(r.Index))
	dst = append(dst, byte(r.Code), byte(r.ValueKind))
	return appendBytes(dst, r.Value)
}

// Decode reads a body, borrowing from b. It resets m first. All failures wrap [ErrMalformed].
func (m *DecryptResponse) Decode(b []byte) error {
	m.Reset()
	if len(b) > MaxBody {
		return ErrLimit
	}
	r := reader{b: b}
	m.Code = knownCode(r.u8())
	m.RetryAfterMS = r.u32()
	n := r.count(MaxResults, 5)
	if m.Code != OK && n > 0 {
		return ErrValue
	}
	for range n {
		kind := ResultKind(r.u8())
		index := r.uvarint()
		code, vk := knownCode(r.u8()), ValueKind(r.u8())
		value := r.bytes(MaxBody)
		if r.err != nil {
			return r.err
		}
		if index >= MaxFields {
			return ErrValue
		}
		res := Result{Kind: kind, Index: uint16(index), Code: code, ValueKind: vk, Value: value}
		if err := res.check(); err != nil {
			return err
		}
		m.Results = append(m.Results, res)
	}
	return m.decodeExtensions(&r)
}

func (m *DecryptResponse) decodeExtensions(r *reader) error {
	for {
		tag, v, ok := r.extension()
		if !ok {
			return r.err
		}
		var err error
		switch tag {
		case extFailures:
			err = m.decodeFailures(v)
		case extAccess:
			err = m.decodeAccess(v)
		}
		if err != nil {
			return err
		}
	}
}

// String keeps responses out of logs.
func (m *DecryptResponse) String() string { return "[decrypt response]" }

// knownCode maps codes of a newer peer to Internal.
func knownCode(b uint8) Code {
	if c := Code(b); c.Known() {
		return c
	}
	return Internal
}
