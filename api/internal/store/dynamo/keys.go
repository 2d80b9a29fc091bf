package dynamo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"redoubt/api/internal/store"
)

// Attributes of key items.
const (
	attrID     = "id"
	attrKeys   = "ks"
	attrRev    = "rev"
	attrErased = "erased"
	attrSums   = "sums"
	attrExpire = "expire_at"
)

const (
	// conditionNoKeys holds where no key item is, or one whose time has passed. A tombstone has no time.
	conditionNoKeys = "attribute_not_exists(id) OR expire_at <= :now"
	// conditionKeys holds where the key item is as it was read.
	conditionKeys = "#rev = :rev AND attribute_not_exists(erased)"
	// unprocessedPause is the first pause before what a batch left out is asked for again. It doubles.
	unprocessedPause = 10 * time.Millisecond
)

func vaultOf(id string) item { return item{attrID: text(id)} }

func keysItem(k *store.Keys) item {
	it := vaultOf(k.VaultID)
	it[attrRev] = number(k.Revision)
	if k.ExpireAt != 0 && k.Erased == 0 {
		it[attrExpire] = number(k.ExpireAt)
	}
	if k.Erased != 0 {
		it[attrErased] = number(k.Erased)
		sums := &types.AttributeValueMemberL{}
		for _, sum := range k.Digests {
			sums.Value = append(sums.Value, blob(sum))
		}
		it[attrSums] = sums
		return it
	}
	list := &types.AttributeValueMemberL{}
	for i := range k.Epochs {
		e := &k.Epochs[i]
		list.Value = append(list.Value, &types.AttributeValueMemberM{Value: item{
			"_sk": blob(e.WrappedKey), "_pk": blob(e.PublicKey), "_ks": blob(e.Statement), "_hs": blob(e.Suite),
			"created": number(e.Created),
		}})
	}
	it[attrKeys] = list
	return it
}

// keys reads a key item. store.ErrDamaged for one that is not as we write them: it is neither absent nor erased.
func (s *Store) keys(id string, it item) (*store.Keys, error) {
	k, ok := readKeys(id, it)
	if !ok {
		s.damaged.Add(1)
		return nil, fmt.Errorf("dynamo: a key item: %w", store.ErrDamaged)
	}
	return k, nil
}

func readKeys(id string, it item) (k *store.Keys, ok bool) {
	k = &store.Keys{VaultID: id}
	if k.Revision, ok = whole(it[attrRev]); !ok {
		return nil, false
	}
	if k.ExpireAt, ok = seconds(it[attrExpire]); !ok {
		return nil, false
	}
	if it[attrErased] != nil {
		k.Erased, ok = whole(it[attrErased])
		list, isList := it[attrSums].(*types.AttributeValueMemberL)
		if !ok || !isList || k.Erased == 0 {
			return nil, false
		}
		for _, v := range list.Value {
			k.Digests = append(k.Digests, blobOf(v))
		}
		return k, true
	}
	list, isList := it[attrKeys].(*types.AttributeValueMemberL)
	if !isList || len(list.Value) == 0 {
		return nil, false
	}
	for _, v := range list.Value {
		m, isMap := v.(*types.AttributeValueMemberM)
		if !isMap {
			return nil, false
		}
		e := store.Epoch{
			WrappedKey: blobOf(m.Value["_sk"]), PublicKey: blobOf(m.Value["_pk"]), Statement: blobOf(m.Value["_ks"]),
			Suite: blobOf(m.Value["_hs"]), Created: numberOf(m.Value["created"]),
		}
		if _, ok := e.Number(); !ok || e.PublicKey == nil || e.Statement == nil || e.Suite == nil {
			return nil, false
		}
		k.Epochs = append(k.Epochs, e)
	}
	return k, true
}

