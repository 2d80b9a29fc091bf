// Package lifecycle finds the host's enclaves with nitro-cli, keeps as many running as are wanted, and tells the
// parent's pool where they are.
//
// # Guarantees
//
// An enclave is used only if it runs, has our name, is not in debug mode, and has the configured measurements.
// Running enclaves are adopted, whoever started them. Missing ones are started one at a time. As many starts as
// enclaves are wanted may follow at once. Then there is one start per gap; the gap doubles from seconds to five
// minutes, and falls back only when all enclaves have lasted.
//
// An enclave of our name that runs but may not be used (debug mode, other measurements), or that has not answered for
// long, is ended, one at a time and ever more slowly too. Until then it takes the place of a good one, so that never
// more run than are wanted. So our name belongs to this parent alone: if two parents share a host, neither's name may
// begin with the other's. Enclaves of other names are never touched. When nitro-cli fails, what was known stays.
//
// # Against whom
//
// It protects against crashes, hangs and slow or failing tools. nitro-cli and its answers are trusted as much as the
// host itself. The attestation that KMS checks does not depend on them.
package lifecycle
