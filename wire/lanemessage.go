package wire

// LaneMessage is the body of a request on a lane, for those who carry it and do not look at what is in it.
type LaneMessage interface {
	// Kind is the kind of its frame.
	Kind() Kind
	// Needs are the features without which an enclave cannot serve it.
	Needs() Features
	// AppendFor appends the body for an enclave of the given features: without the parts that such an enclave does not
	// know and need not know in order to serve it.
	AppendFor(f Features, dst []byte) []byte
}

// Kind implements [LaneMessage].
func (*DecryptRequest) Kind() Kind { return KindDecrypt }

// Needs implements [LaneMessage].
func (m *DecryptRequest) Needs() (f Features) {
	if len(m.ReplyKey) > 0 {
		f |= FeaturePaddedReply
	}
	if len(m.Domain) > 0 {
		f |= FeatureDomains
	}
	return f
}

// AppendFor implements [LaneMessage].
func (m *DecryptRequest) AppendFor(f Features, dst []byte) []byte {
	if !m.ReportAccess || f.Has(FeatureAccessReport) {
		return m.Append(dst)
	}
	known := *m
	known.ReportAccess = false
	return known.Append(dst)
}

// Kind implements [LaneMessage].
func (*CreateDomainRequest) Kind() Kind { return KindCreateDomain }

// Needs implements [LaneMessage].
func (*CreateDomainRequest) Needs() Features { return FeatureDomainWrites }

// AppendFor implements [LaneMessage].
func (m *CreateDomainRequest) AppendFor(_ Features, dst []byte) []byte { return m.Append(dst) }

// Kind implements [LaneMessage].
func (*WrapDomainRequest) Kind() Kind { return KindWrapDomain }

// Needs implements [LaneMessage].
func (*WrapDomainRequest) Needs() Features { return FeatureDomainWrites }

// AppendFor implements [LaneMessage].
func (m *WrapDomainRequest) AppendFor(_ Features, dst []byte) []byte { return m.Append(dst) }

// Kind implements [LaneMessage].
func (*MintRequest) Kind() Kind { return KindMint }

// Needs implements [LaneMessage].
func (*MintRequest) Needs() Features { return FeatureDomainWrites }

// AppendFor implements [LaneMessage].
func (m *MintRequest) AppendFor(_ Features, dst []byte) []byte { return m.Append(dst) }

// Kind implements [LaneMessage].
func (*ResealRequest) Kind() Kind { return KindReseal }

// Needs implements [LaneMessage].
func (*ResealRequest) Needs() Features { return FeatureDomainWrites }

// AppendFor implements [LaneMessage].
func (m *ResealRequest) AppendFor(_ Features, dst []byte) []byte { return m.Append(dst) }
