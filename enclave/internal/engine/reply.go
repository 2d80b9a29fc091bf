package engine

import (
	"redoubt/wire"
	"redoubt/wire/sealed"
	"redoubt/wire/secret"
)

// replyInfo begins the HPKE info of a sealed reply; a zero byte and the vault id follow.
const replyInfo = "redoubt/v1/reply\x00"

// answerSealed answers with each value sealed to the caller's key: the JSON text of the value, all values of the
// answer in one record of encoding 3 (one encapsulation).
func (j *job) answerSealed() {
	results := j.replyResults()
	texts := make(map[string][]byte, len(results))
	defer func() {
		for _, t := range texts {
			secret.Wipe(t)
		}
	}()
	names := make([]string, len(results))
	for i := range results {
		r := &results[i]
		if r.ValueKind == wire.ValueAbsent {
			continue
		}
		names[i] = j.replyName(r)
		texts[names[i]] = appendJSON(r)
	}
	size := headOverhead + len(results)*resultOverhead
	if len(texts) > 0 {
		blobs, err := sealed.SealRecord(j.reply.Suite(), j.reply, replyInfo+string(j.req.VaultID), texts)
		if err != nil {
			j.fail(wire.Internal, 0)
			return
		}
		for i := range results {
			if r := &results[i]; r.ValueKind != wire.ValueAbsent {
				r.ValueKind, r.Value = wire.ValueSealed, blobs[names[i]]
				size += len(r.Value)
			}
		}
	}
	j.e.stats.Count(wire.StatSealedReplies)
	m := wire.DecryptResponse{Results: results}
	if m.AccessReported = j.req.ReportAccess; m.AccessReported {
		m.Reads = j.report()
		size += wire.AccessSize(len(m.Reads))
	}
	j.send(m.Append(j.to.Buffer(size)))
}

// replyResults gathers what the answer shows.
func (j *job) replyResults() []wire.Result {
	results := make([]wire.Result, 0, len(j.fields)+len(j.exprs))
	for i := range j.fields {
		if j.shown(i) {
			results = append(results, j.fieldResult(i))
		}
	}
	for i := range j.exprs {
		results = append(results, j.expressionResult(i))
	}
	return results
}

// replyName is the name that a value is sealed under: in lower case, as parseReply has seen to.
func (j *job) replyName(r *wire.Result) string {
	if r.Kind == wire.ResultField {
		return string(j.fields[r.Index].name)
	}
	name, _ := sealed.AppendLower(nil, j.req.Expressions[r.Index].Name)
	return string(name)
}

// appendJSON returns the JSON text of a value in memory of its own, of the right size from the start.
func appendJSON(r *wire.Result) []byte {
	if r.ValueKind == wire.ValueJSON {
		return append(make([]byte, 0, len(r.Value)), r.Value...)
	}
	return appendQuoted(make([]byte, 0, quotedSize(r.Value)), r.Value)
}

const hexDigits = "0123456789abcdef"

// quotedSize is the size of what appendQuoted appends.
func quotedSize(s []byte) int {
	n := 2
	for _, c := range s {
		switch {
		case c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t':
			n += 2
		case c < ' ':
			n += 6
		default:
			n++
		}
	}
	return n
}

// appendQuoted appends s, which is UTF-8, as a JSON string (RFC 8259, section 7).
func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
