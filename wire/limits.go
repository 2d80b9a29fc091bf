package wire

// These are hard limits. Every decoder checks them before it allocates or loops. An encoder that would exceed one
// returns [ErrLimit] from its Validate. Sizes are in bytes.
const (
	// MaxBody bounds the body of one message, all of its chunks together.
	MaxBody = 2 << 20
	// MaxChunk bounds the body of one frame. Longer messages are cut into chunks.
	MaxChunk = 16 << 10
	// MinChunk is the least body of a frame that says that more follow. It bounds the number of frames of one
	// message.
	MinChunk = 4 << 10
	// MaxAssembly bounds the messages of one lane that are half received, all together. A sender has no more than
	// that begun and not finished.
	MaxAssembly = 32 << 20
	// MaxWrite bounds one write to the connection: larger ones have been corrupted by some vsock kernels.
	MaxWrite = 31 << 10

	// MaxFields and MaxExpressions bound one decrypt request.
	MaxFields      = 100
	MaxExpressions = 100
	// MaxResults bounds one decrypt response.
	MaxResults = MaxFields + MaxExpressions
	// MaxName bounds the name of a field or expression.
	MaxName = 256
	// MaxVaultID and MaxRegion are the reference's limits.
	MaxVaultID = 256
	MaxRegion  = 64
	// MaxWrappedKey bounds the wrapped private key, raw (8192 characters of base64).
	MaxWrappedKey = 6144
	// MaxExpression bounds the source of one expression.
	MaxExpression = 64 << 10
	// MaxReplyKey bounds a caller's public key, SubjectPublicKeyInfo in DER.
	MaxReplyKey = 2048
	// MaxCallerToken bounds the caller's token.
	MaxCallerToken = 4096
	// MaxEncs bounds the encapsulated keys of a request for a vault under a domain, MaxEnc one of them.
	MaxEncs = 32
	MaxEnc  = 1120
	// MaxDomainRecord bounds the record of a domain.
	MaxDomainRecord = 16 << 10
	// MaxDomainID bounds the id of a domain, MaxSuites the suites of its vaults, MaxRequestSuites those of its request
	// keys.
	MaxDomainID      = 63
	MaxSuites        = 8
	MaxRequestSuites = 2
	// MaxDataKeys bounds the wraps with which a domain is created, MaxKeyARN the ARN of one's KMS key.
	MaxDataKeys = 16
	MaxKeyARN   = 2048
	// MaxMint bounds the keys that are minted at once.
	MaxMint = 64
	// MaxPublicKey bounds the public key of a vault, raw.
	MaxPublicKey = 1216
	// MaxBatch bounds the items of a batch; each travels as a frame of its own.
	MaxBatch = 1000

	// MaxBuildID bounds the build id of a hello, MaxEnclaveID the enclave's id.
	MaxBuildID   = 128
	MaxEnclaveID = 256
	// MaxPCRs bounds the platform configuration registers of a hello, MaxPCR one of them.
	MaxPCRs = 32
	MaxPCR  = 64
	// MaxCredential bounds access key id and secret, MaxSessionToken the token.
	MaxCredential   = 256
	MaxSessionToken = 8192
	// MinNonce and MaxNonce bound the nonce of an attestation request (/v1/attestation).
	MinNonce = 8
	MaxNonce = 64
	// MaxDocument bounds an attestation document.
	MaxDocument = 16 << 10
	// MaxStats bounds the values and the histograms of one stats message; MaxBuckets the buckets of a histogram.
	MaxStats   = 512
	MaxBuckets = 64
	// MaxLogText bounds the text of a log message, MaxLogNumbers its numbers, MaxLogKey the name of one.
	MaxLogText    = 256
	MaxLogNumbers = 8
	MaxLogKey     = 64
	// MaxHostPort bounds the target of an egress stream.
	MaxHostPort = 260
)
