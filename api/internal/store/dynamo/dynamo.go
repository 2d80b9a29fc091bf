package dynamo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"redoubt/api/internal/store"
	"redoubt/wire/awsconfig"
)

const (
	maxAttempts = 5
	// DefaultTimeout bounds one call with its retries.
	DefaultTimeout = 5 * time.Second
)

// Config of a store.
type Config struct {
	AWS      aws.Config
	Endpoint string // a URL in place of the region's own; empty in production
	Table    string
	Timeout  time.Duration
	Now      func() time.Time
}

// Store is a store.Store on a DynamoDB table.
type Store struct {
	db      *dynamodb.Client
	table   *string
	timeout time.Duration
	now     func() time.Time
}

var _ store.Store = (*Store)(nil)

// New makes a store; it opens no connection. The table must exist.
func New(cfg Config) (*Store, error) {
	if cfg.Table == "" {
		return nil, errors.New("dynamo: no table")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	db := dynamodb.NewFromConfig(cfg.AWS, func(o *dynamodb.Options) {
		o.RetryMaxAttempts = maxAttempts
		if cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(cfg.Endpoint)
		}
	})
	return &Store{db: db, table: aws.String(cfg.Table), timeout: cfg.Timeout, now: cfg.Now}, nil
}

// Close implements store.Store.
func (s *Store) Close() error { return nil }

// Ping implements store.Store: it reads an item that does not exist, which needs no right beyond GetItem.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.item(ctx, "PING", skVault)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

func (s *Store) item(ctx context.Context, pk, sk string) (map[string]types.AttributeValue, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	out, err := s.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: s.table, Key: key(pk, sk), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, failure("get", err)
	}
	if out.Item == nil {
		return nil, store.ErrNotFound
	}
	return out.Item, nil
}

// write carries out a transaction. conditions judges a failed one by the index of the item and the item that was
// there (nil if none).
func (s *Store) write(ctx context.Context, items []types.TransactWriteItem, judge func(i int,
	old map[string]types.AttributeValue) error,
) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	_, err := s.db.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items})
	if err == nil {
		return nil
	}
	var canceled *types.TransactionCanceledException
	if !errors.As(err, &canceled) {
		return unknown(err)
	}
	conflict, slow := false, false
	for i, r := range canceled.CancellationReasons {
		switch code := aws.ToString(r.Code); {
		case code == "ConditionalCheckFailed":
			return judge(i, r.Item)
		case code == "TransactionConflict":
			conflict = true
		case code == "ValidationError":
			return tooLarge(aws.ToString(r.Message))
		case throttled(code):
			slow = true
		}
	}
	switch {
	case conflict:
		return store.ErrConflict
	case slow:
		return fmt.Errorf("dynamo: write: %w", store.ErrThrottled)
	}
	return failure("write", err)
}

// throttled tells codes, of requests and of a transaction's items, that ask for patience.
func throttled(code string) bool {
	switch code {
	case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", // requests
		"ProvisionedThroughputExceeded", "ThrottlingError": // items
		return true
	}
	return false
}

func tooLarge(message string) error {
	if strings.Contains(message, "size") {
		return store.ErrTooLarge
	}
	return errors.New("dynamo: write refused (ValidationError)")
}

// unknown tells errors after which a write may have happened from those after which it has not.
func unknown(err error) error {
	var api smithy.APIError
	var status *awshttp.ResponseError
	if awsconfig.NoCredentials(err) != nil {
		return failure("write", err) // nothing was sent
	}
	if errors.As(err, &api) && api.ErrorCode() == "ValidationException" {
		return tooLarge(api.ErrorMessage())
	}
	if errors.As(err, &api) && errors.As(err, &status) && status.HTTPStatusCode() < http.StatusInternalServerError {
		return failure("write", err)
	}
	return fmt.Errorf("%w: %w", store.ErrUnknownOutcome, failure("write", err))
}

// failure reduces an SDK error to its kind and code: texts of DynamoDB may quote what was sent.
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
	case errors.As(err, &api):
		return fmt.Errorf("dynamo: %s failed (%s)", operation, api.ErrorCode())
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("dynamo: %s: %w", operation, context.Canceled)
	}
	return fmt.Errorf("dynamo: %s (no answer): %w", operation, store.ErrUnavailable)
}
