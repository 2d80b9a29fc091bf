package probe

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"redoubt/wire/kit/awsconfig"
	"redoubt/wire/kit/test/kms"
)

const allowAll = `{"Version":"2012-10-17","Statement":[
	{"Sid":"All","Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}`

const allowNothing = `{"Version":"2012-10-17","Statement":[
	{"Sid":"None","Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*"}]}`

// standIn serves the KMS stand-in and returns it with a client that does not retry.
func standIn(t *testing.T, policy string) (*awskms.Client, *httptest.Server) {
	t.Helper()
	cfg := kms.Config{StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	if policy != "" {
		cfg.Policy = []byte(policy)
	}
	s, err := kms.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return awskms.New(awskms.Options{
		Region: kms.DefaultRegion, BaseEndpoint: aws.String(server.URL), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(kms.DefaultAccessKey, kms.DefaultSecret, ""),
	}), server
}

func ask(t *testing.T, client *awskms.Client) (Identity, error) {
	t.Helper()
	return probe(t, Options{KMS: client, Key: kms.AliasSymmetric}).identity(t.Context())
}

func probe(t *testing.T, o Options) *Probe {
	t.Helper()
	o.Timeout = 10 * time.Second
	if o.API == "" {
		o.API = "http://127.0.0.1:1"
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAPolicyThatDemandsAttestationIsARefusal(t *testing.T) {
	client, _ := standIn(t, "")
	if got, err := ask(t, client); got != Refused || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

func TestAPolicyThatAllowsIsFoundOut(t *testing.T) {
	client, _ := standIn(t, allowAll)
	if got, err := ask(t, client); got != Succeeded || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

func TestWhatIsNotAskedIsNoRefusal(t *testing.T) {
	// Denied already when the wrapped key is made: nothing is known of Decrypt.
	client, _ := standIn(t, allowNothing)
	if got, err := ask(t, client); got != CouldNotAsk || err == nil || !strings.Contains(err.Error(), "accessdenied") {
		t.Errorf("denied early: %v, %v", got, err)
	}
	client, server := standIn(t, "")
	server.Close()
	if got, err := ask(t, client); got != CouldNotAsk || !errors.Is(err, errNoAnswer) {
		t.Errorf("no KMS: %v, %v", got, err)
	}
}

// answers is a KMS that makes wrapped keys and answers each Decrypt as it is told.
func answers(t *testing.T, status int, body string) *awskms.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".Decrypt") {
			_, _ = io.WriteString(w, `{"PrivateKeyCiphertextBlob":"AAAA"}`)
			return
		}
		var in struct {
			DryRun            bool
			EncryptionContext map[string]string
			Recipient         json.RawMessage
		}
		if json.NewDecoder(r.Body).Decode(&in) != nil || !in.DryRun || in.Recipient != nil ||
			in.EncryptionContext["vault_id"] == "" {
			t.Error("not a dry run in a record's context from outside an enclave")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return awskms.New(awskms.Options{
		Region: kms.DefaultRegion, BaseEndpoint: aws.String(server.URL), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
}

func TestEveryAnswerOfKMSIsToldApart(t *testing.T) {
	denied := func(why string) string {
		return `{"__type":"AccessDeniedException","Message":"User: SENTINEL is not authorized to perform: kms:Decrypt on ` +
			`resource: arn:aws:kms:eu-central-1:111122223333:key/k ` + why + `"}`
	}
	for _, c := range []struct {
		status int
		body   string
		want   Identity
		reason string
	}{
		{400, denied("with an explicit deny in a resource-based policy"), Refused, ""},
		{400, denied("because no resource-based policy allows the kms:Decrypt action"), Refused, ""},
		{400, `{"__type":"AccessDeniedException"}`, Refused, ""},
		{400, denied("because no identity-based policy allows the kms:Decrypt action"), CouldNotAsk, "own"},
		{400, denied("with an explicit deny in a service control policy"), CouldNotAsk, "own"},
		{400, denied("with an explicit deny in a resource control policy"), CouldNotAsk, "own"},
		{400, denied("because no permissions boundary allows the kms:Decrypt action"), CouldNotAsk, "own"},
		{400, denied("because no session policy allows the kms:Decrypt action"), CouldNotAsk, "own"},
		{400, denied("because no VPC endpoint policy allows the kms:Decrypt action"), CouldNotAsk, "own"},
		{200, `{"KeyId":"arn:aws:kms:eu-central-1:111122223333:key/k","Plaintext":"AAAA"}`, Succeeded, ""},
		{412, `{"__type":"DryRunOperationException"}`, Succeeded, ""},
		{400, `{"__type":"ThrottlingException"}`, CouldNotAsk, "throttling"},
		{400, `{"__type":"DisabledException"}`, CouldNotAsk, "disabled"},
		{400, `{"__type":"NotFoundException"}`, CouldNotAsk, "notfound"},
		{400, `{"__type":"InvalidCiphertextException"}`, CouldNotAsk, "invalidciphertext"},
		{400, `{"__type":"IncorrectKeyException"}`, CouldNotAsk, "incorrectkey"},
		{400, `{"__type":"KMSInvalidStateException"}`, CouldNotAsk, "kmsinvalidstate"},
		{400, `{"__type":"ExpiredTokenException"}`, CouldNotAsk, "expiredtoken"},
		{400, `{"__type":"UnrecognizedClientException"}`, CouldNotAsk, "unrecognizedclient"},
		{500, `{"__type":"KMSInternalException"}`, CouldNotAsk, "kmsinternal"},
		{503, `<html>`, CouldNotAsk, ""},
	} {
		got, err := ask(t, answers(t, c.status, c.body))
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != c.want || (err == nil) != (c.want != CouldNotAsk) || !strings.Contains(text, c.reason) ||
			strings.Contains(text, "SENTINEL") {
			t.Errorf("%d %s: %v, %v", c.status, c.body, got, err)
		}
	}
}

func TestAnAnswerThatDoesNotComeIsNoRefusal(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(hang)
	client := awskms.New(awskms.Options{
		Region: kms.DefaultRegion, BaseEndpoint: aws.String(server.URL), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
	p := probe(t, Options{KMS: client, Key: kms.AliasSymmetric})
	p.o.Timeout = 50 * time.Millisecond
	if got, err := p.identity(t.Context()); got != CouldNotAsk || err == nil {
		t.Errorf("%v, %v", got, err)
	}
}

// api is an API that keeps one record, and can be made to do wrong.
type api struct {
	value, ttl       string
	deleted          bool
	swap             bool
	failOn, signedBy string
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.signedBy, _, _ = strings.Cut(r.Header.Get("Authorization"), " ")
	step := r.Method + " " + r.URL.Path
	if a.failOn == step {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	switch step {
	case "POST /v1/vaults":
		var in struct {
			FirstName string `json:"first_name"`
		}
		_ = json.Unmarshal(body, &in)
		a.value, a.ttl = in.FirstName, r.URL.Query().Get("ttl")
		_, _ = io.WriteString(w, `{"id":"v_1"}`)
	case "POST /v1/vaults/v_1/decrypt":
		if a.swap {
			a.value = "someone else"
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]string{"first_name": a.value}, "errors": []string{}})
	case "DELETE /v1/vaults/v_1":
		a.deleted = strings.Contains(string(body), `"delete_all":true`)
		_, _ = io.WriteString(w, `{}`)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func trip(t *testing.T, a *api, edit ...func(*Options)) error {
	t.Helper()
	server := httptest.NewServer(a)
	defer server.Close()
	o := Options{API: server.URL + "/v1/"}
	for _, e := range edit {
		e(&o)
	}
	return probe(t, o).roundTrip(t.Context())
}

func TestTheRoundTripCreatesOpensAndDeletes(t *testing.T) {
	a := &api{}
	if err := trip(t, a); err != nil || !a.deleted {
		t.Errorf("error %v, deleted %v", err, a.deleted)
	}
}

func TestAnotherValueIsAFailureAndTheRecordStillGoes(t *testing.T) {
	a := &api{swap: true}
	if err := trip(t, a); !errors.Is(err, ErrWrongValue) || !a.deleted {
		t.Errorf("error %v, deleted %v", err, a.deleted)
	}
}

func TestAFailureNamesItsStep(t *testing.T) {
	for step, on := range map[string]string{
		"create": "POST /v1/vaults", "decrypt": "POST /v1/vaults/v_1/decrypt", "delete": "DELETE /v1/vaults/v_1",
	} {
		var e *StepError
		if err := trip(t, &api{failOn: on}); !errors.As(err, &e) || e.Step != step || e.Status != 503 {
			t.Errorf("%s: %v", step, err)
		}
	}
}

func TestRequestsAreSignedForAPIGatewayOrCarryTheToken(t *testing.T) {
	a := &api{}
	err := trip(t, a, func(o *Options) {
		o.Credentials, o.Region = credentials.NewStaticCredentialsProvider("AKID", "secret", ""), "us-east-1"
	})
	if err != nil || a.signedBy != "AWS4-HMAC-SHA256" {
		t.Errorf("signed %q, error %v", a.signedBy, err)
	}
	if err := trip(t, a, func(o *Options) { o.Token = "t" }); err != nil || a.signedBy != "Bearer" {
		t.Errorf("token %q, error %v", a.signedBy, err)
	}
	lacking := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, &awsconfig.CredentialsError{Reason: "why"}
	})
	err = trip(t, a, func(o *Options) { o.Credentials = lacking })
	if !errors.Is(err, errCannotSign) || !strings.Contains(err.Error(), "no aws credentials (why)") {
		t.Errorf("error %v", err)
	}
	kms := awskms.New(awskms.Options{Region: "us-east-1", BaseEndpoint: aws.String("http://127.0.0.1:1"), Credentials: lacking})
	if got, err := ask(t, kms); got != CouldNotAsk || !errors.Is(err, awsconfig.ErrNoCredentials) {
		t.Errorf("%v, %v", got, err)
	}
	none := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("SENTINEL")
	})
	err = trip(t, a, func(o *Options) { o.Credentials = none })
	if !errors.Is(err, errCannotSign) || strings.Contains(err.Error(), "SENTINEL") {
		t.Errorf("no credentials: %v", err)
	}
}

func TestASyntheticRecordDoesNotStayForLong(t *testing.T) {
	a := &api{}
	if err := trip(t, a); err != nil || a.ttl != "3600" {
		t.Errorf("ttl %q, error %v", a.ttl, err)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	followed := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	var e *StepError
	err := probe(t, Options{API: server.URL}).roundTrip(t.Context())
	if !errors.As(err, &e) || e.Status != 307 || followed {
		t.Errorf("error %v, followed %v", err, followed)
	}
}

func TestMetricsTellTheLastResult(t *testing.T) {
	m := NewMetrics("v1")
	if n, err := testutil.GatherAndCount(m.Registry, "redoubt_canary_identity", "redoubt_canary_round_trip_ok",
		"redoubt_canary_round_trip_last_success_timestamp_seconds"); err != nil || n != 0 {
		t.Errorf("%d series before anything was asked, %v", n, err)
	}
	m.Set(Result{Identity: Refused, Took: time.Second}, time.UnixMilli(5000))
	m.Set(Result{RoundTrip: ErrWrongValue, Identity: Succeeded}, time.UnixMilli(9000))
	want := `
		# HELP redoubt_canary_identity How KMS answered the last Decrypt from outside an enclave: 1 for that result.
		# TYPE redoubt_canary_identity gauge
		redoubt_canary_identity{result="could_not_ask"} 0
		redoubt_canary_identity{result="refused"} 0
		redoubt_canary_identity{result="succeeded"} 1
		# HELP redoubt_canary_round_trip_last_success_timestamp_seconds When the last round trip with the right answer ended, in Unix time.
		# TYPE redoubt_canary_round_trip_last_success_timestamp_seconds gauge
		redoubt_canary_round_trip_last_success_timestamp_seconds 5
		# HELP redoubt_canary_round_trip_ok 1 if the last round trip gave the right answer.
		# TYPE redoubt_canary_round_trip_ok gauge
		redoubt_canary_round_trip_ok 0
	`
	err := testutil.GatherAndCompare(m.Registry, strings.NewReader(want), "redoubt_canary_identity",
		"redoubt_canary_round_trip_ok", "redoubt_canary_round_trip_last_success_timestamp_seconds")
	if err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(m.Registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}

func TestEMFNamesWhatTheAlarmsWatch(t *testing.T) {
	e := EMF(Result{Identity: CouldNotAsk, RoundTrip: context.Canceled}, time.UnixMilli(7))
	for name, want := range map[string]float64{"RoundTripOK": 0, "DecryptRefused": 0, "DecryptSucceeded": 0} {
		if e[name] != want {
			t.Errorf("%s is %v", name, e[name])
		}
	}
}
