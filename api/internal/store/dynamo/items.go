package dynamo

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
)

const (
	pkVault = "VAULT##"
	pkLog   = "LOG##"
	pkIdem  = "IDEM##"
	pkCheck = "CHECKPOINT##"
	skVault = "v0"
)

type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func blob(b []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: b} }
func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func key(pk, sk string) item { return item{"pk": text(pk), "sk": text(sk)} }

func texts(list []string) types.AttributeValue {
	out := &types.AttributeValueMemberL{Value: make([]types.AttributeValue, len(list))}
	for i, s := range list {
		out.Value[i] = text(s)
	}
	return out
}

// textsOf returns the texts of a list, and nil for another type.
func textsOf(v types.AttributeValue) []string {
	list, ok := v.(*types.AttributeValueMemberL)
	if !ok {
		return nil
	}
	var out []string
	for _, s := range list.Value {
		out = append(out, textOf(s))
	}
	return out
}

func textOf(v types.AttributeValue) string {
	s, ok := v.(*types.AttributeValueMemberS)
	if !ok {
		return ""
	}
	return s.Value
}

func blobOf(v types.AttributeValue) []byte {
	b, ok := v.(*types.AttributeValueMemberB)
	if !ok {
		return nil
	}
	return b.Value
}

func numberOf(v types.AttributeValue) int64 {
	n, ok := v.(*types.AttributeValueMemberN)
	if !ok {
		return 0
	}
	i, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		return 0
	}
	return i
}

func recordItem(r *store.Record) item {
	it := key(pkVault+r.ID, skVault)
	it["_id"], it["_v"], it["_hs"] = text(r.ID), number(int64(r.Encoding)), blob(r.Suite)
	if r.Domain == nil {
		it["_sk"], it["_pk"] = blob(r.WrappedKey), blob(r.PublicKey)
	} else {
		encs := &types.AttributeValueMemberM{Value: item{}} // there also without any, so that one can be added
		for ref, enc := range r.Encs {
			encs.Value[ref] = blob(enc)
		}
		it["_kd"], it["_ke"], it["_en"] = blob(r.Domain), number(int64(r.Epoch)), encs
	}
	it["_ct"], it["_mt"] = number(r.Created), number(r.Modified)
	if r.KeyContext {
		it["_kc"] = number(1)
	}
	if r.KeyMAC != nil {
		it["_km"] = blob(r.KeyMAC)
	}
	if r.ExpireAt != 0 {
		it["expire_at"] = number(r.ExpireAt)
	}
	if len(r.Own) > 0 {
		it["_xf"] = texts(r.Own)
	}
	for name, v := range r.Fields {
		it[name] = value(v)
	}
	return it
}

func value(v store.Value) types.AttributeValue {
	if v.Text {
		return text(string(v.Blob))
	}
	return blob(v.Blob)
}

// record reads a vault item. A field of a type that no field has becomes an empty text, which does not open. Errors:
// store.ErrNotFound for a ghost, store.ErrDamaged.
func (s *Store) record(id string, it item) (*store.Record, error) {
	if name := mistyped(it); name != "" {
		s.damaged.Add(1)
		return nil, fmt.Errorf("dynamo: %s is of another type than ours: %w", name, store.ErrDamaged)
	}
	if it["_sk"] == nil && it["_kd"] == nil {
		return nil, store.ErrNotFound
	}
	expire, ok := seconds(it["expire_at"])
	if !ok {
		s.damaged.Add(1) // the record is served, though its time to live is not known
	}
	r := &store.Record{
		ID: id, Encoding: encodingOf(it["_v"]), Suite: blobOf(it["_hs"]), WrappedKey: blobOf(it["_sk"]),
		PublicKey: blobOf(it["_pk"]), KeyContext: numberOf(it["_kc"]) == 1, KeyMAC: blobOf(it["_km"]),
		Created: numberOf(it["_ct"]), Modified: revision(it["_mt"]), ExpireAt: expire,
		Own: textsOf(it["_xf"]), Fields: map[string]store.Value{},
	}
	if r.Domain = blobOf(it["_kd"]); r.Domain != nil {
		r.Epoch = uint16(numberOf(it["_ke"]))
		r.Encs, _ = encsOf(it["_en"])
	}
	for name, v := range it {
		if schema.Reserved(name) {
			continue
		}
		switch v := v.(type) {
		case *types.AttributeValueMemberB:
			r.Fields[name] = store.Value{Blob: v.Value}
		case *types.AttributeValueMemberS:
			r.Fields[name] = store.Value{Blob: []byte(v.Value), Text: true}
		default:
			s.damaged.Add(1)
			r.Fields[name] = store.Value{Text: true}
		}
	}
	return r, nil
}

// encodingOf reads _v, which old records of the reference lack. It returns 0 for a value that _v cannot have.
func encodingOf(v types.AttributeValue) int {
	if v == nil {
		return store.EncodingBinary
	}
	n, _ := whole(v)
	return int(min(max(n, 0), math.MaxInt32))
}

// entrySort is the sort key of an entry of ours. Times have sixteen digits until the year 2286.
func entrySort(e *store.Entry) string {
	return fmt.Sprintf("%016d##%s##%012d", e.Time, e.Chain, e.Seq)
}

func entryItem(e *store.Entry) item {
	it := key(pkLog+e.VaultID, entrySort(e))
	it["_e"], it["_id"], it["_ct"] = text(e.Event), text(e.VaultID), number(e.Time)
	if e.Reason != "" {
		it["_r"] = text(e.Reason)
	}
	if len(e.Fields) > 0 {
		it["_f"] = texts(e.Fields)
	}
	if e.Chain == "" {
		return it
	}
	it["_w"], it["_n"] = text(e.Chain), number(int64(e.Seq))
	for name, b := range map[string][]byte{"_h": e.Hash, "_p": e.Prev, "_l": e.Link} {
		if b != nil {
			it[name] = blob(b)
		}
	}
	if e.Body != nil {
		it["_a"] = text(string(e.Body))
	}
	return it
}

func (s *Store) entry(vaultID string, it item) store.Entry {
	e := store.Entry{
		VaultID: vaultID, Time: numberOf(it["_ct"]), Event: textOf(it["_e"]), Reason: textOf(it["_r"]),
		Chain: textOf(it["_w"]), Seq: uint64(max(0, numberOf(it["_n"]))),
		Hash: blobOf(it["_h"]), Prev: blobOf(it["_p"]), Link: blobOf(it["_l"]),
	}
	e.Fields = textsOf(it["_f"])
	if body := textOf(it["_a"]); body != "" {
		e.Body = []byte(body)
	}
	sk := textOf(it["sk"])
	if e.Chain != "" && sk != entrySort(&e) || e.Chain == "" && strings.Contains(sk, "##") {
		e.Time = store.TimeAltered
	}
	if !legible(it) {
		s.damaged.Add(1)
		e.Event = store.EventUnreadable
	}
	return e
}

func idemItem(i *store.Idempotency) item {
	it := key(pkIdem+i.Key, skVault)
	it["_id"], it["_mac"], it["expire_at"] = text(i.VaultID), blob(i.MAC), number(i.ExpireAt)
	return it
}
