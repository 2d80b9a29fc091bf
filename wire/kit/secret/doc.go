// Package secret keeps key material out of the Go heap, for every tier that holds any.
//
// # What it guarantees
//
// A [Buffer] and a slot of an [Arena] live in anonymous private memory that the garbage collector neither moves nor
// copies. The memory is locked (mlock: it cannot reach swap), left out of core dumps (MADV_DONTDUMP), given to no
// child process (MADV_WIPEONFORK if the kernel has it, MADV_DONTFORK otherwise) and overwritten with zeros before it
// is returned to the kernel or to the arena. Neither type prints its content: every formatting verb, slog,
// encoding/json and encoding.TextMarshaler give the same fixed text.
//
// # Against whom
//
// It protects against leaks through swap, core dumps, logs, a freed and reused heap block, and a later read of the
// process's memory. It does not protect against code that runs in the process, nor against a debugger that is
// attached while a secret is in use.
//
// # Limits
//
// A Buffer takes whole pages (4 KiB on the machines we run on): it is meant for tens or hundreds of secrets. Many
// small secrets of one size belong into an Arena. Both count against RLIMIT_MEMLOCK unless the process has
// CAP_IPC_LOCK. [SetPolicy] decides what happens at the limit. A caller that copies bytes out must [Wipe] the copy.
// Reading a Buffer after Destroy faults on purpose.
//
// Sources: mmap(2), mlock(2), madvise(2), prctl(2) of Linux.
package secret
