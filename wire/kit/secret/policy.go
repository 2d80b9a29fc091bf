package secret

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
)

// Policy says what to do when memory cannot be locked.
type Policy uint32

const (
	// RequireLock refuses to hand out memory that could not be locked. It is the default, and fails closed.
	RequireLock Policy = iota
	// WarnUnlocked hands the memory out unlocked and logs one warning per process. Everything else (no dump, no
	// fork, wiping) still holds. It is for development machines, where RLIMIT_MEMLOCK is commonly 8 MiB or less.
	WarnUnlocked
)

// ErrDestroyed is returned by operations on an Arena that has been destroyed.
var ErrDestroyed = errors.New("secret memory was destroyed")

// ErrFull is returned by [Arena.Alloc] when every slot is in use.
var ErrFull = errors.New("secret arena is full")

// ErrSize is returned for a size that is not positive or too large.
var ErrSize = errors.New("secret size is out of range")

// LockError reports that memory could not be locked, and what the limit is. It unwraps to the system's error.
type LockError struct {
	// Want is the number of bytes that were to be locked. Locked is what this package had locked before.
	Want, Locked uint64
	// Limit is the soft RLIMIT_MEMLOCK in bytes, and ^uint64(0) if there is none.
	Limit uint64

	err error
}

// Error is a static text: raise RLIMIT_MEMLOCK (LimitMEMLOCK= of systemd, ulimit -l) or grant CAP_IPC_LOCK.
func (*LockError) Error() string {
	return "secret memory cannot be locked: raise RLIMIT_MEMLOCK or grant CAP_IPC_LOCK"
}

// Unwrap returns the system's error, usually ENOMEM or EPERM.
func (e *LockError) Unwrap() error { return e.err }

var (
	policy   atomic.Uint32
	warnOnce sync.Once

	stats struct{ mapped, locked, unlocked atomic.Int64 }
)

// SetPolicy chooses the policy of the process. Call it from main before anything makes a Buffer.
func SetPolicy(p Policy) { policy.Store(uint32(p)) }

// Usage counts this package's memory in bytes. Unlocked is not zero only under [WarnUnlocked].
type Usage struct{ Mapped, Locked, Unlocked int64 }

// Stats returns the memory that is in use now. In a program that has destroyed all its secrets it is all zeros.
func Stats() Usage {
	return Usage{Mapped: stats.mapped.Load(), Locked: stats.locked.Load(), Unlocked: stats.unlocked.Load()}
}

// refused applies the policy to a failed lock. nil means that the caller continues without the lock.
func refused(err *LockError) error {
	if Policy(policy.Load()) != WarnUnlocked {
		return err
	}
	warnOnce.Do(func() {
		slog.Warn("secret memory is not locked: raise RLIMIT_MEMLOCK or grant CAP_IPC_LOCK",
			slog.Uint64("want_bytes", err.Want), slog.Uint64("locked_bytes", err.Locked),
			slog.Uint64("limit_bytes", err.Limit))
	})
	return nil
}
