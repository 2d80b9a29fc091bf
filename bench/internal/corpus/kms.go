package corpus

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
)

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