// putKeys makes the transaction's part that stores the next revision of a key item. read is the item as it was read;
// nil: there was none.
func (s *Store) putKeys(next, read *store.Keys) types.TransactWriteItem {
	next.Revision = 1
	put := &types.Put{
		TableName: s.keyTable, ConditionExpression: aws.String(conditionNoKeys),
		ExpressionAttributeValues:           item{":now": number(s.now().Unix())},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if read != nil {
		next.Revision = read.Revision + 1
		put.ConditionExpression = aws.String(conditionKeys)
		put.ExpressionAttributeNames = map[string]string{"#rev": attrRev}
		put.ExpressionAttributeValues = item{":rev": number(read.Revision)}
	}
	put.Item = keysItem(next)
	return types.TransactWriteItem{Put: put}
}

// judgeKeyed finds the reason why a write to a record and its key item was refused. The record is the first item of
// the transaction, the key item the second. A tombstone explains a record that is not there.
func (s *Store) judgeKeyed(ctx context.Context, id string) func(int, item) error {
	record := s.judge(id)
	return func(i int, old item) error {
		switch i {
		case 0:
			err := record(0, old)
			if errors.Is(err, store.ErrNotFound) {
				if k, gone := s.Keys(ctx, id); gone == nil && k.Erased != 0 {
					return store.ErrErased
				}
			}
			return err
		case 1:
			if old[attrErased] != nil {
				return store.ErrErased
			}
			return store.ErrConflict
		}
		return store.ErrExists
	}
}

// CreateKeyed implements store.Domains.
func (s *Store) CreateKeyed(
	ctx context.Context, r *store.Record, k *store.Epoch, e *store.Entry, i *store.Idempotency,
) error {
	if s.keyTable == nil {
		return store.ErrNoDomains
	}
	if !k.Of(r) {
		return store.ErrEpochs
	}
	items := s.with([]types.TransactWriteItem{
		s.putOver(recordItem(r)),
		s.putKeys(&store.Keys{VaultID: r.ID, Epochs: []store.Epoch{*k}, ExpireAt: r.ExpireAt}, nil),
	}, e)
	if i != nil {
		items = append(items, s.putOver(idemItem(i)))
	}
	return s.write(ctx, items, s.writes, func(i int, old item) error {
		if i == 1 && old[attrErased] != nil {
			return store.ErrErased
		}
		return store.ErrExists
	})
}

// Keys implements store.Domains.
func (s *Store) Keys(ctx context.Context, id string) (*store.Keys, error) {
	if s.keyTable == nil {
		return nil, store.ErrNoDomains
	}
	ctx, record, cancel := s.begin(ctx)
	defer cancel()
	out, err := s.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: s.keyTable, Key: vaultOf(id), ConsistentRead: aws.Bool(true),
	}, s.reads)
	if err != nil {
		return nil, failure("get", record.Last(err))
	}
	return s.liveKeys(id, out.Item)
}

// liveKeys reads a key item or tombstone. A key item that has expired is absent.
func (s *Store) liveKeys(id string, it item) (*store.Keys, error) {
	if it == nil {
		return nil, store.ErrNotFound
	}
	k, err := s.keys(id, it)
	if err == nil && k.Expired(s.now()) {
		return nil, store.ErrNotFound
	}
	return k, err
}

// GetKeyed implements store.Domains.
func (s *Store) GetKeyed(ctx context.Context, id string) (*store.Record, *store.Keys, error) {
	if s.keyTable == nil {
		return nil, nil, store.ErrNoDomains
	}
	r, k, err := s.pair(ctx, id)
	if errors.Is(err, store.ErrInconsistent) { // a write may have come between the two
		r, k, err = s.pair(ctx, id)
	}
	if errors.Is(err, store.ErrInconsistent) {
		s.inconsistent.Add(1)
	}
	if err != nil {
		return nil, nil, err
	}
	return r, k, nil
}

// Inconsistent counts how often a record was met whose key is not in its key item.
func (s *Store) Inconsistent() uint64 { return s.inconsistent.Load() }

// pair reads a record and its key item once. BatchGetItem reads each of them consistently, and not both at one moment.
func (s *Store) pair(ctx context.Context, id string) (*store.Record, *store.Keys, error) {
	vault, keyItem, err := s.both(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	var r *store.Record
	found := store.ErrNotFound
	if vault != nil {
		if r, found = s.record(id, vault); found == nil && r.Expired(s.now()) {
			found = store.ErrNotFound
		}
	}
	if found == nil && r.Domain == nil {
		return r, nil, nil
	}
	k, none := s.liveKeys(id, keyItem)
	if none != nil && !errors.Is(none, store.ErrNotFound) {
		return nil, nil, none
	}
	return r, k, store.Together(r, k, found)
}

// both reads the two items of a vault, and asks again for what a batch leaves out, as long as there is time.
func (s *Store) both(ctx context.Context, id string) (vault, keys item, err error) {
	ctx, record, cancel := s.begin(ctx)
	defer cancel()
	ask := map[string]types.KeysAndAttributes{
		*s.table:    {Keys: []item{key(pkVault+id, skVault)}, ConsistentRead: aws.Bool(true)},
		*s.keyTable: {Keys: []item{vaultOf(id)}, ConsistentRead: aws.Bool(true)},
	}
	for pause := unprocessedPause; ; pause *= 2 {
		out, err := s.db.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: ask}, s.reads)
		if err != nil {
			return nil, nil, failure("get", record.Last(err))
		}
		for _, it := range out.Responses[*s.table] {
			vault = it
		}
		for _, it := range out.Responses[*s.keyTable] {
			keys = it
		}
		if ask = out.UnprocessedKeys; len(ask) == 0 {
			return vault, keys, nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, nil, fmt.Errorf("dynamo: get (unprocessed): %w", store.ErrThrottled)
		}
	}
}

