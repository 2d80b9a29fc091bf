package cli

import (
	"errors"
	"log/slog"
	"os"
	"time"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/store"
	"redoubt/wire/kit/program"
)

// Limits of --audit-checkpoint-every.
const (
	minEvery = time.Second
	maxEvery = 24 * time.Hour
	// closeTimeout bounds the last checkpoint of the audit log.
	closeTimeout = 5 * time.Second
)

// checkpointFlags say when the audit log gets checkpoints, and where these go beside the store and the program's log.
type checkpointFlags struct {
	CheckpointEvery time.Duration `name:"audit-checkpoint-every" help:"${h_every}" env:"API_AUDIT_CHECKPOINT_EVERY" default:"5m"`
	CheckpointFile  string        `name:"audit-checkpoint-file" help:"${h_file}" env:"API_AUDIT_CHECKPOINT_FILE" type:"path" placeholder:"FILE"`
}

func (f *checkpointFlags) check() error {
	return program.Range("--audit-checkpoint-every", f.CheckpointEvery, minEvery, maxEvery)
}

// keeper writes checkpoints of the audit log to the program's log, and appends them to a file.
type keeper struct {
	log  *slog.Logger
	file *os.File // nil for none
}

func (f *checkpointFlags) keeper(log *slog.Logger) (*keeper, error) {
	k := &keeper{log: log}
	if f.CheckpointFile == "" {
		return k, nil
	}
	var err error
	k.file, err = os.OpenFile(f.CheckpointFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	return k, hint(err, "--audit-checkpoint-file names a file on a place that the store's writers cannot change")
}

func (k *keeper) kept(c *store.Checkpoint, err error) {
	if err != nil {
		k.log.Error("audit checkpoint not stored", "error", err)
		return
	}
	token := audit.Token(c)
	k.log.Info("audit checkpoint", "checkpoint", token)
	if k.file == nil {
		return
	}
	_, err = k.file.WriteString(token + "\n")
	if err = errors.Join(err, k.file.Sync()); err != nil {
		k.log.Error("audit checkpoint not written to its file", "error", err)
	}
}

func (k *keeper) close() {
	if k.file != nil {
		_ = k.file.Close() // synced
	}
}
