package kms

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

var ctx = context.Background()

func TestAnAttestedDecryptGivesWhatEncryptWrapped(t *testing.T) {
	r := newRig(t)
	secret := bytes.Repeat([]byte("pkcs8"), 37)
	vault := map[string]string{"vault_id": "v_1", "x": "ß\n"}
	blob := r.wrap(secret, vault)
	for _, name := range []string{"", AliasSymmetric, "arn", "id", "alias arn"} {
		key, err := r.store.Find(AliasSymmetric)
		if err != nil {
			t.Fatal(err)
		}
		in := &awskms.DecryptInput{
			CiphertextBlob: blob, EncryptionContext: vault, Recipient: recipientInfo(r.document()),
		}
		switch name {
		case "":
		case "arn":
			in.KeyId = aws.String(key.ARN())
		case "id":
			in.KeyId = aws.String(key.ID)
		case "alias arn":
			in.KeyId = aws.String("arn:aws:kms:us-east-1:000000000000:" + AliasSymmetric)
		default:
			in.KeyId = aws.String(name)
		}
		out, err := r.client().Decrypt(ctx, in)
		if err != nil {
			t.Fatalf("key id %q: %v", name, err)
		}
		if out.Plaintext != nil || aws.ToString(out.KeyId) != key.ARN() ||
			out.EncryptionAlgorithm != types.EncryptionAlgorithmSpecSymmetricDefault {
			t.Fatalf("key id %q: answer %d plaintext bytes, key %s", name, len(out.Plaintext), *out.KeyId)
		}
		if got := openEnvelope(t, r.rsa, out.CiphertextForRecipient); !bytes.Equal(got, secret) {
			t.Fatal("another plaintext came out")
		}
	}
	if n := r.counts("Decrypt"); n.Attested != 5 || n.Codes["OK"] != 5 {
		t.Errorf("counters %+v", n)
	}
}

func TestDecryptOutsideAnEnclaveIsDeniedByTheDefaultPolicy(t *testing.T) {
	r := newRig(t)
	blob := r.wrap([]byte("secret"), nil)
	for _, dryRun := range []bool{false, true} {
		_, err := r.client().Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: blob, DryRun: aws.Bool(dryRun)})
		wantCode(t, err, "AccessDeniedException")
		var denied *types.NotFoundException
		if errors.As(err, &denied) {
			t.Error("denied looks like not found")
		}
	}
}

func TestAPolicyCanAllowDecryptInTheClear(t *testing.T) {
	r := newRig(t)
	blob := r.wrap([]byte("secret"), nil)
	r.admin("PUT", "policy", allowAll, 200)
	out, err := r.client().Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: blob})
	if err != nil || string(out.Plaintext) != "secret" || out.CiphertextForRecipient != nil {
		t.Fatalf("answer %v, error %v", out, err)
	}
	_, err = r.client().Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: blob, DryRun: aws.Bool(true)})
	wantCode(t, err, "DryRunOperationException")
}

func TestDataKeyPairsAreWrappedPKCS8OfTheGivenPublicKey(t *testing.T) {
	r := newRig(t)
	for spec, bits := range map[types.DataKeyPairSpec]int{
		types.DataKeyPairSpecEccNistP256: 256, types.DataKeyPairSpecEccNistP384: 384,
		types.DataKeyPairSpecEccNistP521: 521,
	} {
		ec := map[string]string{"vault_id": string(spec)}
		pair, err := r.client().GenerateDataKeyPairWithoutPlaintext(ctx,
			&awskms.GenerateDataKeyPairWithoutPlaintextInput{
				KeyId: aws.String(AliasSymmetric), KeyPairSpec: spec, EncryptionContext: ec,
			})
		if err != nil {
			t.Fatal(err)
		}
		out, err := r.client().Decrypt(ctx, &awskms.DecryptInput{
			CiphertextBlob: pair.PrivateKeyCiphertextBlob, EncryptionContext: ec, Recipient: recipientInfo(r.document()),
		})
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(openEnvelope(t, r.rsa, out.CiphertextForRecipient))
		if err != nil {
			t.Fatal(err)
		}
		private, ok := parsed.(*ecdsa.PrivateKey)
		if !ok || private.Params().BitSize != bits {
			t.Fatalf("%s: not a private key of the curve", spec)
		}
		public, err := x509.ParsePKIXPublicKey(pair.PublicKey)
		if err != nil || !private.PublicKey.Equal(public) {
			t.Fatalf("%s: the halves do not belong together: %v", spec, err)
		}
		if pair.KeyPairSpec != spec || aws.ToString(pair.KeyId) == AliasSymmetric {
			t.Errorf("%s: answer names %s, %s", spec, pair.KeyPairSpec, *pair.KeyId)
		}
	}
}

