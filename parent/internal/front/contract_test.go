package front

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"redoubt/wire/parentapi"
)

// TestTheContractHasTheDecodersMembers compares the members that clients write with those that are read here.
func TestTheContractHasTheDecodersMembers(t *testing.T) {
	var tags []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[parentapi.Request[string]]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		tags = append(tags, name)
	}
	read := keyNames[:]
	slices.Sort(tags)
	if read = slices.Sorted(slices.Values(read)); !slices.Equal(tags, read) {
		t.Errorf("clients write %v, read are %v", tags, read)
	}
}

// TestTheContractHasTheRoutesThatAreServed compares the contract's routes with those that are served.
func TestTheContractHasTheRoutesThatAreServed(t *testing.T) {
	var served []parentapi.Route
	for _, r := range routes[RouteUnknown+1:] {
		method := "GET"
		if r.post {
			method = "POST"
		}
		served = append(served, parentapi.Route{Method: method, Path: r.path, Open: r.open})
	}
	if !slices.Equal(served, parentapi.Routes) {
		t.Errorf("served are %v, the contract has %v", served, parentapi.Routes)
	}
}

func TestARequestOfTheContractIsRead(t *testing.T) {
	for _, include := range [][]string{nil, {}, {"ssn9"}} {
		in := parentapi.Request[[]byte]{
			VaultID: "v_1", Region: "us-east-1", Fields: map[string][]byte{"ssn9": make([]byte, 200)},
			SuiteID: []byte("HPKE\x00\x11\x00\x02\x00\x02"), WrappedKey: []byte("wrapped"), Encoding: "2", KeyContext: 1,
			Expressions: map[string]string{"last": "ssn9.last(4) + '<'"}, Include: include, Compat: true, ReportAccess: true,
		}
		body, err := in.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if absent := !strings.Contains(string(body), `"include":`); absent != (include == nil) {
			t.Errorf("include %v in %s", include, body)
		}
		var r request
		if f := r.decode(body, v1); f != nil {
			t.Fatalf("%v of %s", f, body)
		}
		m := &r.msg
		if string(m.VaultID) != in.VaultID || !m.KeyContext || !m.Compat || !m.ReportAccess || len(m.Fields) != 1 ||
			len(m.Expressions) != 1 || string(m.Expressions[0].Source) != in.Expressions["last"] {
			t.Errorf("%+v", m)
		}
	}
}
