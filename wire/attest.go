package wire

// AttestRequest asks for an attestation document for a caller. The document carries the nonce and no public key.
type AttestRequest struct {
	// Nonce of the caller, MinNonce to MaxNonce bytes.
	Nonce []byte
}

// Validate checks the limits of what Append would write.
func (m *AttestRequest) Validate() error {
	if len(m.Nonce) < MinNonce || len(m.Nonce) > MaxNonce {
		return ErrLimit
	}
	return nil
}

// Append appends the body.
func (m *AttestRequest) Append(dst []byte) []byte { return appendBytes(dst, m.Nonce) }

// Decode reads a body, borrowing from b.
func (m *AttestRequest) Decode(b []byte) error {
	r := reader{b: b}
	*m = AttestRequest{Nonce: r.bytes(MaxNonce)}
	if err := r.skipExtensions(); err != nil {
		return err
	}
	return m.Validate()
}

// AttestResponse carries the document, COSE_Sign1 as the NSM made it.
type AttestResponse struct {
	Document []byte
}

// Validate checks the limits of what Append would write.
func (m *AttestResponse) Validate() error {
	if len(m.Document) > MaxDocument {
		return ErrLimit
	}
	return nil
}

// Append appends the body.
func (m *AttestResponse) Append(dst []byte) []byte { return appendBytes(dst, m.Document) }

// Decode reads a body, borrowing from b.
func (m *AttestResponse) Decode(b []byte) error {
	r := reader{b: b}
	*m = AttestResponse{Document: r.bytes(MaxDocument)}
	return r.skipExtensions()
}
