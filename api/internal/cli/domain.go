package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/domainadmin"
	"redoubt/api/internal/domains"
	"redoubt/api/internal/durable"
	"redoubt/api/internal/kmsclient"
	"redoubt/api/internal/store"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/program"
)

type domainCmd struct {
	Create domainCreateCmd `cmd:"" help:"Make a new generation of a domain, held to an enclave's attestation document."`
	List   domainListCmd   `cmd:"" help:"List domains."`
	Show   domainShowCmd   `cmd:"" help:"See all that is known of a domain."`
	Wrap   domainWrapCmd   `cmd:"" help:"Let one more KMS key open a domain."`
	Export domainExportCmd `cmd:"" help:"Write a domain to a file; losing a domain's record loses all its vaults."`
	Import domainImportCmd `cmd:"" help:"Store a domain that was exported."`
	Retire domainRetireCmd `cmd:"" help:"Put nothing new under a generation."`
	Check  domainCheckCmd  `cmd:"" help:"Have an enclave open each wrap of each domain; exit 1 if one does not open."`
}

func auditCaller(c *vault.Caller) audit.Caller {
	return audit.Caller{Principal: c.Name, Source: c.Source, RequestID: c.RequestID}
}

// domainHint says what to do about an error.
func domainHint(err error) error {
	for _, c := range []struct {
		is   error
		text string
	}{
		{domainadmin.ErrExpected, "give --pcrs FILE, as `eif build` writes it, and --configuration DIGEST, the enclave's"},
		{domainadmin.ErrAttestation, "is this the image, and the configuration, of the enclaves behind --parent-url?"},
		{domainadmin.ErrTaken, "look at it: api domain show"},
		{domainadmin.ErrMeanwhile, "look at it: api domain show"},
		{domainadmin.ErrOpen, "does the key's policy allow the enclave's image, and does its file list the key?"},
		{domainadmin.ErrProof, "import into the account that exported it, or name the hash that you noted then: --pin HASH"},
		{domainadmin.ErrPin, "this is another domain than the one that you noted"},
		{domains.ErrUntrusted, "import it from an export: api domain import FILE"},
		{store.ErrNoDomains, "name the tables with --key-table and --domain-table"},
		{store.ErrNotFound, "see them with: api domain list"},
		{kmsclient.ErrDenied, "may this role make data keys for the domain? see DomainCreators of key.yaml"},
	} {
		if errors.Is(err, c.is) {
			return hint(err, c.text)
		}
	}
	return err
}

type domainCreateCmd struct {
	ID            string   `arg:"" help:"${h_domain_id}"`
	Key           []string `required:"" help:"${h_domain_key}" placeholder:"ARN"`
	Generation    uint16   `help:"The generation, 1 to 65535; by default the one after the highest." placeholder:"N"`
	Suites        []string `help:"Suites that vaults may have; the first is the default." default:"X-Wing" enum:"${domain_suites}" placeholder:"SUITE"`
	RequestSuites []string `help:"Suites of keys to which callers seal requests, two at most." enum:"${domain_suites}" placeholder:"SUITE"`
	PCRs          []string `name:"pcrs" required:"" type:"existingfile" help:"${h_pcrs}" placeholder:"FILE"`
	Configuration string   `required:"" help:"${h_configuration}" placeholder:"DIGEST"`
	Evidence      string   `help:"${h_evidence}" type:"path" placeholder:"FILE"`
	Root          string   `name:"attestation-root-file" type:"existingfile" help:"${h_attestation_root}" placeholder:"FILE"`

	operateFlags `embed:""`
}

// Run makes a domain.
func (cmd *domainCreateCmd) Run(e *env) error {
	q := &operation{Op: opCreate, Create: &domainadmin.Create{
		ID: cmd.ID, Generation: cmd.Generation, Suites: cmd.Suites, RequestSuites: cmd.RequestSuites, KeyARNs: cmd.Key,
		Expect: domainadmin.Expect{Configuration: cmd.Configuration},
	}}
	for _, file := range cmd.PCRs {
		set, err := readPCRs(file)
		if err != nil {
			return err
		}
		q.Create.Expect.PCRs = append(q.Create.Expect.PCRs, set)
	}
	if cmd.Root != "" {
		var err error
		if q.Create.Expect.Root, err = os.ReadFile(cmd.Root); err != nil {
			return err
		}
	}
	return cmd.operator(e, func(do doer) error {
		a, err := do(e.ctx, q)
		if err != nil {
			return err
		}
		if cmd.Evidence != "" {
			if err := durable.WriteFile(cmd.Evidence, a.Document); err != nil {
				return fmt.Errorf("the domain is made, but its evidence is not written: %w", err)
			}
		}
		return printOne(e, a, "made "+describe(a.Domains)+
			"\nexport it now, and keep the file apart from the store: api domain export "+cmd.ID)
	})
}

