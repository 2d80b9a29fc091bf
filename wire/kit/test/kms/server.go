package kms

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"redoubt/wire/kit/attest"
)

// Defaults of the local stack.
const (
	DefaultRegion    = "us-east-1"
	DefaultAccount   = "000000000000"
	DefaultAccessKey = "local"
	DefaultSecret    = "local-secret"
)

// MaxBody is the largest request body, in bytes.
const MaxBody = 1 << 20

const (
	targetPrefix = "TrentService."
	contentType  = "application/x-amz-json-1.1"
)

// Config says how a stand-in is set up. StateDir is required; the zero value of the rest is the local stack's.
type Config struct {
	StateDir string // folder of the keys file and the CA; made when missing, mode 0700
	Region   string
	Account  string
	// Credentials are the known access keys. Default: DefaultAccessKey with DefaultSecret.
	Credentials []Credential
	// AttestationRoots are the pinned roots of attestation documents. Empty: every attested call is refused.
	AttestationRoots []attest.Root
	// AcceptUnsignedAttestation takes documents as QEMU makes them, whose signature is zeros. They prove nothing.
	AcceptUnsignedAttestation bool
	// Policy, when set, replaces the policy of the key AliasSymmetric.
	Policy []byte
	Now    func() time.Time // default time.Now
	Log    *slog.Logger     // default slog.Default
}

// Server is the service: an http.Handler for the KMS protocol, and one for the admin routes. Safe for concurrent use.
type Server struct {
	store          *Store
	creds          credentialSet
	roots          []attest.Root
	acceptUnsigned bool
	verified       verifiedDocs
	faults         faultPlan
	counts         counters
	now            func() time.Time
	log            *slog.Logger
}

// New opens or creates the keys of cfg.StateDir.
func New(cfg Config) (*Server, error) {
	if cfg.StateDir == "" {
		return nil, errors.New("the state folder is not set")
	}
	s := &Server{
		roots: cfg.AttestationRoots, acceptUnsigned: cfg.AcceptUnsignedAttestation, now: cfg.Now, log: cfg.Log,
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if cfg.Region == "" {
		cfg.Region = DefaultRegion
	}
	if cfg.Account == "" {
		cfg.Account = DefaultAccount
	}
	if len(cfg.Credentials) == 0 {
		cfg.Credentials = []Credential{{AccessKeyID: DefaultAccessKey, SecretAccessKey: DefaultSecret}}
	}
	var err error
	if s.store, err = OpenStore(cfg.StateDir, cfg.Region, cfg.Account, s.now()); err != nil {
		return nil, err
	}
	s.creds.set(cfg.Credentials, cfg.Account)
	if cfg.Policy != nil {
		if err := s.store.SetPolicy(AliasSymmetric, cfg.Policy); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Store gives access to keys and policies.
func (s *Server) Store() *Store { return s.store }

// call is one authenticated request on its way through an operation.
type call struct {
	*Server
	ctx       context.Context
	operation string
	caller    Credential
	keyARN    string // for the log, once known
	attested  bool   // for the counters
	classical bool   // came over TLS that a quantum computer could open later
	mutate    mutation
}

// ServeHTTP answers the KMS protocol, and GET /ping as AWS's endpoints do. The enclave uses the latter to learn
// whether KMS is there. It is not a call, so it is neither logged nor counted.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.Path == "/ping" {
		_, _ = io.WriteString(w, "healthy") // the caller may be gone
		return
	}
	start := s.now()
	c := &call{Server: s, ctx: r.Context(), operation: "unknown"}
	id := newUUID()
	answer, err := s.serve(c, r)
	if errors.Is(err, errDropped) {
		s.finish(c, id, start, "dropped", 0)
		panic(http.ErrAbortHandler) // net/http's way to cut the connection without an answer
	}
	status, code := http.StatusOK, "OK"
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			s.log.Error("operation failed", "operation", c.operation, "request_id", id, "error", err)
			e = errInternal
		}
		status, code, answer = e.Status, e.Code, e.errorBody()
	}
	defer clear(answer)
	s.finish(c, id, start, code, status)
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Amzn-Requestid", id)
	h.Set("Date", s.now().UTC().Format(http.TimeFormat)) // SDKs correct their clock by it
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate, private")
	w.WriteHeader(status)
	_, _ = w.Write(answer) // the caller may be gone
}

