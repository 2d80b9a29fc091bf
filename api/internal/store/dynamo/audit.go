package dynamo

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"redoubt/api/internal/store"
)

// AppendAudit implements store.Store.
func (s *Store) AppendAudit(ctx context.Context, e *store.Entry) error {
	return s.write(ctx, s.with([]types.TransactWriteItem{}, e), s.audits, func(int, item) error { return store.ErrExists })
}

func (s *Store) query(ctx context.Context, vaultID string, from item, limit int32,
	forward bool,
) (*dynamodb.QueryOutput, error) {
	ctx, record, cancel := s.begin(ctx)
	defer cancel()
	out, err := s.db.Query(ctx, &dynamodb.QueryInput{
		TableName: s.table, KeyConditionExpression: aws.String("pk = :pk"), ExclusiveStartKey: from,
		ExpressionAttributeValues: item{":pk": text(pkLog + vaultID)}, ConsistentRead: aws.Bool(true),
		Limit: &limit, ScanIndexForward: &forward,
	}, s.pages)
	if err != nil {
		return nil, failure("query", record.Last(err))
	}
	return out, nil
}

// Audit implements store.Store.
func (s *Store) Audit(ctx context.Context, vaultID string, p store.Page) ([]store.Entry, string, error) {
	var from item
	if p.Cursor != "" {
		var err error
		if from, err = cursorKey(p.Cursor, pkLog+vaultID); err != nil || textOf(from["pk"]) != pkLog+vaultID {
			return nil, "", store.ErrCursor
		}
	}
	page, err := s.query(ctx, vaultID, from, int32(p.Size()), true)
	if err != nil {
		return nil, "", err
	}
	out := make([]store.Entry, len(page.Items))
	for i, it := range page.Items {
		out[i] = s.entry(vaultID, it)
	}
	next := ""
	if page.LastEvaluatedKey != nil {
		next = cursor(page.LastEvaluatedKey)
	}
	return out, next, nil
}

// LastAudit implements store.Store.
func (s *Store) LastAudit(ctx context.Context, vaultID string) (*store.Entry, error) {
	page, err := s.query(ctx, vaultID, nil, 1, false)
	if err != nil {
		return nil, err
	}
	if len(page.Items) == 0 {
		return nil, store.ErrNotFound
	}
	e := s.entry(vaultID, page.Items[0])
	return &e, nil
}

// AuditedVaults implements store.Store.
func (s *Store) AuditedVaults(ctx context.Context, yield func(string) error) error {
	seen := map[string]struct{}{}
	var from item
	for {
		page, err := s.scan(ctx, pkLog, from, 0)
		if err != nil {
			return err
		}
		for _, it := range page.Items {
			id := strings.TrimPrefix(textOf(it["pk"]), pkLog)
			if _, known := seen[id]; known {
				continue
			}
			seen[id] = struct{}{}
			if err := yield(id); err != nil {
				return err
			}
		}
		if from = page.LastEvaluatedKey; from == nil {
			return nil
		}
	}
}

// Idempotency implements store.Store.
func (s *Store) Idempotency(ctx context.Context, k string) (*store.Idempotency, error) {
	it, err := s.item(ctx, pkIdem+k, skVault)
	if err != nil {
		return nil, err
	}
	i := &store.Idempotency{
		Key: k, MAC: blobOf(it["_mac"]), VaultID: textOf(it["_id"]),
	}
	i.ExpireAt, _ = seconds(it["expire_at"])
	if i.ExpireAt <= s.now().Unix() {
		return nil, store.ErrNotFound
	}
	if i.MAC == nil || i.VaultID == "" {
		return nil, fmt.Errorf("dynamo: idempotency item: %w", store.ErrDamaged)
	}
	return i, nil
}
