// Package expr evaluates CEL expressions over the decrypted fields of one request.
//
// # Guarantees
//
// Against a hostile caller, who writes the expressions: a failed expression yields a [Kind] under its name and no
// value, and so does every expression that refers to it, so that masking never fails open. Texts are static; nothing
// of an expression, a field or a value is in one. Whatever is written costs bounded time and memory: length, syntax
// depth, node count, loop nesting, cost of one expression and of the whole request, size of each intermediate value,
// size of the output, deadline (see [Limits]). A panic inside an evaluation becomes an error entry.
//
// Cost is charged where time is spent, and before it is: by calls, turns of loops, elements that are joined, compared
// or encoded, and bytes. A list is flat however it was made. The clock is looked at after each 1,024 units, about
// 0.1 ms, also inside a comparison and while a result is encoded; a single call on one text of a MiB is the exception.
// With the default limits an expression takes at most 20 ms of CPU to evaluate and a request 80 ms; compiling takes
// about 1 µs for a byte, so 10 ms and 130 ms, once. [Plan.Try] evaluates within a smaller bound, or not at all; [Run]
// evaluates in slices, so that others' work can go in between.
//
// Against surprise: the same request gives the same results, always. Expressions run in dependency order, found from
// their free names; the order of the request decides the rest. Loops go through a map by the texts of its keys, sorted.
// A member of a cycle is an error entry.
//
// # Language
//
// CEL as in https://github.com/google/cel-spec, by cel.dev/cel-go, with the functions, conversions and run-time rules
// of the system we succeed (the reference). README.md in this folder lists the functions with examples that are tests;
// testdata/reference.json holds every example of the reference, testdata/differences.json each case in which we
// differ from it on purpose, with the reason.
//
// Variables are the fields (string or null) and the other expressions (anything). An expression that has the name of a
// field sees the field under that name; all other expressions see its result.
//
// Expressions are parsed by cel-go's Pratt parser, since its generated one takes 25 ms for 10 KiB of "a+a+a" before it
// meets its own depth limit, 200 times as long. Names, functions and numbers of arguments are checked before anything
// runs; types when it runs, as in the reference. cel-go's type checker is left out for a measured reason: for 150
// nested brackets, 300 bytes, it takes 190 ms, where all the rest takes 0.15 ms, and there is no limit to set. It would
// buy nothing: fields are dynamic for it (string or null), evaluation is as fast without it, compiling four times as
// fast, and it refuses what the reference accepts, such as a conditional between null and a number.
//
// # Access
//
// [Plan.Reads] says which fields each expression reads, itself or through other expressions, and whether its result may
// hold one of them raw. It is computed from the syntax tree that runs, when a plan is built, so it costs an evaluation
// nothing and tells nothing of a value. Every branch counts, also one that is never taken. An expression that is not
// evaluated at all (malformed, unknown names, a cycle) reads nothing; one that fails reads what it would have read.
//
// Raw is the default: a field that reaches the result counts as raw unless all that does was reduced. Conversions
// (string, bytes, base64, hex, case, numbers, dates), operators, lists, maps, x[i] and digests without a key reduce
// nothing. These reduce:
//
//   - redact and hmac_sha256: the result shows nothing of the field.
//   - mask, first and last with no number or a literal of at most [ReducedChars]: the result shows so many characters.
//     A larger number, or one that is computed, reduces nothing.
//   - The getters of times: each part counts for characters, so that a year with its month, or a day with its month, is
//     reduced, and a whole date is not.
//   - Comparisons, in, contains, startsWith, endsWith, is_empty, has, the logical operators, conditions, size and age:
//     the result depends on one fact.
//
// What a result shows of a field is added up, over other expressions and the rounds of loops too. More than
// [ReducedChars] characters or [ReducedFacts] facts are raw: ssn9.first(4) + ssn9.last(4) is. So is whatever grows with
// each round of a loop whose rounds are not those of a short literal list. The analysis of a plan has a budget of some
// milliseconds; expressions for which nothing is left hold raw whatever they read.
//
// This is a count, not a proof about the flow of information. "Reduced" promises little where values are short:
// last(4) of a value of four characters is that value (mask never shows more than half). It is told for each
// expression by itself: a caller who may ask often can put a value together from first(4) of one expression, last(4) of
// another and comparisons in a third, or from a fact a request; errors tell facts too. Who needs to see that looks at
// what is read, and how often.
//
// # Copies of plaintext
//
// A field's value is not copied to be a variable: the string aliases the caller's buffer, and no reference to it
// outlives [Plan.Eval]. What a function or operator makes (a concatenation, upper case, base64) is a Go string
// in the heap that cannot be wiped; so is the text that cel-go formats into an error, which we drop. Each is garbage
// when Eval returns and stays until the collector reuses its memory: at most Limits.Value bytes each, and in sum at
// most some ten bytes per unit of Limits.RequestCost. Results are written to the caller's buffer alone.
package expr
