package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/kms"
	"redoubt/wire/parentapi"
)

// sample is a person who does not exist; 078-05-1120 is the number that was never one.
var sample = map[string]string{
	"first_name": "Ada", "last_name": "Example", "email": "ada@example.com", "ssn9": "078051120", "dob": "1990-12-10",
}

// The demonstration's expression and what it must give.
const (
	maskName   = "ssn_masked"
	maskSource = "ssn9.mask(4)"
	maskWant   = "*****1120"
)

const answerTimeout = 15 * time.Second

// show seals a record, has it opened, compares, and prints both with the curl lines for more.
func show(ctx context.Context, w io.Writer, s *testkit.Stack, examples string) error {
	client := testkit.KMSClient(s.Addresses.KMS)
	rec, err := testkit.Seal(ctx, client, testkit.RecordOptions{
		VaultID: "v_demo", Key: kms.AliasSymmetric, Context: true, Fields: sample,
	})
	if err != nil {
		return err
	}
	request := rec.Request(map[string]string{maskName: maskSource})
	request.Include = slices.Sorted(maps.Keys(sample))
	body, err := request.JSON()
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	url := "http://" + s.Addresses.Parent
	fmt.Fprintf(w, "Sealed (encoding 3, P-384; the key wrapped by the KMS stand-in):\n%s\n", indent(body))
	answer, err := post(ctx, url+parentapi.PathV1Decrypt, body)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nOpened by the enclave, asked through the parent, with %s = %s:\n%s\n", maskName, maskSource,
		indent(answer))
	if err := compare(answer); err != nil {
		return err
	}
	if err := showVault(ctx, w, s); err != nil {
		return err
	}
	if err := showCosts(ctx, w, s); err != nil {
		return err
	}
	if examples == "" {
		return nil
	}
	vaultLines(w, s)
	return writeExamples(ctx, w, s, examples)
}

// compare demands that the answer holds the sample and the masked field, and nothing else.
func compare(answer []byte) error {
	var got struct {
		Fields map[string]string
		Errors map[string]json.RawMessage
	}
	if err := json.Unmarshal(answer, &got); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if len(got.Errors) > 0 {
		return errors.New("the answer has errors")
	}
	return compareValues(got.Fields)
}

func compareValues(got map[string]string) error {
	if len(got) != len(sample)+1 || got[maskName] != maskWant {
		return errors.New("the answer is not what was sealed")
	}
	for name, value := range sample {
		if got[name] != value {
			return errors.New("the answer is not what was sealed: field " + name)
		}
	}
	return nil
}

// writeExamples makes a record in each encoding, whose keys are wrapped by Encrypt and without encryption context as
// the reference's are, and prints curl lines that have them opened by the reference's route.
func writeExamples(ctx context.Context, w io.Writer, s *testkit.Stack, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("examples: %w", err)
	}
	fmt.Fprintln(w, "\nBy hand, through the parent alone, one record in each encoding:")
	for _, encoding := range []sealed.Encoding{sealed.EncodingHex, sealed.EncodingField, sealed.EncodingRecord} {
		rec, err := testkit.Seal(ctx, testkit.KMSClient(s.Addresses.KMS), testkit.RecordOptions{
			VaultID: fmt.Sprintf("v_example%d", encoding), Key: kms.AliasSymmetric, Encoding: encoding,
			WrapLocal: true, Fields: sample,
		})
		if err != nil {
			return err
		}
		body, err := rec.Request(map[string]string{"age": "date(dob).age()"}).JSON()
		if err != nil {
			return fmt.Errorf("examples: %w", err)
		}
		path := filepath.Join(dir, fmt.Sprintf("encoding-%d.json", encoding))
		if err := os.WriteFile(path, body, 0o600); err != nil {
			return fmt.Errorf("examples: %w", err)
		}
		fmt.Fprintf(w, "  curl -sS http://%s/decrypt -H 'Content-Type: application/json' -d @%s\n",
			s.Addresses.Parent, path)
	}
	fmt.Fprintf(w, "  curl -sS http://%s/ready\n  curl -sS http://%s/metrics\n", s.Addresses.Parent,
		s.Addresses.ParentMetrics)
	fmt.Fprintf(w, "Make the KMS stand-in fail, and mend it:\n"+
		"  curl -sS http://%[1]s/_admin/faults -d '{\"kind\":\"throttle\",\"operation\":\"Decrypt\"}'\n"+
		"  curl -sS http://%[1]s/_admin/counters\n  curl -sS -X DELETE http://%[1]s/_admin/faults\n", s.Addresses.KMS)
	return nil
}

func post(ctx context.Context, url string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d: %s", req.URL.Path, resp.StatusCode, bytes.TrimSpace(answer))
	}
	return answer, nil
}

func indent(data []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, data, "  ", "  ") != nil {
		return string(data)
	}
	return "  " + b.String()
}