func (s *Server) finish(c *call, id string, start time.Time, code string, status int) {
	s.counts.add(c.operation, code, c.attested)
	s.log.Info("call", "operation", c.operation, "code", code, "status", status, "request_id", id,
		"key", c.keyARN, "attested", c.attested, "took", s.now().Sub(start))
}

func (s *Server) serve(c *call, r *http.Request) ([]byte, error) {
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	defer clear(body)
	name, known := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	op, listed := operations[name]
	if listed {
		c.operation = name
	}
	if r.Method != http.MethodPost || r.URL.Path != "/" || r.URL.RawQuery != "" {
		return nil, errUnknownOperation
	}
	c.classical = r.TLS != nil && (r.TLS.Version != tls.VersionTLS13 || r.TLS.CurveID != tls.X25519MLKEM768)
	if c.caller, err = s.authenticate(r, body); err != nil {
		return nil, err
	}
	if !known || !listed {
		return nil, errUnknownOperation
	}
	if c.mutate, err = s.faults.apply(c.ctx, name, s.now()); err != nil {
		return nil, err
	}
	return op(c, body)
}

func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	switch {
	case err != nil:
		return nil, errSerialization
	case len(body) > MaxBody:
		return nil, errTooLarge
	}
	return body, nil
}

// operation decodes a body, does the work and encodes the answer.
type operation func(c *call, body []byte) ([]byte, error)

func operationOf[Req, Resp any](f func(*call, *Req) (*Resp, error)) operation {
	return func(c *call, body []byte) ([]byte, error) {
		var req Req
		// Unknown members are ignored, as AWS does, so that newer SDKs can use the stand-in.
		if err := json.Unmarshal(body, &req); err != nil {
			return nil, errSerialization
		}
		resp, err := f(c, &req)
		if err != nil {
			return nil, err
		}
		return json.Marshal(resp)
	}
}

// operations is the list of what is served; the name follows TrentService.
var operations = map[string]operation{
	"Decrypt":                             operationOf(decrypt),
	"Encrypt":                             operationOf(encrypt),
	"DescribeKey":                         operationOf(describeKey),
	"GenerateDataKey":                     operationOf(generateDataKey),
	"GenerateDataKeyPairWithoutPlaintext": operationOf(generateDataKeyPair),
	"GenerateDataKeyWithoutPlaintext":     operationOf(generateUnseenDataKey),
	"GenerateMac":                         operationOf(generateMac),
	"GenerateRandom":                      operationOf(generateRandom),
	"VerifyMac":                           operationOf(verifyMac),
}

// authorize asks the key's policy, then the key's state, in KMS's order.
func (c *call) authorize(key *Key, facts map[string]string, encryptionContext map[string]string) error {
	c.keyARN = key.arn
	f := &Facts{
		Principal: c.caller.Principal, Account: c.store.account,
		Action: "kms:" + c.operation, Resource: key.arn, Context: map[string]string{
			"aws:principalarn": c.caller.Principal, "aws:principalaccount": c.store.account,
			"kms:calleraccount": c.store.account, "kms:keyspec": key.Spec, "kms:keyusage": key.Usage,
		},
	}
	for k, v := range encryptionContext {
		f.Context["kms:encryptioncontext:"+strings.ToLower(k)] = v
	}
	for k, v := range facts {
		f.Context[k] = v
	}
	if !key.policy.Allows(f) {
		return accessDenied(f.Principal, f.Action, key.arn)
	}
	return key.usable()
}
