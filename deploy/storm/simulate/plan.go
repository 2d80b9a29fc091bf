//go:build dev

package simulate

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// An Event is one thing that a run does at its time: a request of a caller, or a fault. A run is the list of its events
// and its seed, from which the network and the callers draw: so events can be left out, and what remains happens as
// before.
type Event struct {
	At   int    `json:"at"`   // milliseconds from the run's beginning
	Kind string `json:"kind"` // of ops or faults
	On   string `json:"on,omitempty"`
	N    int    `json:"n,omitempty"`
	M    int    `json:"m,omitempty"`
}

// A Plan is what a run does.
type Plan struct {
	Seed     uint64  `json:"seed"`
	Workload string  `json:"workload"`
	Events   []Event `json:"events"`
}

// length is how long a plan's events go on, in milliseconds.
const length = 3000

// ErrWorkload says that there is no workload of a name.
var ErrWorkload = errors.New("no such workload")

// PlanOf draws the plan of a seed. Seeds take the workloads in turn.
func PlanOf(seed uint64) Plan {
	names := Workloads()
	p, err := PlanFor(names[seed%uint64(len(names))], seed)
	if err != nil {
		panic(err)
	}
	return p
}

// PlanFor draws the plan of a seed for one workload. The error is [ErrWorkload].
func PlanFor(name string, seed uint64) (Plan, error) {
	wl, ok := workloads()[name]
	if !ok {
		return Plan{}, fmt.Errorf("%w: %s", ErrWorkload, name)
	}
	rng := rand.New(rand.NewPCG(seed, stream("plan")))
	p := Plan{Seed: seed, Workload: name}
	for range wl.requests {
		p.Events = append(p.Events, Event{At: rng.IntN(length), Kind: draw(rng, wl.ops), N: int(rng.Uint32())})
	}
	for range wl.faults {
		name := draw(rng, wl.kinds)
		e := faults[name].draw(rng)
		e.Kind, e.At = name, rng.IntN(length*3/4)
		p.Events = append(p.Events, e)
	}
	for range wl.bursts { // many at once
		at, kind, n := rng.IntN(length), draw(rng, wl.ops), 4+rng.IntN(12)
		same := int(rng.Uint32())
		for range n {
			p.Events = append(p.Events, Event{At: at, Kind: kind, N: same, M: 1 + rng.IntN(1000)})
		}
	}
	slices.SortStableFunc(p.Events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	return p, nil
}

// draw takes one of the names by their weights, in their order.
func draw(rng *rand.Rand, weights map[string]int) string {
	names := sortedKeys(weights)
	sum := 0
	for _, n := range names {
		sum += weights[n]
	}
	at := rng.IntN(sum)
	for _, n := range names {
		if at -= weights[n]; at < 0 {
			return n
		}
	}
	return names[0]
}

// JSON is the plan in a form that can be kept and given to a run again.
func (p Plan) JSON() string {
	data, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// workload is what a kind of run is made of.
type workload struct {
	requests, faults, bursts int
	ops, kinds               map[string]int // with their weights
}

// Workloads are the names of all, sorted.
func Workloads() []string { return sortedKeys(workloads()) }

// workloads are what seeds do. A broad one alone misses faults that one with an aim finds in every seed.
func workloads() map[string]workload {
	return map[string]workload{
		"broad": {requests: 60, faults: 8, bursts: 1, ops: all(ops), kinds: all(faults)},
		"waiters": {
			requests: 20, faults: 3, bursts: 6,
			ops:   map[string]int{"open": 4, "hurried": 6, "purge": 2, "decrypt": 2},
			kinds: map[string]int{"kms.delay": 5, "kms.throttle": 2, "net.cut": 1, "net.stall": 1, "kms.error": 1},
		},
		"audits": { // a store that fails while much is read: an entry is tried several times before it is given up
			requests: 60, faults: 8, bursts: 2,
			ops:   map[string]int{"decrypt": 8, "masked": 2, "update": 1},
			kinds: map[string]int{"store.fail": 6, "store.lose": 1, "store.stall": 1},
		},
		"denials": { // keys that stay in the cache: nobody purges, and few are asked for
			requests: 15, faults: 2, bursts: 0,
			ops:   map[string]int{"open": 1},
			kinds: map[string]int{"outlived": 3, "kms.deny": 1, "kms.disable": 1},
		},
		"keys": {
			requests: 60, faults: 5, bursts: 2,
			ops: map[string]int{"open": 8, "decrypt": 4, "purge": 2, "batch": 2, "masked": 1},
			kinds: map[string]int{
				"kms.deny": 4, "kms.disable": 2, "kms.error": 1, "kms.plaintext": 1, "kms.wrong_key_id": 1,
				"kms.no_recipient_ciphertext": 1, "kms.corrupt_cms": 1, "kms.outage": 1, "credentials.expire": 1, "kms.drop": 1,
			},
		},
		"revocations": { // answers of KMS that come after the key was denied, and after a purge
			requests: 40, faults: 6, bursts: 4,
			ops: map[string]int{"open": 6, "purge": 5, "decrypt": 1},
			kinds: map[string]int{
				"late.grant": 6, "kms.disable": 1, "net.slow": 1, "net.late": 1, "net.stall": 1, "kms.delay": 1,
			},
		},
		"rolls": {
			requests: 50, faults: 4, bursts: 1, ops: all(ops),
			kinds: map[string]int{
				"roll.enclave": 4, "roll.parent": 3, "restart.api": 1, "kill.enclave": 2, "kill.parent": 2, "kill.api": 2,
				"restart.enclave": 1, "restart.parent": 1,
			},
		},
		"writes": {
			requests: 60, faults: 6, bursts: 1,
			ops: map[string]int{
				"create": 3, "again": 3, "update": 8, "decrypt": 6, "present": 2, "delete": 1, "removefield": 2, "list": 1,
				"audit": 1, "expiring": 1,
			},
			kinds: map[string]int{
				"store.fail": 3, "store.stall": 2, "store.lose": 5, "net.cut": 3, "kill.api": 1, "restart.api": 1,
			},
		},
		"network": {
			requests: 60, faults: 12, bursts: 2,
			ops: map[string]int{"open": 6, "decrypt": 4, "batch": 3, "masked": 1, "attest": 1, "sealed": 1},
			kinds: map[string]int{
				"net.cut": 8, "net.duplicate": 4, "net.stall": 3, "net.slow": 3, "net.refuse": 2, "net.pieces": 4,
			},
		},
		"time": {
			requests: 40, faults: 3, bursts: 1,
			ops:   map[string]int{"open": 6, "decrypt": 4, "create": 1, "hurried": 1, "attest": 1},
			kinds: map[string]int{"clock.jump": 4, "credentials.expire": 2, "net.slow": 1, "kms.delay": 1},
		},
	}
}

// all gives each name of a table the weight 1, so that a new row is drawn without a change here.
func all[V any](table map[string]V) map[string]int {
	weights := make(map[string]int, len(table))
	for name := range table {
		weights[name] = 1
	}
	return weights
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
