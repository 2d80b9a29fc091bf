package wire

import "encoding/binary"

// VaultKey is a key pair that the enclave made for a vault. Package domain has the formats.
type VaultKey struct {
	// Wrapped is the private key.
	Wrapped []byte
	// Public is the public key, raw.
	Public []byte
	// Statement says that the domain made the key, StatementSize bytes.
	Statement []byte
}

func (k *VaultKey) valid() error {
	switch {
	case len(k.Wrapped) > MaxWrappedKey || len(k.Public) > MaxPublicKey:
		return ErrLimit
	case len(k.Statement) != StatementSize:
		return ErrValue
	}
	return nil
}

func (k *VaultKey) append(dst []byte) []byte {
	return append(appendBytes(appendBytes(dst, k.Wrapped), k.Public), k.Statement...)
}

func (r *reader) vaultKey() VaultKey {
	return VaultKey{Wrapped: r.bytes(MaxWrappedKey), Public: r.bytes(MaxPublicKey), Statement: r.fixed(StatementSize)}
}

// fixed reads n bytes, borrowed.
func (r *reader) fixed(n int) []byte {
	if len(r.b) < n {
		r.fail(ErrTruncated)
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// MintRequest asks for keys of new vaults, parent to enclave on a lane. The answer is a [MintResponse], or an error:
// domain_unknown if the enclave has not opened the domain, generation_closed, key_denied for a suite that domain or
// measured file do not allow. It waits for nothing but a worker.
type MintRequest struct {
	// Domain names the domain, DomainNameSize bytes.
	Domain []byte
	// Suite is the number of the vaults' suite; 0: the domain's default.
	Suite uint8
	// Count is 1 to MaxMint.
	Count uint8
}

// Validate checks the limits of what Append would write. It returns [ErrLimit] or [ErrValue].
func (m *MintRequest) Validate() error {
	switch {
	case m.Count > MaxMint:
		return ErrLimit
	case m.Count == 0 || len(m.Domain) != DomainNameSize:
		return ErrValue
	}
	return nil
}

// Append appends the body.
func (m *MintRequest) Append(dst []byte) []byte {
	return append(append(dst, m.Domain...), m.Suite, m.Count)
}

// Decode reads a body, borrowing from b.
func (m *MintRequest) Decode(b []byte) error {
	r := reader{b: b}
	*m = MintRequest{Domain: r.fixed(DomainNameSize), Suite: r.u8(), Count: r.u8()}
	if err := r.skipExtensions(); err != nil {
		return err
	}
	return m.Validate()
}

// Minted is one key of a [MintResponse].
type Minted struct {
	// VaultID is the new vault's.
	VaultID []byte
	Key     VaultKey
}

// MintResponse answers a [MintRequest]: as many keys as were asked for. A value may be used again for Decode, which
// then does not allocate.
type MintResponse struct {
	Keys []Minted
}

// Validate checks the limits of what Append would write. It returns [ErrLimit] or [ErrValue].
func (m *MintResponse) Validate() error {
	if len(m.Keys) > MaxMint {
		return ErrLimit
	}
	for i := range m.Keys {
		if len(m.Keys[i].VaultID) > MaxVaultID {
			return ErrLimit
		}
		if err := m.Keys[i].Key.valid(); err != nil {
			return err
		}
	}
	return nil
}

// Append appends the body.
func (m *MintResponse) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(m.Keys)))
	for i := range m.Keys {
		dst = m.Keys[i].Key.append(appendBytes(dst, m.Keys[i].VaultID))
	}
	return dst
}

// Decode reads a body, borrowing from b.
func (m *MintResponse) Decode(b []byte) error {
	r := reader{b: b}
	clear(m.Keys)
	m.Keys = m.Keys[:0]
	for range r.count(MaxMint, 3+StatementSize) {
		id := r.bytes(MaxVaultID)
		m.Keys = append(m.Keys, Minted{id, r.vaultKey()})
	}
	return r.skipExtensions()
}

// ResealRequest asks for a vault's fields under a new key, parent to enclave on a lane: the batch lane for the work of
// a job. The answer is a [ResealResponse] or an error. It waits for KMS only if the old key is one of KMS's that is not
// cached.
type ResealRequest struct {
	// To names the domain of the new key, DomainNameSize bytes.
	To []byte
	// Suite is the number of the new key's suite; 0: the domain's default.
	Suite uint8
	// Epoch is the new key's: from 1, and above the old key's.
	Epoch uint16
	// Old is the vault as it is. It asks for nothing: no expressions, flags but KeyContext, reply key, token or report.
	Old DecryptRequest
}

// Validate checks the limits of what Append would write. It returns [ErrLimit] or [ErrValue].
func (m *ResealRequest) Validate() error {
	if err := m.Old.Validate(); err != nil {
		return err
	}
	return m.check()
}

func (m *ResealRequest) check() error {
	o := &m.Old
	if len(m.To) != DomainNameSize || m.Epoch == 0 || o.Compat || o.IncludeMode != IncludeDefault ||
		len(o.Expressions) > 0 || len(o.ReplyKey) > 0 || len(o.CallerToken) > 0 || o.ReportAccess {
		return ErrValue
	}
	for i := range o.Fields {
		if o.Fields[i].Include {
			return ErrValue
		}
	}
	return nil
}

