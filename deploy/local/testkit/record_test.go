package testkit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/kms"
)

// standIn talks to a stand-in whose policy gives keys to everybody, which the tests need to look inside.
func standIn(t *testing.T) *awskms.Client {
	t.Helper()
	server, err := kms.New(kms.Config{
		StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler),
		Policy: []byte(`{"Version":"2012-10-17","Statement":
			{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(server)
	t.Cleanup(listener.Close)
	return awskms.New(awskms.Options{
		Region: kms.DefaultRegion, BaseEndpoint: aws.String(listener.URL), HTTPClient: listener.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(kms.DefaultAccessKey, kms.DefaultSecret, ""),
	})
}

func open(t *testing.T, c *awskms.Client, r *Record, name string) string {
	t.Helper()
	var ec map[string]string
	if r.Context {
		ec = map[string]string{"vault_id": r.VaultID}
	}
	key, err := c.Decrypt(context.Background(), &awskms.DecryptInput{CiphertextBlob: r.WrappedKey, EncryptionContext: ec})
	if err != nil {
		t.Fatal(err)
	}
	private, err := sealed.ParsePrivateKey(r.Suite, key.Plaintext)
	if err != nil {
		t.Fatal(err)
	}
	var raw []byte
	if r.Encoding == sealed.EncodingHex {
		raw, err = sealed.AppendHex(nil, r.Suite, r.Sealed[name])
	} else {
		raw, err = base64.StdEncoding.DecodeString(r.Sealed[name])
	}
	if err != nil {
		t.Fatal(err)
	}
	blob, err := sealed.ParseBlob(r.Suite, r.Encoding, raw)
	if err != nil {
		t.Fatal(err)
	}
	hpke, err := private.Derive(make([]byte, sealed.ContextSize), []byte(r.VaultID), blob.Enc)
	if err != nil {
		t.Fatal(err)
	}
	plaintext, err := hpke.Open(nil, []byte(name), blob)
	if err != nil {
		t.Fatal(err)
	}
	return string(plaintext)
}

func TestRecordsOpenInEveryEncodingSuiteAndKindOfKey(t *testing.T) {
	c := standIn(t)
	fields := map[string]string{"a": "one", "b_2": "two", "empty": ""}
	for _, suite := range sealed.Suites() {
		for _, encoding := range []sealed.Encoding{sealed.EncodingHex, sealed.EncodingField, sealed.EncodingRecord} {
			for _, flags := range [][2]bool{{false, false}, {true, false}, {false, true}, {true, true}} {
				r, err := Seal(context.Background(), c, RecordOptions{
					VaultID: "v_1", Key: kms.AliasSymmetric, Suite: suite, Encoding: encoding,
					Context: flags[0], WrapLocal: flags[1], Fields: fields,
				})
				if err != nil {
					t.Fatal(err)
				}
				for name, want := range fields {
					if got := open(t, c, r, name); got != want {
						t.Errorf("%s, encoding %d, %v: field %s is %q", suite, encoding, flags, name, got)
					}
				}
			}
		}
	}
}

func TestTheRequestHasTheReferencesMembers(t *testing.T) {
	r, err := Seal(context.Background(), standIn(t), RecordOptions{
		VaultID: "v_1", Key: kms.AliasSymmetric, Context: true, Fields: map[string]string{"a": "one"},
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := r.Request(map[string]string{"e": "a.sha256()"}).JSON()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got["suite_id"] != "SFBLRQARAAIAAg==" || got["encoding"] != "3" || got["region"] != "us-east-1" ||
		got["key_context"] != 1.0 || got["vault_id"] != "v_1" || len(got) != 8 {
		t.Errorf("request %s", data)
	}
}

func TestWhatCannotBeSealedIsSaid(t *testing.T) {
	c := standIn(t)
	for name, opts := range map[string]RecordOptions{
		"suite":    {Key: kms.AliasSymmetric, Suite: 9},
		"key":      {Key: "alias/none"},
		"encoding": {Key: kms.AliasSymmetric, Encoding: 9},
		"name":     {Key: kms.AliasSymmetric, Fields: map[string]string{"_sk": "x"}},
	} {
		opts.VaultID = "v_1"
		if _, err := Seal(context.Background(), c, opts); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
	if _, err := Seal(context.Background(), c, RecordOptions{
		VaultID: "v", Key: kms.AliasSymmetric, Encoding: 9, Fields: map[string]string{"a": ""},
	}); !errors.Is(err, sealed.ErrEncoding) {
		t.Error(fmt.Errorf("error %w", err))
	}
}