// Reseal implements store.Domains.
func (s *Store) Reseal(ctx context.Context, q *store.Reseal, e *store.Entry) error {
	if s.keyTable == nil {
		return store.ErrNoDomains
	}
	if !q.Key.Of(q.Record) {
		return store.ErrEpochs
	}
	if q.Keys != nil && q.Keys.Erased != 0 {
		return store.ErrErased
	}
	epochs, err := q.Keys.With(&q.Key, q.Drop)
	if err != nil {
		return err
	}
	condition, names, values, err := s.current(ctx, q.Record.ID, q.Revision)
	if err != nil {
		return err
	}
	items := []types.TransactWriteItem{
		{Put: &types.Put{
			TableName: s.table, Item: recordItem(q.Record),
			ConditionExpression: &condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}},
		s.putKeys(&store.Keys{VaultID: q.Record.ID, Epochs: epochs, ExpireAt: q.Record.ExpireAt}, q.Keys),
	}
	return s.write(ctx, s.with(items, e), s.writes, s.judgeKeyed(ctx, q.Record.ID))
}

// DropEpochs implements store.Domains.
func (s *Store) DropEpochs(
	ctx context.Context, id string, revision int64, k *store.Keys, drop []uint16, e *store.Entry,
) error {
	if s.keyTable == nil {
		return store.ErrNoDomains
	}
	if k.Erased != 0 {
		return store.ErrErased
	}
	epochs, err := k.Without(drop)
	if err != nil {
		return err
	}
	condition, names, values, err := s.current(ctx, id, revision)
	if err != nil {
		return err
	}
	names["#ke"] = "_ke"
	conditions := []string{condition}
	for i, n := range drop { // the revision says so already, if the caller looked
		v := fmt.Sprintf(":d%d", i)
		values[v] = number(int64(n))
		conditions = append(conditions, "NOT #ke = "+v)
	}
	condition = strings.Join(conditions, " AND ")
	items := []types.TransactWriteItem{
		{ConditionCheck: &types.ConditionCheck{
			TableName: s.table, Key: key(pkVault+id, skVault),
			ConditionExpression: &condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}},
		s.putKeys(&store.Keys{VaultID: id, Epochs: epochs, ExpireAt: k.ExpireAt}, k),
	}
	judge := s.judgeKeyed(ctx, id)
	return s.write(ctx, s.with(items, e), s.writes, func(i int, old item) error {
		if i == 0 && old != nil && revisionOf(old) == revision {
			return store.ErrEpochs
		}
		return judge(i, old)
	})
}

func revisionOf(it item) int64 { return revision(it["_mt"]) }

// Erase implements store.Domains. The table's backups hold the keys until its recovery window is over.
func (s *Store) Erase(
	ctx context.Context, id string, revision int64, k *store.Keys, at int64, e *store.Entry,
) error {
	switch {
	case s.keyTable == nil:
		return store.ErrNoDomains
	case k == nil:
		return store.ErrNotFound
	case k.Erased != 0:
		return store.ErrErased
	}
	condition, names, values, err := s.current(ctx, id, revision)
	if err != nil {
		return err
	}
	items := []types.TransactWriteItem{
		{Delete: &types.Delete{
			TableName: s.table, Key: key(pkVault+id, skVault),
			ConditionExpression: &condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}},
		s.putKeys(&store.Keys{VaultID: id, Erased: at, Digests: k.Sums()}, k),
	}
	return s.write(ctx, s.with(items, e), s.writes, s.judgeKeyed(ctx, id))
}
