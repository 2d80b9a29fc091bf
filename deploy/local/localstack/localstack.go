// Package localstack lets other programs and tests of this module (bench, deploy/screenshots) start the local stack and
// make records for it. It is the packages stack and record, whose guarantees and limits apply, under a name that they
// may import.
package localstack

import (
	"context"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"redoubt/deploy/local/internal/record"
	"redoubt/deploy/local/internal/stack"
	"redoubt/wire/kit/test/kms"
)

type (
	// Stack is a running local stack.
	Stack = stack.Stack
	// Options say how a stack is started.
	Options = stack.Options
	// Addresses are the host:port of each listener.
	Addresses = stack.Addresses
)

// Names of its processes.
const (
	KMS     = stack.KMS
	Enclave = stack.Enclave
	API     = stack.API
	Parent  = stack.Parent
)

// Start brings a stack up and returns when all of it serves.
func Start(ctx context.Context, opts Options) (*Stack, error) { return stack.Start(ctx, opts) }

// KMSClient is an SDK client for a stand-in at host:port with the local stack's credentials.
func KMSClient(hostport string) *awskms.Client { return stack.KMSClient(hostport) }

type (
	// Record is a sealed sample, as an API tier would make it; its Request is the body that asks a parent to open it.
	Record = record.Record
	// RecordOptions say how a record is made.
	RecordOptions = record.Options
)

// Seal makes a record under the stack's key.
func Seal(ctx context.Context, client *awskms.Client, opts RecordOptions) (*Record, error) {
	opts.Key = kms.AliasSymmetric
	return record.Seal(ctx, client, opts)
}
