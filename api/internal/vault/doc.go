// Package vault is what the API does, without HTTP: it makes, changes, removes and opens records.
//
// # Guarantees
//
//   - A value is sealed to the vault's public key (HPKE, package sealed) before it is stored, and its clear copy of
//     ours is wiped. The API holds no key that opens it.
//   - New records bind their private key to the vault id (EncryptionContext {"vault_id": id}), and their public key by
//     a MAC under a KMS HMAC key over vault id, suite and key. A write to a record checks that MAC first, so that
//     whoever can write the store cannot put a key of its own there and catch later writes.
//   - Records without a MAC, the reference's, take writes only if the time inside their id lies before the
//     configured cut-over: removing a MAC does not make a record old, because the id cannot be changed without
//     losing everything that is sealed under it. A cut-over later than now is refused: new records would be old.
//   - A write changes the revision that was read, or nothing; its audit entry is in the same transaction. A decrypt's
//     entry is durable before the values are returned. If it cannot be written, there are no values. A caller who
//     goes away does not keep the entry of a refused or failed attempt from being written.
//   - A decrypt has a reason that can be read: not empty, without control or bidirectional characters. One that breaks
//     this is refused, and kept nowhere.
//   - The entry of a decrypt says which fields left raw and what each expression may have let out (package audit). It
//     is written between the parent's answer, which has the report, and the release. Sources are told apart by
//     HMAC-SHA-256 under a key that is the KMS MAC of a label, asked for once per process and the same in all. If KMS
//     does not give it, decrypts with expressions fail before anything is opened; those without do not need it.
//   - A requested field that the record does not have is null to expressions, as it is in the answer.
//   - What refused attempts cost is bounded: of equal ones (principal, vault, event, code and fields) one a minute is
//     written, and of each principal's 60 at once and then one a second are looked into at all. The others are
//     counted, in memory that is bounded too; the next entry says how many there were.
//   - Only fields of the schema can be named, so attributes that hold keys and metadata are out of reach. To be
//     removed, a field may have left the schema.
//   - A write takes the right to every field that it writes, those included that the schema derives from what is given;
//     a removal the right to every field that it may take along. Both are judged by the schema alone, before the record
//     is looked at. So a right to a number is none to the view that is made of it, nor the other way round.
//   - A derived field goes with its source, unless a caller gave it. Sealed values cannot be compared, so the record
//     says which derived fields were given (its attribute _xf). A record without that, the reference's for one, has
//     none that were given: when in doubt, what should be gone is gone. Without its source in the record a derived
//     field stays.
//   - Changing a vault's time to live takes the right to remove the vault.
//   - Idempotent creates are matched by a keyed MAC of what was asked: the store never holds a hash that would let
//     its reader guess values. The MAC covers the vault's id, so a retry leads to the vault that the first one made.
//
// # Records of the reference
//
// Encodings 1 and 2 without encryption context are read and written as they are: a write to a record of encoding 2
// or 3 keeps its encoding; one to a record of encoding 1 (hex text) lifts the whole record to encoding 2 in the same
// write, which needs no key, since both hold the same bytes. Records that the reference left mixed (binary fields on
// an encoding-1 record) open, too.
//
// # Limits
//
// The mark of a derived field that was given is kept up by us alone. If the reference, or an API of an earlier release
// on DynamoDB, then writes the source, the field is derived anew and the mark stays, so it outlives its source. A field
// that the schema comes to derive later has no mark: what a caller gave it before goes with the source.
//
// Values are Go strings between the JSON decoder and sealing; such copies live in the heap until it is reused.
// The key of expressions' sources stays in the heap for the life of the process. Whoever may use the KMS MAC key, or
// reads that heap, can test guesses of a source against the log.
// A legacy record before the cut-over is as open to a swapped key as it was with the reference.
package vault
