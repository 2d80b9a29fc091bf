// Package expr evaluates, for the enclave's engine, the CEL expressions of one request over the request's decrypted
// fields.
//
// # Guarantees
//
// A hostile caller may write the expressions. A failed expression yields a [Kind] under its name and no value. So
// does every expression that refers to it, so masking never fails open. Error texts are static, and hold nothing of
// an expression, a field or a value. Whatever is written costs bounded time and memory: length, syntax depth, node
// count, loop nesting, cost of one expression and of the whole request, size of each intermediate value, size of the
// output, and deadline are limited (see [Limits]). A panic inside an evaluation becomes an error entry.
//
// Cost is charged where time is spent, and before it is spent: for calls, turns of loops, elements that are joined,
// compared or encoded, and bytes. A list is flat however it was made. The clock is checked after each 1,024 units,
// about 0.1 ms, also inside a comparison and while a result is encoded. The exception is a single call on one text of
// a MiB. With the default limits an expression takes at most 20 ms of CPU to evaluate, and a request 80 ms. Compiling
// takes about 1 µs for a byte, so 10 ms and 130 ms, once. [Plan.Try] evaluates within a smaller bound, or not at all.
// [Run] evaluates in slices, so that other requests' work can go in between.
//
// The same request always gives the same results. Expressions run in dependency order, found from their free names;
// the order of the request decides the rest. Loops go through a map by the texts of its keys, sorted. A member of a
// cycle is an error entry.
//
// # Language
//
// The language is CEL as in https://github.com/google/cel-spec, by cel.dev/cel-go, with the functions, conversions
// and run-time rules of the reference (the AWS sample that Redoubt succeeds). README.md in this folder lists the
// functions with examples that are tests. testdata/reference.json holds every example of the reference.
// testdata/differences.json holds each case in which this package differs from it on purpose, with the reason.
//
// Variables are the fields (string or null) and the other expressions (anything). An expression that has the name of
// a field sees the field under that name; all other expressions see its result.
//
// Expressions are parsed by cel-go's Pratt parser. Its generated parser takes 25 ms for 10 KiB of "a+a+a" before it
// meets its own depth limit, 200 times as long. Names, functions and numbers of arguments are checked before anything
// runs. Types are checked when it runs, as in the reference. cel-go's type checker is left out for a measured reason:
// for 150 nested brackets, 300 bytes, it takes 190 ms, where all the rest takes 0.15 ms, and it has no limit to set.
// It would gain nothing: fields are dynamic for it (string or null), evaluation is as fast without it, and compiling
// four times as fast. It also refuses what the reference accepts, such as a conditional between null and a number.
//
// # Access
//
// [Plan.Reads] says which fields each expression reads, itself or through other expressions, and whether its result
// may hold one of them raw. It is computed from the syntax tree that runs, when a plan is built. So it costs an
// evaluation nothing and tells nothing of a value. Every branch counts, also one that is never taken. An expression
// that is not evaluated at all (malformed, unknown names, a cycle) reads nothing. One that fails reads what it would
// have read.
//
// Raw is the default: a field that reaches the result counts as raw unless every way by which it does is reduced.
// Conversions (string, bytes, base64, hex, case, numbers, dates), operators, lists, maps, x[i] and digests without a
// key reduce nothing. These reduce:
//
//   - redact and hmac_sha256: the result shows nothing of the field.
//   - mask, first and last with no number or a literal of at most [ReducedChars]: the result shows that many
//     characters. A larger number, or a computed one, reduces nothing.
//   - The getters of times: each part counts for characters, so that a year with its month, or a day with its month,
//     is reduced, and a whole date is not.
//   - Comparisons, in, contains, startsWith, endsWith, is_empty, has, the logical operators, conditions, size and
//     age: the result depends on one fact.
//
// The characters and facts of a field that results show are added up, over all expressions and rounds of loops. More
// than [ReducedChars] characters or [ReducedFacts] facts are raw: ssn9.first(4) + ssn9.last(4) is raw. So is whatever
// grows with each round of a loop, unless the rounds are those of a short literal list. The analysis of a plan has a
// budget of some milliseconds. Once it is spent, the remaining expressions count as holding raw whatever they read.
//
// This is a count, not a proof about the flow of information. "Reduced" promises little where values are short:
// last(4) of a value of four characters is that value (mask never shows more than half). Each expression is judged by
// itself. A caller that may ask often can put a value together from first(4) of one expression, last(4) of another
// and comparisons in a third, or from one fact per request; errors tell facts too. To notice that, look at what is
// read, and how often.
//
// # Copies of plaintext
//
// A field's value is not copied to be a variable: the string aliases the caller's buffer, and no reference to it
// outlives [Plan.Eval]. What a function or operator makes (a concatenation, upper case, base64) is a Go string in the
// heap that cannot be wiped. So is the text that cel-go formats into an error, which we drop. Each is garbage when
// Eval returns, and stays until the collector reuses its memory. They are at most Limits.Value bytes each, and in sum
// at most some ten bytes per unit of Limits.RequestCost. Results are written to the caller's buffer alone.
package expr
