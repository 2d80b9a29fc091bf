package command

import (
	"testing"

	"github.com/alecthomas/kong"

	"redoubt/wire/kit/test/pages"
)

func TestTheReferenceIsCurrent(t *testing.T) {
	vars := Vars()
	vars["arch"], vars["testbed"] = "this machine's", "TESTBED" // the page does not depend on the machine
	k, err := kong.New(&CLI{}, kong.Name("eif"), kong.Vars(vars))
	if err != nil {
		t.Fatal(err)
	}
	pages.Reference(t, "eif", pages.Flags(t, k.Model))
}
