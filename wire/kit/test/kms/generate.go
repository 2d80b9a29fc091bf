package kms

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
)

// maxRandom is the most random bytes of one call, and the largest data key.
const maxRandom = 1024

type dataKeyRequest struct {
	KeyID             string `json:"KeyId"`
	KeySpec           string
	NumberOfBytes     *int
	EncryptionContext map[string]string
	Recipient         *recipientRequest
	DryRun            bool
}

type dataKeyResponse struct {
	CiphertextBlob         []byte
	Plaintext              []byte `json:",omitempty"`
	CiphertextForRecipient []byte `json:",omitempty"`
	KeyID                  string `json:"KeyId"`
}

func (in *dataKeyRequest) size() (int, error) {
	switch {
	case (in.KeySpec == "") == (in.NumberOfBytes == nil):
		return 0, validationError("Please specify either number of bytes or key spec.")
	case in.KeySpec == "AES_256":
		return 32, nil
	case in.KeySpec == "AES_128":
		return 16, nil
	case in.KeySpec != "":
		return 0, validationError("KeySpec must be AES_128 or AES_256.")
	case *in.NumberOfBytes < 1 || *in.NumberOfBytes > maxRandom:
		return 0, validationError("NumberOfBytes must be 1 to 1024.")
	}
	return *in.NumberOfBytes, nil
}

func generateDataKey(c *call, in *dataKeyRequest) (*dataKeyResponse, error) {
	size, err := in.size()
	if err != nil {
		return nil, err
	}
	key, err := c.keyFor(in.KeyID, UsageEncryptDecrypt)
	if err != nil {
		return nil, err
	}
	var to *recipient
	if in.Recipient != nil {
		if to, err = c.verifyRecipient(in.Recipient); err != nil {
			return nil, err
		}
	}
	if err := c.authorize(key, factsOf(to), in.EncryptionContext); err != nil {
		return nil, err
	}
	if in.DryRun {
		return nil, errDryRun
	}
	plaintext, err := random(size)
	if err != nil {
		return nil, err
	}
	defer clear(plaintext)
	out := &dataKeyResponse{KeyID: key.arn}
	if out.CiphertextBlob, err = sealBlob(key, plaintext, in.EncryptionContext); err != nil {
		return nil, err
	}
	out.Plaintext, out.CiphertextForRecipient, err = c.release(to, plaintext)
	return out, err
}

// generateUnseenDataKey gives a key that its caller does not see.
func generateUnseenDataKey(c *call, in *dataKeyRequest) (*dataKeyResponse, error) {
	in.Recipient = nil // which this operation does not know
	out, err := generateDataKey(c, in)
	if err != nil {
		return nil, err
	}
	clear(out.Plaintext)
	out.Plaintext = nil
	return out, nil
}

type randomRequest struct {
	NumberOfBytes *int
	Recipient     *recipientRequest
}

type randomResponse struct {
	Plaintext              []byte `json:",omitempty"`
	CiphertextForRecipient []byte `json:",omitempty"`
}

func generateRandom(c *call, in *randomRequest) (*randomResponse, error) {
	if in.NumberOfBytes == nil || *in.NumberOfBytes < 1 || *in.NumberOfBytes > maxRandom {
		return nil, validationError("NumberOfBytes must be 1 to 1024.")
	}
	var to *recipient
	if in.Recipient != nil {
		var err error
		if to, err = c.verifyRecipient(in.Recipient); err != nil {
			return nil, err
		}
	}
	plaintext, err := random(*in.NumberOfBytes)
	if err != nil {
		return nil, err
	}
	defer clear(plaintext)
	out := &randomResponse{}
	out.Plaintext, out.CiphertextForRecipient, err = c.release(to, plaintext)
	return out, err
}

func random(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("random: %w", err)
	}
	return b, nil
}

var curves = map[string]elliptic.Curve{
	"ECC_NIST_P256": elliptic.P256(), "ECC_NIST_P384": elliptic.P384(), "ECC_NIST_P521": elliptic.P521(),
}

type dataKeyPairRequest struct {
	KeyID             string `json:"KeyId"`
	KeyPairSpec       string
	EncryptionContext map[string]string
	DryRun            bool
}

type dataKeyPairResponse struct {
	PrivateKeyCiphertextBlob []byte
	PublicKey                []byte
	KeyID                    string `json:"KeyId"`
	KeyPairSpec              string
}

// generateDataKeyPair gives the public key as SubjectPublicKeyInfo and the private key as PKCS#8, wrapped.
func generateDataKeyPair(c *call, in *dataKeyPairRequest) (*dataKeyPairResponse, error) {
	curve, ok := curves[in.KeyPairSpec]
	if !ok {
		return nil, validationError("KeyPairSpec must be ECC_NIST_P256, ECC_NIST_P384 or ECC_NIST_P521.")
	}
	key, err := c.keyFor(in.KeyID, UsageEncryptDecrypt)
	if err != nil {
		return nil, err
	}
	facts := map[string]string{"kms:datakeypairspec": in.KeyPairSpec}
	if err := c.authorize(key, facts, in.EncryptionContext); err != nil {
		return nil, err
	}
	if in.DryRun {
		return nil, errDryRun
	}
	pair, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key pair: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		return nil, fmt.Errorf("key pair: %w", err)
	}
	defer clear(private)
	out := &dataKeyPairResponse{KeyID: key.arn, KeyPairSpec: in.KeyPairSpec}
	if out.PublicKey, err = x509.MarshalPKIXPublicKey(&pair.PublicKey); err != nil {
		return nil, fmt.Errorf("key pair: %w", err)
	}
	out.PrivateKeyCiphertextBlob, err = sealBlob(key, private, in.EncryptionContext)
	return out, err
}
