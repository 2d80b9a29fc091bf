package kms

import (
	"context"
	"strconv"

	"redoubt/enclave/internal/keys"
	"redoubt/wire/kit/secret"
)

// DomainKeySize is the size of a domain's data key, in bytes.
const DomainKeySize = 32

// The encryption context of a domain's data key. The key policy's statements on domains name these.
const (
	contextDomain     = "redoubt:domain"
	contextGeneration = "redoubt:gen"
)

// A DomainRequest asks for the data key in one wrap of a domain record. Its contents are untrusted.
type DomainRequest struct {
	By         keys.Credentials // an *Identity; without one the call fails for want of credentials
	KeyARN     string           // of the wrap; a key that is not configured is denied without asking KMS
	DomainID   string           // [a-z0-9._-]{1,63}
	Generation uint16
	Wrapped    []byte // KMS's ciphertext; the caller's
}

// DomainKey asks KMS to open a domain's data key, which has DomainKeySize bytes and is the caller's to destroy. The
// connection is TLS 1.3 with X25519MLKEM768, unless the configuration says otherwise: an end without these is refused
// as NoHybrid before it gets the request. The encryption context is the domain's id and generation. So a data key of
// another domain, generation or purpose does not open. Errors and deadlines are those of [Client.Unwrap].
func (c *Client) DomainKey(ctx context.Context, r DomainRequest) (*secret.Buffer, error) {
	if !validDomain(r.DomainID) {
		return nil, c.refuse(Invalid)
	}
	by, _ := r.By.(*Identity)
	plain, err := c.ask(ctx, question{
		by: by, region: c.domainKeys[r.KeyARN], arn: r.KeyARN, domain: true, wrapped: r.Wrapped,
		context: map[string]string{
			contextDomain: r.DomainID, contextGeneration: strconv.FormatUint(uint64(r.Generation), 10),
		},
	})
	if err != nil {
		return nil, err
	}
	if plain.Len() != DomainKeySize {
		plain.Destroy()
		return nil, newError(BadAnswer)
	}
	return plain, nil
}

func validDomain(id string) bool {
	const longest = 63
	if id == "" || len(id) > longest {
		return false
	}
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
