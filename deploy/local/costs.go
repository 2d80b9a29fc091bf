package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/kms"
	"redoubt/wire/parentapi"
)

// reads is how many vaults of each kind are read to say what a read costs.
const reads = 31

// showCosts has vaults of both kinds opened through the parent, and prints the median of what a read of each kind
// takes: hot, and cold with a key that the enclave unwraps by itself or by KMS.
func showCosts(ctx context.Context, w io.Writer, s *testkit.Stack) error {
	byKMS, err := kmsBodies(ctx, s)
	if err != nil {
		return err
	}
	byDomain, err := domainBodies(ctx, s)
	if err != nil {
		return err
	}
	url := "http://" + s.Addresses.Parent + parentapi.PathV1Decrypt
	// The first read of each kind also opens connections, and the domain.
	cold, hot, err := medians(ctx, url, byDomain)
	if err != nil {
		return err
	}
	slow, _, err := medians(ctx, url, byKMS)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nWhat a read takes through parent and enclave, the median of %d:\n"+
		"  hot, its key is in the enclave:           %v\n"+
		"  cold, its key is under a domain:          %v, no call to KMS\n"+
		"  cold, its key was made by KMS:            %v, and some 10 ms more for a call to KMS, which the stand-in "+
		"answers at once\n", reads-1, hot, cold, slow)
	return nil
}

// medians asks for each twice, and returns what the first and the second answer took.
func medians(ctx context.Context, url string, bodies [][]byte) (first, second time.Duration, err error) {
	var took [2][]time.Duration
	for i, body := range bodies {
		for turn := range took {
			begun := time.Now()
			answer, err := post(ctx, url, body)
			if err != nil {
				return 0, 0, err
			}
			if i > 0 {
				took[turn] = append(took[turn], time.Since(begun))
			}
			if err := opened(answer); err != nil {
				return 0, 0, err
			}
		}
	}
	for i := range took {
		slices.Sort(took[i])
	}
	round := func(all []time.Duration) time.Duration { return all[len(all)/2].Round(10 * time.Microsecond) }
	return round(took[0]), round(took[1]), nil
}

// opened demands that the answer holds the one field.
func opened(answer []byte) error {
	var got struct{ Fields map[string]string }
	if err := json.Unmarshal(answer, &got); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if got.Fields["ssn9"] != sample["ssn9"] {
		return errors.New("the answer is not what was sealed")
	}
	return nil
}

// kmsBodies are requests for vaults whose keys KMS made.
func kmsBodies(ctx context.Context, s *testkit.Stack) (out [][]byte, err error) {
	for i := range reads {
		rec, err := testkit.Seal(ctx, testkit.KMSClient(s.Addresses.KMS), testkit.RecordOptions{
			VaultID: fmt.Sprintf("v_cost%d", i), Key: kms.AliasSymmetric, Context: true,
			Fields: map[string]string{"ssn9": sample["ssn9"]},
		})
		if err != nil {
			return nil, err
		}
		body, err := rec.Request(nil).JSON()
		if err != nil {
			return nil, err
		}
		out = append(out, body)
	}
	return out, nil
}

// domainBodies are requests for vaults whose keys the enclave made.
func domainBodies(ctx context.Context, s *testkit.Stack) (out [][]byte, err error) {
	var of struct {
		Hash   string
		Record []byte
		Suites []string
	}
	if err := get(ctx, "http://"+s.Addresses.API+"/v1/domains?id="+localDomain, &of); err != nil {
		return nil, err
	}
	const nameSize = 64 // hex digits by which requests name a domain
	ask := parentapi.Mint{Domain: of.Hash[:min(nameSize, len(of.Hash))], Count: reads, DomainRecords: [][]byte{of.Record}}
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, err
	}
	answer, err := post(ctx, "http://"+s.Addresses.Parent+parentapi.PathVaultKeys, body)
	if err != nil {
		return nil, err
	}
	var made parentapi.Minted
	if err := json.Unmarshal(answer, &made); err != nil {
		return nil, fmt.Errorf("minted keys: %w", err)
	}
	for _, k := range made.Keys {
		body, err := domainBody(ask.Domain, &k)
		if err != nil {
			return nil, err
		}
		out = append(out, body)
	}
	return out, nil
}

// domainBody seals the sample's number to a key of X-Wing, the stack's suite, and returns the request for it.
func domainBody(domain string, k *parentapi.VaultKey) ([]byte, error) {
	public, err := sealed.NewPublicKey(sealed.XWing, k.PublicKey)
	if err != nil {
		return nil, err
	}
	w, err := sealed.SealRefs(sealed.XWing, public, k.VaultID, map[string][]byte{"ssn9": []byte(sample["ssn9"])})
	if err != nil {
		return nil, err
	}
	ref, suite := sealed.RefOf(w.Enc), sealed.XWing.ID()
	r := parentapi.Request[[]byte]{
		VaultID: k.VaultID, SuiteID: suite[:], WrappedKey: k.WrappedKey, Encoding: "4",
		Domain: domain, Encs: map[string][]byte{hex.EncodeToString(ref[:]): w.Enc}, Fields: w.Fields,
	}
	return r.JSON()
}

func get(ctx context.Context, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d", req.URL.Path, resp.StatusCode)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(into)
}
