package testkit

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/kms"
	"redoubt/wire/parentapi"
)

// RecordOptions say how a record is made. VaultID and Fields are required.
type RecordOptions struct {
	VaultID  string
	Key      string          // KMS key: id, ARN or alias; default: the stand-in's symmetric one
	Region   string          // default us-east-1
	Suite    sealed.Suite    // default P-384
	Encoding sealed.Encoding // default 3
	// Context binds the wrapped key to the vault id by a KMS encryption context.
	Context bool
	// WrapLocal makes the key pair here and wraps it by Encrypt; else KMS makes it (GenerateDataKeyPair…).
	WrapLocal bool
	Fields    map[string]string // plaintexts
}

// Record is a sealed record as an API tier would make it, with its plaintexts, which are samples. The encodings are
// those of package sealed.
type Record struct {
	RecordOptions
	WrappedKey []byte
	Sealed     map[string]string // values as they go into a request: base64, or hex#hex for encoding 1
}

// Seal makes a record.
func Seal(ctx context.Context, client *awskms.Client, opts RecordOptions) (*Record, error) {
	if opts.Suite == 0 {
		opts.Suite = sealed.P384
	}
	if opts.Encoding == 0 {
		opts.Encoding = sealed.EncodingRecord
	}
	if opts.Region == "" {
		opts.Region = kms.DefaultRegion
	}
	if opts.Key == "" {
		opts.Key = kms.AliasSymmetric
	}
	r := &Record{RecordOptions: opts}
	public, err := r.makeKey(ctx, client)
	if err != nil {
		return nil, err
	}
	key, err := sealed.ParsePublicKey(opts.Suite, public)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	plain := make(map[string][]byte, len(opts.Fields))
	for name, value := range opts.Fields {
		plain[name] = []byte(value)
	}
	layout := opts.Encoding
	if layout == sealed.EncodingHex { // the older text form of encoding 2
		layout = sealed.EncodingField
	}
	blobs, err := sealed.Seal(layout, opts.Suite, key, opts.VaultID, plain)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	r.Sealed = make(map[string]string, len(blobs))
	for name, blob := range blobs {
		r.Sealed[name] = Encode(opts.Suite, opts.Encoding, blob)
	}
	return r, nil
}

// Encode writes a sealed field as it goes into a request: base64, or hex#hex for encoding 1.
func Encode(suite sealed.Suite, encoding sealed.Encoding, blob []byte) string {
	if encoding != sealed.EncodingHex {
		return base64.StdEncoding.EncodeToString(blob)
	}
	n := min(suite.EncSize(), len(blob))
	return hex.EncodeToString(blob[:n]) + "#" + hex.EncodeToString(blob[n:])
}

// makeKey sets WrappedKey and returns the public key (DER SubjectPublicKeyInfo).
func (r *Record) makeKey(ctx context.Context, client *awskms.Client) ([]byte, error) {
	if !r.Suite.OnCurve() {
		return nil, errors.New("unknown suite")
	}
	var encryptionContext map[string]string
	if r.Context {
		encryptionContext = map[string]string{"vault_id": r.VaultID}
	}
	if !r.WrapLocal {
		pair, err := client.GenerateDataKeyPairWithoutPlaintext(ctx, &awskms.GenerateDataKeyPairWithoutPlaintextInput{
			KeyId: aws.String(r.Key), KeyPairSpec: types.DataKeyPairSpec(r.Suite.KeySpec()),
			EncryptionContext: encryptionContext,
		})
		if err != nil {
			return nil, fmt.Errorf("key pair: %w", err)
		}
		r.WrappedKey = pair.PrivateKeyCiphertextBlob
		return pair.PublicKey, nil
	}
	pair, err := r.Suite.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key pair: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		return nil, fmt.Errorf("key pair: %w", err)
	}
	defer clear(private)
	out, err := client.Encrypt(ctx, &awskms.EncryptInput{
		KeyId: aws.String(r.Key), Plaintext: private, EncryptionContext: encryptionContext,
	})
	if err != nil {
		return nil, fmt.Errorf("wrap key: %w", err)
	}
	r.WrappedKey = out.CiphertextBlob
	return x509.MarshalPKIXPublicKey(pair.PublicKey())
}

// Request returns the body that asks for all fields and the given expressions. The caller may change it.
func (r *Record) Request(expressions map[string]string) *parentapi.Request[string] {
	id := r.Suite.ID()
	b := &parentapi.Request[string]{
		VaultID: r.VaultID, Region: r.Region, Fields: make(map[string]string, len(r.Sealed)),
		SuiteID:    base64.StdEncoding.EncodeToString(id[:]),
		WrappedKey: base64.StdEncoding.EncodeToString(r.WrappedKey),
		Encoding:   string('0' + byte(r.Encoding)), Expressions: expressions,
	}
	for name, value := range r.Sealed {
		b.Fields[name] = value
	}
	if r.Context {
		b.KeyContext = 1
	}
	return b
}
