package dynamo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"redoubt/api/internal/awscall"
	"redoubt/api/internal/store"
	"redoubt/wire/kit/awsconfig"
)

const (
	// DefaultTimeout bounds one call with its retries.
	DefaultTimeout = 5 * time.Second
	// pageFactor is how many times longer an attempt to read a page may take than an attempt to read an item.
	pageFactor = 2
)

// Config of a store.
type Config struct {
	AWS      aws.Config
	Endpoint string // a URL that replaces the region's own; empty in production
	Table    string
	// KeyTable (key id S) and DomainTable (keys id S and gen N) hold the keys of vaults under domains, and the domains.
	// Both or neither. Without them there are no domains, and what is about them returns store.ErrNoDomains.
	KeyTable, DomainTable string
	Timeout               time.Duration // of a call with its retries; 0: DefaultTimeout
	Attempt               time.Duration // of one attempt, twice as long where a page is read; 0: awscall.DefaultAttempt
	Now                   func() time.Time
}

// Store is a store.Store on a DynamoDB table.
type Store struct {
	db                    *dynamodb.Client
	table                 *string
	keyTable, domainTable *string // nil: no domains
	timeout               time.Duration
	now                   func() time.Time
	damaged, inconsistent atomic.Uint64

	// These are the options by kind of operation. Each kind has a quota of retries of its own.
	reads, pages, writes, audits func(*dynamodb.Options)
}

var _ store.Store = (*Store)(nil)

// New makes a store; it opens no connection. The table must exist.
func New(cfg Config) (*Store, error) {
	if cfg.Table == "" {
		return nil, errors.New("dynamo: no table")
	}
	if (cfg.KeyTable == "") != (cfg.DomainTable == "") {
		return nil, errors.New("dynamo: the tables for keys and for domains are given together, or not at all")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Attempt == 0 {
		cfg.Attempt = awscall.DefaultAttempt
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	db := dynamodb.NewFromConfig(cfg.AWS, func(o *dynamodb.Options) {
		if cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(cfg.Endpoint)
		}
	})
	s := &Store{
		db: db, table: aws.String(cfg.Table), timeout: cfg.Timeout, now: cfg.Now,
		reads:  kind(cfg.Attempt, nil),
		pages:  kind(pageFactor*cfg.Attempt, nil),
		writes: kind(cfg.Attempt, slow),
		// An entry by itself collides with no other write, and there is nothing to read again.
		audits: kind(cfg.Attempt, func(err error) bool {
			return slow(err) || canceledFor(err, collided) && !canceledFor(err, final)
		}),
	}
	if cfg.KeyTable != "" {
		s.keyTable, s.domainTable = aws.String(cfg.KeyTable), aws.String(cfg.DomainTable)
	}
	return s, nil
}

// kind makes the options of a kind of operation.
func kind(attempt time.Duration, again func(error) bool) func(*dynamodb.Options) {
	retryer := awscall.NewRetryer(again)
	return func(o *dynamodb.Options) {
		o.Retryer = retryer
		o.APIOptions = append(o.APIOptions, awscall.Attempts(attempt))
	}
}

// Close implements store.Store.
func (s *Store) Close() error { return nil }

// Ping implements store.Store. It reads an item that does not exist from each table, which needs no right beyond those
// of a read.
func (s *Store) Ping(ctx context.Context) error {
	if s.keyTable != nil {
		return s.pingAll(ctx)
	}
	_, err := s.item(ctx, "PING", skVault)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

func (s *Store) pingAll(ctx context.Context) error {
	ctx, record, cancel := s.begin(ctx)
	defer cancel()
	_, err := s.db.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
		*s.table:       {Keys: []item{key("PING", skVault)}},
		*s.keyTable:    {Keys: []item{vaultOf("PING")}},
		*s.domainTable: {Keys: []item{domainKey("PING", 0)}},
	}}, s.reads)
	if err != nil {
		return failure("get", record.Last(err))
	}
	return nil
}

// begin begins a call with its retries.
func (s *Store) begin(ctx context.Context) (context.Context, *awscall.Record, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	ctx, record := awscall.WithRecord(ctx)
	return ctx, record, cancel
}

func (s *Store) item(ctx context.Context, pk, sk string) (map[string]types.AttributeValue, error) {
	ctx, record, cancel := s.begin(ctx)
	defer cancel()
	out, err := s.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: s.table, Key: key(pk, sk), ConsistentRead: aws.Bool(true),
	}, s.reads)
	if err != nil {
		return nil, failure("get", record.Last(err))
	}
	if out.Item == nil {
		return nil, store.ErrNotFound
	}
	return out.Item, nil
}

