package kms

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
)

// signing is one signed request that a test may bend before and after it is signed.
type signing struct {
	access, secret, token, region, service string
	at                                     time.Time
	before, after                          func(*http.Request)
	sentBody                               *string
}

// signed sends Decrypt with a body signed by the SDK's own signer, and returns the answer's body.
func (r *rig) signed(t *testing.T, body string, edit func(*signing)) string {
	t.Helper()
	s := signing{
		access: DefaultAccessKey, secret: DefaultSecret, region: DefaultRegion, service: "kms", at: r.now(),
		before: func(*http.Request) {}, after: func(*http.Request) {},
	}
	if edit != nil {
		edit(&s)
	}
	sent := body
	if s.sentBody != nil {
		sent = *s.sentBody
	}
	req, err := http.NewRequest(http.MethodPost, r.url+"/", strings.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "TrentService.Decrypt")
	req.Header.Set("Content-Type", contentType)
	s.before(req)
	hash := sha256.Sum256([]byte(body))
	cred := aws.Credentials{AccessKeyID: s.access, SecretAccessKey: s.secret, SessionToken: s.token}
	err = v4.NewSigner().SignHTTP(ctx, cred, req, hex.EncodeToString(hash[:]), s.service, s.region, s.at)
	if err != nil {
		t.Fatal(err)
	}
	s.after(req)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func replaceAuth(old, with string) func(*signing) {
	return func(s *signing) {
		s.after = func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, with, 1))
		}
	}
}

