// Package bolt keeps records in one file, for deployments without DynamoDB and for the local stack.
//
// The file is a bbolt database (go.etcd.io/bbolt): a copy-on-write B+ tree whose commits are fsync'ed before they
// are acknowledged, so that a process killed at any moment, mid-write included, leaves either the state before the
// write or the state after it. One process at a time may hold the file; a second one gets [ErrLocked].
//
// Writes of concurrent callers are committed in groups: one goroutine takes all that has gathered while the last
// group was being synced and commits it in one transaction. bbolt's own Batch does the same but waits a fixed delay
// (10 ms by default) before each commit, which a lone caller would pay in full. A write whose condition fails leaves
// the rest of its group untouched.
//
// A file is looked at before bbolt opens it, which panics on broken pages: the meta pages, the length and the list of
// free pages each time, all pages before a backup takes its place and in [Check]. What breaks later gives [ErrDamaged],
// from a read, a write or a fault of the mapped memory. An empty file is a damaged one: a new store appears whole.
//
// An acknowledged write is in the file that the store's name leads to: the name is looked up before and after each
// commit, two calls of stat beside an fsync. A file that was replaced or removed meanwhile gives [ErrReplaced].
//
// The file has a reserve behind its pages, in blocks that are allocated ahead. When file system, quota or the limit of
// file size has no more room, creates and updates get store.ErrFull. Audit entries of reads may take half
// of the reserve, and removals all of it, so that somebody can make room. A file system that copies on write keeps no
// blocks, and there the reserve is none.
//
// About a second after a removal, pages that are no longer in use are overwritten with zeros, those too that a failed
// commit or a killed process left. No page that a reader, a copy or one of the two newest states uses is touched, so
// that a crash meanwhile loses nothing. What the disk keeps of overwritten blocks is out of reach.
//
// Limits: a record is one value of at most 64 MiB; the file grows and is reused but never shrinks. The file holds
// ciphertext, wrapped keys and the audit log in the clear: its directory's permissions are its protection (the file
// is created 0600).
package bolt
