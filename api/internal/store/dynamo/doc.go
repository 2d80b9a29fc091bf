// Package dynamo keeps the API's records in the DynamoDB table of the reference (the AWS sample that Redoubt
// succeeds), item for item. A table that the reference filled is served as it is, and the reference can read what is
// written here in encoding 2.
//
// # Items
//
// The table has the keys pk (S, hash) and sk (S, range) and the time-to-live attribute expire_at.
//
//	VAULT##<id>   v0                        a record: _id _v _hs _sk _pk _ct _mt, one attribute per field (B, or S in
//	                                        encoding 1); ours: _kc _km _xf expire_at
//	LOG##<id>     <microseconds>            an audit entry of the reference: _e _id _ct, optional _r _f
//	LOG##<id>     <µs>##<chain>##<number>   an audit entry of ours: the same attributes, and _w _n _h _p _l _a
//	IDEM##<hash>  v0                        an idempotent request: _id, _mac, expire_at
//	CHECKPOINT##  <writer>                  a checkpoint of the audit log: _n its number, _b its text, _m its MAC
//
// An item without _sk and without _kd is a ghost that the reference's DELETE left behind. It counts as absent.
//
// # Vaults under domains
//
// Their records are in the same table, without _sk and _pk, which is why an earlier release takes them for ghosts and
// changes none of them. Their keys are in a second table, and domains in a third; package store lists the attributes.
// The second table has the key id (S, hash) and the time-to-live attribute expire_at; the third has the keys id (S,
// hash) and gen (N, range).
//
// A write of a record and its keys is one transaction over both tables, the audit entry included. One BatchGetItem
// reads both, each of them strongly consistent. The store asks again for what a batch leaves out. Erased keys are
// in the second table's backups until its recovery window is over.
//
// # Items that other programs changed
//
// What can be read can be changed and erased, whatever other programs made of it. A record whose _mt is missing, a
// fraction, too large or not a number has a revision below 0, made from what is there. The first change gives it a
// regular one. expire_at also counts as a fraction, rounded up, or as a text. An expire_at that is not a time counts
// as none, and is counted as damaged. A field that is neither B nor S exists, but does not open. A record whose keys,
// suite or MAC have another type is store.ErrDamaged; it is neither absent nor without a MAC. An audit entry with
// such attributes is a store.EventUnreadable. [Store.Damaged] counts all of these.
//
// # Conduct
//
// Every write is one TransactWriteItems with conditions and the SDK's idempotency token, also that of a single audit
// entry. The reference's role allows writes in transactions only, and a retried request then cannot collide with
// itself. Reads of a record are strongly consistent. The item that DynamoDB returns with a failed condition says
// which condition it was.
//
// A call has five seconds, an attempt one (two if a page is read), and pauses between attempts grow from tens of
// milliseconds (package awscall). If requests or a transaction's items are throttled, the call is tried again, and
// then ends in store.ErrThrottled: nothing was written. For a read, no answer and the 5xx are store.ErrUnavailable.
// For a write they are store.ErrUnknownOutcome, whatever the service answers to later attempts, unless one of these
// succeeds. If there was no connection, nothing was sent, and the write is store.ErrUnavailable too.
//
// # Limits
//
// An item has at most 400 KB (store.ErrTooLarge). List and AuditedVaults scan the table. AuditedVaults keeps the ids
// that it has seen in memory.
package dynamo
