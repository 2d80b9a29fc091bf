package wire

import "log/slog"

// Credentials are the AWS credentials with which the enclave signs its KMS requests. They are sent when they change.
// They are secrets of the parent, not of the data: without the enclave's attestation they open nothing.
type Credentials struct {
	AccessKeyID []byte
	Secret      []byte
	// Token is the session token; empty for long-lived credentials.
	Token []byte
	// ExpiresMS is when they end, Unix time in milliseconds; 0 means never.
	ExpiresMS int64
}

// Reset empties the credentials. It does not wipe the memory that they borrow: see Wipe.
func (m *Credentials) Reset() { *m = Credentials{} }

// Wipe overwrites secret and token with zeros, then empties the credentials.
func (m *Credentials) Wipe() {
	clear(m.AccessKeyID)
	clear(m.Secret)
	clear(m.Token)
	m.Reset()
}

// Validate checks the limits of what Append would write.
func (m *Credentials) Validate() error {
	if len(m.AccessKeyID) > MaxCredential || len(m.Secret) > MaxCredential || len(m.Token) > MaxSessionToken {
		return ErrLimit
	}
	if len(m.AccessKeyID) == 0 || len(m.Secret) == 0 {
		return ErrValue
	}
	return nil
}

// Append appends the body.
func (m *Credentials) Append(dst []byte) []byte {
	dst = appendI64(dst, m.ExpiresMS)
	dst = appendBytes(dst, m.AccessKeyID)
	dst = appendBytes(dst, m.Secret)
	return appendBytes(dst, m.Token)
}

// Decode reads a body, borrowing from b. All failures wrap [ErrMalformed].
func (m *Credentials) Decode(b []byte) error {
	r := reader{b: b}
	*m = Credentials{
		ExpiresMS:   r.i64(),
		AccessKeyID: r.bytes(MaxCredential),
		Secret:      r.bytes(MaxCredential),
		Token:       r.bytes(MaxSessionToken),
	}
	if err := r.skipExtensions(); err != nil {
		return err
	}
	return m.Validate()
}

// String keeps credentials out of logs.
func (m *Credentials) String() string { return "[credentials]" }

// LogValue keeps credentials out of logs.
func (m *Credentials) LogValue() slog.Value { return slog.StringValue("[credentials]") }
