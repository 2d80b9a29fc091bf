// Package awsconfig loads the AWS SDK's default configuration for the programs that run outside the enclave and need
// credentials of their own: the API, the canary and bench.
//
// # Guarantee
//
// The instance metadata service is asked by version 2 alone. The SDK by itself falls back to version 1 if it gets no
// session token. Version 1 gives the role's credentials to anybody who can make this host send one GET (a forged
// request, an open proxy). Nothing in the environment or in a profile turns the fallback on again.
//
// A failure to get credentials is [ErrNoCredentials], whatever source was asked. The error holds no text of the
// source, since a source may quote what it was given.
//
// # Limits
//
// The SDK alone reads an operator's choice by environment or profile (a role, SSO, a process). A service client
// that is made without this package's configuration is not covered; a test searches the tree for such clients.
package awsconfig

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/smithy-go"
)

// callLimit bounds one HTTP exchange with an AWS service.
const callLimit = 10 * time.Second

// ErrNoCredentials reports that no source of AWS credentials gave any. AWS was not asked for anything else.
var ErrNoCredentials = errors.New("no aws credentials")

// CredentialsError is an ErrNoCredentials with the reason, a fixed text that may be logged.
type CredentialsError struct{ Reason string }

// Error names the reason.
func (e *CredentialsError) Error() string { return ErrNoCredentials.Error() + " (" + e.Reason + ")" }

// Unwrap returns ErrNoCredentials.
func (*CredentialsError) Unwrap() error { return ErrNoCredentials }

// NoCredentials returns the ErrNoCredentials inside an error of a service's client, whose other texts are not fit for
// logs. It returns nil if there is none.
func NoCredentials(err error) error {
	var e *CredentialsError
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, ErrNoCredentials):
		return ErrNoCredentials
	}
	return nil
}

// Hint says what a user can do about ErrNoCredentials.
const Hint = "give the process AWS credentials: the environment, a profile, a container's or a function's role, or " +
	"the instance's role by IMDSv2 (from a container: hop limit 2; version 1 is never used)"

// Load loads the configuration for a region.
func Load(ctx context.Context, region string) (aws.Config, error) {
	shared := []func(*config.LoadOptions) error{
		config.WithRegion(region), config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(callLimit)),
	}
	// The metadata client needs the endpoint that environment and profiles name, so the configuration is loaded
	// twice. Mode auto would ask the metadata service while loading, with the SDK's own client.
	cfg, err := config.LoadDefaultConfig(ctx, append(shared[:len(shared):len(shared)],
		config.WithDefaultsMode(aws.DefaultsModeLegacy))...)
	if err != nil {
		return cfg, fmt.Errorf("aws configuration: %w", err)
	}
	v2 := imds.NewFromConfig(cfg, func(o *imds.Options) { o.EnableFallback = aws.FalseTernary })
	cfg, err = config.LoadDefaultConfig(ctx, append(shared,
		config.WithEC2RoleCredentialOptions(func(o *ec2rolecreds.Options) { o.Client = v2 }),
		config.WithDefaultsMode("", func(o *config.DefaultsModeOptions) { o.IMDSClient = v2 }))...)
	if err != nil {
		return cfg, fmt.Errorf("aws configuration: %w", err)
	}
	cfg.Credentials = &typed{cfg.Credentials}
	return cfg, nil
}

// typed gives the failures of a source their type. The source caches.
type typed struct{ source aws.CredentialsProvider }

// Retrieve implements aws.CredentialsProvider.
func (t *typed) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := t.source.Retrieve(ctx)
	switch {
	case err == nil:
		return c, nil
	case errors.Is(ctx.Err(), context.Canceled):
		return c, context.Canceled // the caller left: this says nothing about the source
	}
	return c, &CredentialsError{t.reason(err)}
}

// ProviderSources implements aws.CredentialProviderSource, for the SDK's user agent.
func (t *typed) ProviderSources() []aws.CredentialSource {
	if s, ok := t.source.(aws.CredentialProviderSource); ok {
		return s.ProviderSources()
	}
	return nil
}

// reason reduces an error of the source to a text that may be logged.
func (t *typed) reason(err error) string {
	var api smithy.APIError
	switch sources := t.ProviderSources(); {
	case errors.As(err, &api):
		return "the source refuses"
	case errors.Is(err, context.DeadlineExceeded):
		return "the source does not answer in time"
	case slices.Contains(sources, aws.CredentialSourceIMDS):
		return "none configured, and none from the instance metadata service by version 2"
	}
	return "the source has none"
}
