package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"redoubt/api/internal/durable"
	"redoubt/api/internal/pairs"
	"redoubt/api/internal/store"
	"redoubt/api/internal/store/bolt"
)

type restoreCmd struct {
	From  restoreFromCmd  `cmd:"" default:"withargs" help:"The same; the word may be left out."`
	Check restoreCheckCmd `cmd:"" help:"Say which records and keys do not belong together; exit 1 if any."`
}

type restoreFromCmd struct {
	File    string `arg:"" help:"The backup, or - for standard input."`
	Keys    string `help:"${h_restore_keys}" type:"path" placeholder:"FILE"`
	Yes     bool   `help:"Replace what the store holds now."`
	Create  bool   `help:"Make the store if it does not exist."`
	Partial bool   `help:"Restore although some records do not open with these keys."`
	Admin   string `help:"The server's socket." env:"API_ADMIN" placeholder:"FILE"`

	storeFlags `embed:""`
}

// Run replaces the store's content. Records and keys are joined first, and take the store's place in one step.
func (cmd *restoreFromCmd) Run(e *env) error {
	path := cmd.boltPath()
	if path == "" {
		return errNotEmbedded
	}
	if !cmd.Yes {
		return hint(fmt.Errorf("this replaces all that %s holds", path), "say --yes to do it; take a backup first")
	}
	in := e.in
	var file *os.File
	if cmd.File != "-" {
		var err error
		if file, err = os.Open(cmd.File); err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	err := bolt.ErrKeysApart
	if cmd.Keys == "" {
		err = cmd.restore(e, path, in)
	}
	if errors.Is(err, bolt.ErrKeysApart) {
		if in, err = cmd.again(file, in); err == nil {
			err = cmd.joined(e, path, in)
		}
	}
	if err != nil {
		return err
	}
	return e.print("restored", map[string]any{"restored": true})
}

// again begins the backup anew, whose keys are beside it if they were not named.
func (cmd *restoreFromCmd) again(file *os.File, in io.Reader) (io.Reader, error) {
	if cmd.Keys != "" {
		return in, nil
	}
	if file == nil {
		return nil, hint(bolt.ErrKeysApart, "name the file with the keys: --keys FILE")
	}
	cmd.Keys = keysOf(cmd.File)
	if _, err := os.Stat(cmd.Keys); err != nil {
		return nil, hint(bolt.ErrKeysApart, "name the file with the keys: --keys FILE; by default it is "+cmd.Keys)
	}
	_, err := file.Seek(0, io.SeekStart)
	return file, err
}

// joined restores the whole that records and keys make together.
func (cmd *restoreFromCmd) joined(e *env, path string, records io.Reader) error {
	keys, err := os.Open(cmd.Keys)
	if err != nil {
		return err
	}
	defer keys.Close()
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); err != nil {
		dir = os.TempDir()
	}
	whole, err := durable.Unnamed(dir)
	if err != nil {
		return err
	}
	defer whole.Close()
	if _, err := bolt.Join(records, keys, dir, whole); err != nil {
		return joinHint(err)
	}
	if err := cmd.judge(e, whole, dir); err != nil {
		return err
	}
	if _, err := whole.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return cmd.restore(e, path, whole)
}

func joinHint(err error) error {
	if errors.Is(err, bolt.ErrNotKeys) {
		return hint(err, "a backup without keys apart is restored without --keys")
	}
	return lockedHint(err)
}

// errPartial reports records and keys that do not belong together.
var errPartial = errors.New("some records do not open with these keys")

// judge refuses a backup of which some records would not open, unless that was asked for.
func (cmd *restoreFromCmd) judge(e *env, whole *os.File, dir string) error {
	if _, err := whole.Seek(0, io.SeekStart); err != nil {
		return err
	}
	st, err := bolt.ReadBackup(whole, dir)
	if err != nil {
		return lockedHint(err)
	}
	found, err := pairs.Check(e.ctx, st)
	if err = errors.Join(err, st.Close()); err != nil || cmd.Partial || len(found.Problems) == 0 {
		return err
	}
	return hint(fmt.Errorf("nothing was changed: %w: %d of %d, the first is %s", errPartial, len(found.Problems),
		found.Keyed, found.Problems[0]), "use keys that were backed up together with the records, or later; or say --partial")
}

// restore gives the backup to the running server, or replaces the file if there is none. The file is not opened,
// since a restore must also work for a damaged one.
func (cmd *restoreFromCmd) restore(e *env, path string, in io.Reader) error {
	// The client closes what it sends, but the backup is needed again if there is no server.
	resp, err := adminCall(e.ctx, adminPath(cmd.Admin, path), http.MethodPost, "/restore", io.NopCloser(in))
	if err == nil {
		return resp.Body.Close()
	}
	if !errors.Is(err, errNotServing) {
		return err
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && !cmd.Create {
		return hint(fmt.Errorf("there is no store at %s", path),
			"name the one to replace with --store bolt:FILE, or say --create to make it there")
	}
	return lockedHint(bolt.RestoreFile(in, path))
}

type restoreCheckCmd struct {
	Admin string `help:"The server's socket." env:"API_ADMIN" placeholder:"FILE"`

	storeFlags `embed:""`
}

var errMismatch = hint(errors.New("records and keys do not all belong together"),
	"restore both to one time; records that are not named open as before")

// Run compares records and keys. For an embedded store that is being served it looks at a copy.
func (cmd *restoreCheckCmd) Run(e *env) error {
	st, err := cmd.reading(e.ctx, cmd.Admin)
	if err != nil {
		return undecided{err}
	}
	found, err := pairs.Check(e.ctx, st)
	if err = errors.Join(err, st.Close()); err != nil {
		if errors.Is(err, store.ErrNoDomains) {
			err = hint(err, "name them with --key-table and --domain-table")
		}
		return undecided{err}
	}
	var text strings.Builder
	for _, p := range found.Problems {
		fmt.Fprintln(&text, p)
	}
	fmt.Fprintf(&text, "%d records, %d of them under %d generations of domains, %d do not open", found.Records,
		found.Keyed, found.Domains, len(found.Problems))
	if err := e.print(text.String(), found); err != nil {
		return err
	}
	if len(found.Problems) > 0 {
		return errMismatch
	}
	return nil
}

// reading opens the store for reading: for an embedded one that is being served, a copy of it.
func (f *storeFlags) reading(ctx context.Context, admin string) (store.Store, error) {
	path := f.boltPath()
	if path == "" {
		return f.open(ctx)
	}
	st, err := copyOf(ctx, adminPath(admin, path))
	if errors.Is(err, errNotServing) {
		st, err = bolt.Open(path, bolt.Options{ReadOnly: true})
	}
	if err != nil {
		return nil, lockedHint(err)
	}
	return st, nil
}
