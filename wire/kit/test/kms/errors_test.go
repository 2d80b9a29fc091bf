package kms

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

const unknownARN = "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-4000-8000-000000000000"

func TestEachMistakeOfDecryptHasItsException(t *testing.T) {
	r := newRig(t)
	ec := map[string]string{"vault_id": "v_1"}
	blob := r.wrap([]byte("secret"), ec)
	flipped := func(i int) []byte {
		b := bytes.Clone(blob)
		b[i] ^= 1
		return b
	}
	for _, tt := range []struct {
		name string
		in   awskms.DecryptInput
		code string
	}{
		{"other context", awskms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"vault_id": "v_2"}}, "InvalidCiphertextException"},
		{"no context", awskms.DecryptInput{CiphertextBlob: blob}, "InvalidCiphertextException"},
		{"more context", awskms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"vault_id": "v_1", "a": ""}}, "InvalidCiphertextException"},
		{"shifted context", awskms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"vault_idv": "_1"}}, "InvalidCiphertextException"},
		{"garbage", awskms.DecryptInput{CiphertextBlob: []byte("nonsense")}, "InvalidCiphertextException"},
		{"flipped magic", awskms.DecryptInput{CiphertextBlob: flipped(0), EncryptionContext: ec}, "InvalidCiphertextException"},
		{"flipped key id", awskms.DecryptInput{CiphertextBlob: flipped(5), EncryptionContext: ec}, "InvalidCiphertextException"},
		{"flipped nonce", awskms.DecryptInput{CiphertextBlob: flipped(22), EncryptionContext: ec}, "InvalidCiphertextException"},
		{"flipped ciphertext", awskms.DecryptInput{CiphertextBlob: flipped(33), EncryptionContext: ec}, "InvalidCiphertextException"},
		{"flipped tag", awskms.DecryptInput{CiphertextBlob: flipped(len(blob) - 1), EncryptionContext: ec}, "InvalidCiphertextException"},
		{"truncated", awskms.DecryptInput{CiphertextBlob: blob[:len(blob)-1], EncryptionContext: ec}, "InvalidCiphertextException"},
		{"wrong key", awskms.DecryptInput{CiphertextBlob: blob, EncryptionContext: ec, KeyId: aws.String(AliasMAC)}, "IncorrectKeyException"},
		{"unknown key", awskms.DecryptInput{CiphertextBlob: blob, EncryptionContext: ec, KeyId: aws.String(unknownARN)}, "NotFoundException"},
		{"other region", awskms.DecryptInput{CiphertextBlob: blob, KeyId: aws.String(strings.Replace(unknownARN, "east", "west", 1))}, "NotFoundException"},
		{"too long", awskms.DecryptInput{CiphertextBlob: make([]byte, 6145)}, "ValidationException"},
		{"algorithm", awskms.DecryptInput{CiphertextBlob: blob, EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256}, "InvalidKeyUsageException"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := tt.in
			in.Recipient = recipientInfo(r.document())
			_, err := r.client().Decrypt(ctx, &in)
			wantCode(t, err, tt.code)
		})
	}
}

func TestLimitsAndUsagesOfTheOtherOperations(t *testing.T) {
	r := newRig(t)
	c := r.client()
	key, macKey := aws.String(AliasSymmetric), aws.String(AliasMAC)
	hmacSpec := types.MacAlgorithmSpecHmacSha256
	for name, tt := range map[string]struct {
		call func() error
		code string
	}{
		"plaintext over 4 KiB": {func() error {
			_, err := c.Encrypt(ctx, &awskms.EncryptInput{KeyId: key, Plaintext: make([]byte, 4097)})
			return err
		}, "ValidationException"},
		"empty plaintext": {func() error {
			_, err := c.Encrypt(ctx, &awskms.EncryptInput{KeyId: key, Plaintext: []byte{}})
			return err
		}, "ValidationException"},
		"encrypt with the MAC key": {func() error {
			_, err := c.Encrypt(ctx, &awskms.EncryptInput{KeyId: macKey, Plaintext: []byte("x")})
			return err
		}, "InvalidKeyUsageException"},
		"encrypt dry run": {func() error {
			_, err := c.Encrypt(ctx, &awskms.EncryptInput{KeyId: key, Plaintext: []byte("x"), DryRun: aws.Bool(true)})
			return err
		}, "DryRunOperationException"},
		"MAC with the symmetric key": {func() error {
			_, err := c.GenerateMac(ctx, &awskms.GenerateMacInput{KeyId: key, MacAlgorithm: hmacSpec, Message: []byte("x")})
			return err
		}, "InvalidKeyUsageException"},
		"MAC by SHA-512": {func() error {
			_, err := c.GenerateMac(ctx, &awskms.GenerateMacInput{KeyId: macKey, MacAlgorithm: "HMAC_SHA_512", Message: []byte("x")})
			return err
		}, "InvalidKeyUsageException"},
		"MAC of too much": {func() error {
			_, err := c.GenerateMac(ctx, &awskms.GenerateMacInput{KeyId: macKey, MacAlgorithm: hmacSpec, Message: make([]byte, 4097)})
			return err
		}, "ValidationException"},
		"key pair of RSA": {func() error {
			_, err := c.GenerateDataKeyPairWithoutPlaintext(ctx, &awskms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: key, KeyPairSpec: types.DataKeyPairSpecRsa2048})
			return err
		}, "ValidationException"},
		"data key of both sizes": {func() error {
			_, err := c.GenerateDataKey(ctx, &awskms.GenerateDataKeyInput{KeyId: key, KeySpec: types.DataKeySpecAes128, NumberOfBytes: aws.Int32(3)})
			return err
		}, "ValidationException"},
		"data key of 1025 bytes": {func() error {
			_, err := c.GenerateDataKey(ctx, &awskms.GenerateDataKeyInput{KeyId: key, NumberOfBytes: aws.Int32(1025)})
			return err
		}, "ValidationException"},
		"no random bytes": {func() error {
			_, err := c.GenerateRandom(ctx, &awskms.GenerateRandomInput{NumberOfBytes: aws.Int32(0)})
			return err
		}, "ValidationException"},
		"unknown alias": {func() error {
			_, err := c.DescribeKey(ctx, &awskms.DescribeKeyInput{KeyId: aws.String("alias/none")})
			return err
		}, "NotFoundException"},
		"an operation it has not": {func() error {
			_, err := c.CreateKey(ctx, &awskms.CreateKeyInput{})
			return err
		}, "UnknownOperationException"},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, tt.call(), tt.code) })
	}
}

