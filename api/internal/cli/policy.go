package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"redoubt/wire/kit/policy"
	"redoubt/wire/kit/program"
)

type policyCmd struct {
	Key     policyKeyCmd     `cmd:"" help:"Make a key that signs policies."`
	Sign    policySignCmd    `cmd:"" help:"Sign a policy, after it was checked."`
	Verify  policyVerifyCmd  `cmd:"" help:"Check a policy's signatures, version and time as an enclave will."`
	Show    policyShowCmd    `cmd:"" help:"Show what a policy says. Signatures are not checked."`
	Test    policyTestCmd    `cmd:"" help:"Ask a policy the questions of files of cases. Signatures are not checked."`
	Explain policyExplainCmd `cmd:"" help:"Say which rule of a policy allows or refuses something. Signatures are not checked."`
}

type policyKeyCmd struct {
	Name string `arg:"" help:"Name of the key, as signatures show it: no spaces, no plus sign."`
	Out  string `arg:"" help:"New file for the private key." type:"path"`
}

// Run makes a key. It prints the public half.
func (cmd *policyKeyCmd) Run(e *env) error {
	private, public, err := note.GenerateKey(rand.Reader, cmd.Name)
	if err != nil {
		return err
	}
	if _, err := note.NewVerifier(public); err != nil {
		return program.Mistake("a key's name has no spaces and no plus sign")
	}
	file, err := os.OpenFile(cmd.Out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return hint(err, "a key is never overwritten: name a new file")
	}
	_, err = file.WriteString(private + "\n")
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return e.print(public, map[string]string{"name": cmd.Name, "key": public})
}

type policySignCmd struct {
	File string   `arg:"" help:"The policy. If it is signed already, its signatures stay." type:"path"`
	Key  []string `help:"File of a private key that api policy key made; repeatable." required:"" sep:"none" type:"path" placeholder:"FILE"`
	Out  string   `help:"Where to write the signed policy; standard output by default." type:"path" placeholder:"FILE"`
}

// Run signs.
func (cmd *policySignCmd) Run(e *env) error {
	data, err := readPolicy(cmd.File)
	if err != nil {
		return err
	}
	var signers []note.Signer
	for _, path := range cmd.Key {
		text, err := readSecret(path)
		if err != nil {
			return err
		}
		s, err := note.NewSigner(text)
		if err != nil {
			return hint(errors.New("policy: malformed private key"), "make one with: api policy key NAME FILE")
		}
		signers = append(signers, s)
	}
	signed, err := policy.Sign(data, signers...)
	if err != nil {
		return err
	}
	if cmd.Out != "" {
		if err := os.WriteFile(cmd.Out, signed, 0o644); err != nil { //nolint:gosec // a policy is public
			return err
		}
		_, names := policy.Text(signed)
		return e.print("signed by "+strings.Join(names, ", "), map[string]any{"signers": names})
	}
	return e.print(strings.TrimSuffix(string(signed), "\n"), map[string]string{"policy": string(signed)})
}

type policyVerifyCmd struct {
	File       string        `arg:"" help:"The signed policy." type:"path"`
	Key        []string      `help:"Public key that may sign, NAME+HASH+KEY; repeatable." required:"" sep:"none" placeholder:"KEY"`
	Threshold  int           `help:"How many of the keys must have signed, 1 to 32." default:"1" placeholder:"N"`
	MinVersion uint32        `help:"Least version, 0 to 4294967295." placeholder:"N"`
	MaxAge     time.Duration `help:"Greatest age by the time of issue, 0s to 876000h; 0s for any." placeholder:"TIME"`
}

// Run verifies.
func (cmd *policyVerifyCmd) Run(e *env) error {
	data, err := readPolicy(cmd.File)
	if err != nil {
		return err
	}
	if err := errors.Join(program.Range("--threshold", cmd.Threshold, 1, 32),
		program.Range("--max-age", cmd.MaxAge, 0, maxExpires)); err != nil {
		return err
	}
	trust, err := policy.NewTrust(cmd.Key, cmd.Threshold, cmd.MinVersion, cmd.MaxAge)
	if err != nil {
		return hint(err, "each --key is another key's public half, as api policy key prints it; --threshold is 1 or more")
	}
	p, err := trust.Open(data, nil, time.Now())
	if err != nil {
		return err
	}
	d := p.Document()
	return e.print(fmt.Sprintf("version %d, issued %s, ends %s: good", d.Version, d.Issued.Format(time.RFC3339),
		d.NotAfter.Format(time.RFC3339)), map[string]any{"version": d.Version, "issued": d.Issued, "not_after": d.NotAfter})
}

// readPolicy reads a file that is not longer than a policy may be.
func readPolicy(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > policy.MaxText {
		err = errors.New("policy: the file is longer than a policy may be")
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// loadPolicy reads a policy for those who judge nothing by it.
func loadPolicy(path string) (*policy.Policy, []string, error) {
	data, err := readPolicy(path)
	if err != nil {
		return nil, nil, err
	}
	text, signers := policy.Text(data)
	d, err := policy.ParseDocument(text)
	if err != nil {
		return nil, nil, err
	}
	p, err := policy.Compile(d)
	return p, signers, err
}

type policyTestCmd struct {
	File  string   `arg:"" help:"The policy, signed or not." type:"path"`
	Cases []string `arg:"" help:"Files of cases." type:"path"`
}

// caseResult is a case that does not hold.
type caseResult struct {
	File     string   `json:"file"`
	Name     string   `json:"name"`
	Findings []string `json:"findings"`
}

// Run asks.
func (cmd *policyTestCmd) Run(e *env) error {
	p, _, err := loadPolicy(cmd.File)
	if err != nil {
		return err
	}
	total, failed := 0, []caseResult{}
	for _, path := range cmd.Cases {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		cases, err := policy.ParseCases(string(data))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		total += len(cases)
		for i := range cases {
			if findings := p.Test(&cases[i]); len(findings) > 0 {
				failed = append(failed, caseResult{path, cases[i].Name, findings})
			}
		}
	}
	if total == 0 {
		return errors.New("policy: no cases")
	}
	lines := make([]string, 0, len(failed)+1)
	for _, f := range failed {
		lines = append(lines, fmt.Sprintf("%s: %s: %s", f.File, f.Name, strings.Join(f.Findings, "; ")))
	}
	lines = append(lines, fmt.Sprintf("%d of %d cases hold", total-len(failed), total))
	if err := e.print(strings.Join(lines, "\n"), map[string]any{"cases": total, "failed": failed}); err != nil {
		return err
	}
	if len(failed) > 0 {
		return errors.New("policy: not all cases hold")
	}
	return nil
}
