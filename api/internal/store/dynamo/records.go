package dynamo

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"redoubt/api/internal/store"
)

const (
	conditionAbsent  = "attribute_not_exists(pk)"
	conditionExpired = conditionAbsent + " OR expire_at <= :now"
	// conditionCurrent follows the condition on the revision. Only a number is a time to DynamoDB, and 0 means none.
	conditionCurrent = " AND (attribute_exists(#sk) OR attribute_exists(#kd))" +
		" AND (attribute_not_exists(#ttl) OR NOT attribute_type(#ttl, :n) OR #ttl > :now OR #ttl = :zero)"

	maxScans   = 20   // pages of DynamoDB that one page of ours may cost
	maxScan    = 1000 // items that each of them may examine
	scanGrowth = 4    // how many times more than the one before
)

// put makes the transaction's part for an item that must not exist.
func (s *Store) put(it item) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName: s.table, Item: it, ConditionExpression: aws.String(conditionAbsent),
	}}
}

// putOver makes the transaction's part for an item that must not exist, unless its time has passed: DynamoDB takes up
// to days to remove it.
func (s *Store) putOver(it item) types.TransactWriteItem {
	w := s.put(it)
	w.Put.ConditionExpression = aws.String(conditionExpired)
	w.Put.ExpressionAttributeValues = item{":now": number(s.now().Unix())}
	return w
}

// with adds the audit entry, if there is one.
func (s *Store) with(items []types.TransactWriteItem, e *store.Entry) []types.TransactWriteItem {
	if e == nil {
		return items
	}
	return append(items, s.put(entryItem(e)))
}

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, r *store.Record, e *store.Entry, i *store.Idempotency) error {
	items := s.with([]types.TransactWriteItem{s.putOver(recordItem(r))}, e)
	if i != nil {
		items = append(items, s.putOver(idemItem(i)))
	}
	return s.write(ctx, items, s.writes, func(int, item) error { return store.ErrExists })
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, id string) (*store.Record, error) {
	it, err := s.item(ctx, pkVault+id, skVault)
	if err != nil {
		return nil, err
	}
	r, err := s.record(id, it)
	if err != nil {
		return nil, err
	}
	if r.Expired(s.now()) {
		return nil, store.ErrNotFound
	}
	return r, nil
}

