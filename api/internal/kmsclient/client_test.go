package kmsclient_test

import (
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"redoubt/api/internal/kmsclient"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/kms"
)

func standIn(t *testing.T) (*kms.Server, string) {
	t.Helper()
	s, err := kms.New(kms.Config{StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return s, srv.URL
}

func client(t *testing.T, url, secret, macKey string) *kmsclient.Client {
	t.Helper()
	c, err := kmsclient.New(kmsclient.Config{
		AWS: aws.Config{
			Region:      kms.DefaultRegion,
			Credentials: credentials.NewStaticCredentialsProvider(kms.DefaultAccessKey, secret, ""),
		},
		Endpoint: url, KeyID: kms.AliasSymmetric, MACKeyID: macKey, Timeout: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestKeyPairsOfEachSuite(t *testing.T) {
	_, url := standIn(t)
	c := client(t, url, kms.DefaultSecret, kms.AliasMAC)
	for _, suite := range sealed.Suites() {
		public, wrapped, err := c.NewKeyPair(t.Context(), suite, map[string]string{"vault_id": "v_1"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sealed.ParsePublicKey(suite, public); err != nil || len(wrapped) == 0 {
			t.Fatalf("%v: %v, %d bytes wrapped", suite, err, len(wrapped))
		}
	}
	if _, _, err := c.NewKeyPair(t.Context(), 0, nil); !errors.Is(err, sealed.ErrSuite) {
		t.Fatalf("err = %v", err)
	}
}

func TestMACIsVerifiedAndBound(t *testing.T) {
	_, url := standIn(t)
	c := client(t, url, kms.DefaultSecret, kms.AliasMAC)
	mac, err := c.MAC(t.Context(), []byte("message"))
	if err != nil || len(mac) != 32 {
		t.Fatalf("%d bytes, %v", len(mac), err)
	}
	if ok, err := c.VerifyMAC(t.Context(), []byte("message"), mac); err != nil || !ok {
		t.Fatalf("genuine: %v, %v", ok, err)
	}
	if ok, err := c.VerifyMAC(t.Context(), []byte("other"), mac); err != nil || ok {
		t.Fatalf("of another message: %v, %v", ok, err)
	}
	mac[0] ^= 1
	if ok, err := c.VerifyMAC(t.Context(), []byte("message"), mac); err != nil || ok {
		t.Fatalf("flipped: %v, %v", ok, err)
	}
}

func TestErrorsAreTypedAndSayNothing(t *testing.T) {
	_, url := standIn(t)
	dead := httptest.NewServer(nil)
	dead.Close()
	cases := map[string]struct {
		url, secret, macKey string
		want                error
	}{
		"wrong secret": {url, "wrong", kms.AliasMAC, kmsclient.ErrDenied},
		"unknown key":  {url, kms.DefaultSecret, "alias/none", kmsclient.ErrDenied},
		"wrong usage":  {url, kms.DefaultSecret, kms.AliasSymmetric, kmsclient.ErrDenied},
		"no server":    {dead.URL, kms.DefaultSecret, kms.AliasMAC, kmsclient.ErrUnavailable},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := client(t, c.url, c.secret, c.macKey).MAC(t.Context(), []byte("SENTINEL"))
			if !errors.Is(err, c.want) || strings.Contains(err.Error(), "SENTINEL") || strings.Contains(err.Error(), "http") {
				t.Fatalf("err = %v", err)
			}
		})
	}
}

func TestBothKeysAreNeeded(t *testing.T) {
	if _, err := kmsclient.New(kmsclient.Config{KeyID: "a"}); err == nil {
		t.Fatal("made without a MAC key")
	}
}