func TestOnlyAGenuineSignatureIsAccepted(t *testing.T) {
	r := newRig(t)
	const accepted = "ValidationException" // an empty Decrypt is past authentication
	other := "{ }"
	for _, tt := range []struct {
		name, want, text string
		edit             func(*signing)
	}{
		{"genuine", accepted, "", nil},
		{"genuine, 4 min early", accepted, "", func(s *signing) { s.at = s.at.Add(-4 * time.Minute) }},
		{"genuine, 4 min late", accepted, "", func(s *signing) { s.at = s.at.Add(4 * time.Minute) }},
		{"genuine, odd spaces", accepted, "", func(s *signing) { s.before = func(r *http.Request) { r.Header.Set("X-Amz-Meta", "  a   b ") } }},
		{"no signature", "MissingAuthenticationTokenException", "Missing Authentication Token", func(s *signing) { s.after = func(r *http.Request) { r.Header.Del("Authorization") } }},
		{"another scheme", "IncompleteSignatureException", "", func(s *signing) { s.after = func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") } }},
		{"wrong secret", "InvalidSignatureException", "does not match", func(s *signing) { s.secret = "guess" }},
		{"unknown access key", "UnrecognizedClientException", "invalid", func(s *signing) { s.access = "AKIANOBODY" }},
		{"token that is not known", "UnrecognizedClientException", "invalid", func(s *signing) { s.token = "tok" }},
		{"other region", "InvalidSignatureException", "valid region", func(s *signing) { s.region = "us-west-2" }},
		{"other service", "InvalidSignatureException", "correct service", func(s *signing) { s.service = "s3" }},
		{"expired", "InvalidSignatureException", "Signature expired", func(s *signing) { s.at = s.at.Add(-6 * time.Minute) }},
		{"from the future", "InvalidSignatureException", "not yet current", func(s *signing) { s.at = s.at.Add(6 * time.Minute) }},
		{"other body", "InvalidSignatureException", "does not match", func(s *signing) { s.sentBody = &other }},
		{"other target", "InvalidSignatureException", "does not match", func(s *signing) {
			s.after = func(r *http.Request) { r.Header.Set("X-Amz-Target", "TrentService.Encrypt") }
		}},
		{"doubled target", "InvalidSignatureException", "does not match", func(s *signing) {
			s.after = func(r *http.Request) { r.Header.Add("X-Amz-Target", "TrentService.Encrypt") }
		}},
		{"target added unsigned", "InvalidSignatureException", "x-amz-extra", func(s *signing) { s.after = func(r *http.Request) { r.Header.Set("X-Amz-Extra", "1") } }},
		{"other host", "InvalidSignatureException", "does not match", func(s *signing) { s.after = func(r *http.Request) { r.Host = "kms.us-east-1.amazonaws.com" } }},
		{"date moved", "InvalidSignatureException", "does not match", func(s *signing) {
			s.after = func(r *http.Request) {
				r.Header.Set("X-Amz-Date", s.at.Add(time.Second).UTC().Format(sigTimeFormat))
			}
		}},
		{"no date", "IncompleteSignatureException", "X-Amz-Date", func(s *signing) { s.after = func(r *http.Request) { r.Header.Del("X-Amz-Date") } }},
		{"payload hash of another body", "InvalidSignatureException", "does not match", func(s *signing) {
			s.before = func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", strings.Repeat("0", 64)) }
		}},
		{"flipped signature", "InvalidSignatureException", "does not match", replaceAuth("Signature=", "Signature=0")},
		{"scope of another day", "InvalidSignatureException", "scope", replaceAuth("Credential=local/20", "Credential=local/19")},
		{"scope cut", "IncompleteSignatureException", "5 slash", replaceAuth("/kms/", "/")},
		{"host unsigned", "InvalidSignatureException", "Host", replaceAuth(";host;", ";")},
		{"headers unsorted", "IncompleteSignatureException", "sorted", replaceAuth("content-length;", "x-amz-date;")},
		{"no signed headers", "IncompleteSignatureException", "SignedHeaders", replaceAuth("SignedHeaders=", "Signed=")},
		{"credential twice", "IncompleteSignatureException", "distinct", replaceAuth("Credential=", "Credential=a/b/c/d/aws4_request, Credential=")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := r.signed(t, "{}", tt.edit)
			if !strings.Contains(got, `"`+tt.want+`"`) || !strings.Contains(got, tt.text) {
				t.Errorf("got %s, want %s with %q", got, tt.want, tt.text)
			}
		})
	}
	if n := r.counts("Decrypt"); n.Codes[accepted] != 4 {
		t.Errorf("counters %+v", n)
	}
}

func TestASessionTokenMustBeTheConfiguredOne(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Credentials = []Credential{{AccessKeyID: "ASIA1", SecretAccessKey: "s", SessionToken: "tok"}}
	})
	call := func(token string) error {
		_, err := r.client(func(o *awskms.Options) {
			o.Credentials = credentials.NewStaticCredentialsProvider("ASIA1", "s", token)
		}).GenerateRandom(ctx, &awskms.GenerateRandomInput{NumberOfBytes: aws.Int32(1)})
		return err
	}
	if err := call("tok"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, call("tik"), "UnrecognizedClientException")
	wantCode(t, call(""), "UnrecognizedClientException")
	r.admin("PUT", "credentials",
		`[{"access_key_id":"ASIA1","secret_access_key":"s","session_token":"tok","expires":"2020-01-01T00:00:00Z"}]`, 200)
	wantCode(t, call("tok"), "ExpiredTokenException")
	r.admin("PUT", "credentials", `[{"access_key_id":"ASIA2","secret_access_key":"s"}]`, 200)
	wantCode(t, call("tok"), "UnrecognizedClientException")
	r.admin("PUT", "credentials", `[{"access_key_id":"ASIA2"}]`, 400)
}

func FuzzParseAuthorization(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/kms/aws4_request, SignedHeaders=host;x-amz-date, " +
		"Signature=" + strings.Repeat("ab", 32))
	f.Add("AWS4-HMAC-SHA256 Credential=////aws4_request,SignedHeaders=;,Signature=")
	f.Add("")
	f.Fuzz(func(t *testing.T, header string) {
		auth, err := parseAuthorization(header)
		if err == nil && (len(auth.signature) != sha256.Size || len(auth.signed) == 0) {
			t.Error("an incomplete header was accepted")
		}
	})
}
