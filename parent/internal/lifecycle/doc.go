// Package lifecycle finds the host's enclaves with nitro-cli, keeps as many running as are wanted, and tells the pool
// where they are.
//
// # Guarantees
//
// An enclave is used only when it runs, has our name, is not in debug mode, and has the measurements that were asked
// for. Running enclaves are adopted, whoever started them. What is missing is started one at a time, and a new start
// waits ever longer while starts do not lead to enclaves that last: as many at once as are wanted, then one per gap,
// which doubles from seconds to five minutes and falls back only when all have lasted.
//
// An enclave of our name that runs but may not be used (debug mode, other measurements), or that has not answered for
// long, is ended, one at a time and ever more slowly too; until then it takes the place of a good one, so that never
// more run than are wanted. Our name is therefore this parent's alone: two parents on a host need names of which
// neither begins with the other. Enclaves of other names are never touched. When nitro-cli fails, what was known stays.
//
// # Against whom
//
// Against crashes, hangs and slow or failing tools. nitro-cli and its answers are trusted as the host itself is; the
// attestation that KMS checks does not depend on them.
package lifecycle
