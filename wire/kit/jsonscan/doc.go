// Package jsonscan checks JSON documents for the tiers without building them. So a document is known to be well
// formed, and small in number of values, before a parser keeps anything of it: a parser's 80 bytes for each value
// turn a body of a megabyte into a hundred.
//
// It is strict: UTF-8 only, no control characters in strings, no lone surrogates, numbers by the grammar. It takes no
// memory but one bit for each level. It does not notice a key that is given twice, and does not know what a key or a
// value means.
//
// It also writes strings, and computes beforehand how long they become, so that a buffer with plaintext need not
// grow.
//
// Source: RFC 8259; RFC 7493 (I-JSON), section 2.1.
package jsonscan
