//go:build !goexperiment.runtimesecret

package secret

// Erasing reports that this build erases what a function left on stack, in registers and on the heap. See [Do].
const Erasing = false

// Do calls f. In a build with GOEXPERIMENT=runtimesecret, the registers and the stack that f used are erased before
// Do returns, and heap blocks that f allocated are erased when the garbage collector finds them dead. In other builds
// Do only calls f. It costs some microseconds, and is meant for public-key work, not for every field.
func Do(f func()) { f() }
