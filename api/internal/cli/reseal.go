package cli

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"redoubt/api/internal/durable"
	"redoubt/api/internal/resealjob"
	"redoubt/wire/kit/program"
)

type resealCmd struct {
	DryRun   bool    `help:"Only say how many vaults would get a new key."`
	Rate     float64 `help:"Vaults per second, 0.1 to 100000; 0 for no limit." default:"0" placeholder:"N"`
	Parallel int     `help:"Vaults at a time, 1 to 256." default:"4" placeholder:"N"`
	DropKeys bool    `help:"${h_drop_keys}"`
	Resume   string  `help:"${h_reseal_resume}" type:"path" placeholder:"FILE"`

	operateFlags `embed:""`
}

// linesEvery is how often progress is told where there is no terminal.
const linesEvery = 10 * time.Second

var errLeft = hint(errors.New("some vaults still need a new key"),
	"see why in the report; a field that does not open is given up by: api vault reseal ID --drop FIELD")

// Run gives all vaults a key of the generation that is written to.
func (cmd *resealCmd) Run(e *env) error {
	if err := errors.Join(program.Range("--parallel", cmd.Parallel, 1, 256), cmd.rate()); err != nil {
		return err
	}
	from, err := cmd.place()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(e.ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return cmd.operator(e, func(do doer) error {
		p := newProgress(e.errOut)
		report, err := (&resealjob.Job{
			Vaults: &deployment{do, cmd.DropKeys && !cmd.DryRun}, Dry: cmd.DryRun, Rate: cmd.Rate, Parallel: cmd.Parallel,
			From: from, Keep: cmd.keep, Progress: p.show,
		}).Run(ctx)
		p.end()
		return cmd.conclude(e, report, err)
	})
}

func (cmd *resealCmd) rate() error {
	if cmd.Rate == 0 {
		return nil
	}
	return program.Range("--rate", cmd.Rate, 0.1, 100_000)
}

// conclude prints the report.
func (cmd *resealCmd) conclude(e *env, report *resealjob.Report, why error) error {
	if report.Complete && cmd.Resume != "" {
		if err := os.Remove(cmd.Resume); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := e.print(textOf(report), report); err != nil {
		return err
	}
	switch {
	case errors.Is(why, context.Canceled):
		return hint(errors.New("stopped before all vaults were looked at"), "give the same command again: it goes on")
	case why != nil:
		return hint(why, "the vaults that were done stay done; give the same command again")
	case report.Failed() > 0:
		return errLeft
	}
	return nil
}

func textOf(r *resealjob.Report) string {
	var text strings.Builder
	for _, f := range r.Failures {
		fmt.Fprintf(&text, "%s: %s", f.VaultID, f.Outcome)
		if len(f.Fields) > 0 {
			fmt.Fprintf(&text, ": %s", strings.Join(f.Fields, ", "))
		}
		fmt.Fprintln(&text)
	}
	fmt.Fprintf(&text, "%d vaults: %d resealed, %d due, %d current, %d gone, %d failed; %d older keys dropped", r.Vaults,
		r.Outcomes[resealjob.Resealed], r.Outcomes[resealjob.Due], r.Outcomes[resealjob.Current],
		r.Outcomes[resealjob.Gone], r.Failed(), r.Dropped)
	return text.String()
}

// place reads where an earlier job ended.
func (cmd *resealCmd) place() (*resealjob.Place, error) {
	if cmd.Resume == "" {
		return nil, nil
	}
	data, err := os.ReadFile(cmd.Resume)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	p := &resealjob.Place{}
	if json.Unmarshal(data, p) != nil || p.Cursor == "" {
		return nil, hint(fmt.Errorf("%s is not the place of a job", cmd.Resume), "remove it to begin anew")
	}
	return p, nil
}

// keep writes the place that was reached.
func (cmd *resealCmd) keep(p *resealjob.Place) error {
	if cmd.Resume == "" || cmd.DryRun {
		return nil
	}
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return durable.WriteFile(cmd.Resume, data)
}

// deployment are the vaults of the deployment, as the operator sees them.
type deployment struct {
	do       doer
	dropKeys bool
}

func (d *deployment) List(ctx context.Context, cursor string) (ids []string, next string, err error) {
	a, err := d.do(ctx, &operation{Op: opVaults, Cursor: cursor})
	if err != nil {
		return nil, "", err
	}
	return a.IDs, a.Next, nil
}

func (d *deployment) Reseal(ctx context.Context, id string, dry bool) (*resealjob.Result, error) {
	a, err := d.do(ctx, &operation{Op: opReseal, Vault: id, Dry: dry, DropKeys: d.dropKeys})
	if err != nil {
		return nil, err
	}
	return a.Result, nil
}

// progressLine tells how far a job is: by one line that is written over on a terminal, by a line now and then
// elsewhere.
type progressLine struct {
	out      io.Writer
	terminal bool
	begun    time.Time
	told     time.Time
	before   int
	shown    bool
}

func newProgress(out io.Writer) *progressLine {
	p := &progressLine{out: out, begun: time.Now(), told: time.Now(), before: -1}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

func (p *progressLine) show(r *resealjob.Report) {
	if p.before < 0 {
		p.before = r.Vaults - 1
	}
	every := linesEvery
	if p.terminal {
		every /= 50
	}
	if time.Since(p.told) < every {
		return
	}
	p.told = time.Now()
	line := fmt.Sprintf("%d vaults, %d resealed, %d failed, %.0f per second", r.Vaults, r.Outcomes[resealjob.Resealed],
		r.Failed(), float64(r.Vaults-p.before)/time.Since(p.begun).Seconds())
	if p.terminal {
		p.shown = true
		_, _ = fmt.Fprintf(p.out, "\r\x1b[K%s", line) // a lost line of progress is no loss
		return
	}
	_, _ = fmt.Fprintln(p.out, line)
}

// end leaves the line that was written over.
func (p *progressLine) end() {
	if p.shown {
		_, _ = fmt.Fprint(p.out, "\r\x1b[K")
	}
}

type vaultResealCmd struct {
	ID    string   `arg:"" help:"The vault."`
	Drop  []string `help:"Fields to give up if they do not open; repeatable." placeholder:"FIELD"`
	Force bool     `help:"Make a new key also where the vault has one of the current generation."`

	operateFlags `embed:""`
}

// Run gives one vault a new key.
func (cmd *vaultResealCmd) Run(e *env) error {
	return cmd.operator(e, func(do doer) error {
		a, err := do(e.ctx, &operation{Op: opReseal, Vault: cmd.ID, Drop: cmd.Drop, Force: cmd.Force})
		if err != nil {
			return err
		}
		shown := map[string]any{"vault": cmd.ID, "outcome": a.Result.Outcome, "epoch": a.Epoch}
		text := fmt.Sprintf("%s, epoch %d", a.Result.Outcome, a.Epoch)
		if len(a.Lost) > 0 {
			shown["dropped"] = a.Lost
			text += ", given up: " + strings.Join(a.Lost, ", ")
		}
		if a.Result.Outcome.Failed() || a.Result.Outcome == resealjob.Gone {
			return failedReseal(a.Result)
		}
		return e.print(text, shown)
	})
}

func failedReseal(r *resealjob.Result) error {
	err := errors.New(r.Text)
	switch r.Outcome {
	case resealjob.Unopened:
		return hint(fmt.Errorf("%w: %s", err, strings.Join(r.Fields, ", ")),
			"nothing was changed; --drop FIELD gives a field up, and the audit log says so")
	case resealjob.Full:
		return hint(err, "older keys go by: api reseal --drop-keys, once they were kept long enough")
	case resealjob.Inconsistent:
		return hint(err, "see what does not belong together: api restore check")
	}
	return err
}

type vaultEraseCmd struct {
	ID  string `arg:"" help:"The vault."`
	Yes bool   `help:"Erase it; there is no way back."`

	clientFlags `embed:""`
}

// Run erases a vault.
func (cmd *vaultEraseCmd) Run(e *env) error {
	if !cmd.Yes {
		return hint(fmt.Errorf("vault %s would be gone for ever", cmd.ID), "say --yes to do it")
	}
	c, err := cmd.client()
	if err != nil {
		return err
	}
	if err := c.Delete(e.ctx, cmd.ID, ""); err != nil {
		return advise(err)
	}
	return e.print("erased; its proof: api vault erased "+cmd.ID, map[string]any{"vault": cmd.ID, "erased": true})
}

type vaultErasedCmd struct {
	ID string `arg:"" help:"The vault."`

	operateFlags `embed:""`
}

// notCovered is what a proof of erasure does not speak of.
var notCovered = []string{
	"copies of the disk's blocks: of an SSD, of a file system that copies on write, of a snapshot of the volume",
	"backups of keys that were taken before, until they are removed",
	"what a hostile parent kept of keys that it carried: a new generation with reseal, then denial of the old one at " +
		"KMS, ends that",
}

// Run checks the proof that a vault was erased.
func (cmd *vaultErasedCmd) Run(e *env) error {
	return cmd.operator(e, func(do doer) error {
		a, err := do(e.ctx, &operation{Op: opErased, Vault: cmd.ID})
		if err != nil {
			return err
		}
		p := a.Erasure
		until := p.At.Add(p.Window)
		not := notCovered
		if p.Window > 0 {
			not = append([]string{
				fmt.Sprintf("the key table's own recovery, which reaches back %s: until %s", days(p.Window),
					until.UTC().Format(time.RFC3339)),
			}, not...)
		}
		not = append(not, "backups from before "+p.Since.UTC().Format(time.RFC3339)+
			", since when the vault is known to be under a domain: if KMS made its key before, they have that key")
		var text strings.Builder
		fmt.Fprintf(&text, "erased at %s, entry %d of chain %s by %s\n", p.At.UTC().Format(time.RFC3339), p.Entry.Seq,
			p.Entry.Chain, p.Entry.Principal)
		sums := make([]string, len(p.Keys))
		for i, sum := range p.Keys {
			sums[i] = hex.EncodeToString(sum)
			fmt.Fprintf(&text, "key %s\n", sums[i])
		}
		fmt.Fprintln(&text, "whether the audit log itself is whole, api audit verify says; not covered:")
		for _, line := range not {
			fmt.Fprintln(&text, "-", line)
		}
		return e.print(strings.TrimSuffix(text.String(), "\n"), map[string]any{
			"vault": cmd.ID, "erased_at": p.At.UTC(), "gone_from_store": until.UTC(), "under_domain_since": p.Since.UTC(),
			"keys": sums, "chain": p.Entry.Chain, "seq": p.Entry.Seq, "principal": p.Entry.Principal, "not_covered": not,
		})
	})
}
