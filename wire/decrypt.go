package wire

import "encoding/binary"

// IncludeMode says which raw fields a decrypt request wants beside its expressions.
type IncludeMode uint8

const (
	// IncludeDefault returns all fields when there are no expressions, and none when there are.
	IncludeDefault IncludeMode = 0
	// IncludeListed returns the fields whose Include is set.
	IncludeListed IncludeMode = 1
)

const (
	reqKeyContext = 1 << 0
	reqCompat     = 1 << 1
	reqInclude    = 1 << 2
	reqKnown      = reqKeyContext | reqCompat | reqInclude

	fieldInclude = 1 << 0
	fieldKnown   = fieldInclude

	extReplyKey     = 1
	extCallerToken  = 2
	extReportAccess = 3
	extDomain       = 4

	// DomainNameSize is the size of a domain's name on the wire: the first bytes of the SHA-384 of its descriptor.
	DomainNameSize = 32
	encodingRef    = 4
)

// Field is one sealed field of a request.
type Field struct {
	// Name is the name as sealed. The sender has trimmed and lower-cased it.
	Name []byte
	// Blob is the sealed value, raw bytes. Encodings 1 and 2: enc followed by ct (encoding 1 is hex-decoded by the
	// sender, which drops the '#'). Encoding 3: with its leading 0x03. Encoding 4: with its leading 0x05.
	Blob []byte
	// Enc is the index of its encapsulated key in the request's Encs; encoding 4 only.
	Enc uint8
	// Include asks for the raw value under [IncludeListed].
	Include bool
}

// Expression is a named CEL source.
type Expression struct {
	Name   []byte
	Source []byte
}

// DecryptRequest asks to open the fields of one record and to evaluate expressions over them.
//
// After Decode every slice borrows from the frame that was decoded, which must outlive its use. A value may be used
// again after Reset; then neither Decode nor Append allocates.
type DecryptRequest struct {
	VaultID []byte
	Region  []byte
	// Suite is the one-byte index of the HPKE suite (package sealed).
	Suite uint8
	// Encoding of the blobs: 1, 2 or 3; 4 if and only if there is a Domain.
	Encoding uint8
	// KeyContext says that the wrapped key was made with EncryptionContext {"vault_id": VaultID}.
	KeyContext bool
	// Compat asks for the reference's answer: all fields and all expression results.
	Compat      bool
	IncludeMode IncludeMode
	// WrappedKey is the private key as KMS wrapped it, raw.
	WrappedKey  []byte
	Fields      []Field
	Expressions []Expression
	// ReplySuite and ReplyKey (SubjectPublicKeyInfo, DER) ask for sealed values; ReplyKey is empty when absent.
	ReplySuite uint8
	ReplyKey   []byte
	// CallerToken is reserved for tokens that the enclave itself verifies; empty when absent.
	CallerToken []byte
	// Domain names the domain of a vault whose key the enclave made, DomainNameSize bytes; empty for a key of KMS's. It
	// is sent only under [FeatureDomains]. Encs are the encapsulated keys to which its fields are sealed.
	Domain []byte
	Encs   [][]byte
	// ReportAccess asks for the access report; an enclave without [FeatureAccessReport] sends none.
	ReportAccess bool
}

// Reset empties the request and keeps its slices for reuse. It drops all borrowed memory.
func (m *DecryptRequest) Reset() {
	clear(m.Fields)
	clear(m.Expressions)
	clear(m.Encs)
	*m = DecryptRequest{Fields: m.Fields[:0], Expressions: m.Expressions[:0], Encs: m.Encs[:0]}
}

// AddField appends a field; name and blob are kept, not copied.
func (m *DecryptRequest) AddField(name, blob []byte) *Field {
	var f *Field
	m.Fields, f = grow(m.Fields)
	*f = Field{Name: name, Blob: blob}
	return f
}

