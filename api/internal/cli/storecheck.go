package cli

import (
	"errors"
	"fmt"
	"strings"

	"redoubt/api/internal/store/bolt"
)

type storeCmd struct {
	Check storeCheckCmd `cmd:"" help:"Read all of the embedded store; exit 1 if any of it is damaged."`
}

type storeCheckCmd struct {
	Admin string `help:"The server's socket." env:"API_ADMIN" placeholder:"FILE"`

	storeFlags `embed:""`
}

var errDamagedRecords = hint(fmt.Errorf("%w: not all of it can be read", bolt.ErrDamaged),
	"what is named is lost here: take it from a backup; the rest can be served")

// Run checks the file's pages, then each record. For a store that is being served it checks a copy, for which the
// server reads every page that holds a record.
func (cmd *storeCheckCmd) Run(e *env) error {
	path := cmd.boltPath()
	if path == "" {
		return hint(errors.New("only the embedded store is checked here"), "name it with --store bolt:FILE")
	}
	st, err := copyOf(e.ctx, adminPath(cmd.Admin, path))
	if errors.Is(err, errNotServing) {
		if err = bolt.Check(path); err == nil {
			st, err = bolt.Open(path, bolt.Options{ReadOnly: true})
		}
	}
	if err != nil {
		return lockedHint(err)
	}
	found, err := st.Inspect(e.ctx)
	if err = errors.Join(err, st.Close()); err != nil {
		return lockedHint(err)
	}
	var text strings.Builder
	for _, line := range found.Damaged {
		fmt.Fprintln(&text, line)
	}
	fmt.Fprintf(&text, "%d records, %d audit entries, %d damaged", found.Records, found.Entries, len(found.Damaged))
	if err := e.print(text.String(), found); err != nil {
		return err
	}
	if len(found.Damaged) > 0 {
		return errDamagedRecords
	}
	return nil
}
