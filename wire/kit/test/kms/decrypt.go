package kms

const algSymmetric = "SYMMETRIC_DEFAULT"

// contextDomain is the name in the encryption context by which a domain's key is known.
const contextDomain = "redoubt:domain"

// errClassical is an error that KMS does not know.
var errClassical = validationError("A domain's key is given over TLS 1.3 with X25519MLKEM768 alone.")

// decryptRequest and the types after it are the members of KMS's API that we use.
type decryptRequest struct {
	CiphertextBlob      []byte
	EncryptionContext   map[string]string
	KeyID               string `json:"KeyId"`
	EncryptionAlgorithm string
	Recipient           *recipientRequest
	DryRun              bool
}

type decryptResponse struct {
	KeyID                  string `json:"KeyId"`
	EncryptionAlgorithm    string `json:",omitempty"`
	Plaintext              []byte `json:",omitempty"`
	CiphertextForRecipient []byte `json:",omitempty"`
}

func decrypt(c *call, in *decryptRequest) (*decryptResponse, error) {
	if n := len(in.CiphertextBlob); n < 1 || n > MaxCiphertext {
		return nil, validationError("CiphertextBlob must have 1 to 6144 bytes.")
	}
	if err := checkAlgorithm(in.EncryptionAlgorithm); err != nil {
		return nil, err
	}
	key, err := c.decryptionKey(in)
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
	if _, domain := in.EncryptionContext[contextDomain]; domain && c.classical {
		return nil, errClassical
	}
	plaintext, err := openBlob(key, in.CiphertextBlob, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	defer clear(plaintext)
	if in.DryRun {
		return nil, errDryRun
	}
	out := &decryptResponse{KeyID: key.arn, EncryptionAlgorithm: algSymmetric}
	out.Plaintext, out.CiphertextForRecipient, err = c.release(to, plaintext)
	if c.mutate.wrongKeyID {
		out.KeyID = otherKeyARN(key.arn)
	}
	return out, err
}

// decryptionKey finds the key that the blob names; a KeyId in the request must be the same.
func (c *call) decryptionKey(in *decryptRequest) (*Key, error) {
	var named *Key
	if in.KeyID != "" {
		var err error
		if named, err = c.store.Find(in.KeyID); err != nil {
			return nil, err
		}
		c.keyARN = named.arn
	}
	id, ok := blobKeyID(in.CiphertextBlob)
	if !ok {
		return nil, errInvalidCiphertext
	}
	key, ok := c.store.byRawID(id)
	switch {
	case !ok && named == nil:
		return nil, errInvalidCiphertext
	case !ok || named != nil && named.ID != key.ID:
		return nil, errIncorrectKey
	}
	return key, nil
}

// release returns the plaintext in the clear, or for a recipient in an envelope and not in the clear, as KMS does.
func (c *call) release(to *recipient, plaintext []byte) (clearText, enveloped []byte, err error) {
	if to == nil {
		return append([]byte(nil), plaintext...), nil, nil
	}
	if enveloped, err = EncryptToRecipient(to.key, plaintext); err != nil {
		return nil, nil, err
	}
	if c.mutate.plaintext {
		clearText = append([]byte(nil), plaintext...)
	}
	if c.mutate.corruptCMS {
		enveloped[len(enveloped)/2] ^= 0x40
	}
	if c.mutate.noRecipientCiphertext {
		enveloped = nil
	}
	return clearText, enveloped, nil
}

func checkAlgorithm(name string) error {
	if name != "" && name != algSymmetric {
		return clientError("InvalidKeyUsageException", "The key works with SYMMETRIC_DEFAULT only.")
	}
	return nil
}

// keyFor finds a key and demands its usage.
func (c *call) keyFor(name, usage string) (*Key, error) {
	if name == "" {
		return nil, validationError("KeyId must not be null.")
	}
	key, err := c.store.Find(name)
	if err != nil {
		return nil, err
	}
	c.keyARN = key.arn
	if key.Usage != usage {
		return nil, clientError("InvalidKeyUsageException", key.arn+" key usage is "+key.Usage+".")
	}
	return key, nil
}

type encryptRequest struct {
	KeyID               string `json:"KeyId"`
	Plaintext           []byte
	EncryptionContext   map[string]string
	EncryptionAlgorithm string
	DryRun              bool
}

type encryptResponse struct {
	CiphertextBlob      []byte
	KeyID               string `json:"KeyId"`
	EncryptionAlgorithm string
}

func encrypt(c *call, in *encryptRequest) (*encryptResponse, error) {
	defer clear(in.Plaintext)
	if n := len(in.Plaintext); n < 1 || n > MaxPlaintext {
		return nil, validationError("Plaintext must have 1 to 4096 bytes.")
	}
	if err := checkAlgorithm(in.EncryptionAlgorithm); err != nil {
		return nil, err
	}
	key, err := c.keyFor(in.KeyID, UsageEncryptDecrypt)
	if err != nil {
		return nil, err
	}
	if err := c.authorize(key, nil, in.EncryptionContext); err != nil {
		return nil, err
	}
	if in.DryRun {
		return nil, errDryRun
	}
	blob, err := sealBlob(key, in.Plaintext, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	return &encryptResponse{CiphertextBlob: blob, KeyID: key.arn, EncryptionAlgorithm: algSymmetric}, nil
}
