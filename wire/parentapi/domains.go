package parentapi

// Paths of the routes of domains. All are POST, and are for the API alone: their callers need the parent's
// authentication and nothing more, since each answer is worthless to a caller who cannot store it.
const (
	// PathDomains makes the secret of a new generation of a domain: [CreateDomain], answered by [CreatedDomain].
	PathDomains = "/v1/domains"
	// PathDomainWrap adds a wrap to a domain record: [WrapDomain], answered by [WrappedDomain].
	PathDomainWrap = "/v1/domains/wrap"
	// PathVaultKeys makes keys of new vaults: [Mint], answered by [Minted].
	PathVaultKeys = "/v1/vault-keys"
	// PathReseal moves a vault's fields to a new key: [Reseal], answered by [Resealed].
	PathReseal = "/v1/reseal"
)

// MemberDomain is the member of a problem of code domain_unknown that has the name of the domain that the enclave has
// not opened, as in [Request.Domain]. The asker repeats the request with that domain's record in domain_records, once
// for each name, and gives up if that fails.
const MemberDomain = "domain"

// MemberFields is the member of a problem of code decrypt_failed of [PathReseal] that has the names of the fields that
// do not open, ascending. It is absent if the key does not open.
const MemberFields = "fields"

// Limits of the routes of domains.
const (
	// MaxResealBody bounds the body of a [Reseal], in bytes. It is room for the largest request of the wire in base64.
	MaxResealBody = 4 << 20
	// MaxMint is the most keys of one [Mint].
	MaxMint = 64
	// MaxDomainRecords is the most records that a request hands over.
	MaxDomainRecords = 4
)

// DataKey is what KMS's GenerateDataKeyWithoutPlaintext made for a domain: 32 bytes, under the encryption context
// redoubt:domain = the id and redoubt:gen = the generation in decimal.
type DataKey struct {
	KeyARN     string `json:"key_arn"`
	Ciphertext []byte `json:"ciphertext"`
}

// CreateDomain asks for a new generation of a domain.
type CreateDomain struct {
	ID         string `json:"id"`
	Generation uint16 `json:"generation"` // from 1
	// Suites are the names of the suites that vaults may have; the first is the default, the others ascend by number.
	Suites []string `json:"suites"`
	// RequestSuites are those of request keys, ascending by number; at most two, may be empty.
	RequestSuites []string `json:"request_suites,omitempty"`
	// DataKeys has one for each wrap, no ARN twice.
	DataKeys []DataKey `json:"data_keys"`
	// Nonce is 32 random bytes, which the attestation document carries.
	Nonce []byte `json:"nonce"`
}

// CreatedDomain answers a CreateDomain.
type CreatedDomain struct {
	Record []byte `json:"record"` // descriptor and wraps
	// Attestation is a document over the nonce, whose user data is domain.CreatedUserData.
	Attestation []byte `json:"attestation"`
}

// WrapDomain asks for one more wrap of a domain. Without a data key it only opens the record, whose wraps are tried in
// the order of the keys of the enclave's file: so a record of one wrap shows that this wrap opens.
type WrapDomain struct {
	Record  []byte   `json:"record"`
	DataKey *DataKey `json:"data_key,omitempty"`
}

// WrappedDomain answers a WrapDomain: the record with one wrap more, which stands last; the same record without one.
type WrappedDomain struct {
	Record []byte `json:"record"`
}

// Mint asks for keys of new vaults.
type Mint struct {
	Domain string `json:"domain"` // as in [Request]
	// Suite is the name of the vaults' suite; empty: the domain's default.
	Suite         string   `json:"suite,omitempty"`
	Count         int      `json:"count"` // 1 to [MaxMint]
	DomainRecords [][]byte `json:"domain_records,omitempty"`
}

// Minted answers a Mint: as many keys as were asked for.
type Minted struct {
	Keys []VaultKey `json:"keys"`
}

// VaultKey is the key pair of a vault that the enclave made.
type VaultKey struct {
	// VaultID is the new vault's id, which the enclave made: "v_" and a KSUID of the enclave's clock.
	VaultID    string `json:"vault_id"`
	WrappedKey []byte `json:"wrapped_key"`
	PublicKey  []byte `json:"public_key"` // raw, as RFC 9180 serializes it
	Statement  []byte `json:"statement"`  // domain.SignatureSize bytes
}

// Reseal asks for a vault's fields under a new key of the same domain id, or, for a vault with a key of KMS's, under
// the first key of a domain that the enclave's file allows for that key's ARN.
type Reseal struct {
	// Old is the vault as it is: id, key and all fields. Expressions and members that say what to return have no place
	// in it. Its DomainRecords are those of both domains.
	Old *Request[[]byte] `json:"old"`
	To  string           `json:"to"` // the domain, as in [Request]
	// Suite is the name of the new key's suite; empty: the domain's default.
	Suite string `json:"suite,omitempty"`
	// Epoch is the new key's, above the old key's.
	Epoch uint16 `json:"epoch"`
}

// Resealed answers a Reseal. The fields are all of those sent, of encoding 4.
type Resealed struct {
	Key    VaultKey          `json:"key"`
	Encs   map[string][]byte `json:"encs"` // one; none for a vault without fields
	Fields map[string][]byte `json:"fields"`
	// Statement is the reseal's, which domain.Descriptor.VerifyReseal checks. That of Key is of kind Moved for a vault
	// that had a key of KMS's.
	Statement []byte `json:"statement"`
}