// judge finds the reason why a write to a record at a revision was refused.
func (s *Store) judge(id string) func(int, item) error {
	return func(i int, old item) error {
		if i > 0 {
			return store.ErrExists // the audit entry
		}
		if old == nil {
			return store.ErrNotFound
		}
		switch r, err := s.record(id, old); {
		case err != nil:
			return err
		case r.Expired(s.now()):
			return store.ErrNotFound
		}
		return store.ErrConflict
	}
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, u *store.Update, e *store.Entry) error {
	condition, names, values, err := s.current(ctx, u.ID, u.Revision)
	if err != nil {
		return err
	}
	set := []string{"#mt = :mt"}
	values[":mt"] = number(u.Modified)
	var remove []string
	if u.Encoding != 0 {
		names["#v"], values[":v"] = "_v", number(int64(u.Encoding))
		set = append(set, "#v = :v")
	}
	if u.ExpireAt != nil {
		if *u.ExpireAt == 0 {
			remove = append(remove, "#ttl")
		} else {
			values[":ttl"] = number(*u.ExpireAt)
			set = append(set, "#ttl = :ttl")
		}
	}
	if u.Own != nil {
		names["#xf"] = "_xf"
		if len(*u.Own) == 0 {
			remove = append(remove, "#xf")
		} else {
			values[":xf"] = texts(*u.Own)
			set = append(set, "#xf = :xf")
		}
	}
	for i, name := range slices.Sorted(maps.Keys(u.Set)) {
		n, v := fmt.Sprintf("#s%d", i), fmt.Sprintf(":s%d", i)
		names[n], values[v] = name, value(u.Set[name])
		set = append(set, n+" = "+v)
	}
	for i, name := range u.Remove {
		n := fmt.Sprintf("#r%d", i)
		names[n] = name
		remove = append(remove, n)
	}
	conditions := []string{condition}
	for i, ref := range slices.Sorted(maps.Keys(u.AddEncs)) {
		n, v := fmt.Sprintf("#e%d", i), fmt.Sprintf(":e%d", i)
		names["#en"], names[n], values[v] = "_en", ref, blob(u.AddEncs[ref])
		set = append(set, "#en."+n+" = "+v)
		conditions = append(conditions, "attribute_not_exists(#en."+n+")")
	}
	for i, ref := range u.DropEncs {
		n := fmt.Sprintf("#f%d", i)
		names["#en"], names[n] = "_en", ref
		remove = append(remove, "#en."+n)
	}
	if u.Keyed {
		conditions = append(conditions, "attribute_exists(#kd)")
	} else {
		conditions = append(conditions, "attribute_not_exists(#kd)")
	}
	condition = strings.Join(conditions, " AND ")
	expression := "SET " + strings.Join(set, ", ")
	if len(remove) > 0 {
		expression += " REMOVE " + strings.Join(remove, ", ")
	}
	items := []types.TransactWriteItem{{Update: &types.Update{
		TableName: s.table, Key: key(pkVault+u.ID, skVault), UpdateExpression: &expression,
		ConditionExpression: &condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}}
	judge := s.judge(u.ID)
	if u.Keyed && u.ExpireAt != nil {
		if s.keyTable == nil {
			return store.ErrNoDomains
		}
		items, judge = append(items, s.expireKeys(u.ID, *u.ExpireAt)), s.judgeKeyed(ctx, u.ID)
	}
	return s.write(ctx, s.with(items, e), s.writes, func(i int, old item) error {
		if i == 0 && revision(old["_mt"]) == u.Revision && adds(old, u) {
			return store.ErrExists
		}
		return judge(i, old)
	})
}

// adds reports whether an update adds an encapsulated key that the item has.
func adds(old item, u *store.Update) bool {
	encs, _ := old["_en"].(*types.AttributeValueMemberM)
	for ref := range u.AddEncs {
		if encs != nil && encs.Value[ref] != nil {
			return true
		}
	}
	return false
}

// expireKeys makes the transaction's part that gives a key item the time to live of its record.
func (s *Store) expireKeys(id string, at int64) types.TransactWriteItem {
	u := &types.Update{
		TableName: s.keyTable, Key: vaultOf(id),
		UpdateExpression:                    aws.String("SET #rev = #rev + :one, expire_at = :ttl"),
		ConditionExpression:                 aws.String("attribute_exists(ks) AND attribute_not_exists(erased)"),
		ExpressionAttributeNames:            map[string]string{"#rev": attrRev},
		ExpressionAttributeValues:           item{":one": number(1), ":ttl": number(at)},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if at == 0 {
		u.UpdateExpression = aws.String("SET #rev = #rev + :one REMOVE expire_at")
		delete(u.ExpressionAttributeValues, ":ttl")
	}
	return types.TransactWriteItem{Update: u}
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, id string, revision int64, e *store.Entry) error {
	condition, names, values, err := s.current(ctx, id, revision)
	if err != nil {
		return err
	}
	condition += " AND attribute_not_exists(#kd)"
	items := []types.TransactWriteItem{{Delete: &types.Delete{
		TableName: s.table, Key: key(pkVault+id, skVault),
		ConditionExpression: &condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}}
	judge := s.judge(id)
	return s.write(ctx, s.with(items, e), s.writes, func(i int, old item) error {
		err := judge(i, old)
		if i == 0 && errors.Is(err, store.ErrConflict) && old["_kd"] != nil {
			return store.ErrKeyed
		}
		return err
	})
}

// cursor and its inverse carry a key of the table through a caller.
func cursor(it item) string {
	return base64.RawURLEncoding.EncodeToString([]byte(textOf(it["pk"]) + "\x00" + textOf(it["sk"])))
}

func cursorKey(text, prefix string) (item, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	pk, sk, ok := strings.Cut(string(raw), "\x00")
	if err != nil || !ok || sk == "" || !strings.HasPrefix(pk, prefix) {
		return nil, store.ErrCursor
	}
	return key(pk, sk), nil
}

// List implements store.Store. A page may be shorter than requested although there is a next one. DynamoDB counts
// items before it filters them, and most of a table may be audit entries. So each scan of a page examines more items
// than the one before.
func (s *Store) List(ctx context.Context, p store.Page) ([]store.Summary, string, error) {
	var from item
	if p.Cursor != "" {
		var err error
		if from, err = cursorKey(p.Cursor, ""); err != nil {
			return nil, "", err
		}
	}
	var out []store.Summary
	limit := p.Size()
	for range maxScans {
		page, err := s.scan(ctx, pkVault, from, int32(limit))
		if err != nil {
			return nil, "", err
		}
		limit = min(limit*scanGrowth, maxScan)
		for i, it := range page.Items {
			r, err := s.record(strings.TrimPrefix(textOf(it["pk"]), pkVault), it)
			if err != nil || r.Expired(s.now()) {
				continue
			}
			if r.Modified < 0 {
				r.Modified = r.Created // there is no such time
			}
			out = append(out, store.Summary{ID: r.ID, Created: r.Created, Modified: r.Modified, ExpireAt: r.ExpireAt})
			if len(out) == p.Size() && (i+1 < len(page.Items) || page.LastEvaluatedKey != nil) {
				return out, cursor(it), nil
			}
		}
		if from = page.LastEvaluatedKey; from == nil {
			return out, "", nil
		}
	}
	return out, cursor(from), nil
}

// scan reads one page of the items whose pk has the prefix, with the attributes that lists need.
func (s *Store) scan(ctx context.Context, prefix string, from item, limit int32) (*dynamodb.ScanOutput, error) {
	ctx, record, cancel := s.begin(ctx)
	defer cancel()
	in := &dynamodb.ScanInput{
		TableName: s.table, ExclusiveStartKey: from, FilterExpression: aws.String("begins_with(pk, :prefix)"),
		ExpressionAttributeValues: item{":prefix": text(prefix)},
		ProjectionExpression:      aws.String("pk, sk, #sk, #kd, #ct, #mt, #ttl"),
		ExpressionAttributeNames: map[string]string{
			"#sk": "_sk", "#kd": "_kd", "#ct": "_ct", "#mt": "_mt", "#ttl": "expire_at",
		},
		ConsistentRead: aws.Bool(prefix == pkLog), // an entry that is not seen would count as missing
	}
	if limit > 0 {
		in.Limit = &limit
	}
	out, err := s.db.Scan(ctx, in, s.pages)
	if err != nil {
		return nil, failure("scan", record.Last(err))
	}
	return out, nil
}
