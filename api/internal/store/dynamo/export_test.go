package dynamo

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// NewForTest makes the reference's table, empty, and gives the raw client with it.
func NewForTest(t *testing.T) (*Store, func(item map[string]types.AttributeValue)) {
	t.Helper()
	s := newStore(t, time.Now)
	return s, func(it map[string]types.AttributeValue) {
		t.Helper()
		if _, err := s.db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: s.table, Item: it}); err != nil {
			t.Fatal(err)
		}
	}
}