// AddExpression appends an expression; name and source are kept, not copied.
func (m *DecryptRequest) AddExpression(name, source []byte) {
	var e *Expression
	m.Expressions, e = grow(m.Expressions)
	*e = Expression{Name: name, Source: source}
}

// Validate checks the limits of what Append would write. It returns [ErrLimit] or [ErrValue].
func (m *DecryptRequest) Validate() error {
	if m.Encoding < 1 || m.Encoding > encodingRef || m.IncludeMode > IncludeListed || !m.validDomain() {
		return ErrValue
	}
	if len(m.VaultID) > MaxVaultID || len(m.Region) > MaxRegion || len(m.WrappedKey) > MaxWrappedKey ||
		len(m.Fields) > MaxFields || len(m.Expressions) > MaxExpressions ||
		len(m.ReplyKey) > MaxReplyKey || len(m.CallerToken) > MaxCallerToken {
		return ErrLimit
	}
	size := 64 + len(m.VaultID) + len(m.Region) + len(m.WrappedKey) + len(m.ReplyKey) + len(m.CallerToken)
	for i := range m.Fields {
		f := &m.Fields[i]
		if len(f.Name) > MaxName {
			return ErrLimit
		}
		size += 9 + len(f.Name) + len(f.Blob)
	}
	for _, enc := range m.Encs {
		size += 2 + len(enc)
	}
	for i := range m.Expressions {
		e := &m.Expressions[i]
		if len(e.Name) > MaxName || len(e.Source) > MaxExpression {
			return ErrLimit
		}
		size += 8 + len(e.Name) + len(e.Source)
	}
	if size > MaxBody {
		return ErrLimit
	}
	return nil
}

// validDomain reports whether what belongs to a domain is there, and only with one.
func (m *DecryptRequest) validDomain() bool {
	if m.Encoding != encodingRef {
		return len(m.Domain) == 0 && len(m.Encs) == 0
	}
	if len(m.Domain) != DomainNameSize || len(m.Encs) > MaxEncs || len(m.Region) > 0 || m.KeyContext {
		return false
	}
	for _, enc := range m.Encs {
		if len(enc) > MaxEnc {
			return false
		}
	}
	for i := range m.Fields {
		if int(m.Fields[i].Enc) >= len(m.Encs) {
			return false
		}
	}
	return true
}

// appendDomain appends extension 4.
func (m *DecryptRequest) appendDomain(dst []byte) []byte {
	size := DomainNameSize + 1 + len(m.Fields)
	for _, enc := range m.Encs {
		size += len(binary.AppendUvarint(nil, uint64(len(enc)))) + len(enc)
	}
	dst = binary.AppendUvarint(append(dst, extDomain), uint64(size))
	dst = append(append(dst, m.Domain...), byte(len(m.Encs)))
	for _, enc := range m.Encs {
		dst = appendBytes(dst, enc)
	}
	for i := range m.Fields {
		dst = append(dst, m.Fields[i].Enc)
	}
	return dst
}

// decodeDomain reads extension 4.
func (m *DecryptRequest) decodeDomain(v []byte) error {
	if len(v) < DomainNameSize || len(m.Domain) > 0 {
		return ErrValue
	}
	m.Domain = v[:DomainNameSize:DomainNameSize]
	r := reader{b: v[DomainNameSize:]}
	for range r.count(MaxEncs, 1) {
		m.Encs = append(m.Encs, r.bytes(MaxEnc))
	}
	for i := range m.Fields {
		m.Fields[i].Enc = r.u8()
	}
	if r.err == nil && len(r.b) > 0 {
		return ErrValue
	}
	return r.err
}

