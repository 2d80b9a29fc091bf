package engine

import (
	"errors"
	"sync/atomic"
	"time"

	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/workers"
	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/pksuid"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/session"
)

// vaultPrefix begins the ids of vaults.
const vaultPrefix = "v"

// minting is the work of a mint: a unit for each key.
type minting struct {
	workers.Task
	j      *job
	domain keys.Domain
	suite  sealed.Suite
	made   []minted
	failed atomic.Bool
	late   atomic.Bool
}

type minted struct {
	id  string
	key domain.Minted
}

// mint queues a mint.
func (j *job) mint(r *session.Request) {
	var q wire.MintRequest
	if q.Decode(r.Body) != nil {
		j.failWrite(wire.BadRequest, 0)
		j.release()
		return
	}
	m := &minting{j: j, made: make([]minted, q.Count)}
	var err error
	m.domain, m.suite, err = j.e.cfg.Keys.Domain(keys.DomainName(q.Domain), sealed.Suite(q.Suite), j.from.Credentials)
	if err != nil {
		j.failWriteWith(err)
		j.release()
		return
	}
	j.admitted, j.waitBytes = true, j.held(r)+int64(len(m.made))*mintedBytes
	if !j.e.admit(j.waitBytes) {
		m.domain.Release()
		j.overloaded()
		return
	}
	j.handed.Store(true)
	err = j.e.cfg.Workers.Submit(&m.Task, m, j.class, kindMint+workers.Kind(m.suite), len(m.made), time.Until(j.deadline))
	if err == nil {
		return
	}
	j.handed.Store(false)
	m.domain.Release()
	if errors.Is(err, workers.ErrClosed) {
		j.fail(wire.ShuttingDown, retryOverloaded)
		j.release()
		return
	}
	j.overloaded()
}

// mintedBytes bounds what one key of an answer takes.
const mintedBytes = 2048

// Unit implements [workers.Job].
func (m *minting) Unit(i int) workers.Outcome {
	if m.j.started.CompareAndSwap(false, true) {
		m.j.stage(wire.StageQueue)
	}
	if m.j.drop() != wire.OK {
		m.late.Store(true)
		return workers.Spared
	}
	made := &m.made[i]
	made.id = pksuid.New(vaultPrefix, time.Now())
	var err error
	if made.key, err = m.domain.Mint(made.id, m.suite); err != nil {
		m.failed.Store(true)
	}
	return workers.Worked
}

// Done implements [workers.Job].
func (m *minting) Done() {
	j := m.j
	j.handed.Store(false)
	defer j.guard()
	closed := m.domain.Closed()
	m.domain.Release()
	switch {
	case j.panicked.Load() || m.failed.Load():
		j.failWrite(wire.Internal, 0)
	case m.late.Load():
		j.failWrite(j.drop(), 0)
	case closed:
		j.failWrite(wire.DomainUnknown, 0)
	default:
		j.e.stats.Add(wire.StatVaultKeysMinted, int64(len(m.made)))
		j.send(wire.KindMinted, m.append(j.to.Buffer(64+len(m.made)*mintedBytes)))
	}
	j.release()
}

// Panicked implements [workers.Job].
func (m *minting) Panicked() { m.j.Panicked() }

func (m *minting) append(dst []byte) []byte {
	var answer wire.MintResponse
	for i := range m.made {
		k := &m.made[i]
		answer.Keys = append(answer.Keys, wire.Minted{VaultID: []byte(k.id), Key: vaultKey(&k.key)})
	}
	return answer.Append(dst)
}

func vaultKey(m *domain.Minted) wire.VaultKey {
	return wire.VaultKey{Wrapped: m.Wrapped, Public: m.Public, Statement: m.Statement[:]}
}
