package httpapi_test

import (
	"testing"

	"redoubt/api/internal/apitest"
)

func TestConditionsAreThoseOfRFC9110(t *testing.T) {
	a := apitest.New(t)
	made := a.Do("POST", "/v1/vaults", person).WantStatus(200)
	one := "/v1/vaults/" + made.Body[len(`{"id":"`):len(`{"id":"`)+29]
	tag := made.Header.Get("ETag")
	for _, c := range []struct {
		header, value string
		get, patch    int
	}{
		{"If-Match", tag, 200, 200},
		{"If-Match", `"x", ` + tag + `, "y,z"`, 200, 200},
		{"If-Match", "*", 200, 200},
		{"If-Match", ` , "x" ,, ` + tag, 200, 200},
		{"If-Match", `"x", "y"`, 412, 412},
		{"If-Match", "W/" + tag, 412, 412},
		{"If-Match", "", 422, 422},
		{"If-Match", ",", 422, 422},
		{"If-Match", "x", 422, 422},
		{"If-Match", `"x`, 422, 422},
		{"If-Match", `"x" "y"`, 422, 422},
		{"If-Match", "*, " + tag, 422, 422},
		{"If-None-Match", tag, 304, 412},
		{"If-None-Match", `"x", W/` + tag, 304, 412},
		{"If-None-Match", "*", 304, 412},
		{"If-None-Match", `"x"`, 200, 200},
		{"If-None-Match", "", 422, 422},
	} {
		got := a.Do("GET", one, "", c.header, c.value)
		if got.Status != c.get || got.Status == 304 && (got.Body != "" || got.Header.Get("ETag") != tag) {
			t.Errorf("GET with %s: %s: %d %s", c.header, c.value, got.Status, got.Body)
		}
		if got := a.Do("PATCH", one, `{}`, c.header, c.value); got.Status != c.patch {
			t.Errorf("PATCH with %s: %s: %d %s", c.header, c.value, got.Status, got.Body)
		}
		if got := a.Do("DELETE", one, `{}`, c.header, c.value); got.Status != c.patch {
			t.Errorf("DELETE with %s: %s: %d %s", c.header, c.value, got.Status, got.Body)
		}
	}
}

func TestARetryWhoseVaultIsGoneIsToldSo(t *testing.T) {
	a := apitest.New(t)
	made := a.Do("POST", "/v1/vaults", person, "Idempotency-Key", "k").WantStatus(200)
	one := "/v1/vaults/" + made.Body[len(`{"id":"`):len(`{"id":"`)+29]
	a.Do("POST", "/v1/vaults", person, "Idempotency-Key", "k").Want(200, made.Body)
	a.Do("DELETE", one, `{"delete_all":true}`).WantStatus(200)
	a.Do("POST", "/v1/vaults", person, "Idempotency-Key", "k").
		Want(410, `{"statusCode":410,"message":"The vault that this Idempotency-Key made is gone","code":"gone"}`)
}
