// Package store defines, for the vault, the contract of what keeps its records: sealed fields, wrapped keys, the
// audit log and the memory of idempotent requests. It holds no policy and sees no plaintext.
//
// Two implementations pass one conformance suite (package storetest): store/bolt, one file, and store/dynamo, the
// DynamoDB table of the reference (the AWS sample that Redoubt succeeds), item for item.
//
// # What a Store guarantees
//
//   - A write that returned nil is durable, together with the audit entry that it carries: both or neither.
//   - Every write is conditional: Create on the record's absence, Update and Delete on the revision that was read. An
//     Update never creates a record.
//   - Audit entries are put if absent and never replaced.
//   - Reads of a record are strongly consistent. A record or idempotency item whose time to live has passed is absent
//     from that second on, whether or not it has been removed yet.
//
// It does not guarantee that what it returns is what the API wrote: an attacker who can write to the underlying file
// or table can replace records. Sealing, the key's MAC and the audit chain (packages vault and audit) narrow that.
//
// # Attributes beside the reference's
//
// All are optional. So a table filled by the reference is served as it is, and the reference can read what we add:
//
//	vault item   _kc N 1       the private key was wrapped with EncryptionContext {"vault_id": id}
//	             _km B         MAC that binds vault id, suite and public key
//	             _xf L of S    derived fields whose value a caller gave; absent: none
//	             expire_at N   time to live, Unix seconds (the table's TTL attribute, which the reference never writes)
//	audit item   _w, _n, _h, _p, _l, _a   chain, sequence number, MAC, the one before, link, and the entry's JSON
//	other items  IDEM##…       idempotent requests
//	             CHECKPOINT##  checkpoints of the audit log, one for each process that wrote
//
// The revision of a record is its _mt. Every write of ours increases it, and so do the reference's writes.
package store
