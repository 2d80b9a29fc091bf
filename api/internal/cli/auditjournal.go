package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"redoubt/api/internal/audit"
)

// progressEvery is how often a long verification reports its progress.
const progressEvery = 5 * time.Second

// progress writes the progress of a verification to w from time to time.
func progress(w io.Writer) func(*audit.Report) {
	last := time.Now()
	return func(r *audit.Report) {
		if now := time.Now(); now.Sub(last) >= progressEvery {
			last = now
			_, _ = fmt.Fprintf(w, "%d vaults, %d entries read, %d problems\n", r.Vaults, r.Entries, len(r.Problems))
		}
	}
}

// journalFile is the file of --resume; nil for none.
type journalFile struct {
	file *os.File
	out  *bufio.Writer
	old  []byte
}

// journal opens the file. It cuts off a line that was not written to its end, for example by a process that was
// killed.
func (cmd *auditVerifyCmd) journal() (*journalFile, error) {
	if cmd.Resume == "" {
		return nil, nil
	}
	f, err := os.OpenFile(cmd.Resume, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	old, err := io.ReadAll(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	whole := bytes.LastIndexByte(old, '\n') + 1
	if len(old) > 0 && !audit.IsJournal(old) {
		return nil, errors.Join(audit.ErrJournal, f.Close()) // the file is not a journal: it is not cut
	}
	if err := f.Truncate(int64(whole)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := f.Seek(int64(whole), io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &journalFile{file: f, out: bufio.NewWriter(f), old: old[:whole]}, nil
}

func (j *journalFile) journal(name string) *audit.Journal {
	if j == nil {
		return nil
	}
	return &audit.Journal{Store: name, Out: j.out, Old: j.old, Now: time.Now()}
}

// close keeps the findings so far.
func (j *journalFile) close() {
	if j != nil {
		_ = errors.Join(j.out.Flush(), j.file.Close()) // what is lost is read again
	}
}

// remove removes the journal of a verification that has read everything.
func (j *journalFile) remove() error {
	if j == nil {
		return nil
	}
	return os.Remove(j.file.Name())
}

// name names the store in a journal.
func (cmd *auditVerifyCmd) name() string {
	kind, name := cmd.kind()
	return kind + ":" + name
}