// Append appends the request's body. It does not check limits: see Validate.
func (m *DecryptRequest) Append(dst []byte) []byte {
	var flags byte
	if m.KeyContext {
		flags |= reqKeyContext
	}
	if m.Compat {
		flags |= reqCompat
	}
	if m.IncludeMode == IncludeListed {
		flags |= reqInclude
	}
	dst = append(dst, flags, m.Suite, m.Encoding)
	dst = appendBytes(dst, m.VaultID)
	dst = appendBytes(dst, m.Region)
	dst = appendBytes(dst, m.WrappedKey)
	dst = binary.AppendUvarint(dst, uint64(len(m.Fields)))
	for i := range m.Fields {
		f := &m.Fields[i]
		var ff byte
		if f.Include {
			ff = fieldInclude
		}
		dst = appendBytes(append(dst, ff), f.Name)
		dst = appendBytes(dst, f.Blob)
	}
	dst = binary.AppendUvarint(dst, uint64(len(m.Expressions)))
	for i := range m.Expressions {
		dst = appendBytes(dst, m.Expressions[i].Name)
		dst = appendBytes(dst, m.Expressions[i].Source)
	}
	if len(m.ReplyKey) > 0 {
		dst = append(dst, extReplyKey)
		dst = binary.AppendUvarint(dst, uint64(1+len(m.ReplyKey)))
		dst = append(append(dst, m.ReplySuite), m.ReplyKey...)
	}
	if len(m.CallerToken) > 0 {
		dst = appendExtension(dst, extCallerToken, m.CallerToken)
	}
	if m.ReportAccess {
		dst = appendExtension(dst, extReportAccess, nil)
	}
	if len(m.Domain) > 0 {
		dst = m.appendDomain(dst)
	}
	return dst
}

// Decode reads a body, borrowing from b. It resets m first. All failures wrap [ErrMalformed].
func (m *DecryptRequest) Decode(b []byte) error {
	m.Reset()
	if len(b) > MaxBody {
		return ErrLimit
	}
	r := reader{b: b}
	flags := r.u8()
	if flags&^reqKnown != 0 {
		r.fail(ErrValue)
	}
	m.KeyContext, m.Compat = flags&reqKeyContext != 0, flags&reqCompat != 0
	if flags&reqInclude != 0 {
		m.IncludeMode = IncludeListed
	}
	m.Suite = r.u8()
	if m.Encoding = r.u8(); m.Encoding < 1 || m.Encoding > encodingRef {
		r.fail(ErrValue)
	}
	m.VaultID = r.bytes(MaxVaultID)
	m.Region = r.bytes(MaxRegion)
	m.WrappedKey = r.bytes(MaxWrappedKey)
	m.decodeLists(&r)
	if err := m.decodeExtensions(&r); err != nil {
		return err
	}
	if !m.validDomain() {
		return ErrValue
	}
	return nil
}

func (m *DecryptRequest) decodeLists(r *reader) {
	for range r.count(MaxFields, 3) {
		ff := r.u8()
		if ff&^fieldKnown != 0 {
			r.fail(ErrValue)
		}
		f := m.AddField(r.bytes(MaxName), nil)
		f.Blob = r.bytes(MaxBody)
		f.Include = ff&fieldInclude != 0
		if r.err != nil {
			return
		}
	}
	for range r.count(MaxExpressions, 2) {
		name := r.bytes(MaxName)
		m.AddExpression(name, r.bytes(MaxExpression))
		if r.err != nil {
			return
		}
	}
}

func (m *DecryptRequest) decodeExtensions(r *reader) error {
	for {
		tag, v, ok := r.extension()
		if !ok {
			return r.err
		}
		switch tag {
		case extReplyKey:
			if len(v) < 2 || len(v) > 1+MaxReplyKey {
				return ErrLimit
			}
			m.ReplySuite, m.ReplyKey = v[0], v[1:]
		case extCallerToken:
			if len(v) > MaxCallerToken {
				return ErrLimit
			}
			m.CallerToken = v
		case extReportAccess:
			if len(v) > 0 {
				return ErrValue
			}
			m.ReportAccess = true
		case extDomain:
			if err := m.decodeDomain(v); err != nil {
				return err
			}
		}
	}
}

// String keeps requests out of logs.
func (m *DecryptRequest) String() string { return "[decrypt request]" }