func TestDataKeysAndRandomBytesComeInTheClearOrEnveloped(t *testing.T) {
	r := newRig(t)
	key, err := r.client().GenerateDataKey(ctx, &awskms.GenerateDataKeyInput{
		KeyId: aws.String(AliasSymmetric), KeySpec: types.DataKeySpecAes256,
	})
	if err != nil || len(key.Plaintext) != 32 {
		t.Fatalf("%v", err)
	}
	out, err := r.client().Decrypt(ctx, &awskms.DecryptInput{
		CiphertextBlob: key.CiphertextBlob, Recipient: recipientInfo(r.document()),
	})
	if err != nil || !bytes.Equal(openEnvelope(t, r.rsa, out.CiphertextForRecipient), key.Plaintext) {
		t.Fatalf("the wrapped data key is another: %v", err)
	}
	unseen, err := r.client().GenerateDataKeyWithoutPlaintext(ctx, &awskms.GenerateDataKeyWithoutPlaintextInput{
		KeyId: aws.String(AliasSymmetric), NumberOfBytes: aws.Int32(32),
	})
	if err != nil || len(unseen.CiphertextBlob) == 0 {
		t.Fatalf("%v", err)
	}
	out, err = r.client().Decrypt(ctx, &awskms.DecryptInput{
		CiphertextBlob: unseen.CiphertextBlob, Recipient: recipientInfo(r.document()),
	})
	if err != nil || len(openEnvelope(t, r.rsa, out.CiphertextForRecipient)) != 32 {
		t.Fatalf("the data key that nobody saw: %v", err)
	}
	attested, err := r.client().GenerateDataKey(ctx, &awskms.GenerateDataKeyInput{
		KeyId: aws.String(AliasSymmetric), NumberOfBytes: aws.Int32(1024), Recipient: recipientInfo(r.document()),
	})
	if err != nil || attested.Plaintext != nil ||
		len(openEnvelope(t, r.rsa, attested.CiphertextForRecipient)) != 1024 {
		t.Fatalf("%v", err)
	}
	random, err := r.client().GenerateRandom(ctx, &awskms.GenerateRandomInput{NumberOfBytes: aws.Int32(24)})
	if err != nil || len(random.Plaintext) != 24 {
		t.Fatalf("%v", err)
	}
	sealed, err := r.client().GenerateRandom(ctx, &awskms.GenerateRandomInput{
		NumberOfBytes: aws.Int32(24), Recipient: recipientInfo(r.document()),
	})
	if err != nil || sealed.Plaintext != nil || len(openEnvelope(t, r.rsa, sealed.CiphertextForRecipient)) != 24 {
		t.Fatalf("%v", err)
	}
}

func TestMACsVerifyAndForgeriesDoNot(t *testing.T) {
	r := newRig(t)
	c := r.client()
	made, err := c.GenerateMac(ctx, &awskms.GenerateMacInput{
		KeyId: aws.String(AliasMAC), MacAlgorithm: types.MacAlgorithmSpecHmacSha256, Message: []byte("bind"),
	})
	if err != nil || len(made.Mac) != 32 {
		t.Fatal(err)
	}
	in := &awskms.VerifyMacInput{
		KeyId: aws.String(AliasMAC), MacAlgorithm: types.MacAlgorithmSpecHmacSha256,
		Message: []byte("bind"), Mac: made.Mac,
	}
	ok, err := c.VerifyMac(ctx, in)
	if err != nil || !ok.MacValid || aws.ToString(ok.KeyId) != aws.ToString(made.KeyId) {
		t.Fatal(err)
	}
	in.Message = []byte("bond")
	_, err = c.VerifyMac(ctx, in)
	wantCode(t, err, "KMSInvalidMacException")
	in.Message, in.Mac = []byte("bind"), made.Mac[:31]
	_, err = c.VerifyMac(ctx, in)
	wantCode(t, err, "KMSInvalidMacException")
}

func TestDescribeKeyTellsUsageAndState(t *testing.T) {
	r := newRig(t)
	r.admin("PUT", "keys/state", `{"state":"Disabled"}`, 200)
	out, err := r.client().DescribeKey(ctx, &awskms.DescribeKeyInput{KeyId: aws.String(AliasSymmetric)})
	if err != nil {
		t.Fatal(err)
	}
	m := out.KeyMetadata
	if m.KeyState != types.KeyStateDisabled || m.Enabled || m.KeyUsage != types.KeyUsageTypeEncryptDecrypt ||
		m.KeySpec != types.KeySpecSymmetricDefault || m.CreationDate == nil || m.Arn == nil {
		t.Errorf("metadata %+v", m)
	}
	out, err = r.client().DescribeKey(ctx, &awskms.DescribeKeyInput{KeyId: aws.String(AliasMAC)})
	if err != nil || out.KeyMetadata.KeySpec != types.KeySpecHmac256 || len(out.KeyMetadata.MacAlgorithms) != 1 {
		t.Errorf("metadata %+v, %v", out, err)
	}
}

func TestTheSameIsServedOverTLSUnderTheStacksCAWithoutAdminRoutes(t *testing.T) {
	r := newRig(t)
	ca, err := OpenCA(r.dir, r.now())
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}}
	sdk := r.client(func(o *awskms.Options) { o.BaseEndpoint, o.HTTPClient = aws.String(r.tlsURL), client })
	if _, err := sdk.GenerateRandom(ctx, &awskms.GenerateRandomInput{NumberOfBytes: aws.Int32(8)}); err != nil {
		t.Fatal(err)
	}
	resp, err := client.Get(r.tlsURL + "/_admin/counters")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		t.Error("admin routes are served to the enclave's side")
	}
	bare := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{}}}
	if resp, err := bare.Get(r.tlsURL); err == nil {
		resp.Body.Close()
		t.Error("a client that does not know the CA was served")
	}
}

// TestAPingIsNoCall: the enclave's look at whether KMS is there is answered, and shows neither in the log nor among the
// calls.
func TestAPingIsNoCall(t *testing.T) {
	r := newRig(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/ping", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || string(body) != "healthy" {
		t.Errorf("%d %s %v", resp.StatusCode, body, err)
	}
	if calls := r.Server.counts.snapshot(); len(calls) > 0 || strings.Contains(r.log.String(), "unknown") {
		t.Errorf("%v; %s", calls, r.log.String())
	}
}
