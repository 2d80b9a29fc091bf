package wire

import "encoding/binary"

// Level of a log message, as in slog: 0 debug, 1 info, 2 warn, 3 error.
type Level uint8

// Levels.
const (
	LevelDebug Level = 0
	LevelInfo  Level = 1
	LevelWarn  Level = 2
	LevelError Level = 3
)

// LogNumber is one attribute of a log message. The enclave logs no other kind.
type LogNumber struct {
	Key   []byte
	Value int64
}

// Log is one message from the enclave: a static text and numbers. It never holds input, plaintext or keys; the
// parent treats it as untrusted text all the same.
type Log struct {
	Level Level
	// TimeMS is the enclave's clock, Unix time in milliseconds.
	TimeMS int64
	// Dropped counts the messages before this one that the rate limit or a full queue dropped.
	Dropped uint64
	Text    []byte
	Numbers []LogNumber
}

// Reset empties the message and keeps its slice.
func (m *Log) Reset() {
	clear(m.Numbers)
	*m = Log{Numbers: m.Numbers[:0]}
}

// Validate checks the limits of what Append would write.
func (m *Log) Validate() error {
	if len(m.Text) > MaxLogText || len(m.Numbers) > MaxLogNumbers {
		return ErrLimit
	}
	for i := range m.Numbers {
		if len(m.Numbers[i].Key) > MaxLogKey {
			return ErrLimit
		}
	}
	if m.Level > LevelError {
		return ErrValue
	}
	return nil
}

// Append appends the body.
func (m *Log) Append(dst []byte) []byte {
	dst = appendI64(append(dst, byte(m.Level)), m.TimeMS)
	dst = binary.AppendUvarint(dst, m.Dropped)
	dst = appendBytes(dst, m.Text)
	dst = binary.AppendUvarint(dst, uint64(len(m.Numbers)))
	for i := range m.Numbers {
		dst = appendSvarint(appendBytes(dst, m.Numbers[i].Key), m.Numbers[i].Value)
	}
	return dst
}

// Decode reads a body, borrowing from b. A level of a newer peer becomes LevelError.
func (m *Log) Decode(b []byte) error {
	m.Reset()
	r := reader{b: b}
	m.Level = min(Level(r.u8()), LevelError)
	m.TimeMS = r.i64()
	m.Dropped = r.uvarint()
	m.Text = r.bytes(MaxLogText)
	for range r.count(MaxLogNumbers, 2) {
		key := r.bytes(MaxLogKey)
		m.Numbers = append(m.Numbers, LogNumber{Key: key, Value: r.svarint()})
	}
	return r.skipExtensions()
}