// readPCRs reads measurements as `eif build` prints them, or the inner object alone.
func readPCRs(file string) (map[int]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var in struct{ Measurements map[string]string }
	if json.Unmarshal(data, &in) != nil || len(in.Measurements) == 0 {
		_ = json.Unmarshal(data, &in.Measurements) // judged below
	}
	out := map[int]string{}
	for i := range 3 {
		if text, ok := in.Measurements[fmt.Sprintf("PCR%d", i)]; ok {
			out[i] = text
		}
	}
	if len(out[0]) == 0 {
		return nil, hint(fmt.Errorf("%s names no PCR0", file), "give the file that `eif build --pcrs FILE` wrote")
	}
	return out, nil
}

// describe is the line of a single generation.
func describe(all []*domainadmin.Status) string {
	lines := make([]string, len(all))
	for i, s := range all {
		lines[i] = s.String()
	}
	return strings.Join(lines, "\n")
}

func printOne(e *env, a *answer, text string) error {
	if len(a.Domains) == 1 {
		return e.print(text, a.Domains[0])
	}
	return e.print(text, map[string]any{"domains": a.Domains})
}

type domainListCmd struct {
	operateFlags `embed:""`
}

// Run lists domains.
func (cmd *domainListCmd) Run(e *env) error {
	return cmd.operator(e, func(do doer) error { return listDomains(e, do, "") })
}

func listDomains(e *env, do doer, id string) error {
	a, err := do(e.ctx, &operation{Op: opList, Domain: id})
	if err != nil {
		return err
	}
	text := describe(a.Domains)
	if len(a.Domains) == 0 {
		text = "no domains"
	}
	if a.Domains == nil {
		a.Domains = []*domainadmin.Status{}
	}
	return e.print(text, map[string]any{"domains": a.Domains})
}

type domainShowCmd struct {
	ID         string `arg:"" help:"The domain."`
	Generation uint16 `help:"The generation, 1 to 65535; by default all." placeholder:"N"`

	operateFlags `embed:""`
}

// Run prints what is known of a domain.
func (cmd *domainShowCmd) Run(e *env) error {
	return cmd.operator(e, func(do doer) error {
		a, err := do(e.ctx, &operation{Op: opList, Domain: cmd.ID})
		if err != nil {
			return err
		}
		shown := []*domainadmin.Status{}
		var text strings.Builder
		for _, s := range a.Domains {
			if cmd.Generation != 0 && s.Generation != cmd.Generation {
				continue
			}
			shown = append(shown, s)
			fmt.Fprintln(&text, s)
			for _, w := range s.Wraps {
				fmt.Fprintln(&text, " ", w.ARN)
			}
		}
		if len(shown) == 0 {
			return domainHint(fmt.Errorf("domain %s: %w", cmd.ID, store.ErrNotFound))
		}
		return e.print(strings.TrimSuffix(text.String(), "\n"), map[string]any{"domains": shown})
	})
}

type domainWrapCmd struct {
	ID         string `arg:"" help:"The domain."`
	Key        string `required:"" help:"ARN of the KMS key." placeholder:"ARN"`
	Generation uint16 `help:"The generation, 1 to 65535; by default the highest active one." placeholder:"N"`

	operateFlags `embed:""`
}

// Run adds a wrap.
func (cmd *domainWrapCmd) Run(e *env) error {
	return cmd.operator(e, func(do doer) error {
		a, err := do(e.ctx, &operation{Op: opWrap, Domain: cmd.ID, Generation: cmd.Generation, KeyARN: cmd.Key})
		if err != nil {
			return err
		}
		return printOne(e, a, "wrapped\n"+describe(a.Domains))
	})
}

