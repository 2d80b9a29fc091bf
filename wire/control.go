package wire

import (
	"encoding/binary"
	"math/bits"
)

// ErrorBody is the body of KindError.
type ErrorBody struct {
	Code         Code
	RetryAfterMS uint32
}

// Append appends the body.
func (m *ErrorBody) Append(dst []byte) []byte {
	return binary.AppendUvarint(append(dst, byte(m.Code)), uint64(m.RetryAfterMS))
}

// Decode reads a body. An unknown code becomes Internal, and so does OK, which is not an error.
func (m *ErrorBody) Decode(b []byte) error {
	r := reader{b: b}
	*m = ErrorBody{Code: knownCode(r.u8()), RetryAfterMS: r.u32()}
	if m.Code == OK {
		m.Code = Internal
	}
	return r.skipExtensions()
}

// Purge asks the enclave to forget keys and contexts: those of one vault, or all if VaultID is empty.
type Purge struct {
	VaultID []byte
}

// Append appends the body.
func (m *Purge) Append(dst []byte) []byte { return appendBytes(dst, m.VaultID) }

// Validate checks the limits of what Append would write.
func (m *Purge) Validate() error {
	if len(m.VaultID) > MaxVaultID {
		return ErrLimit
	}
	return nil
}

// Decode reads a body, borrowing from b.
func (m *Purge) Decode(b []byte) error {
	r := reader{b: b}
	*m = Purge{VaultID: r.bytes(MaxVaultID)}
	return r.skipExtensions()
}

// Purged says how much a purge removed.
type Purged struct {
	Keys, Contexts uint64
}

// Append appends the body.
func (m *Purged) Append(dst []byte) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, m.Keys), m.Contexts)
}

// Decode reads a body.
func (m *Purged) Decode(b []byte) error {
	r := reader{b: b}
	*m = Purged{Keys: r.uvarint(), Contexts: r.uvarint()}
	return r.skipExtensions()
}

// Ping asks whether the enclave is alive. Its answer is a [Pong].
type Ping struct {
	// ClockMS is the sender's clock, Unix time in milliseconds.
	ClockMS int64
}

// Append appends the body.
func (m *Ping) Append(dst []byte) []byte { return appendI64(dst, m.ClockMS) }

// Decode reads a body.
func (m *Ping) Decode(b []byte) error {
	r := reader{b: b}
	*m = Ping{ClockMS: r.i64()}
	return r.skipExtensions()
}

// Health is a set of bits about the enclave. A set bit is good news.
type Health uint32

const (
	// HealthSelfTest says that the last self-test (a vector opened, sealed and refused) passed.
	HealthSelfTest Health = 1 << 0
	// HealthCredentials says that the asking session has given credentials that have not ended, and that KMS has not
	// refused lately.
	HealthCredentials Health = 1 << 1
	// HealthKMS says that KMS answered lately, or has not been needed.
	HealthKMS Health = 1 << 2
	// HealthClock says that the clock source is the one expected and the clock agrees with KMS.
	HealthClock Health = 1 << 3
	// HealthEntropy says that the random number source is the one expected.
	HealthEntropy Health = 1 << 4
	// HealthAccepting says that new requests are accepted: the enclave is not draining.
	HealthAccepting Health = 1 << 5

	// HealthReady is what an enclave needs in order to get requests. HealthKMS is not part of it: cached keys open
	// records while KMS is unavailable.
	HealthReady = HealthSelfTest | HealthCredentials | HealthClock | HealthEntropy | HealthAccepting
)

// healthNames are the conditions by the number of their bit.
var healthNames = [32]string{0: "self_test", 1: "credentials", 2: "kms", 3: "clock", 4: "entropy", 5: "accepting"}

// AllHealth are the conditions of this build.
func AllHealth() (all Health) {
	for i, name := range healthNames {
		if name != "" {
			all |= 1 << i
		}
	}
	return all
}

// Name is the condition's in snake_case, for metrics and logs; empty for what is not one condition of this build.
func (h Health) Name() string {
	if bits.OnesCount32(uint32(h)) != 1 {
		return ""
	}
	return healthNames[bits.TrailingZeros32(uint32(h))]
}

// Has reports whether all of want are set.
func (h Health) Has(want Health) bool { return h&want == want }

// Pong answers a [Ping].
type Pong struct {
	Health Health
	// ClockMS is the enclave's clock, Unix time in milliseconds.
	ClockMS int64
	// InFlight is the number of requests in work on all sessions. Queued is how many of them wait.
	InFlight, Queued uint32
}

// Append appends the body.
func (m *Pong) Append(dst []byte) []byte {
	dst = appendI64(dst, m.ClockMS)
	dst = binary.AppendUvarint(dst, uint64(m.Health))
	dst = binary.AppendUvarint(dst, uint64(m.InFlight))
	return binary.AppendUvarint(dst, uint64(m.Queued))
}

// Decode reads a body.
func (m *Pong) Decode(b []byte) error {
	r := reader{b: b}
	*m = Pong{ClockMS: r.i64(), Health: Health(r.u32()), InFlight: r.u32(), Queued: r.u32()}
	return r.skipExtensions()
}

// GoAway says that the sender accepts no new requests on this session, and ends it when those in flight are answered.
type GoAway struct {
	Code Code
}

// Append appends the body.
func (m *GoAway) Append(dst []byte) []byte { return append(dst, byte(m.Code)) }

// Decode reads a body.
func (m *GoAway) Decode(b []byte) error {
	r := reader{b: b}
	*m = GoAway{Code: knownCode(r.u8())}
	return r.skipExtensions()
}
