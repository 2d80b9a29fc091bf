package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"redoubt/api/internal/store"
)

// ErrJournal reports a journal of another store or one that is too old to continue, or a file that is not a journal.
var ErrJournal = errors.New("audit: not a journal of this store's verification, or older than a week")

// maxJournal is how old a journal may be: vaults that it covers are not read again.
const maxJournal = 7 * 24 * time.Hour

// Journal lets a Verify continue that was ended early. It is JSON, one object a line: a head, then the findings of
// each vault.
type Journal struct {
	Store string    // identifies the store that was verified
	Out   io.Writer // gets a line for each vault
	Old   []byte    // the lines of the Verify that is continued; empty for none
	Now   time.Time
}

// journalHead begins a journal. The checkpoints are those of the store at the beginning. Counts of later ones are not
// compared with what is there, since a vault that was read before them is not read again.
type journalHead struct {
	Format      int       `json:"redoubt_audit_verify"`
	Store       string    `json:"store"`
	Began       time.Time `json:"began"`
	Checkpoints []string  `json:"checkpoints"`
}

const journalFormat = 1

// IsJournal reports whether a file begins as a journal does.
func IsJournal(data []byte) bool { return bytes.HasPrefix(data, []byte(`{"redoubt_audit_verify":`)) }

// resume takes in the findings of an earlier run, and reports whether there was one. Error: [ErrJournal].
func (in *reader) resume(ctx context.Context, r *Report, j *Journal) (bool, error) {
	if j == nil || len(j.Old) == 0 {
		return false, nil
	}
	for i, line := range bytes.Split(bytes.TrimSuffix(j.Old, []byte("\n")), []byte("\n")) {
		if i == 0 {
			var head journalHead
			if json.Unmarshal(line, &head) != nil || head.Format != journalFormat || head.Store != j.Store ||
				j.Now.Sub(head.Began) > maxJournal {
				return false, ErrJournal
			}
			in.books.until = head.Began.UnixMicro()
			for _, token := range head.Checkpoints {
				if err := in.known(ctx, token); err != nil {
					return false, err
				}
			}
			continue
		}
		v := &vaultLog{}
		if json.Unmarshal(line, v) != nil || v.ID == "" || v.Heads == nil {
			return false, fmt.Errorf("%w: line %d", ErrJournal, i+1)
		}
		if _, twice := r.Heads.Heads[v.ID]; !twice {
			r.vault(v)
		}
	}
	return true, nil
}

// begin writes a journal's head.
func (j *Journal) begin(all []store.Checkpoint) error {
	if j == nil {
		return nil
	}
	head := journalHead{Format: journalFormat, Store: j.Store, Began: j.Now, Checkpoints: []string{}}
	for i := range all {
		head.Checkpoints = append(head.Checkpoints, Token(&all[i]))
	}
	return j.line(head)
}

func (j *Journal) line(v any) error {
	if j == nil {
		return nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = j.Out.Write(append(data, '\n'))
	return err
}
