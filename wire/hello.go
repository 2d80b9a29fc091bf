package wire

import "encoding/binary"

// Protocol versions that this build speaks. A session uses the highest that both sides know.
const (
	MinVersion uint16 = 1
	MaxVersion uint16 = 1
)

const (
	extPCR       = 1
	extEnclaveID = 2
)

// PCR is a platform configuration register, as the enclave states it. Only an attestation document proves it.
type PCR struct {
	Index uint8
	Value []byte
}

// Hello opens the control stream, both ways.
type Hello struct {
	// MinVersion and MaxVersion bound the protocol versions the sender speaks.
	MinVersion, MaxVersion uint16
	Features               Features
	// StartMS is when the sender's process started, Unix time in milliseconds.
	StartMS int64
	// MaxInFlight is the most requests the sender takes at once on this session, over all lanes.
	MaxInFlight uint32
	// MaxLanes is the most lanes the sender takes on this session, batch lanes included.
	MaxLanes uint32
	// MaxBody is the longest message the sender takes, in bytes.
	MaxBody uint32
	BuildID []byte
	// EnclaveID is the enclave's own id (its NSM module id); empty from a parent, or when unknown.
	EnclaveID []byte
	// PCRs, when known. Stated, not proven.
	PCRs []PCR
}

// Reset empties the hello and keeps its slice.
func (m *Hello) Reset() {
	clear(m.PCRs)
	*m = Hello{PCRs: m.PCRs[:0]}
}

// Validate checks the limits of what Append would write. It returns [ErrLimit] or [ErrValue].
func (m *Hello) Validate() error {
	if len(m.BuildID) > MaxBuildID || len(m.EnclaveID) > MaxEnclaveID || len(m.PCRs) > MaxPCRs {
		return ErrLimit
	}
	for i := range m.PCRs {
		if len(m.PCRs[i].Value) > MaxPCR {
			return ErrLimit
		}
		if m.PCRs[i].Index >= MaxPCRs {
			return ErrValue
		}
	}
	if m.MinVersion > m.MaxVersion || m.MinVersion == 0 {
		return ErrValue
	}
	return nil
}

// Append appends the hello's body.
func (m *Hello) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, m.MinVersion)
	dst = binary.LittleEndian.AppendUint16(dst, m.MaxVersion)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.Features))
	dst = appendI64(dst, m.StartMS)
	dst = binary.AppendUvarint(dst, uint64(m.MaxInFlight))
	dst = binary.AppendUvarint(dst, uint64(m.MaxLanes))
	dst = binary.AppendUvarint(dst, uint64(m.MaxBody))
	dst = appendBytes(dst, m.BuildID)
	if len(m.EnclaveID) > 0 {
		dst = appendExtension(dst, extEnclaveID, m.EnclaveID)
	}
	for i := range m.PCRs {
		dst = append(dst, extPCR)
		dst = binary.AppendUvarint(dst, uint64(1+len(m.PCRs[i].Value)))
		dst = append(append(dst, m.PCRs[i].Index), m.PCRs[i].Value...)
	}
	return dst
}

// Decode reads a body, borrowing from b. It resets m first. All failures wrap [ErrMalformed].
func (m *Hello) Decode(b []byte) error {
	m.Reset()
	r := reader{b: b}
	m.MinVersion, m.MaxVersion = r.u16(), r.u16()
	m.Features = Features(r.u64())
	m.StartMS = r.i64()
	m.MaxInFlight, m.MaxLanes, m.MaxBody = r.u32(), r.u32(), r.u32()
	m.BuildID = r.bytes(MaxBuildID)
	for {
		tag, v, ok := r.extension()
		if !ok {
			break
		}
		switch tag {
		case extPCR:
			if len(v) < 2 || len(m.PCRs) == MaxPCRs {
				return ErrLimit
			}
			m.PCRs = append(m.PCRs, PCR{Index: v[0], Value: v[1:]})
		case extEnclaveID:
			m.EnclaveID = v
		}
	}
	if r.err != nil {
		return r.err
	}
	return m.Validate()
}

// Clone copies the hello out of the frame it borrows from.
func (m *Hello) Clone() Hello {
	c := *m
	c.BuildID = append([]byte(nil), m.BuildID...)
	c.EnclaveID = append([]byte(nil), m.EnclaveID...)
	c.PCRs = make([]PCR, len(m.PCRs))
	for i, p := range m.PCRs {
		c.PCRs[i] = PCR{Index: p.Index, Value: append([]byte(nil), p.Value...)}
	}
	return c
}

// Negotiate returns the version and the features that two hellos have in common. ok is false when the ranges of
// versions do not meet.
func Negotiate(a, b *Hello) (version uint16, f Features, ok bool) {
	version = min(a.MaxVersion, b.MaxVersion)
	return version, a.Features & b.Features, version >= max(a.MinVersion, b.MinVersion)
}
