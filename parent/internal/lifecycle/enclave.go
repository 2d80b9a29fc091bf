package lifecycle

import (
	"encoding/json"
	"strings"
)

// Enclave is one entry of `nitro-cli describe-enclaves`, and of GET /enclaves.
type Enclave struct {
	Name         string            `json:"EnclaveName,omitempty"`
	ID           string            `json:"EnclaveID"`
	ProcessID    uint32            `json:"ProcessID"`
	CID          uint64            `json:"EnclaveCID"`
	CPUs         uint64            `json:"NumberOfCPUs"`
	CPUIDs       []uint32          `json:"CPUIDs"`
	MemoryMiB    uint64            `json:"MemoryMiB"`
	State        string            `json:"State"`
	Flags        string            `json:"Flags"`
	Measurements map[string]string `json:"Measurements,omitempty"`
	ImageName    string            `json:"ImageName,omitempty"`
	ImageVersion string            `json:"ImageVersion,omitempty"`
}

// running is the state of an enclave that can serve.
const running = "RUNNING"

// firstCID is the lowest CID of an enclave: 0 to 3 have meanings of their own (vsock(7); 3 is the parent's).
const firstCID = 4

// usable reports whether the enclave is ours by name, runs, and may be trusted.
func (e *Enclave) usable(prefix string, want map[string]string) bool {
	return e.ours(prefix) && e.State == running && e.flaw(want) == ""
}

// unfit reports whether the enclave is ours and runs, but can never be used: it only occupies what a good one needs.
func (e *Enclave) unfit(prefix string, want map[string]string) bool {
	return e.ours(prefix) && e.State == running && e.flaw(want) != ""
}

// flaw says why an enclave may not be trusted, and is "" if it may. The reasons: its CID is not an enclave's, it is
// in debug mode (whose console shows everything and whose PCRs are zero), or it lacks the wanted measurements.
func (e *Enclave) flaw(want map[string]string) string {
	if e.CID < firstCID || e.CID > 1<<32-2 {
		return "address"
	}
	if strings.Contains(e.Flags, "DEBUG_MODE") {
		return "debug mode"
	}
	for pcr, hash := range want {
		if !strings.EqualFold(e.Measurements[pcr], hash) || hash == "" {
			return "measurements"
		}
	}
	return ""
}

// ours reports whether the enclave's name begins with prefix. Others (nitro-cli runs ACM's too) are left alone.
func (e *Enclave) ours(prefix string) bool { return strings.HasPrefix(e.Name, prefix) }

// AppendJSON appends the array of GET /enclaves.
func AppendJSON(dst []byte, list []Enclave) []byte {
	if list == nil {
		list = []Enclave{}
	}
	b, err := json.Marshal(list)
	if err != nil {
		return append(dst, "[]"...) // cannot happen: JSON can express every value of the type
	}
	return append(dst, b...)
}
