package dynamo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"redoubt/api/internal/store"
	"redoubt/api/internal/store/storetest"
)

// endpoint is where a DynamoDB server listens; test-dynamodb.sh starts one and sets it.
const endpoint = "REDOUBT_DYNAMODB_ENDPOINT"

func need(t *testing.T) string {
	t.Helper()
	url := os.Getenv(endpoint)
	if url == "" {
		t.Skip("needs a DynamoDB server: run make test-dynamodb, which CI does")
	}
	return url
}

func config() aws.Config {
	return aws.Config{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("local", "local-secret", ""),
	}
}

// newStore makes the reference's table, empty, and a store on it.
func newStore(t *testing.T, now func() time.Time) *Store {
	t.Helper()
	name := "vault-" + strings.ToLower(rand.Text())
	s, err := New(Config{
		AWS: config(), Endpoint: need(t), Table: name, KeyTable: name + "-keys", DomainTable: name + "-domains", Now: now,
		Timeout: 30 * time.Second, Attempt: 10 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	newTable(t, s, s.table, "pk S", "sk S")
	newTable(t, s, s.keyTable, "id S")
	newTable(t, s, s.domainTable, "id S", "gen N")
	return s
}

// newTable makes a table with these keys, each a name and a type, the hash key first.
func newTable(t *testing.T, s *Store, name *string, keys ...string) {
	t.Helper()
	in := &dynamodb.CreateTableInput{TableName: name, BillingMode: types.BillingModePayPerRequest}
	for i, k := range keys {
		attribute, kind, _ := strings.Cut(k, " ")
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{
			AttributeName: &attribute, AttributeType: types.ScalarAttributeType(kind),
		})
		in.KeySchema = append(in.KeySchema, types.KeySchemaElement{
			AttributeName: &attribute, KeyType: []types.KeyType{types.KeyTypeHash, types.KeyTypeRange}[i],
		})
	}
	if _, err := s.db.CreateTable(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := s.db.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: name})
		var gone *types.ResourceNotFoundException // by an attempt before, whose answer was late
		if err != nil && !errors.As(err, &gone) {
			t.Error(err)
		}
	})
}

func TestConformance(t *testing.T) {
	need(t)
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store { return newStore(t, now) })
}

func TestItemsAreTheReferences(t *testing.T) {
	s := newStore(t, time.Now)
	r := &store.Record{
		ID: "v_1", Encoding: 2, Suite: []byte("HPKE"), WrappedKey: []byte("w"), PublicKey: []byte("p"), Created: 5, Modified: 6,
		Fields: map[string]store.Value{"email": {Blob: []byte{4, 0}}},
	}
	e := &store.Entry{VaultID: "v_1", Time: 1_766_000_000_000_001, Event: "CreateVault", Fields: []string{"email"}, Reason: "why", Chain: "c", Seq: 1}
	if err := s.Create(t.Context(), r, e, nil); err != nil {
		t.Fatal(err)
	}
	it, err := s.item(t.Context(), "VAULT##v_1", "v0")
	if err != nil {
		t.Fatal(err)
	}
	if textOf(it["_id"]) != "v_1" || numberOf(it["_v"]) != 2 || string(blobOf(it["_hs"])) != "HPKE" || string(blobOf(it["_sk"])) != "w" ||
		string(blobOf(it["_pk"])) != "p" || numberOf(it["_ct"]) != 5 || numberOf(it["_mt"]) != 6 || string(blobOf(it["email"])) != "\x04\x00" {
		t.Fatalf("item %v", it)
	}
	if len(it) != 10 {
		t.Fatalf("%d attributes: a record without our additions must have the reference's alone", len(it))
	}
	log, err := s.item(t.Context(), "LOG##v_1", "1766000000000001##c##000000000001")
	if err != nil {
		t.Fatal(err)
	}
	if textOf(log["_e"]) != "CreateVault" || textOf(log["_id"]) != "v_1" || numberOf(log["_ct"]) != e.Time || textOf(log["_r"]) != "why" {
		t.Fatalf("audit item %v", log)
	}
}

