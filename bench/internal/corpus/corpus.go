// Package corpus makes and keeps the records from which bench makes its load: sealed as the API tier seals them,
// their private keys wrapped by KMS.
//
// Plaintexts are made from a record's numbers ([Plain]), so every answer can be checked, and a corpus file holds
// none. Private keys are never written to a file. A corpus that was just made keeps them in memory, for the stand-in
// of the reference's enclave, which has no KMS. (The reference is the AWS sample that Redoubt succeeds.)
package corpus

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"runtime"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"golang.org/x/sync/errgroup"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

// MaxVaults and MaxWrites bound a corpus; a file beyond them is refused.
const (
	MaxVaults = 1_000_000
	MaxWrites = 100_000
)

// Options say what a corpus is made of.
type Options struct {
	Vaults   int
	Fields   int             // of each write
	Writes   int             // of each vault: each is sealed by itself, under the vault's key
	Suite    sealed.Suite    // default P-384
	Encoding sealed.Encoding // 2 or 3; default 3
	Region   string
	Prefix   string // of vault ids
}

// ErrOptions reports options from which no corpus can be made.
var ErrOptions = errors.New("a corpus needs 1 or more vaults, writes and fields (at most 100), of encoding 2 or 3")

func (o *Options) fill() error {
	if o.Suite == 0 {
		o.Suite = sealed.P384
	}
	if o.Encoding == 0 {
		o.Encoding = sealed.EncodingRecord
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Prefix == "" {
		o.Prefix = "v_bench_"
	}
	if o.Vaults < 1 || o.Vaults > MaxVaults || o.Writes < 1 || o.Writes > MaxWrites || o.Fields < 1 ||
		o.Fields > wire.MaxFields || !o.Suite.OnCurve() || o.Encoding != 2 && o.Encoding != 3 {
		return ErrOptions
	}
	return nil
}

// Corpus is a set of sealed records.
type Corpus struct {
	Suite    sealed.Suite
	Encoding sealed.Encoding
	Region   string
	// API says that the records are an API's: vaults have an ID and a Label, and nothing sealed.
	API    bool
	Vaults []Vault
}

// Vault is one record in one or more versions of its fields.
type Vault struct {
	ID      string
	Label   string // for an API's vault: its plaintexts are made from this instead of the ID
	Wrapped []byte
	Context bool // Wrapped is bound to ID by KMS's encryption context
	Writes  []map[string][]byte
	// Private is the PKCS #8 of the private key; nil in a corpus that was read.
	Private []byte
}

// Wrap encrypts a private key of a vault under its KMS key, with the encryption context {"vault_id": vaultID}.
type Wrap func(ctx context.Context, vaultID string, private []byte) ([]byte, error)

// FieldName is the name of the i-th field.
func FieldName(i int) string { return fmt.Sprintf("field_%02d", i) }

// Plain is the plaintext of a field.
func Plain(vaultID string, write int, field string) string {
	return fmt.Sprintf("%s of %s, write %d", field, vaultID, write)
}

// Make makes a corpus, on all CPUs.
func Make(ctx context.Context, o Options, wrap Wrap, progress func(done int)) (*Corpus, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	c := &Corpus{Suite: o.Suite, Encoding: o.Encoding, Region: o.Region, Vaults: make([]Vault, o.Vaults)}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range c.Vaults {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			c.Vaults[i] = Vault{ID: fmt.Sprintf("%s%06d", o.Prefix, i), Context: true}
			if err := c.Vaults[i].make(ctx, &o, wrap); err != nil {
				return fmt.Errorf("vault %d: %w", i, err)
			}
			if progress != nil {
				progress(i)
			}
			return nil
		})
	}
	return c, g.Wait()
}

func (v *Vault) make(ctx context.Context, o *Options, wrap Wrap) error {
	private, err := o.Suite.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	if v.Private, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		return err
	}
	if v.Wrapped, err = wrap(ctx, v.ID, v.Private); err != nil {
		return fmt.Errorf("wrap key: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.PublicKey())
	if err != nil {
		return err
	}
	public, err := sealed.ParsePublicKey(o.Suite, der)
	if err != nil {
		return err
	}
	v.Writes = make([]map[string][]byte, o.Writes)
	for w := range v.Writes {
		plain := make(map[string][]byte, o.Fields)
		for f := range o.Fields {
			plain[FieldName(f)] = []byte(Plain(v.ID, w, FieldName(f)))
		}
		if v.Writes[w], err = sealed.Seal(o.Encoding, o.Suite, public, v.ID, plain); err != nil {
			return err
		}
	}
	return nil
}

// KMSWrap wraps by the Encrypt call of KMS, or of its stand-in, under a key (id, ARN or alias).
func KMSWrap(client *awskms.Client, key string) Wrap {
	return func(ctx context.Context, vaultID string, private []byte) ([]byte, error) {
		out, err := client.Encrypt(ctx, &awskms.EncryptInput{
			KeyId: aws.String(key), Plaintext: private, EncryptionContext: map[string]string{"vault_id": vaultID},
		})
		if err != nil {
			return nil, err
		}
		return out.CiphertextBlob, nil
	}
}
