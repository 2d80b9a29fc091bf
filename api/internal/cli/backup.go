package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"redoubt/api/internal/durable"
	"redoubt/api/internal/store/bolt"
)

type backupCmd struct {
	File  string `arg:"" help:"Where to write the backup, or - for standard output."`
	Admin string `help:"The server's socket." env:"API_ADMIN" placeholder:"FILE"`

	storeFlags `embed:""`
}

var errNotEmbedded = hint(errors.New("only the embedded store is backed up here"),
	"use point-in-time recovery or on-demand backups for a DynamoDB table")

// Run copies the store.
func (cmd *backupCmd) Run(e *env) error {
	path := cmd.boltPath()
	if path == "" {
		return errNotEmbedded
	}
	if cmd.File == "-" {
		_, err := backup(e, adminPath(cmd.Admin, path), path, e.out, "")
		return err
	}
	if err := notTheStore(cmd.File, bolt.IdentityOf(path)); err != nil {
		return err
	}
	n, err := durable.Replace(cmd.File, func(w io.Writer) (int64, error) {
		return backup(e, adminPath(cmd.Admin, path), path, w, cmd.File)
	})
	if err != nil {
		return err
	}
	return e.print(fmt.Sprintf("%d bytes written to %s", n, cmd.File), map[string]any{"bytes": n, "file": cmd.File})
}

// notTheStore refuses to write a file over a store, by whatever name.
func notTheStore(file, identity string) error {
	if identity == "" || bolt.IdentityOf(file) != identity {
		return nil
	}
	return hint(fmt.Errorf("%s is the store itself, which would be lost", file), "name another file")
}

// backup copies from the running server, or from the file if there is none. file, if known, is where the copy will
// be: the server may have another store than the one that the flags name.
func backup(e *env, socket, path string, w io.Writer, file string) (int64, error) {
	resp, err := adminCall(e.ctx, socket, http.MethodGet, "/backup", nil)
	if err == nil {
		defer resp.Body.Close()
		if err := notTheStore(file, resp.Header.Get(headerStore)); err != nil {
			return 0, err
		}
		return io.Copy(w, resp.Body)
	}
	if !errors.Is(err, errNotServing) {
		return 0, err
	}
	s, err := bolt.Open(path, bolt.Options{ReadOnly: true})
	if err != nil {
		return 0, lockedHint(err)
	}
	n, err := s.Backup(w)
	return n, errors.Join(err, s.Close())
}

type restoreCmd struct {
	File   string `arg:"" help:"The backup, or - for standard input."`
	Yes    bool   `help:"Replace what the store holds now."`
	Create bool   `help:"Make the store if it does not exist."`
	Admin  string `help:"The server's socket." env:"API_ADMIN" placeholder:"FILE"`

	storeFlags `embed:""`
}

// Run replaces the store's content.
func (cmd *restoreCmd) Run(e *env) error {
	path := cmd.boltPath()
	if path == "" {
		return errNotEmbedded
	}
	if !cmd.Yes {
		return hint(fmt.Errorf("this replaces all that %s holds", path), "say --yes to do it; take a backup first")
	}
	in := e.in
	if cmd.File != "-" {
		f, err := os.Open(cmd.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	if err := cmd.restore(e, path, in); err != nil {
		return err
	}
	return e.print("restored", map[string]any{"restored": true})
}

// restore gives the backup to the running server, or replaces the file if there is none. The file is not opened,
// since a restore must also work for a damaged one.
func (cmd *restoreCmd) restore(e *env, path string, in io.Reader) error {
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
