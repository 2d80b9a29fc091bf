package kms

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// MaxClockSkew is how far the time of a signature may be from the service's clock, in either direction.
const MaxClockSkew = 5 * time.Minute

const (
	sigAlgorithm  = "AWS4-HMAC-SHA256"
	sigTimeFormat = "20060102T150405Z"
	sigService    = "kms"
)

// Credential is one access key that the stand-in knows.
type Credential struct {
	AccessKeyID     string    `json:"access_key_id"`
	SecretAccessKey string    `json:"secret_access_key"`
	SessionToken    string    `json:"session_token,omitempty"` // when set, requests must carry it
	Principal       string    `json:"principal,omitempty"`     // ARN that policies see; default user/<access key id>
	Expires         time.Time `json:"expires,omitzero"`        // zero: never
}

// credentialSet is the set of known access keys. Safe for concurrent use.
type credentialSet struct {
	mu   sync.RWMutex
	byID map[string]Credential
}

func (c *credentialSet) set(list []Credential, account string) {
	byID := make(map[string]Credential, len(list))
	for _, cred := range list {
		if cred.Principal == "" {
			cred.Principal = "arn:aws:iam::" + account + ":user/" + cred.AccessKeyID
		}
		byID[cred.AccessKeyID] = cred
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byID = byID
}

func (c *credentialSet) get(id string) (Credential, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	cred, ok := c.byID[id]
	return cred, ok
}

func signatureInvalid(message string) *Error {
	return clientError("InvalidSignatureException", message)
}

func signatureIncomplete(message string) *Error {
	return clientError("IncompleteSignatureException", message)
}

var (
	errMissingToken = clientError("MissingAuthenticationTokenException", "Missing Authentication Token")
	errUnknownToken = clientError("UnrecognizedClientException",
		"The security token included in the request is invalid.")
	errExpiredToken = clientError("ExpiredTokenException", "The security token included in the request is expired")
	errSignature    = signatureInvalid("The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
)

// authorization is a parsed Authorization header.
type authorization struct {
	accessKey, date, region, service string
	signed                           []string
	signature                        []byte
}

func parseAuthorization(header string) (a authorization, err error) {
	rest, ok := strings.CutPrefix(header, sigAlgorithm+" ")
	if !ok {
		return a, signatureIncomplete("Authorization header requires the algorithm " + sigAlgorithm + ".")
	}
	parts := make(map[string]string, 3)
	for part := range strings.SplitSeq(rest, ",") {
		name, value, found := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := parts[name]; !found || twice {
			return a, signatureIncomplete("Authorization header is not a list of distinct key=value pairs.")
		}
		parts[name] = value
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if parts[name] == "" {
			return a, signatureIncomplete("Authorization header requires '" + name + "' parameter.")
		}
	}
	scope := strings.Split(parts["Credential"], "/")
	if len(scope) != 5 || scope[4] != "aws4_request" {
		return a, signatureIncomplete("Credential must have exactly 5 slash-delimited elements and end in aws4_request.")
	}
	a.accessKey, a.date, a.region, a.service = scope[0], scope[1], scope[2], scope[3]
	a.signed = strings.Split(parts["SignedHeaders"], ";")
	if !slices.IsSorted(a.signed) {
		return a, signatureIncomplete("SignedHeaders must be sorted.")
	}
	if a.signature, err = hex.DecodeString(parts["Signature"]); err != nil || len(a.signature) != sha256.Size {
		return a, errSignature
	}
	return a, nil
}

// authenticate verifies the request's Signature Version 4 over its headers and body, and returns who signed it.
func (s *Server) authenticate(r *http.Request, body []byte) (Credential, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return Credential{}, errMissingToken
	}
	auth, err := parseAuthorization(header)
	if err != nil {
		return Credential{}, err
	}
	if err = s.checkScope(&auth); err != nil {
		return Credential{}, err
	}
	stamp := r.Header.Get("X-Amz-Date")
	if err = s.checkTime(&auth, stamp); err != nil {
		return Credential{}, err
	}
	if err = checkSignedHeaders(r, auth.signed); err != nil {
		return Credential{}, err
	}
	cred, known := s.creds.get(auth.accessKey)
	if !known {
		return Credential{}, errUnknownToken
	}
	token := r.Header.Get("X-Amz-Security-Token")
	if subtle.ConstantTimeCompare([]byte(token), []byte(cred.SessionToken)) != 1 {
		return Credential{}, errUnknownToken
	}
	hash := sha256.Sum256(body)
	payload := hex.EncodeToString(hash[:])
	if sent := r.Header.Get("X-Amz-Content-Sha256"); sent != "" && sent != payload {
		return Credential{}, errSignature
	}
	if !hmac.Equal(auth.signature, sign(&auth, &cred, stamp, canonicalRequest(r, auth.signed, payload))) {
		return Credential{}, errSignature
	}
	if !cred.Expires.IsZero() && !s.now().Before(cred.Expires) {
		return Credential{}, errExpiredToken
	}
	return cred, nil
}

func (s *Server) checkScope(auth *authorization) error {
	if auth.region != s.store.region {
		return signatureInvalid("Credential should be scoped to a valid region.")
	}
	if auth.service != sigService {
		return signatureInvalid("Credential should be scoped to correct service: '" + sigService + "'.")
	}
	return nil
}

func (s *Server) checkTime(auth *authorization, stamp string) error {
	at, err := time.Parse(sigTimeFormat, stamp)
	if err != nil {
		return signatureIncomplete("Authorization header requires existence of an 'X-Amz-Date' header " +
			"in the form YYYYMMDD'T'HHMMSS'Z'.")
	}
	if auth.date != stamp[:8] {
		return signatureInvalid("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.")
	}
	now := s.now().UTC()
	clock := now.Format(sigTimeFormat)
	if limit := now.Add(-MaxClockSkew); at.Before(limit) {
		return signatureInvalid("Signature expired: " + stamp + " is now earlier than " +
			limit.Format(sigTimeFormat) + " (" + clock + " - 5 min.)")
	}
	if limit := now.Add(MaxClockSkew); at.After(limit) {
		return signatureInvalid("Signature not yet current: " + stamp + " is still later than " +
			limit.Format(sigTimeFormat) + " (" + clock + " + 5 min.)")
	}
	return nil
}

// checkSignedHeaders demands that host and every x-amz- header that came are covered by the signature.
func checkSignedHeaders(r *http.Request, signed []string) error {
	if !slices.Contains(signed, "host") {
		return signatureInvalid("'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name := range r.Header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") && !slices.Contains(signed, lower) {
			return signatureInvalid("'" + lower + "' must be a 'SignedHeader' in the AWS Authorization.")
		}
	}
	return nil
}

func canonicalRequest(r *http.Request, signed []string, payload string) string {
	var b strings.Builder
	// The service has one path and no query, both checked by the caller.
	b.WriteString(r.Method + "\n/\n\n")
	for _, name := range signed {
		b.WriteString(name + ":" + canonicalHeader(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + payload)
	return b.String()
}

// canonicalHeader gives the trimmed value; net/http keeps Host and Content-Length apart from the other headers.
func canonicalHeader(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	values := slices.Clone(r.Header.Values(name))
	for i, v := range values {
		values[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(values, ",")
}

func sign(auth *authorization, cred *Credential, stamp, canonical string) []byte {
	hash := sha256.Sum256([]byte(canonical))
	scope := auth.date + "/" + auth.region + "/" + auth.service + "/aws4_request"
	key := []byte("AWS4" + cred.SecretAccessKey)
	for _, part := range []string{auth.date, auth.region, auth.service, "aws4_request"} {
		key = hmacSHA256(key, part)
	}
	return hmacSHA256(key, sigAlgorithm+"\n"+stamp+"\n"+scope+"\n"+hex.EncodeToString(hash[:]))
}

func hmacSHA256(key []byte, message string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(message))
	return mac.Sum(nil)
}
