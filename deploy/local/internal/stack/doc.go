// Package stack runs the local stack: the KMS stand-in, an enclave of the development build, an API server with
// the embedded store, and a parent, each a process of its own, all on loopback and unix sockets.
//
// # What it guarantees
//
// Start returns when the whole stack serves, or with the reason why it does not and the last lines of the process that
// failed; then nothing is left running. No process outlives the stack or its launcher (see package proc). Two stacks
// never share a state folder: it is locked. Secrets of the state folder have mode 0600, and are development's only.
//
// # Limits
//
// Linux. The enclave is an ordinary process here: this isolates nothing.
package stack
