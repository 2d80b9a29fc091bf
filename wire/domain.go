package wire

import "encoding/binary"

// Sizes of what belongs to domains. Package domain has the formats.
const (
	// StatementSize is the size of a statement: an Ed25519 signature.
	StatementSize = 64
)

// DomainRecord hands the record of a domain over, so that the enclave opens it. Package domain has its format.
type DomainRecord struct {
	Record []byte
}

// Validate checks the limits of what Append would write.
func (m *DomainRecord) Validate() error {
	if len(m.Record) > MaxDomainRecord {
		return ErrLimit
	}
	return nil
}

// Append appends the body.
func (m *DomainRecord) Append(dst []byte) []byte { return appendBytes(dst, m.Record) }

// Decode reads a body, borrowing from b.
func (m *DomainRecord) Decode(b []byte) error {
	r := reader{b: b}
	*m = DomainRecord{Record: r.bytes(MaxDomainRecord)}
	return r.skipExtensions()
}

// DataKey is KMS's ciphertext of a domain's data key, and the ARN of the KMS key.
type DataKey struct {
	ARN        []byte
	Ciphertext []byte
}

func (k *DataKey) valid() error {
	if len(k.ARN) > MaxKeyARN || len(k.Ciphertext) > MaxWrappedKey {
		return ErrLimit
	}
	return nil
}

func appendDataKeys(dst []byte, keys []DataKey) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(keys)))
	for i := range keys {
		dst = appendBytes(appendBytes(dst, keys[i].ARN), keys[i].Ciphertext)
	}
	return dst
}

func (r *reader) dataKeys(into []DataKey, limit int) []DataKey {
	for range r.count(limit, 2) {
		arn := r.bytes(MaxKeyARN)
		into = append(into, DataKey{arn, r.bytes(MaxWrappedKey)})
	}
	return into
}

// CreateDomainRequest asks for a new generation of a domain, parent to enclave on a lane. The answer is a
// [CreateDomainResponse], or an error: key_denied if the enclave's measured file does not allow it, overloaded if that
// file allows no more of them now, and what KMS's answers become. It waits for one call of KMS for each data key.
type CreateDomainRequest struct {
	ID         []byte
	Generation uint16 // from 1
	// Suites are those of vaults, the first the default; RequestSuites are those of request keys. Numbers as of package
	// sealed.
	Suites, RequestSuites []byte
	// DataKeys has one for each wrap: at least one.
	DataKeys []DataKey
	// Nonce is carried by the attestation document, MinNonce to MaxNonce bytes.
	Nonce []byte
}

// Validate checks the limits of what Append would write. It returns [ErrLimit] or [ErrValue].
func (m *CreateDomainRequest) Validate() error {
	if len(m.ID) > MaxDomainID || len(m.Suites) > MaxSuites || len(m.RequestSuites) > MaxRequestSuites ||
		len(m.DataKeys) > MaxDataKeys || len(m.Nonce) < MinNonce || len(m.Nonce) > MaxNonce {
		return ErrLimit
	}
	for i := range m.DataKeys {
		if err := m.DataKeys[i].valid(); err != nil {
			return err
		}
	}
	if len(m.ID) == 0 || m.Generation == 0 || len(m.Suites) == 0 || len(m.DataKeys) == 0 {
		return ErrValue
	}
	return nil
}

// Append appends the body. It does not check limits: see Validate.
func (m *CreateDomainRequest) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint16(appendBytes(dst, m.ID), m.Generation)
	dst = appendBytes(appendBytes(dst, m.Suites), m.RequestSuites)
	return appendBytes(appendDataKeys(dst, m.DataKeys), m.Nonce)
}

// Decode reads a body, borrowing from b.
func (m *CreateDomainRequest) Decode(b []byte) error {
	r := reader{b: b}
	clear(m.DataKeys)
	*m = CreateDomainRequest{
		ID: r.bytes(MaxDomainID), Generation: r.u16(), Suites: r.bytes(MaxSuites),
		RequestSuites: r.bytes(MaxRequestSuites), DataKeys: r.dataKeys(m.DataKeys[:0], MaxDataKeys),
		Nonce: r.bytes(MaxNonce),
	}
	if err := r.skipExtensions(); err != nil {
		return err
	}
	return m.Validate()
}

// CreateDomainResponse answers a [CreateDomainRequest].
type CreateDomainResponse struct {
	// Record has a wrap for each data key, in their order.
	Record []byte
	// Document is the attestation document over the nonce, COSE_Sign1.
	Document []byte
}

// Validate checks the limits of what Append would write.
func (m *CreateDomainResponse) Validate() error {
	if len(m.Record) > MaxDomainRecord || len(m.Document) > MaxDocument {
		return ErrLimit
	}
	return nil
}

// Append appends the body.
func (m *CreateDomainResponse) Append(dst []byte) []byte {
	return appendBytes(appendBytes(dst, m.Record), m.Document)
}

// Decode reads a body, borrowing from b.
func (m *CreateDomainResponse) Decode(b []byte) error {
	r := reader{b: b}
	*m = CreateDomainResponse{Record: r.bytes(MaxDomainRecord), Document: r.bytes(MaxDocument)}
	return r.skipExtensions()
}

// WrapDomainRequest asks for one more wrap of a domain's secret, parent to enclave on a lane. Without a data key it
// asks whether the record opens. The answer is a [WrapDomainResponse], or an error: key_denied if no wrap opens or the
// measured file does not allow it. It waits for a call of KMS for each wrap that is tried, and one for the data key.
type WrapDomainRequest struct {
	Record []byte
	// DataKeys has one, or none.
	DataKeys []DataKey
}

// Validate checks the limits of what Append would write.
func (m *WrapDomainRequest) Validate() error {
	if len(m.Record) > MaxDomainRecord || len(m.DataKeys) > 1 {
		return ErrLimit
	}
	for i := range m.DataKeys {
		if err := m.DataKeys[i].valid(); err != nil {
			return err
		}
	}
	return nil
}

// Append appends the body.
func (m *WrapDomainRequest) Append(dst []byte) []byte {
	return appendDataKeys(appendBytes(dst, m.Record), m.DataKeys)
}

// Decode reads a body, borrowing from b.
func (m *WrapDomainRequest) Decode(b []byte) error {
	r := reader{b: b}
	clear(m.DataKeys)
	*m = WrapDomainRequest{Record: r.bytes(MaxDomainRecord), DataKeys: r.dataKeys(m.DataKeys[:0], 1)}
	return r.skipExtensions()
}

// WrapDomainResponse answers a [WrapDomainRequest]: the record, with the new wrap last.
type WrapDomainResponse struct {
	Record []byte
}

// Validate checks the limits of what Append would write.
func (m *WrapDomainResponse) Validate() error {
	if len(m.Record) > MaxDomainRecord {
		return ErrLimit
	}
	return nil
}

// Append appends the body.
func (m *WrapDomainResponse) Append(dst []byte) []byte { return appendBytes(dst, m.Record) }

// Decode reads a body, borrowing from b.
func (m *WrapDomainResponse) Decode(b []byte) error {
	r := reader{b: b}
	*m = WrapDomainResponse{Record: r.bytes(MaxDomainRecord)}
	return r.skipExtensions()
}