// Reference bug 20 left items with nothing but _mt.
func TestGhostsOfTheReferenceAreAbsent(t *testing.T) {
	s := newStore(t, time.Now)
	ghost := key("VAULT##v_ghost", "v0")
	ghost["_mt"] = number(7)
	if _, err := s.db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: s.table, Item: ghost}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "v_ghost"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("get: %v", err)
	}
	if err := s.Delete(t.Context(), "v_ghost", 7, nil); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("delete: %v", err)
	}
	if list, _, err := s.List(t.Context(), store.Page{}); err != nil || len(list) != 0 {
		t.Fatalf("list: %v, %v", list, err)
	}
}

// scans counts the requests for a scan.
type scans struct {
	aws.HTTPClient
	n int
}

func (s *scans) Do(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".Scan") {
		s.n++
	}
	return s.HTTPClient.Do(r)
}

func TestListPassesManyAuditEntriesInFewScans(t *testing.T) {
	const vaults, entries, size = 6, 600, 4
	s := newStore(t, time.Now)
	for i := range vaults {
		r := &store.Record{ID: fmt.Sprintf("v_%d", i), Suite: []byte("HPKE"), WrappedKey: []byte("w"), PublicKey: []byte("p")}
		if err := s.Create(t.Context(), r, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range entries / 25 {
		var batch []types.WriteRequest
		for j := range 25 {
			e := &store.Entry{VaultID: fmt.Sprintf("v_%d", j%vaults), Time: int64(i*25 + j), Event: "DecryptVault", Chain: "c", Seq: 1}
			batch = append(batch, types.WriteRequest{PutRequest: &types.PutRequest{Item: entryItem(e)}})
		}
		in := &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{*s.table: batch}}
		if _, err := s.db.BatchWriteItem(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	counted := &scans{HTTPClient: http.DefaultClient}
	cfg := config()
	cfg.HTTPClient = counted
	listed, err := New(Config{AWS: cfg, Endpoint: need(t), Table: *s.table, Timeout: 30 * time.Second, Attempt: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for cursor, pages := "", 1; ; pages++ {
		list, next, err := listed.List(t.Context(), store.Page{Cursor: cursor, Limit: size})
		if err != nil || len(list) > size {
			t.Fatalf("%d lines, %v", len(list), err)
		}
		for _, l := range list {
			if seen[l.ID] {
				t.Errorf("%s is listed twice", l.ID)
			}
			seen[l.ID] = true
		}
		if next == "" {
			break
		}
		cursor = next
		if pages > 2 {
			t.Fatal("more pages than there are vaults for")
		}
	}
	// 4, 16, 64, 256 and 1000 items; a page of its own number of items a scan would need 150.
	if len(seen) != vaults || counted.n > 10 {
		t.Fatalf("%d vaults in %d scans", len(seen), counted.n)
	}
}

func TestEntryMovedToAnotherKeyShows(t *testing.T) {
	e := &store.Entry{VaultID: "v_1", Time: 1_766_000_000_000_001, Event: "DecryptVault", Chain: "c", Seq: 1, Hash: []byte{1}}
	it := entryItem(e)
	if got := (&Store{}).entry("v_1", it); got.Time != e.Time {
		t.Fatalf("time %d", got.Time)
	}
	it["sk"] = text("1666000000000001##c##000000000001")
	if got := (&Store{}).entry("v_1", it); got.Time == e.Time {
		t.Fatal("an entry under another key looks unaltered")
	}
}

func TestAServerThatCannotBeReachedWasSentNothing(t *testing.T) {
	s, err := New(Config{AWS: config(), Endpoint: "http://127.0.0.1:1", Table: "t", Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	err = s.AppendAudit(t.Context(), &store.Entry{VaultID: "v_1", Chain: "c"})
	if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknownOutcome) ||
		strings.Contains(err.Error(), "127.0.0.1") {
		t.Fatalf("err = %v", err)
	}
	if s.Ping(t.Context()) == nil {
		t.Fatal("ping answered")
	}
	if _, err := New(Config{}); err == nil {
		t.Fatal("made without a table")
	}
}

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
