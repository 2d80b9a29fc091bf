// Package bolt keeps the API's records in one file, for deployments without DynamoDB and for the local stack.
//
// The file is a bbolt database (go.etcd.io/bbolt): a copy-on-write B+ tree whose commits are fsync'ed before they are
// acknowledged. So a process killed at any moment, also in the middle of a write, leaves either the state before the
// write or the state after it. One process at a time may hold the file; a second one gets [ErrLocked].
//
// Writes of concurrent callers are committed in groups. One goroutine takes all writes that were queued while the
// last group was being synced, and commits them in one transaction. bbolt's own Batch does the same, but waits a
// fixed delay (10 ms by default) before each commit, which a lone caller would pay in full. A write whose condition
// fails leaves the rest of its group untouched.
//
// bbolt panics on broken pages, so a file is checked before bbolt opens it: the meta pages, the length and the list
// of free pages each time; all pages before a backup takes its place, and in [Check]. A page that breaks later gives
// [ErrDamaged], from a read, a write or a fault of the mapped memory. An empty file counts as damaged: a new store
// appears whole.
//
// An acknowledged write is in the file to which the store's name leads. The name is looked up before and after each
// commit: two calls of stat beside an fsync. If the file was replaced or removed meanwhile, the write gives
// [ErrReplaced].
//
// The file has a reserve behind its pages, in blocks that are allocated ahead. When the file system, the quota or the
// limit of file size has no more room, creates and updates get store.ErrFull. Audit entries of reads may take half of
// the reserve, and removals all of it, so that an operator can make room. A file system that copies on write keeps no
// blocks, so there is no reserve on it.
//
// About a second after a removal, pages that are no longer in use are overwritten with zeros, also those that a
// failed commit or a killed process left. A page that a reader, a copy or one of the two newest states uses is not
// touched, so a crash meanwhile loses nothing. Copies of overwritten blocks that the disk keeps are out of reach.
//
// Keys of vaults under domains, and the domains, are in buckets of their own in the same file. A write that is about a
// record and its keys is one transaction. The first such write changes the file's format from "redoubt store 1" to
// "redoubt store 2", which earlier releases refuse. [Store.Backup] is one file with all of it. [Store.BackupRecords]
// and [Store.BackupKeys] are two, so that keys can be kept for a shorter time; [Join] makes the whole of them. Keys
// that are dropped or erased are overwritten as any removal is.
//
// Limits: a record is one value of at most 64 MiB. The file grows and is reused but never shrinks. It holds
// ciphertext, wrapped keys and the audit log in the clear: its directory's permissions protect it (the file is
// created 0600).
package bolt
