package kmsclient

import (
	"context"
	"fmt"
	"regexp"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// keyARN is the ARN of a key, not of an alias, with its region as the group.
var keyARN = regexp.MustCompile(`^arn:aws[a-z-]*:kms:([a-z0-9-]{1,64}):[0-9]{12}:key/[A-Za-z0-9-]{1,64}$`)

// NewDomainKey makes a data key of 32 bytes, which KMS shows to nobody, and returns its ciphertext under the key arn.
// The ciphertext is bound to the domain's id and generation by the encryption context {"redoubt:domain": id,
// "redoubt:gen": generation in decimal}, as the enclave asks for it. arn may be of any region; it is never an alias,
// since the enclave opens under listed ARNs alone. Errors are [ErrDenied], [ErrThrottled], [ErrUnavailable] and
// [ErrNoCredentials]. An answer of another key is ErrUnavailable. The right is kms:GenerateDataKeyWithoutPlaintext.
func (c *Client) NewDomainKey(ctx context.Context, arn, domain string, generation uint16) ([]byte, error) {
	region := keyARN.FindStringSubmatch(arn)
	if region == nil {
		return nil, fmt.Errorf("%w (a domain's key is named by its ARN)", ErrDenied)
	}
	ctx, record, cancel := c.begin(ctx)
	defer cancel()
	out, err := c.kms.GenerateDataKeyWithoutPlaintext(ctx, &kms.GenerateDataKeyWithoutPlaintextInput{
		KeyId: &arn, KeySpec: types.DataKeySpecAes256, EncryptionContext: map[string]string{
			"redoubt:domain": domain, "redoubt:gen": strconv.FormatUint(uint64(generation), 10),
		},
	}, c.domains, func(o *kms.Options) { o.Region = region[1] })
	if err != nil {
		return nil, kind(record.Last(err))
	}
	if aws.ToString(out.KeyId) != arn || len(out.CiphertextBlob) == 0 {
		return nil, fmt.Errorf("%w (an answer of another key)", ErrUnavailable)
	}
	return out.CiphertextBlob, nil
}
