package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"redoubt/api/client"
	"redoubt/deploy/local/testkit"
)

// showVault has the API make a vault and open it again, compares, and prints both.
func showVault(ctx context.Context, w io.Writer, s *testkit.Stack) error {
	api, err := client.New(client.Config{URL: "http://" + s.Addresses.API})
	if err != nil {
		return fmt.Errorf("API's client: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	vault, err := api.Create(ctx, sample, client.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create a vault: %w", err)
	}
	opened, err := api.Decrypt(ctx, vault.ID, client.DecryptRequest{
		Fields: slices.Sorted(maps.Keys(sample)), Reason: "demonstration",
		Expressions: map[string]string{maskName: maskSource},
	})
	if err != nil {
		return fmt.Errorf("open the vault: %w", err)
	}
	answer, err := json.Marshal(map[string]any{"data": opened.Data, "errors": opened.Errors})
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	fmt.Fprintf(w, "\nStored through the API as vault %s, and opened from there:\n%s\n", vault.ID, indent(answer))
	if len(opened.Errors) > 0 {
		return errors.New("the API's answer has errors")
	}
	got := make(map[string]string, len(opened.Data))
	for name, value := range opened.Data {
		var text string
		if err := json.Unmarshal(value, &text); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		got[name] = text
	}
	return compareValues(got)
}

// vaultLines print the curl lines for the API.
func vaultLines(w io.Writer, s *testkit.Stack) {
	fmt.Fprintf(w, "\nBy hand, through the API (see http://%[1]s/docs):\n"+
		"  curl -sS http://%[1]s/v1/vaults -H 'Content-Type: application/json' "+
		"-d '{\"first_name\":\"Ada\",\"ssn9\":\"078051120\"}'\n"+
		"  curl -sS http://%[1]s/v1/vaults/ID/decrypt -H 'Content-Type: application/json' "+
		"-d '{\"fields\":[\"first_name\",\"ssn9\"],\"reason\":\"try\",\"expressions\":{\"ssn\":\"ssn9.mask(4)\"}}'\n",
		s.Addresses.API)
}
