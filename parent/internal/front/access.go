package front

import (
	"redoubt/wire"
	"redoubt/wire/kit/jsonscan"
)

// readsExist reports whether the access report names only expressions and fields of the request.
func (a *answer) readsExist(r *request) bool {
	for _, read := range a.msg.Reads {
		if int(read.Expression) >= len(r.exprs) || int(read.Field) >= len(r.fields) {
			return false
		}
	}
	return true
}

// Beside its name, an expression takes accessRoom bytes of a report.
const accessRoom = 32

// accessSize bounds what access appends. Names of fields need no escapes on /v1.
func (a *answer) accessSize(r *request) int {
	if !r.msg.ReportAccess {
		return 0
	}
	n := accessRoom
	for i := range r.exprs {
		n += jsonscan.MaxEscaped*len(r.exprs[i].name) + accessRoom
	}
	for _, read := range a.msg.Reads {
		n += 2 * (len(r.fields[read.Field].name) + 3)
	}
	return n
}

// access appends the report by names, each expression's fields in two lists: {"x":{"reads":["a","b"],"raw":["a"]}}.
// It appends null if the enclave made no report: then each expression may hold every field.
func (a *answer) access(dst *buffer, r *request) {
	if !a.msg.AccessReported {
		dst.text("null")
		return
	}
	dst.text("{")
	rest := a.msg.Reads
	for i := range r.exprs {
		n := 0
		for n < len(rest) && int(rest[n].Expression) == i {
			n++
		}
		if i > 0 {
			dst.text(",")
		}
		dst.str(r.exprs[i].name)
		dst.text(`:{"reads":[`)
		names(dst, r, rest[:n], false)
		dst.text(`],"raw":[`)
		names(dst, r, rest[:n], true)
		dst.text("]}")
		rest = rest[n:]
	}
	dst.text("}")
}

// names appends the fields of reads: all of them, or only the raw ones.
func names(dst *buffer, r *request, reads []wire.FieldRead, raw bool) {
	first := true
	for _, read := range reads {
		if raw && !read.Raw {
			continue
		}
		if !first {
			dst.text(",")
		}
		first = false
		dst.str(r.fields[read.Field].name)
	}
}
