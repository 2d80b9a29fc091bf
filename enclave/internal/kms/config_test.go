package kms

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"redoubt/enclave/internal/nsm"
)

// Each refusal of a configuration: New must not make an identity that fails at its first call.
func TestAConfigurationThatCannotWorkIsRefused(t *testing.T) {
	good := func() Config {
		return Config{
			Dial:   func(context.Context, string) (net.Conn, error) { return nil, errors.New("no network") },
			Module: struct{ nsm.Module }{},
			Keys:   map[string]string{"us-east-1": "arn:aws:kms:us-east-1:000000000000:key/12345678-1234-1234-1234-123456789012"},
		}
	}
	c := good()
	if err := c.valid(); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(*Config){
		"no way to KMS":            func(c *Config) { c.Dial = nil },
		"no module":                func(c *Config) { c.Module = nil },
		"no keys":                  func(c *Config) { c.Keys = nil },
		"a negative attempt":       func(c *Config) { c.AttemptTimeout = -1 },
		"a negative queue":         func(c *Config) { c.MaxQueue = -1 },
		"a negative RSA key":       func(c *Config) { c.RSAKeyLife = -time.Second },
		"a negative document":      func(c *Config) { c.DocumentLife = -1 },
		"a document that lives on": func(c *Config) { c.DocumentLife = MaxDocumentLife + 1 },
		"a key of another region":  func(c *Config) { c.Keys = map[string]string{"eu-west-1": good().Keys["us-east-1"]} },
		"an endpoint without TLS":  func(c *Config) { c.Endpoint = "http://127.0.0.1:1" },
		"an endpoint with a path":  func(c *Config) { c.Endpoint = "https://127.0.0.1:1/x" },
	} {
		c := good()
		spoil(&c)
		if err := c.valid(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := rootPool([]byte("no certificate")); !errors.Is(err, ErrConfig) {
		t.Errorf("roots without a certificate: %v", err)
	}
}
