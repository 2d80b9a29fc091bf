package dynamo

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"redoubt/api/internal/store"
)

// scripted is a DynamoDB that gives the answers of a list, and keeps what it was asked. It repeats the last answer.
type scripted struct {
	mu      sync.Mutex
	answers []string
	asked   []string // operation and body
}

func newScripted(t *testing.T, answers ...string) (*scripted, *Store) {
	t.Helper()
	s := &scripted{answers: answers}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, operation+" "+string(body))
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = w.Write([]byte(s.answers[0]))
		if len(s.answers) > 1 {
			s.answers = s.answers[1:]
		}
	}))
	t.Cleanup(server.Close)
	st, err := New(Config{
		AWS: config(), Endpoint: server.URL, Table: "t", KeyTable: "keys", DomainTable: "domains", Timeout: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, st
}

func (s *scripted) calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func wrappedKey(epoch byte) []byte {
	b := make([]byte, 102)
	b[0], b[1], b[3], b[5] = 0xD1, 4, 1, epoch
	return b
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// The parts of answers about the vault v_1.
var (
	vaultJSON = func(epoch string) string {
		return `{"pk":{"S":"VAULT##v_1"},"sk":{"S":"v0"},"_id":{"S":"v_1"},"_v":{"N":"4"},"_hs":{"B":"AA=="},` +
			`"_kd":{"B":"AA=="},"_ke":{"N":"` + epoch + `"},"_en":{"M":{}},"_ct":{"N":"1"},"_mt":{"N":"1"}}`
	}
	keysJSON = `{"id":{"S":"v_1"},"rev":{"N":"1"},"ks":{"L":[{"M":{"_sk":{"B":"` + b64(wrappedKey(1)) +
		`"},"_pk":{"B":"AA=="},"_ks":{"B":"AA=="},"_hs":{"B":"AA=="},"created":{"N":"1"}}}]}}`
	keysLeft  = `"UnprocessedKeys":{"keys":{"Keys":[{"id":{"S":"v_1"}}],"ConsistentRead":true}}`
	vaultLeft = `"UnprocessedKeys":{"t":{"Keys":[{"pk":{"S":"VAULT##v_1"},"sk":{"S":"v0"}}],"ConsistentRead":true}}`
)

func TestWhatABatchLeavesOutIsAskedForAgain(t *testing.T) {
	s, st := newScripted(t,
		`{"Responses":{"t":[`+vaultJSON("1")+`],"keys":[]},`+keysLeft+`}`,
		`{"Responses":{},`+keysLeft+`}`,
		`{"Responses":{"keys":[`+keysJSON+`]},"UnprocessedKeys":{}}`)
	r, k, err := st.GetKeyed(t.Context(), "v_1")
	if err != nil || r.Epoch != 1 || len(k.Epochs) != 1 {
		t.Fatalf("%v, %v, %v", r, k, err)
	}
	asked := s.calls()
	if len(asked) != 3 || strings.Count(asked[0], `"ConsistentRead":true`) != 2 || strings.Contains(asked[1], "VAULT##") ||
		!strings.Contains(asked[2], `"ConsistentRead":true`) {
		t.Errorf("asked %q", asked)
	}
	// A record that is left out is not a record that is not there.
	_, st = newScripted(t, `{"Responses":{"keys":[`+keysJSON+`]},`+vaultLeft+`}`,
		`{"Responses":{"t":[`+vaultJSON("1")+`]},"UnprocessedKeys":{}}`)
	if _, _, err := st.GetKeyed(t.Context(), "v_1"); err != nil {
		t.Error(err)
	}
}

func TestABatchThatLeavesOutForEverEndsWithTheCall(t *testing.T) {
	s, st := newScripted(t, `{"Responses":{},`+keysLeft+`}`)
	st.timeout = 200 * time.Millisecond
	if _, _, err := st.GetKeyed(t.Context(), "v_1"); !errors.Is(err, store.ErrThrottled) && !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("err = %v", err)
	}
	if n := len(s.calls()); n < 2 || n > 20 {
		t.Errorf("asked %d times in %v", n, st.timeout)
	}
}

// BatchGetItem reads at two moments: a reseal may come between. Once is no damage, twice is.
func TestARecordAheadOfItsKeysIsReadAgain(t *testing.T) {
	behind := `{"Responses":{"t":[` + vaultJSON("2") + `],"keys":[` + keysJSON + `]},"UnprocessedKeys":{}}`
	s, st := newScripted(t, behind, `{"Responses":{"t":[`+vaultJSON("1")+`],"keys":[`+keysJSON+`]},"UnprocessedKeys":{}}`)
	if _, _, err := st.GetKeyed(t.Context(), "v_1"); err != nil || len(s.calls()) != 2 || st.Inconsistent() != 0 {
		t.Errorf("%v after %d calls, %d counted", err, len(s.calls()), st.Inconsistent())
	}
	s, st = newScripted(t, behind)
	if _, _, err := st.GetKeyed(t.Context(), "v_1"); !errors.Is(err, store.ErrInconsistent) || len(s.calls()) != 2 || st.Inconsistent() != 1 {
		t.Errorf("%v after %d calls, %d counted", err, len(s.calls()), st.Inconsistent())
	}
}

func TestAKeyItemThatIsNotOursIsDamagedAndNotAbsent(t *testing.T) {
	whole := keysItem(&store.Keys{VaultID: "v_1", Revision: 1, Epochs: []store.Epoch{{
		WrappedKey: wrappedKey(1), PublicKey: []byte("p"), Statement: []byte("s"), Suite: []byte("h"), Created: 1,
	}}})
	stone := keysItem(&store.Keys{VaultID: "v_1", Revision: 2, Erased: 1, Digests: [][]byte{{1}}})
	for _, it := range []item{whole, stone} {
		if _, err := (&Store{}).keys("v_1", it); err != nil {
			t.Fatal(err)
		}
	}
	without := func(it item, name string) item {
		out := item{}
		for k, v := range it {
			if k != name {
				out[k] = v
			}
		}
		return out
	}
	with := func(it item, name string, v types.AttributeValue) item {
		out := without(it, name)
		out[name] = v
		return out
	}
	epochs := func(v types.AttributeValue) item {
		return with(whole, attrKeys, &types.AttributeValueMemberL{Value: []types.AttributeValue{v}})
	}
	one := whole[attrKeys].(*types.AttributeValueMemberL).Value[0].(*types.AttributeValueMemberM).Value
	for name, it := range map[string]item{
		"no revision": without(whole, attrRev), "a text as revision": with(whole, attrRev, text("1")),
		"no keys": without(whole, attrKeys), "a text as keys": with(whole, attrKeys, text("k")),
		"an empty list": with(whole, attrKeys, &types.AttributeValueMemberL{}), "a text in the list": epochs(text("k")),
		"a key without _sk": epochs(&types.AttributeValueMemberM{Value: without(one, "_sk")}),
		"a key of KMS's":    epochs(&types.AttributeValueMemberM{Value: with(one, "_sk", blob([]byte("kms")))}),
		"a key without _ks": epochs(&types.AttributeValueMemberM{Value: without(one, "_ks")}),
		"no sums":           without(stone, attrSums), "a time that is none": with(stone, attrErased, text("x")),
		"an odd time to live": with(whole, attrExpire, blob([]byte("x"))),
	} {
		s := &Store{}
		if _, err := s.keys("v_1", it); !errors.Is(err, store.ErrDamaged) || s.Damaged() != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each step that touches both items is one transaction, with its entry.
func TestRecordAndKeysAreWrittenInOneTransaction(t *testing.T) {
	s, st := newScripted(t, `{}`)
	k := &store.Keys{VaultID: "v_1", Revision: 3, Epochs: []store.Epoch{{WrappedKey: wrappedKey(2)}, {WrappedKey: wrappedKey(1)}}}
	r := &store.Record{ID: "v_1", Domain: []byte{1}, Epoch: 3}
	e := &store.Entry{VaultID: "v_1", Chain: "c"}
	at := int64(9)
	created := *r
	created.Epoch = 1
	for name, call := range map[string]func() error{
		"create": func() error {
			return st.CreateKeyed(t.Context(), &created, &store.Epoch{WrappedKey: wrappedKey(1)}, e, nil)
		},
		"reseal": func() error {
			return st.Reseal(t.Context(), &store.Reseal{Record: r, Revision: 1, Keys: k, Key: store.Epoch{WrappedKey: wrappedKey(3)}}, e)
		},
		"drop":  func() error { return st.DropEpochs(t.Context(), "v_1", 1, k, []uint16{1}, e) },
		"erase": func() error { return st.Erase(t.Context(), "v_1", 1, k, 1, e) },
		"expire": func() error {
			return st.Update(t.Context(), &store.Update{ID: "v_1", Revision: 1, Modified: 2, Keyed: true, ExpireAt: &at}, e)
		},
	} {
		before := len(s.calls())
		if err := call(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		asked := s.calls()[before:]
		if len(asked) != 1 || !strings.HasPrefix(asked[0], "TransactWriteItems ") ||
			strings.Count(asked[0], `"TableName":"t"`) != 2 || strings.Count(asked[0], `"TableName":"keys"`) != 1 ||
			strings.Count(asked[0], `"ConditionExpression"`) != 3 {
			t.Errorf("%s: %q", name, asked)
		}
	}
}

func TestWithoutTablesThereAreNoDomains(t *testing.T) {
	if _, err := New(Config{AWS: config(), Table: "t", KeyTable: "keys"}); err == nil {
		t.Error("a table for keys alone was taken")
	}
	st, err := New(Config{AWS: config(), Endpoint: "http://127.0.0.1:1", Table: "t"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, at := t.Context(), int64(1)
	_, _, get := st.GetKeyed(ctx, "v")
	_, keys := st.Keys(ctx, "v")
	_, domain := st.Domain(ctx, "d", 1)
	for name, err := range map[string]error{
		"create": st.CreateKeyed(ctx, &store.Record{}, &store.Epoch{}, nil, nil), "get": get, "keys": keys,
		"reseal": st.Reseal(ctx, &store.Reseal{Record: &store.Record{}}, nil), "drop": st.DropEpochs(ctx, "v", 1, nil, nil, nil),
		"erase": st.Erase(ctx, "v", 1, nil, 1, nil), "put": st.PutDomain(ctx, &store.Domain{}, nil), "domain": domain,
		"update": st.UpdateDomain(ctx, &store.Domain{}, nil), "list": st.ListDomains(ctx, nil),
		"expire": st.Update(ctx, &store.Update{ID: "v", Keyed: true, ExpireAt: &at}, nil),
	} {
		if !errors.Is(err, store.ErrNoDomains) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Readiness looks at each table: without one of them no vault under a domain is served.
func TestATableThatIsNotThereIsMissed(t *testing.T) {
	s := newStore(t, time.Now)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, table := range map[string]**string{"records": &s.table, "keys": &s.keyTable, "domains": &s.domainTable} {
		there := *table
		*table = aws.String("no-such-table")
		if err := s.Ping(t.Context()); !errors.Is(err, store.ErrMissing) {
			t.Errorf("%s: %v", name, err)
		}
		*table = there
	}
}
