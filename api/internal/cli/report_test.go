package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"redoubt/wire/awsconfig"
)

func TestACommandWithoutCredentialsSaysWhatToDo(t *testing.T) {
	err := fmt.Errorf("dynamo: read: %w", &awsconfig.CredentialsError{Reason: "none"})
	var out bytes.Buffer
	if status := report(&out, err); status == 0 || !strings.Contains(out.String(), "hint: "+awsconfig.Hint) {
		t.Errorf("status %d: %s", status, out.String())
	}
	if got := outcome(err); got != "no_credentials" {
		t.Errorf("outcome %s", got)
	}
}
