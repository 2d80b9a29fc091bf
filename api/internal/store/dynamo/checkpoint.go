package dynamo

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"redoubt/api/internal/store"
)

// PutCheckpoint implements store.Store.
func (s *Store) PutCheckpoint(ctx context.Context, c *store.Checkpoint) error {
	it := key(pkCheck, c.Writer)
	it["_n"], it["_b"], it["_m"] = number(int64(c.Number)), text(string(c.Body)), blob(c.MAC)
	w := s.put(it)
	w.Put.ConditionExpression = aws.String(conditionAbsent + " OR #n <= :n")
	w.Put.ExpressionAttributeNames = map[string]string{"#n": "_n"}
	w.Put.ExpressionAttributeValues = item{":n": number(int64(c.Number))}
	return s.write(ctx, []types.TransactWriteItem{w}, s.audits, func(int, item) error { return store.ErrConflict })
}

// Checkpoints implements store.Store. A checkpoint that cannot be read has neither body nor MAC.
func (s *Store) Checkpoints(ctx context.Context, yield func(*store.Checkpoint) error) error {
	var from item
	for {
		page, err := s.checkpoints(ctx, from)
		if err != nil {
			return err
		}
		for _, it := range page.Items {
			c := &store.Checkpoint{
				Writer: textOf(it["sk"]), Number: uint64(max(0, numberOf(it["_n"]))),
				Body: []byte(textOf(it["_b"])), MAC: blobOf(it["_m"]),
			}
			if err := yield(c); err != nil {
				return err
			}
		}
		if from = page.LastEvaluatedKey; from == nil {
			return nil
		}
	}
}

func (s *Store) checkpoints(ctx context.Context, from item) (*dynamodb.QueryOutput, error) {
	ctx, record, cancel := s.begin(ctx)
	defer cancel()
	out, err := s.db.Query(ctx, &dynamodb.QueryInput{
		TableName: s.table, KeyConditionExpression: aws.String("pk = :pk"), ExclusiveStartKey: from,
		ExpressionAttributeValues: item{":pk": text(pkCheck)}, ConsistentRead: aws.Bool(true),
	}, s.pages)
	if err != nil {
		return nil, failure("query", record.Last(err))
	}
	return out, nil
}
