// Package vault does the API's work on records, without HTTP: it makes, changes, removes and opens them for the
// routes.
//
// # Guarantees
//
//   - A value is sealed to the vault's public key (HPKE, package sealed) before it is stored, and our clear copy of
//     it is wiped. The API holds no key that opens it.
//   - New records bind their private key to the vault id (EncryptionContext {"vault_id": id}). They bind their public
//     key by a MAC under a KMS HMAC key over vault id, suite and key. A write to a record checks that MAC first. So
//     an attacker who can write to the store cannot put a key of his own there and read later writes.
//   - Records without a MAC are the reference's (the AWS sample that Redoubt succeeds). They take writes only if the
//     time inside their id lies before the configured cut-over. Removing a MAC does not make a record old, because
//     the id cannot be changed without losing everything that is sealed under it. A cut-over later than now is
//     refused: new records would be old.
//   - A write changes the revision that was read, or nothing. Its audit entry is in the same transaction. A decrypt's
//     entry is durable before the values are returned. If it cannot be written, there are no values. A caller that
//     leaves does not keep the entry of a refused or failed attempt from being written.
//   - A decrypt has a reason that can be read: not empty, without control or bidirectional characters. A request with
//     another reason is refused, and its reason is kept nowhere.
//   - The entry of a decrypt says which fields left raw and what each expression may have let out (package audit). It
//     is written between the parent's answer, which has the report, and the release. Sources are distinguished by
//     HMAC-SHA-256 under a key that is the KMS MAC of a label. Each process asks for it once, and it is the same in
//     all. If KMS does not give it, decrypts with expressions fail before anything is opened. Decrypts without
//     expressions do not need it.
//   - A requested field that the record does not have is null to expressions, as it is in the answer.
//   - The cost of refused attempts is bounded. Of equal ones (principal, vault, event, code and fields) one a minute
//     is written. Of each principal's, 60 at once and then one a second are examined at all. The others are counted,
//     in memory that is bounded too, and the next entry says how many there were.
//   - Only fields of the schema can be named, so attributes that hold keys and metadata are out of reach. A field
//     that is to be removed may have left the schema.
//   - A write needs the right to every field that it writes, also to those that the schema derives from the given
//     ones. A removal needs the right to every field that it may remove with the named ones. Both are judged by the
//     schema alone, before the record is looked at. So a right to a number gives none to the view that is derived
//     from it, nor the other way round.
//   - A derived field is removed with its source, unless a caller gave it. Sealed values cannot be compared, so the
//     record says which derived fields were given (its attribute _xf). A record without that attribute, such as the
//     reference's, has none that were given: in doubt, data is removed. If its source is not in the record, a derived
//     field stays.
//   - Changing a vault's time to live needs the right to remove the vault.
//   - Idempotent creates are matched by a keyed MAC of the request. So the store never holds a hash from which its
//     reader could guess values. The MAC covers the vault's id, so a retry leads to the vault that the first request
//     made.
//
// # Vaults under a domain
//
// With [KeysDomain] the enclave makes a new vault's key, under a domain (package domain of the kit), and KMS is not
// asked. Vaults of both kinds are served side by side.
//
//   - A public key counts only with a statement of its domain for this vault id. The domain's descriptor counts only if
//     the registry believes it (package domains). Both are verified before anything is sealed or opened; what was
//     verified is remembered. So an attacker who writes to the store cannot put a key of his own there.
//   - Keys for new vaults come from a pool in memory. A key is verified before it is in the pool, belongs to one
//     generation, and serves one vault. If none can be made, a create is refused with a time to wait.
//   - A write seals with one fresh encapsulation to the key that the record names. If that key is of an earlier
//     generation than is written to, or if the record has 32 encapsulated keys, the same write gives the vault a new
//     key. Removing fields, changing the time to live and erasing need no key.
//   - A reseal moves all fields or none. The API verifies that the domain made the new key, and that the new fields are
//     those that were sent. A vault with a key of KMS's moves only if its id is older than KeyConfig.MovedBefore, and
//     its own key is verified as for a write. Such a vault's key is believed by the statement for moved vaults, which
//     no younger id can have.
//   - To remove a vault is to erase it: of its keys a tombstone is left, with which no write brings the id back. The
//     audit entry names the SHA-384 of each wrapped key, and [Service.Erased] compares the two. It does not cover
//     copies that others took: blocks of disks, backups from before a move, keys that a hostile parent kept.
//   - A generation that this process has used is not given up for a lower one. A process that begins anew does not know
//     which were used: WriteGeneration says it.
//
// # Records of the reference
//
// Encodings 1 and 2 without encryption context are read and written as they are. A write to a record of encoding 2 or
// 3 keeps its encoding. A write to a record of encoding 1 (hex text) converts the whole record to encoding 2 in the
// same write, which needs no key, since both hold the same bytes. Records that the reference left mixed (binary
// fields on an encoding-1 record) open, too.
//
// # Limits
//
// Only Redoubt maintains the mark of a derived field that was given. If the reference, or an API of an earlier
// release on DynamoDB, then writes the source, the field is derived anew and the mark stays, so the field outlives
// its source. A field that the schema comes to derive later has no mark: a value that a caller gave it before is
// removed with the source.
//
// Values are Go strings between the JSON decoder and sealing. Such copies live in the heap until it is reused. The
// key for the hashes of sources stays in the heap for the life of the process. Anybody who may use the KMS MAC key,
// or reads that heap, can test guesses of a source against the log. A legacy record from before the cut-over is as
// exposed to a swapped key as it was with the reference.
package vault
