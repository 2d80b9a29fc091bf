package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"redoubt/api/internal/auth"
	"redoubt/api/internal/httpapi"
	"redoubt/wire/kit/program"
)

// authFlags say how callers authenticate. Any of them makes authentication required.
type authFlags struct {
	Keys         string   `help:"File of API keys (api key create)." env:"API_KEYS" type:"path" placeholder:"FILE"`
	OIDCIssuer   string   `name:"oidc-issuer" help:"${h_oidcissuer}" env:"API_OIDC_ISSUER" placeholder:"URL"`
	OIDCAudience string   `name:"oidc-audience" help:"${h_oidcaudience}" env:"API_OIDC_AUDIENCE" placeholder:"NAME"`
	OIDCJWKS     string   `name:"oidc-jwks-url" help:"${h_oidcjwks}" env:"API_OIDC_JWKS_URL" placeholder:"URL"`
	OIDCGroups   string   `name:"oidc-groups-claim" help:"${h_oidcgroups}" env:"API_OIDC_GROUPS_CLAIM" default:"groups"`
	TLSCertFile  string   `name:"tls-cert-file" help:"${h_tls_cert}" env:"API_TLS_CERT_FILE" type:"path"`
	TLSKeyFile   string   `name:"tls-key-file" help:"${h_tls_key}" env:"API_TLS_KEY_FILE" type:"path" placeholder:"FILE"`
	ClientCAFile string   `name:"client-ca-file" help:"${h_client_ca}" env:"API_CLIENT_CA_FILE" type:"path"`
	ClientNames  []string `name:"client-name" help:"${h_client_names}" env:"API_CLIENT_NAMES" placeholder:"NAME"`
}

func (f *authFlags) authenticators(ctx context.Context) ([]httpapi.Authenticator, error) {
	var out []httpapi.Authenticator
	if f.Keys != "" {
		keys, err := auth.OpenKeyFile(f.Keys, time.Now)
		if err != nil {
			return nil, hint(err, "make the file with: api key create NAME --keys FILE")
		}
		out = append(out, auth.BearerKeys{Keys: keys})
	}
	if f.OIDCIssuer != "" {
		tokens, err := auth.NewTokens(ctx, auth.OIDCConfig{
			Issuer: f.OIDCIssuer, Audience: f.OIDCAudience, JWKSURL: f.OIDCJWKS, Groups: f.OIDCGroups,
		})
		if err != nil {
			return nil, hint(err, "check --oidc-issuer and --oidc-audience, or name the keys with --oidc-jwks-url")
		}
		out = append(out, tokens)
	}
	if f.ClientCAFile != "" {
		if f.TLSCertFile == "" {
			return nil, hint(program.Mistake("--client-ca-file without TLS"), "set --tls-cert-file and --tls-key-file too")
		}
		out = append(out, auth.ClientCertificates{Names: f.ClientNames})
	}
	return out, nil
}

// tls is the server's TLS configuration, nil for none.
func (f *authFlags) tls() (*tls.Config, error) {
	if f.TLSCertFile == "" {
		return nil, nil
	}
	pair := &reloaded{cert: f.TLSCertFile, key: f.TLSKeyFile}
	if _, err := pair.get(nil); err != nil {
		return nil, fmt.Errorf("tls certificate: %w", err)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: pair.get, NextProtos: []string{"h2", "http/1.1"}}
	if f.ClientCAFile != "" {
		roots, err := readRoots(f.ClientCAFile)
		if err != nil {
			return nil, err
		}
		// A caller without a certificate may still have a key or a token. A caller with none of them gets 401.
		cfg.ClientCAs, cfg.ClientAuth = roots, tls.VerifyClientCertIfGiven
	}
	return cfg, nil
}

// reloaded is a certificate that is read again when its file changes.
type reloaded struct {
	cert, key string

	mu    sync.Mutex
	stamp time.Time
	pair  *tls.Certificate
}

func (r *reloaded) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	info, err := os.Stat(r.cert)
	if err == nil && r.pair != nil && info.ModTime().Equal(r.stamp) {
		return r.pair, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(r.cert, r.key)
	}
	if err != nil {
		if r.pair != nil {
			return r.pair, nil // half-written: the old pair serves until both files fit
		}
		return nil, err
	}
	r.pair, r.stamp = &pair, info.ModTime()
	return r.pair, nil
}
