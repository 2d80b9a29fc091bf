// Package dynamo keeps records in the reference's DynamoDB table, item for item: a table that the reference filled is
// served as it is, and the reference can read what is written here in encoding 2.
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
// An item without _sk is a ghost that the reference's DELETE left behind; it is absent here.
//
// # Items that are not as ours
//
// What can be read can be changed and erased, whatever other programs made of it. A record whose _mt is missing, a
// fraction, too large or no number has a revision below 0, made from what is there; the first change gives it one of
// ours. expire_at counts, rounded up, also as a fraction or a text; one that is no time is none, and is counted. A
// field that is neither B nor S is there and does not open. A record whose keys, suite or MAC have another type is
// store.ErrDamaged, not absent and not without a MAC. An audit entry with such attributes is a store.EventUnreadable.
// [Store.Damaged] counts them.
//
// # Conduct
//
// Every write is one TransactWriteItems with conditions and the SDK's idempotency token, also a single audit entry:
// the reference's role allows writes in transactions only, and a retried request then cannot collide with itself.
// Reads of a record are strongly consistent. A condition that failed is told apart by the item that DynamoDB returns
// with it.
//
// A call has five seconds, an attempt one (two where a page is read), and pauses between attempts grow from tens of
// milliseconds (package awscall). Throttling is tried again, of requests and of a transaction's items, and then
// store.ErrThrottled: nothing was written. No answer and the 5xx are store.ErrUnavailable for a read. For a write they
// are store.ErrUnknownOutcome, whatever the service says to the attempts after it, unless one of these succeeds; where
// no connection was had, nothing was sent, and the write is store.ErrUnavailable too.
//
// # Limits
//
// An item has at most 400 KB (store.ErrTooLarge). List and AuditedVaults scan the table; AuditedVaults remembers the
// ids it has seen in memory.
package dynamo