func TestAKeyThatIsDisabledOrPendingDeletionIsOfNoUse(t *testing.T) {
	r := newRig(t)
	blob := r.wrap([]byte("secret"), nil)
	decrypt := func() error {
		_, err := r.client().Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: blob, Recipient: recipientInfo(r.document())})
		return err
	}
	r.admin("PUT", "keys/state", `{"state":"Disabled"}`, 200)
	wantCode(t, decrypt(), "DisabledException")
	r.admin("PUT", "keys/state?key="+AliasSymmetric, `{"state":"PendingDeletion"}`, 200)
	wantCode(t, decrypt(), "KMSInvalidStateException")
	r.admin("PUT", "keys/state", `{"state":"Enabled"}`, 200)
	if err := decrypt(); err != nil {
		t.Fatal(err)
	}
	r.admin("PUT", "keys/state", `{"state":"Lost"}`, 400)
	r.admin("PUT", "keys/state?key=alias/none", `{"state":"Enabled"}`, 400)
}

func TestErrorsHaveTheProtocolsShape(t *testing.T) {
	r := newRig(t)
	resp, err := http.Post(r.url, contentType, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	want := `{"__type":"MissingAuthenticationTokenException","message":"Missing Authentication Token"}`
	if resp.StatusCode != http.StatusBadRequest || string(body) != want || resp.Header.Get("Content-Type") != contentType {
		t.Errorf("status %d, %s", resp.StatusCode, body)
	}
	if len(resp.Header.Get("X-Amzn-Requestid")) != 36 {
		t.Error("no request id")
	}
	_, err = r.client().Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: r.wrap([]byte("x"), nil)})
	if err == nil || !strings.Contains(err.Error(), "is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:") {
		t.Errorf("error %v", err)
	}
}

func TestABodyThatIsTooLargeOrNoJSONIsRefused(t *testing.T) {
	r := newRig(t)
	resp, err := http.Post(r.url, contentType, io.LimitReader(zeros{}, MaxBody+1))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
	for _, body := range []string{"", "{", "[]", `{"CiphertextBlob":"?"}`, `{"CiphertextBlob":7}`} {
		if got := r.signed(t, body, nil); !strings.Contains(got, "SerializationException") {
			t.Errorf("body %q: %s", body, got)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestRequestIDsReachTheSDK(t *testing.T) {
	r := newRig(t)
	out, err := r.client().GenerateRandom(ctx, &awskms.GenerateRandomInput{NumberOfBytes: aws.Int32(1)})
	if err != nil {
		t.Fatal(err)
	}
	id, ok := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
	if !ok || !strings.Contains(r.log.String(), id) {
		t.Error("the log cannot be matched with the call")
	}
}

func TestNoValueIsInTheLog(t *testing.T) {
	r := newRig(t)
	sentinel := "S3NTINEL-value"
	blob := r.wrap([]byte(sentinel), map[string]string{"vault_id": sentinel})
	_, _ = r.client().Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"v": sentinel}, Recipient: recipientInfo(r.document())})
	_, _ = r.client().GenerateMac(ctx, &awskms.GenerateMacInput{KeyId: aws.String(sentinel), Message: []byte(sentinel), MacAlgorithm: "HMAC_SHA_256"})
	r.admin("POST", "faults", `{"kind":"`+sentinel+`"}`, 400)
	if log := r.log.String(); strings.Contains(log, sentinel) || strings.Contains(log, DefaultSecret) {
		t.Error("a value reached the log")
	}
}