// write carries out a transaction. conditions judges a failed one by the index of the item and the item that was
// there (nil if none). Once an attempt had no answer the outcome is unknown, whatever the service answers to the
// next. By then the transaction may have been carried out, and what is refused is its repetition.
func (s *Store) write(ctx context.Context, items []types.TransactWriteItem, as func(*dynamodb.Options),
	judge func(i int, old map[string]types.AttributeValue) error,
) error {
	ctx, record, cancel := s.begin(ctx)
	defer cancel()
	_, err := s.db.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items}, as)
	if err == nil {
		return nil
	}
	err = record.Last(err)
	if record.Lost {
		return fmt.Errorf("%w: %w", store.ErrUnknownOutcome, failure("write", err))
	}
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) {
		return refused(canceled, judge)
	}
	return failure("write", err)
}

// refused returns the reason for which a transaction was cancelled.
func refused(e *types.TransactionCanceledException, judge func(int, map[string]types.AttributeValue) error) error {
	for i, r := range e.CancellationReasons {
		switch aws.ToString(r.Code) {
		case codeCondition:
			return judge(i, r.Item)
		case codeInvalid:
			return tooLarge(aws.ToString(r.Message))
		}
	}
	switch {
	case canceledFor(e, collided):
		return store.ErrConflict
	case canceledFor(e, throttled):
		return fmt.Errorf("dynamo: write: %w", store.ErrThrottled)
	}
	return failure("write", e)
}

// Reasons for which a transaction is cancelled.
const (
	codeCondition = "ConditionalCheckFailed"
	codeInvalid   = "ValidationError"
	codeCollided  = "TransactionConflict"
)

// canceledFor reports whether a transaction was cancelled for such a reason, perhaps among others.
func canceledFor(err error, such func(code string) bool) bool {
	var canceled *types.TransactionCanceledException
	return errors.As(err, &canceled) && slices.ContainsFunc(canceled.CancellationReasons,
		func(r types.CancellationReason) bool { return such(aws.ToString(r.Code)) })
}

// final reports whether a reason stays the same in another attempt.
func final(code string) bool { return code == codeCondition || code == codeInvalid }

func collided(code string) bool { return code == codeCollided }

// slow reports whether a write was refused only because the table, or one of its items, is asked for too much.
func slow(err error) bool {
	return canceledFor(err, throttled) && !canceledFor(err, final) && !canceledFor(err, collided)
}

// throttled reports whether a code, of a request or of a transaction's item, asks for fewer requests.
func throttled(code string) bool {
	switch code {
	case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", // requests
		"ProvisionedThroughputExceeded", "ThrottlingError": // items
		return true
	}
	return false
}

// denied reports whether a code means that DynamoDB does not know or does not admit the caller.
func denied(code string) bool {
	switch code {
	case "AccessDeniedException", "ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException",
		"InvalidClientTokenId", "InvalidSignatureException", "IncompleteSignatureException", "IncompleteSignature",
		"MissingAuthenticationTokenException", "MissingAuthenticationToken", "OptInRequired":
		return true
	}
	return false
}

func tooLarge(message string) error {
	if strings.Contains(message, "size") {
		return store.ErrTooLarge
	}
	return errors.New("dynamo: refused (ValidationException)")
}

// failure reduces an SDK error to its kind and code, since texts of DynamoDB may quote what was sent.
func failure(operation string, err error) error {
	var api smithy.APIError
	var status *awshttp.ResponseError
	none := awsconfig.NoCredentials(err)
	switch {
	case none != nil:
		return fmt.Errorf("dynamo: %s: %w: %w", operation, store.ErrUnavailable, none)
	case errors.As(err, &api) && throttled(api.ErrorCode()):
		return fmt.Errorf("dynamo: %s (%s): %w", operation, api.ErrorCode(), store.ErrThrottled)
	case errors.As(err, &status) && status.HTTPStatusCode() >= http.StatusInternalServerError:
		return fmt.Errorf("dynamo: %s (status %d): %w", operation, status.HTTPStatusCode(), store.ErrUnavailable)
	case errors.As(err, &api) && api.ErrorCode() == "ValidationException":
		return tooLarge(api.ErrorMessage())
	case errors.As(err, &api) && denied(api.ErrorCode()):
		return fmt.Errorf("dynamo: %s (%s): %w", operation, api.ErrorCode(), store.ErrDenied)
	case errors.As(err, &api) && api.ErrorCode() == "ResourceNotFoundException":
		return fmt.Errorf("dynamo: %s (%s): %w", operation, api.ErrorCode(), store.ErrMissing)
	case errors.As(err, &api):
		return fmt.Errorf("dynamo: %s failed (%s)", operation, api.ErrorCode())
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("dynamo: %s: %w", operation, context.Canceled)
	}
	return fmt.Errorf("dynamo: %s (no answer): %w", operation, store.ErrUnavailable)
}