// Append appends the body. It does not check limits: see Validate.
func (m *ResealRequest) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint16(append(append(dst, m.To...), m.Suite), m.Epoch)
	return m.Old.Append(dst)
}

// Decode reads a body, borrowing from b. What Old borrowed before is dropped.
func (m *ResealRequest) Decode(b []byte) error {
	m.To, m.Suite, m.Epoch = nil, 0, 0
	m.Old.Reset()
	if len(b) > MaxBody {
		return ErrLimit
	}
	r := reader{b: b}
	m.To, m.Suite, m.Epoch = r.fixed(DomainNameSize), r.u8(), r.u16()
	if r.err != nil {
		return r.err
	}
	if err := m.Old.Decode(r.b); err != nil {
		return err
	}
	return m.check()
}

// String keeps requests out of logs.
func (m *ResealRequest) String() string { return "[reseal request]" }

// ResealResponse answers a [ResealRequest]. If Code is not OK nothing was changed, and Key, Enc, Fields and Statement
// are empty. A value may be used again for Decode.
type ResealResponse struct {
	Code Code
	// RetryAfterMS says when a retry may help, in milliseconds; 0 = unknown.
	RetryAfterMS uint32
	// Domain names the domain that the enclave has not opened, DomainNameSize bytes: with DomainUnknown alone, and always.
	Domain []byte
	// Unopened are the indexes of the fields that do not open, ascending: with DecryptFailed alone. None: the key does
	// not open.
	Unopened []uint8

	Key VaultKey
	// Enc is the encapsulated key of Fields, which are blobs of encoding 4 in the request's order.
	Enc    []byte
	Fields [][]byte
	// Statement is the reseal's, StatementSize bytes.
	Statement []byte
}

// Extensions of an answer to a reseal.
const (
	extResealDomain   = 1
	extResealUnopened = 2
)

// Reset empties the response and keeps its slices for reuse.
func (m *ResealResponse) Reset() {
	clear(m.Fields)
	*m = ResealResponse{Unopened: m.Unopened[:0], Fields: m.Fields[:0]}
}

// Validate checks the limits of what Append would write. It returns [ErrLimit] or [ErrValue].
func (m *ResealResponse) Validate() error {
	if (m.Code == DomainUnknown) != (len(m.Domain) == DomainNameSize) || m.Code != DomainUnknown && len(m.Domain) > 0 ||
		m.Code != DecryptFailed && len(m.Unopened) > 0 {
		return ErrValue
	}
	for i, n := range m.Unopened {
		if n >= MaxFields || i > 0 && n <= m.Unopened[i-1] {
			return ErrValue
		}
	}
	if m.Code != OK {
		if len(m.Key.Wrapped)+len(m.Key.Public)+len(m.Key.Statement)+len(m.Enc)+len(m.Fields)+len(m.Statement) > 0 {
			return ErrValue
		}
		return nil
	}
	if len(m.Statement) != StatementSize {
		return ErrValue
	}
	if len(m.Enc) > MaxEnc || len(m.Fields) > MaxFields {
		return ErrLimit
	}
	size := 64 + len(m.Key.Wrapped) + len(m.Key.Public) + 2*StatementSize + len(m.Enc)
	for _, f := range m.Fields {
		size += 8 + len(f)
	}
	if size > MaxBody {
		return ErrLimit
	}
	return m.Key.valid()
}

// Append appends the body. It does not check limits: see Validate.
func (m *ResealResponse) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, byte(m.Code)), uint64(m.RetryAfterMS))
	if m.Code == OK {
		dst = appendBytes(m.Key.append(dst), m.Enc)
		dst = binary.AppendUvarint(dst, uint64(len(m.Fields)))
		for _, f := range m.Fields {
			dst = appendBytes(dst, f)
		}
		dst = append(dst, m.Statement...)
	}
	if len(m.Domain) > 0 {
		dst = appendExtension(dst, extResealDomain, m.Domain)
	}
	if len(m.Unopened) > 0 {
		dst = appendExtension(dst, extResealUnopened, m.Unopened)
	}
	return dst
}

// Decode reads a body, borrowing from b. It resets m first. All failures wrap [ErrMalformed].
func (m *ResealResponse) Decode(b []byte) error {
	m.Reset()
	if len(b) > MaxBody {
		return ErrLimit
	}
	r := reader{b: b}
	m.Code, m.RetryAfterMS = knownCode(r.u8()), r.u32()
	if r.err == nil && m.Code == OK {
		m.Key, m.Enc = r.vaultKey(), r.bytes(MaxEnc)
		for range r.count(MaxFields, 1) {
			m.Fields = append(m.Fields, r.bytes(MaxBody))
		}
		m.Statement = r.fixed(StatementSize)
	}
	for {
		tag, v, ok := r.extension()
		if !ok {
			break
		}
		switch {
		case tag == extResealDomain && m.Code == DomainUnknown:
			m.Domain = v
		case tag == extResealUnopened && m.Code == DecryptFailed:
			m.Unopened = append(m.Unopened[:0], v...)
		}
	}
	if r.err != nil {
		return r.err
	}
	return m.Validate()
}

// String keeps responses out of logs.
func (m *ResealResponse) String() string { return "[reseal response]" }
