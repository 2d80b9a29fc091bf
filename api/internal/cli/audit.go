package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/durable"
	"redoubt/api/internal/kmsclient"
	"redoubt/api/internal/store"
	"redoubt/api/internal/store/bolt"
)

type auditCmd struct {
	Show   auditShowCmd   `cmd:"" help:"Read a vault's audit log: who opened what, and how much of it was released."`
	Verify auditVerifyCmd `cmd:"" help:"Check every vault's log; exit 1 if an entry was removed or altered, 3 if that could not be found out."`
}

type auditVerifyCmd struct {
	Since   string `help:"${h_since}" type:"path" placeholder:"FILE"`
	Write   string `name:"write-checkpoint" help:"${h_write}" placeholder:"FILE"`
	Cutover string `name:"legacy-cutover" help:"${h_verify_cutover}" env:"API_LEGACY_CUTOVER" placeholder:"TIME"`
	Keyed   string `name:"keyed-since" help:"${h_keyed}" env:"API_AUDIT_KEYED_SINCE" placeholder:"TIME"`
	Resume  string `help:"${h_resume}" type:"path" placeholder:"FILE"`
	Admin   string `help:"The server's socket." env:"API_ADMIN" placeholder:"FILE"`

	storeFlags `embed:""`
	macFlags   `embed:""`
}

var errTampered = errors.New("the audit log has problems")

// Run verifies. An error other than errTampered means that there is no verdict.
func (cmd *auditVerifyCmd) Run(e *env) error {
	ctx, stop := signal.NotifyContext(e.ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := cmd.verify(ctx, e)
	switch {
	case err == nil || errors.Is(err, errTampered):
		return err
	case ctx.Err() != nil:
		err = hint(errors.New("ended before all was read"), "with --resume FILE the next run goes on where this one ended")
	case errors.Is(err, audit.ErrJournal):
		err = hint(err, "remove the file that --resume names, to begin anew")
	}
	return undecided{err}
}

func (cmd *auditVerifyCmd) verify(ctx context.Context, e *env) error {
	known, err := cmd.known()
	if err != nil {
		return err
	}
	kms, err := cmd.kms(ctx, cmd.Region)
	if err != nil {
		return err
	}
	keys, err := kmsclient.NewMAC(kms)
	if err != nil {
		return err
	}
	j, err := cmd.journal()
	if err != nil {
		return err
	}
	defer j.close()
	known.Journal, known.Visited = j.journal(cmd.name()), progress(e.errOut)
	st, done, err := cmd.snapshot(ctx)
	if err != nil {
		return err
	}
	defer done()
	r, err := audit.Verify(ctx, st, keys, known)
	if err != nil {
		return cmd.partial(e, r, err)
	}
	if err := errors.Join(cmd.report(e, r), j.remove()); err != nil {
		return err
	}
	switch {
	case len(r.Problems) == 0:
		return cmd.write(r)
	case cmd.Write != "":
		return hint(errTampered, "the checkpoint was left as it is; after a restore, or once the cause is known, "+
			"write the next one to a new file")
	}
	return errTampered
}

// partial reports what was found before an error. A problem is a problem whatever the rest would have shown.
func (cmd *auditVerifyCmd) partial(e *env, r *audit.Report, err error) error {
	if len(r.Problems) == 0 {
		return err
	}
	if err := cmd.report(e, r); err != nil {
		return err
	}
	return fmt.Errorf("%w; and not all was read: %w", errTampered, err)
}

// known collects what the flags say about the log. The checkpoint that will be replaced must hold too. Otherwise the
// next one would confirm what the one before contradicts.
func (cmd *auditVerifyCmd) known() (*audit.Options, error) {
	var o audit.Options
	var err error
	if o.Cutover, err = parseCutover(cmd.Cutover); err != nil {
		return nil, err
	}
	if o.Keyed, err = parseTime("--keyed-since", cmd.Keyed); err != nil {
		return nil, err
	}
	if cmd.Since != "" {
		c, err := readCheckpoint(cmd.Since)
		if err != nil {
			return nil, err
		}
		o.Since = append(o.Since, c)
	}
	if cmd.Write != "" {
		c, err := readCheckpoint(cmd.Write)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return &o, nil
		case err != nil:
			return nil, hint(err, "--write-checkpoint replaces a checkpoint, or makes one where no file is")
		}
		o.Since = append(o.Since, c)
	}
	return &o, nil
}

func readCheckpoint(path string) (audit.Checkpoint, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return audit.Checkpoint{}, err
	}
	c, err := audit.ParseCheckpoint(data)
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// write writes the checkpoint of a log without problems.
func (cmd *auditVerifyCmd) write(r *audit.Report) error {
	if cmd.Write == "" {
		return nil
	}
	data, err := r.Heads.Marshal()
	if err != nil {
		return err
	}
	return durable.WriteFile(cmd.Write, data)
}

func (cmd *auditVerifyCmd) report(e *env, r *audit.Report) error {
	var text strings.Builder
	for _, p := range r.Problems {
		fmt.Fprintf(&text, "vault %s chain %s entry %d: %s\n", p.VaultID, p.Chain, p.Seq, p.Text)
	}
	fmt.Fprintf(&text, "%d vaults, %d chains, %d entries (%d without a MAC as those of earlier releases, %d without a "+
		"chain as the reference's, %d of them after the cut-over), %d problems\n", r.Vaults, r.Chains, r.Entries,
		r.Unkeyed, r.Legacy, r.Late, len(r.Problems))
	text.WriteString(cmd.proven(r))
	return e.print(text.String(), r)
}

// proven says from when to when the log proves anything, and against whom.
func (cmd *auditVerifyCmd) proven(r *audit.Report) string {
	if r.Keyed == 0 {
		return "no entry has a MAC: anybody who can write to the store could have written this log"
	}
	text := fmt.Sprintf("entries with a MAC: %d, from %s on; %d are in checkpoints", r.Keyed,
		r.ProvenFrom.Format(time.RFC3339), r.Checkpointed)
	if newer := r.Keyed - r.Checkpointed; newer > 0 && len(r.Problems) == 0 {
		text += fmt.Sprintf(", so none is missing up to %s; from then on %d are newer, of which some could have been cut off",
			r.ProvenTo.Format(time.RFC3339), newer)
	}
	if cmd.Since == "" {
		text += "\nthe store as a whole could have been put back: only a checkpoint from outside it shows that (--since)"
	}
	return text
}

// snapshot opens the store for reading. An embedded store that is being served is read from a copy that the server
// makes.
func (cmd *auditVerifyCmd) snapshot(ctx context.Context) (store.Store, func(), error) {
	st, err := cmd.reading(ctx, cmd.Admin)
	if err != nil {
		return nil, nil, err
	}
	return st, func() { _ = st.Close() }, nil // only read
}

// copyOf asks the server for a backup and opens it.
func copyOf(ctx context.Context, socket string) (*bolt.Store, error) {
	resp, err := adminCall(ctx, socket, http.MethodGet, "/backup", nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return bolt.ReadBackup(resp.Body, os.TempDir())
}
