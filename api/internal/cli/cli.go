package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"redoubt/wire/kit/awsconfig"
	"redoubt/wire/kit/cmdline"
	"redoubt/wire/kit/program"
)

type commands struct {
	Serve      Serve         `cmd:"" help:"Serve the API."`
	Lambda     lambdaCmd     `cmd:"" help:"Serve the API on AWS Lambda; the default when Lambda starts the program."`
	Vault      vaultCmd      `cmd:"" help:"Make, look at and open vaults through a running API."`
	Key        keyCmd        `cmd:"" help:"Make, list and revoke API keys."`
	Audit      auditCmd      `cmd:"" help:"Read and verify audit logs."`
	Domain     domainCmd     `cmd:"" help:"Make and keep domains, whose secrets give vaults their keys."`
	Reseal     resealCmd     `cmd:"" help:"Give all vaults a key of the generation that is written to; goes on where it ended."`
	Policy     policyCmd     `cmd:"" help:"Sign, check, show and test the policy of sealed requests, which no tier uses yet."`
	Store      storeCmd      `cmd:"" help:"Check the embedded store."`
	Backup     backupCmd     `cmd:"" help:"Copy the embedded store to a file, also while it serves."`
	Restore    restoreCmd    `cmd:"" help:"Replace the embedded store's content by a backup, also while it serves."`
	Completion completionCmd `cmd:"" help:"Print a completion script for bash or zsh."`

	JSON    bool             `name:"json" help:"Print results as JSON."`
	Version kong.VersionFlag `help:"Print the version and exit."`
}

// env is the environment in which commands run.
type env struct {
	ctx    context.Context
	in     io.Reader
	out    io.Writer
	errOut io.Writer
	json   bool
	model  *kong.Application

	version string
}

// print writes a result: text, or with --json the value.
func (e *env) print(text string, value any) error {
	if !e.json {
		_, err := fmt.Fprintln(e.out, text)
		return err
	}
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, string(data))
	return err
}

// hinted is an error with advice.
type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

func hint(err error, text string) error {
	if err == nil {
		return nil
	}
	return &hinted{err, text}
}

// Main runs a command line and returns the exit status. version is what --version and the metrics show.
func Main(args []string, version string, in io.Reader, out, errOut io.Writer) int {
	var c commands
	parser, err := newParser(&c, version, out, errOut)
	if err != nil {
		return program.Fail(errOut, "api", err)
	}
	if len(args) == 0 && os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		args = []string{"lambda"} // provided.al2023 starts "bootstrap" without arguments
	}
	kc, status := cmdline.Parse(parser, args)
	if kc == nil {
		return status
	}
	if err := kc.Run(&env{
		ctx: context.Background(), version: version, model: parser.Model, in: in, out: out,
		errOut: errOut, json: c.JSON,
	}); err != nil {
		return report(errOut, err)
	}
	return program.OK
}

func newParser(c *commands, version string, out, errOut io.Writer) (*kong.Kong, error) {
	return cmdline.New("api", version, c, out, errOut,
		kong.Description("Redoubt's vault API: stores personal data sealed, opens it in attested enclaves only."),
		defaults, helps,
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
}

// undecided is an error after which a command that should judge has no verdict.
type undecided struct{ error }

func (u undecided) Unwrap() error { return u.error }

func report(errOut io.Writer, err error) int {
	status := program.Fail(errOut, "api", err)
	if errors.As(err, &undecided{}) && status == program.Failed {
		status = program.Unsure
	}
	var h *hinted
	switch {
	case errors.As(err, &h):
		_, _ = fmt.Fprintln(errOut, "hint:", h.hint)
	case errors.Is(err, awsconfig.ErrNoCredentials):
		_, _ = fmt.Fprintln(errOut, "hint:", awsconfig.Hint)
	}
	return status
}

// readSecret reads a file that holds one secret, without the line end.
func readSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for len(data) > 0 && (data[len(data)-1] == '\n' || data[len(data)-1] == '\r') {
		data = data[:len(data)-1]
	}
	return string(data), nil
}
