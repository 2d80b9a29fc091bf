package dynamo

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"redoubt/api/internal/store"
)

// This file reads attributes that neither we nor the reference write: an import, another program or a mistake made
// them. What can be read of such an item can be changed and erased.

// whole reads a whole number. ok is false for another type, a fraction, or a number beyond an int64.
func whole(v types.AttributeValue) (n int64, ok bool) {
	number, ok := v.(*types.AttributeValueMemberN)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(number.Value, 10, 64)
	return n, err == nil
}

// seconds reads expire_at, also from a text, in whole seconds, rounded up as conditions of DynamoDB compare it. ok is
// false if it cannot be read as a time. 0 means none.
func seconds(v types.AttributeValue) (n int64, ok bool) {
	if v == nil {
		return 0, true
	}
	if n, ok = whole(v); ok {
		return n, true
	}
	written := textOf(v)
	if number, ok := v.(*types.AttributeValueMemberN); ok {
		written = number.Value
	}
	f, err := strconv.ParseFloat(written, 64)
	if err != nil && !math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, false
	}
	n = int64(math.Ceil(min(max(f, math.MinInt64/2), math.MaxInt64/2)))
	if n == 0 && f < 0 {
		n = -1
	}
	return n, true
}

// revision is _mt if that is a whole number from 0 on. Otherwise it is a number below 0, made from what is there
// instead.
func revision(v types.AttributeValue) int64 {
	if n, ok := whole(v); ok && n >= 0 {
		return n
	}
	form := fmt.Sprintf("%T", v)
	switch v := v.(type) {
	case *types.AttributeValueMemberN:
		form += v.Value
	case *types.AttributeValueMemberS:
		form += v.Value
	case *types.AttributeValueMemberB:
		form += string(v.Value)
	}
	sum := sha256.Sum256([]byte(form))
	return -1 - int64(binary.BigEndian.Uint64(sum[:])>>1)
}

// current is the condition of an update or a delete: the record has this revision and has not expired. If the
// revision is not a regular one, the value that stands in its place is read first.
func (s *Store) current(ctx context.Context, id string, at int64) (string, map[string]string, item, error) {
	names := map[string]string{"#mt": "_mt", "#sk": "_sk", "#kd": "_kd", "#ttl": "expire_at"}
	values := item{":now": number(s.now().Unix()), ":zero": number(0), ":n": text("N")}
	if at >= 0 {
		values[":rev"] = number(at)
		return "#mt = :rev" + conditionCurrent, names, values, nil
	}
	it, err := s.item(ctx, pkVault+id, skVault)
	if err != nil {
		return "", nil, nil, err
	}
	if revision(it["_mt"]) != at {
		return "", nil, nil, store.ErrConflict
	}
	if it["_mt"] == nil {
		return "attribute_not_exists(#mt)" + conditionCurrent, names, values, nil
	}
	values[":rev"] = it["_mt"]
	return "#mt = :rev" + conditionCurrent, names, values, nil
}

// mistyped names an attribute of ours that is there and has another type than ours.
func mistyped(it item) string {
	for _, name := range []string{"_hs", "_sk", "_pk", "_km", "_kd"} {
		if v, there := it[name]; there && blobOf(v) == nil {
			return name
		}
	}
	if v, there := it["_kc"]; there {
		if _, ok := whole(v); !ok {
			return "_kc"
		}
	}
	if v, there := it["_ke"]; there {
		if n, ok := whole(v); !ok || n < 0 || n > math.MaxUint16 {
			return "_ke"
		}
	}
	if v, there := it["_en"]; there {
		if _, ok := encsOf(v); !ok {
			return "_en"
		}
	}
	return ""
}

// encsOf reads the encapsulated keys of a record under a domain. ok is false for another type. Without any it is nil.
func encsOf(v types.AttributeValue) (encs map[string][]byte, ok bool) {
	m, ok := v.(*types.AttributeValueMemberM)
	if !ok {
		return nil, false
	}
	for ref, v := range m.Value {
		b, ok := v.(*types.AttributeValueMemberB)
		if !ok {
			return nil, false
		}
		if encs == nil {
			encs = map[string][]byte{}
		}
		encs[ref] = b.Value
	}
	return encs, true
}

// legible reports whether those of an audit entry's attributes that are there have our types.
func legible(it item) bool {
	for _, name := range []string{"_e", "_id", "_r", "_w", "_a"} {
		if _, ok := it[name].(*types.AttributeValueMemberS); it[name] != nil && !ok {
			return false
		}
	}
	for _, name := range []string{"_ct", "_n"} {
		if n, ok := whole(it[name]); it[name] != nil && (!ok || n < 0) {
			return false
		}
	}
	for _, name := range []string{"_h", "_p", "_l"} {
		if it[name] != nil && blobOf(it[name]) == nil {
			return false
		}
	}
	if it["_f"] == nil {
		return it["_e"] != nil
	}
	list, ok := it["_f"].(*types.AttributeValueMemberL)
	if !ok {
		return false
	}
	for _, v := range list.Value {
		if _, ok := v.(*types.AttributeValueMemberS); !ok {
			return false
		}
	}
	return it["_e"] != nil
}

// Damaged counts how often, since the start, an item was met that cannot be read completely.
func (s *Store) Damaged() uint64 { return s.damaged.Load() }
