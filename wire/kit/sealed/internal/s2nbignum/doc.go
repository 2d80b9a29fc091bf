// Package s2nbignum does the key agreement of P-384 and, on amd64, of P-521 for package sealed. It takes a third and a
// seventh of the standard library's time. It runs the machine code of s2n-bignum, which is proven correct and free of
// branches and memory accesses that depend on secrets (https://github.com/awslabs/s2n-bignum; ISC, Apache-2.0 or
// MIT-0).
//
// # Where the code comes from
//
// Nothing of s2n-bignum is in this repository. make asm takes the sources from a pinned crate that ships them, whose
// SHA-256 it checks, assembles them, compares the bytes with the digests in code.sha256, and writes code_amd64.s or
// code_arm64.s here, which git ignores. The build tag s2nbignum uses them. Without the tag [ECDH] reports that it has
// no code, and package sealed asks crypto/ecdh.
//
// # What is ours
//
// Glue. The caller MUST have validated the point: crypto/ecdh's NewPublicKey refuses what is not on the curve, and
// infinity. ECDH converts between bytes and limbs, calls the functions, and refuses a result that is infinity, which
// a scalar between 1 and the order less 1 cannot give. It wipes its limbs; the wrappers wipe the code's stack and
// registers. What package secret erases with runtime/secret stays erased: the code runs on the goroutine's stack.
//
// # The stack
//
// The code is called with the C convention and takes up to 4.8 KiB of stack, of which Go's linker knows nothing. Each
// wrapper therefore declares a frame of the size that its function needs (mkasm has the sums), so that its prologue
// grows the stack if need be, and moves the stack pointer to the frame's end before the call. The code holds no Go
// pointer that the collector does not find in the caller's frame, and is never preempted: Go does not stop a goroutine
// inside assembly. A word at the frame's low end ends the process if it was overwritten.
//
// A signal may come while the code runs. On amd64 the handler finds its g in thread-local storage. On arm64 it takes it
// from R28: no function listed there names x28, which excludes P-521 and the forms without _alt of multiplication and
// squaring. Neither uses x18. A profiler's signal looks at the stack: it stops at the code (TOPFRAME), which has no
// frames that Go knows.
//
// # Which form
//
// On amd64 the functions need BMI2 and ADX (Intel since 2015, AMD since 2017); other processors get the _alt forms. On
// arm64 the _alt forms are always used: they are the faster ones on processors with wide multipliers (Graviton 3 and
// later).
package s2nbignum