type domainExportCmd struct {
	ID         string `arg:"" help:"The domain."`
	File       string `arg:"" optional:"" default:"-" help:"Where to write it, or - for standard output."`
	Generation uint16 `help:"The generation, 1 to 65535; by default the highest active one." placeholder:"N"`

	operateFlags `embed:""`
}

// Run exports a domain.
func (cmd *domainExportCmd) Run(e *env) error {
	return cmd.operator(e, func(do doer) error {
		a, err := do(e.ctx, &operation{Op: opExport, Domain: cmd.ID, Generation: cmd.Generation})
		if err != nil {
			return err
		}
		data, err := json.Marshal(a.Exported)
		if err != nil {
			return err
		}
		data = append(data, '\n')
		if cmd.File == "-" {
			_, err := e.out.Write(data)
			return err
		}
		if err := durable.WriteFile(cmd.File, data); err != nil {
			return err
		}
		return e.print("exported to "+cmd.File, map[string]any{"file": cmd.File, "generation": a.Exported.Generation})
	})
}

type domainImportCmd struct {
	File string `arg:"" help:"What api domain export wrote, or - for standard input."`
	Pin  string `help:"${h_pin}" placeholder:"HASH"`

	operateFlags `embed:""`
}

// maxExport bounds an exported domain, in bytes.
const maxExport = 64 << 10

// Run imports a domain.
func (cmd *domainImportCmd) Run(e *env) error {
	in := e.in
	if cmd.File != "-" {
		f, err := os.Open(cmd.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	x := &domainadmin.Exported{}
	data, err := io.ReadAll(io.LimitReader(in, maxExport))
	if err != nil {
		return err
	}
	if json.Unmarshal(data, x) != nil || len(x.Record) == 0 {
		return hint(errors.New("this is no exported domain"), "give a file that api domain export wrote")
	}
	return cmd.operator(e, func(do doer) error {
		a, err := do(e.ctx, &operation{Op: opImport, Exported: x, Pin: cmd.Pin})
		if err != nil {
			return err
		}
		return printOne(e, a, "imported "+describe(a.Domains))
	})
}

type domainRetireCmd struct {
	ID         string `arg:"" help:"The domain."`
	Generation uint16 `required:"" help:"The generation, 1 to 65535." placeholder:"N"`

	operateFlags `embed:""`
}

// Run retires a generation.
func (cmd *domainRetireCmd) Run(e *env) error {
	if cmd.Generation == 0 {
		return program.Mistake("--generation counts from 1")
	}
	return cmd.operator(e, func(do doer) error {
		a, err := do(e.ctx, &operation{Op: opRetire, Domain: cmd.ID, Generation: cmd.Generation})
		if err != nil {
			return err
		}
		return printOne(e, a, "retired\n"+describe(a.Domains))
	})
}

type domainCheckCmd struct {
	ID string `arg:"" optional:"" help:"The domain; by default all."`

	operateFlags `embed:""`
}

var errDomainCheck = hint(errors.New("some domains are not believed, or a wrap of them does not open"),
	"add a wrap while another opens: api domain wrap; import what is not believed: api domain import")

// Run checks domains.
func (cmd *domainCheckCmd) Run(e *env) error {
	return cmd.operator(e, func(do doer) error {
		a, err := do(e.ctx, &operation{Op: opCheck, Domain: cmd.ID})
		if err != nil {
			return undecided{err}
		}
		var text strings.Builder
		bad := 0
		for _, s := range a.Domains {
			fmt.Fprintln(&text, s)
			for _, w := range s.Wraps {
				word := "opens"
				if !w.Opens {
					word = "DOES NOT OPEN: " + w.Problem
				}
				fmt.Fprintln(&text, " ", w.ARN, word)
			}
			if !s.Fine() {
				bad++
			}
		}
		fmt.Fprintf(&text, "%d generations, %d with a problem", len(a.Domains), bad)
		if a.Domains == nil {
			a.Domains = []*domainadmin.Status{}
		}
		if err := e.print(text.String(), map[string]any{"domains": a.Domains}); err != nil {
			return err
		}
		if bad > 0 {
			return errDomainCheck
		}
		return nil
	})
}
