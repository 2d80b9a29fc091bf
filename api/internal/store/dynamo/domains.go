package dynamo

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"redoubt/api/internal/store"
)

func domainKey(id string, generation uint16) item {
	return item{"id": text(id), "gen": number(int64(generation))}
}

// domain reads a domain item. store.ErrDamaged for one that is not as we write them.
func (s *Store) domain(it item) (*store.Domain, error) {
	generation, ok := whole(it["gen"])
	rev, regular := whole(it[attrRev])
	d := &store.Domain{
		ID: textOf(it["id"]), Generation: uint16(generation), Record: blobOf(it["rec"]), MAC: blobOf(it["mac"]),
		State: textOf(it["state"]), Revision: rev,
	}
	if !ok || !regular || generation != int64(d.Generation) || d.ID == "" || d.Record == nil || d.MAC == nil {
		s.damaged.Add(1)
		return nil, fmt.Errorf("dynamo: a domain item: %w", store.ErrDamaged)
	}
	return d, nil
}

// putDomain makes the transaction's part that stores a domain, if condition holds.
func (s *Store) putDomain(d *store.Domain, rev int64, condition string) types.TransactWriteItem {
	it := domainKey(d.ID, d.Generation)
	it["rec"], it["mac"], it["state"], it[attrRev] = blob(d.Record), blob(d.MAC), text(d.State), number(rev)
	put := &types.Put{
		TableName: s.domainTable, Item: it, ConditionExpression: &condition,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	return types.TransactWriteItem{Put: put}
}

// PutDomain implements store.Domains.
func (s *Store) PutDomain(ctx context.Context, d *store.Domain, e *store.Entry) error {
	switch {
	case s.domainTable == nil:
		return store.ErrNoDomains
	case len(d.Record) > store.MaxDomainRecord:
		return store.ErrTooLarge
	}
	items := s.with([]types.TransactWriteItem{s.putDomain(d, 1, "attribute_not_exists(id)")}, e)
	return s.write(ctx, items, s.writes, func(int, item) error { return store.ErrExists })
}

// UpdateDomain implements store.Domains.
func (s *Store) UpdateDomain(ctx context.Context, d *store.Domain, e *store.Entry) error {
	switch {
	case s.domainTable == nil:
		return store.ErrNoDomains
	case len(d.Record) > store.MaxDomainRecord:
		return store.ErrTooLarge
	}
	w := s.putDomain(d, d.Revision+1, "#rev = :rev")
	w.Put.ExpressionAttributeNames = map[string]string{"#rev": attrRev}
	w.Put.ExpressionAttributeValues = item{":rev": number(d.Revision)}
	return s.write(ctx, s.with([]types.TransactWriteItem{w}, e), s.writes, func(i int, old item) error {
		switch {
		case i > 0:
			return store.ErrExists // the audit entry
		case old == nil:
			return store.ErrNotFound
		}
		return store.ErrConflict
	})
}

// Domain implements store.Domains.
func (s *Store) Domain(ctx context.Context, id string, generation uint16) (*store.Domain, error) {
	if s.domainTable == nil {
		return nil, store.ErrNoDomains
	}
	ctx, record, cancel := s.begin(ctx)
	defer cancel()
	out, err := s.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: s.domainTable, Key: domainKey(id, generation), ConsistentRead: aws.Bool(true),
	}, s.reads)
	switch {
	case err != nil:
		return nil, failure("get", record.Last(err))
	case out.Item == nil:
		return nil, store.ErrNotFound
	}
	return s.domain(out.Item)
}

// ListDomains implements store.Domains. It scans the table of domains, which is small.
func (s *Store) ListDomains(ctx context.Context, yield func(*store.Domain) error) error {
	if s.domainTable == nil {
		return store.ErrNoDomains
	}
	var from item
	for {
		page, err := s.domains(ctx, from)
		if err != nil {
			return err
		}
		for _, it := range page.Items {
			d, err := s.domain(it)
			if err != nil {
				continue // counted
			}
			if err := yield(d); err != nil {
				return err
			}
		}
		if from = page.LastEvaluatedKey; from == nil {
			return nil
		}
	}
}

func (s *Store) domains(ctx context.Context, from item) (*dynamodb.ScanOutput, error) {
	ctx, record, cancel := s.begin(ctx)
	defer cancel()
	out, err := s.db.Scan(ctx, &dynamodb.ScanInput{
		TableName: s.domainTable, ExclusiveStartKey: from, ConsistentRead: aws.Bool(true),
	}, s.pages)
	if err != nil {
		return nil, failure("scan", record.Last(err))
	}
	return out, nil
}
