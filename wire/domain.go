package wire

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
