package dynamo_test

import (
	"encoding/hex"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/audit"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
	"redoubt/api/internal/store/dynamo"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/pksuid"
	"redoubt/wire/kit/sealed"
)

func s(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
func b(v []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: v} }
func n(v int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(v, 10)}
}

// referenceItem is a vault item as the reference writes it: no encryption context, P-384, a message per field.
func referenceItem(t *testing.T, world *apitest.World, id string, encoding int64, values map[string]string) map[string]types.AttributeValue {
	t.Helper()
	public, wrapped, err := world.NewKeyPair(t.Context(), sealed.P384, nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := sealed.ParsePublicKey(sealed.P384, public)
	if err != nil {
		t.Fatal(err)
	}
	plain := map[string][]byte{}
	for name, v := range values {
		plain[name] = []byte(v)
	}
	blobs, err := sealed.SealFields(sealed.P384, key, id, plain)
	if err != nil {
		t.Fatal(err)
	}
	suite, _ := hex.DecodeString("48504b45001100020002")
	item := map[string]types.AttributeValue{
		"pk": s("VAULT##" + id), "sk": s("v0"), "_id": s(id), "_v": n(encoding), "_hs": b(suite), "_sk": b(wrapped), "_pk": b(public),
		"_ct": n(1_735_000_000_000_000), "_mt": n(1_735_000_000_000_000),
	}
	for name, blob := range blobs {
		item[name] = b(blob)
		if encoding == 1 {
			item[name] = s(hex.EncodeToString(blob[:97]) + "#" + hex.EncodeToString(blob[97:]))
		}
	}
	return item
}

// A table that the reference filled is read, patched, decrypted and emptied.
func TestTableOfTheReferenceIsServed(t *testing.T) {
	table, put := dynamo.NewForTest(t)
	world := apitest.NewWorld()
	svc, err := vault.New(vault.Config{
		Store: table, Keys: world, Opener: world, Schema: schema.Default(), Suite: sealed.P384, Encoding: sealed.EncodingRecord,
		Cutover: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC),
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &vault.Caller{Principal: auth.Anonymous()}
	decrypt := func(id string, want map[string]string) {
		t.Helper()
		req := &vault.DecryptRequest{ID: id, Reason: "test"}
		for name := range want {
			req.Fields = append(req.Fields, name)
		}
		out, err := svc.Decrypt(t.Context(), c, req)
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range want {
			if string(out.Data[name]) != v {
				t.Fatalf("%s: %s is %s, want %s; errors %v", id, name, out.Data[name], v, out.Errors)
			}
		}
	}
	for _, encoding := range []int64{1, 2} {
		id := pksuid.New("v", time.Date(2024, 12, 24, 0, 0, 0, 0, time.UTC))
		put(referenceItem(t, world, id, encoding, map[string]string{"email": "a@example.com", "ssn9": "123456789", "ssn4": "6789"}))
		put(map[string]types.AttributeValue{
			"pk": s("LOG##" + id), "sk": s("1735000000000000"), "_e": s("CreateVault"), "_id": s(id), "_ct": n(1_735_000_000_000_000),
			"_f": &types.AttributeValueMemberL{Value: []types.AttributeValue{s("email"), s("ssn9")}},
		})
		seen, _, err := svc.Presence(t.Context(), c, id, []string{"email", "city"})
		if err != nil || !seen["email"] || seen["city"] {
			t.Fatalf("presence %v, %v", seen, err)
		}
		decrypt(id, map[string]string{"email": `"a@example.com"`, "ssn9": `"123456789"`, "city": "null"})
		if _, err := svc.Patch(t.Context(), c, &vault.PatchRequest{ID: id, Values: map[string]string{"city": "Bern"}}); err != nil {
			t.Fatal(err)
		}
		decrypt(id, map[string]string{"email": `"a@example.com"`, "ssn4": `"6789"`, "city": `"Bern"`})
		if r, err := table.Get(t.Context(), id); err != nil || r.Encoding != store.EncodingBinary || r.KeyContext {
			t.Fatalf("record %+v, %v", r, err)
		}
		if err := svc.Delete(t.Context(), c, &vault.DeleteRequest{ID: id, Fields: []string{"ssn9"}}); err != nil {
			t.Fatal(err)
		}
		decrypt(id, map[string]string{"ssn9": "null", "city": `"Bern"`})
	}
	fresh, err := svc.Create(t.Context(), c, &vault.CreateRequest{Values: map[string]string{"city": "Basel"}, IdempotencyKey: "k", TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	decrypt(fresh.ID, map[string]string{"city": `"Basel"`})
	report, err := audit.Verify(t.Context(), table, world, nil)
	if err != nil || len(report.Problems) != 0 || report.Legacy != 2 || report.Entries != 2*6+2 {
		t.Fatalf("report %+v, %v", report, err)
	}
	list, _, err := svc.List(t.Context(), c, store.Page{})
	if err != nil || len(list) != 3 {
		t.Fatalf("list %v, %v", list, err)
	}
	for _, l := range list {
		if err := svc.Delete(t.Context(), c, &vault.DeleteRequest{ID: l.ID, All: true}); err != nil {
			t.Fatal(err)
		}
	}
}
