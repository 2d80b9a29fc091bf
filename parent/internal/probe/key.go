package probe

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

// VaultID is the vault id of every probe key: its wrapped private key has the encryption context {"vault_id": VaultID}.
const VaultID = "redoubt-probe"

// ErrFile reports a file that is not the output of generate-data-key-pair-without-plaintext.
var ErrFile = errors.New("not a probe key: give the JSON that " +
	"`aws kms generate-data-key-pair-without-plaintext` prints, asked with the key's ARN and " +
	"--encryption-context vault_id=" + VaultID)

// fieldName is the name of the one field of a probe.
const fieldName = "probe"

// Key is a key pair that KMS made and whose private part only an enclave can use. It holds nothing secret.
type Key struct {
	// ARN of the KMS key that wraps the private key, and the region of that ARN.
	ARN, Region string

	suite   sealed.Suite
	public  *sealed.PublicKey
	wrapped []byte
}

// suiteOf finds the first suite whose key pairs have this name in KMS.
func suiteOf(spec string) (sealed.Suite, error) {
	var known []string
	for _, s := range sealed.Suites() {
		if s.KeySpec() == spec {
			return s, nil
		}
		known = append(known, s.KeySpec())
	}
	return 0, fmt.Errorf("%w: KeyPairSpec is none of %s", ErrFile, strings.Join(known, ", "))
}

// Parse reads the JSON that the AWS CLI prints for GenerateDataKeyPairWithoutPlaintext. It ignores members that it
// does not know, since KMS adds some over time. All failures wrap ErrFile and hold nothing of the file.
func Parse(data []byte) (*Key, error) {
	var in struct {
		KeyID   string `json:"KeyId"`
		Spec    string `json:"KeyPairSpec"`
		Public  []byte `json:"PublicKey"`
		Wrapped []byte `json:"PrivateKeyCiphertextBlob"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, ErrFile
	}
	arn := strings.Split(in.KeyID, ":")
	if len(arn) != 6 || arn[0] != "arn" || arn[2] != "kms" || arn[3] == "" || len(arn[3]) > wire.MaxRegion {
		return nil, fmt.Errorf("%w: KeyId is not the ARN of a key", ErrFile)
	}
	suite, err := suiteOf(in.Spec)
	if err != nil {
		return nil, err
	}
	public, err := sealed.ParsePublicKey(suite, in.Public)
	if err != nil {
		return nil, fmt.Errorf("%w: PublicKey: %w", ErrFile, err)
	}
	if len(in.Wrapped) == 0 || len(in.Wrapped) > wire.MaxWrappedKey {
		return nil, fmt.Errorf("%w: PrivateKeyCiphertextBlob is empty or too long", ErrFile)
	}
	return &Key{ARN: in.KeyID, Region: arn[3], suite: suite, public: public, wrapped: in.Wrapped}, nil
}

// question seals a fresh random value to the key. The request opens only with the private key, and the answer must
// hold that value.
func (k *Key) question() (msg *wire.DecryptRequest, want []byte, err error) {
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, nil, fmt.Errorf("random: %w", err)
	}
	want = []byte(hex.EncodeToString(random[:]))
	blobs, err := sealed.SealRecord(k.suite, k.public, VaultID, map[string][]byte{fieldName: want})
	if err != nil {
		return nil, nil, err
	}
	msg = &wire.DecryptRequest{
		VaultID: []byte(VaultID), Region: []byte(k.Region), Suite: uint8(k.suite), Encoding: uint8(sealed.EncodingRecord),
		KeyContext: true, WrappedKey: k.wrapped,
	}
	msg.AddField([]byte(fieldName), blobs[fieldName])
	return msg, want, nil
}

// judge reads an answer to a question. It returns wire.OK if the answer holds the value.
func judge(answer, want []byte) wire.Code {
	var m wire.DecryptResponse
	switch err := m.Decode(answer); {
	case err != nil:
		return wire.Internal
	case m.Code != wire.OK:
		return m.Code
	case len(m.Results) != 1:
		return wire.Internal
	case m.Results[0].Code != wire.OK:
		return m.Results[0].Code
	case !slices.Equal(m.Results[0].Value, want):
		return wire.DecryptFailed
	}
	return wire.OK
}
