package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"

	"redoubt/api/internal/durable"
	"redoubt/api/internal/store/bolt"
	"redoubt/wire/kit/program"
)

type backupCmd struct {
	File  string `arg:"" help:"Where to write the backup, or - for standard output, which gets all of it in one."`
	Keys  string `help:"${h_backup_keys}" type:"path" placeholder:"FILE"`
	Whole bool   `help:"Write one file, with the keys in it."`
	Admin string `help:"The server's socket." env:"API_ADMIN" placeholder:"FILE"`

	storeFlags `embed:""`
}

var errNotEmbedded = hint(errors.New("only the embedded store is backed up here"),
	"use point-in-time recovery or on-demand backups for DynamoDB tables; records and keys are restored to one time")

// Parts of a store, as a server is asked for them.
const (
	partWhole   = ""
	partRecords = "records"
	partKeys    = "keys"
	partNone    = "none" // what was asked for is not there
)

// copying returns what makes a copy of a part, and the part that it is.
func copying(file *bolt.Store, part string) (func(io.Writer) (int64, error), string, error) {
	switch part {
	case partRecords:
		return file.BackupRecords, part, nil
	case partKeys:
		keyed, err := file.Keyed()
		if !keyed {
			return func(io.Writer) (int64, error) { return 0, nil }, partNone, err
		}
		return file.BackupKeys, part, err
	}
	return file.Backup, partWhole, nil
}

// Run copies the store. The keys are copied after the records, so that each record finds its key. They get their place
// first: of two times, keys may be the younger ones.
func (cmd *backupCmd) Run(e *env) error {
	path := cmd.boltPath()
	if path == "" {
		return errNotEmbedded
	}
	from := source{e: e, socket: adminPath(cmd.Admin, path), path: path}
	if cmd.File == "-" || cmd.Whole {
		return cmd.whole(e, &from)
	}
	if cmd.Keys == "" {
		cmd.Keys = keysOf(cmd.File)
	}
	if err := apart(cmd.File, cmd.Keys); err != nil {
		return err
	}
	records, err := from.stage(cmd.File, partRecords)
	if err != nil {
		return err
	}
	defer records.Discard()
	keys, err := from.stage(cmd.Keys, partKeys)
	if err != nil {
		return err
	}
	defer keys.Discard()
	if keys.Size == 0 { // the store has none
		if err := records.Commit(); err != nil {
			return err
		}
		return e.print(fmt.Sprintf("%d bytes written to %s", records.Size, cmd.File),
			map[string]any{"bytes": records.Size, "file": cmd.File})
	}
	if err := commitBackup(records, keys); err != nil {
		return err
	}
	return e.print(fmt.Sprintf("%d bytes written to %s, and the keys, %d bytes, to %s", records.Size, cmd.File,
		keys.Size, cmd.Keys), map[string]any{
		"bytes": records.Size, "file": cmd.File, "keys_bytes": keys.Size, "keys_file": cmd.Keys,
	})
}

// keysOf is where the keys of a backup are by default.
func keysOf(file string) string { return file + ".keys" }

// apart refuses one file for both parts, by whatever name.
func apart(file, keys string) error {
	resolve := func(name string) (string, error) {
		name, err := durable.Resolve(name)
		if err != nil {
			return "", err
		}
		return filepath.Abs(name)
	}
	a, errA := resolve(file)
	b, errB := resolve(keys)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	if id := bolt.IdentityOf(a); a == b || id != "" && id == bolt.IdentityOf(b) {
		return program.Mistake("records and keys need a file each; --whole writes one")
	}
	return nil
}

// commitBackup puts both parts in their places, the keys first.
func commitBackup(records, keys *durable.Staged) error {
	if err := keys.Commit(); err != nil {
		return err
	}
	return records.Commit()
}

// whole writes one file.
func (cmd *backupCmd) whole(e *env, from *source) error {
	if cmd.Keys != "" {
		return program.Mistake("one file for all of it has the keys too: leave --keys out, or --whole")
	}
	if cmd.File == "-" {
		_, err := from.copy(e.out, "", partWhole)
		return err
	}
	s, err := from.stage(cmd.File, partWhole)
	if err != nil {
		return err
	}
	defer s.Discard()
	if err := s.Commit(); err != nil {
		return err
	}
	return e.print(fmt.Sprintf("%d bytes written to %s", s.Size, cmd.File),
		map[string]any{"bytes": s.Size, "file": cmd.File})
}

// notTheStore refuses to write a file over a store, by whatever name.
func notTheStore(file, identity string) error {
	if identity == "" || bolt.IdentityOf(file) != identity {
		return nil
	}
	return hint(fmt.Errorf("%s is the store itself, which would be lost", file), "name another file")
}

// source is a store that is copied: from the running server, or from the file if there is none.
type source struct {
	e            *env
	socket, path string
}

// stage copies a part to a file, which is not in its place yet.
func (s *source) stage(file, part string) (*durable.Staged, error) {
	if err := notTheStore(file, bolt.IdentityOf(s.path)); err != nil {
		return nil, err
	}
	return durable.Stage(file, func(w io.Writer) (int64, error) { return s.copy(w, file, part) })
}

// copy copies a part. file, if known, is where the copy will be: the server may have another store than the one that
// the flags name.
func (s *source) copy(w io.Writer, file, part string) (int64, error) {
	route := "/backup"
	if part != partWhole {
		route += "?part=" + part
	}
	resp, err := adminCall(s.e.ctx, s.socket, http.MethodGet, route, nil)
	if err == nil {
		defer resp.Body.Close()
		if err := notTheStore(file, resp.Header.Get(headerStore)); err != nil {
			return 0, err
		}
		if got := resp.Header.Get(headerPart); got != part && got != partNone {
			return 0, hint(errors.New("the server is of a release without keys apart"), "say --whole, or restart it")
		}
		return io.Copy(w, resp.Body)
	}
	if !errors.Is(err, errNotServing) {
		return 0, err
	}
	st, err := bolt.Open(s.path, bolt.Options{ReadOnly: true})
	if err != nil {
		return 0, lockedHint(err)
	}
	take, _, err := copying(st, part)
	n := int64(0)
	if err == nil {
		n, err = take(w)
	}
	return n, errors.Join(err, st.Close())
}
