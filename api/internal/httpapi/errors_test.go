package httpapi

import (
	"os"
	"strings"
	"testing"
)

// TestTheReadmeSaysWhatToDoOfEachError: a code that a caller may meet stands in its table.
func TestTheReadmeSaysWhatToDoOfEachError(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	codes := []string{
		errTooLarge.code, errLate.code, errMalformed.code, errMediaType.code, "internal", "method_not_allowed",
		"cross_origin", "rate_limited", "fields_too_large", "overloaded", "answer_too_large",
	}
	for _, f := range fixed {
		codes = append(codes, f.as.code)
	}
	for c := range upstreamErrors {
		codes = append(codes, c.String())
	}
	for _, c := range codes {
		if !strings.Contains(string(readme), "`"+c+"`") {
			t.Errorf("%s is not in the table", c)
		}
	}
}
