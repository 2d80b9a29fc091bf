package upstream

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"

	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

var (
	// ErrDomainNotKept reports that an enclave took a domain's record, and then said again that it does not know the
	// domain.
	ErrDomainNotKept = errors.New("the enclave took the domain's record, and does not know the domain")
	// ErrRecordRefused reports that the enclave refuses a domain's record: it is malformed, or its secret is not the
	// descriptor's.
	ErrRecordRefused = errors.New("the enclave refuses the domain's record")
	// ErrNoDomains reports that the parent, or its enclaves, are of a version without domains.
	ErrNoDomains = errors.New("the enclaves know no domains")
)

// ofDomains are the codes of the parent's own that are about domains. Their [Error] has the code domain_unknown.
var ofDomains = map[string]error{
	"domain_not_kept": ErrDomainNotKept, "domain_record_refused": ErrRecordRefused, "domains_unsupported": ErrNoDomains,
}

// nameOf is how the parent names a domain.
func nameOf(descriptor []byte) string { return hex.EncodeToString(descriptor[:wire.DomainNameSize]) }

// handingOver calls send with no record, and again whenever the parent answers that the enclave has not opened one of
// the domains: with that one's record too, once for each.
func handingOver(
	ctx context.Context, records Records, domains []domain.Hash, send func(records [][]byte) error,
) error {
	var given [][]byte
	for {
		err := send(given)
		var e *Error
		if records == nil || !errors.As(err, &e) || e.Code != wire.DomainUnknown {
			return err
		}
		i := slices.IndexFunc(domains, func(h domain.Hash) bool { return nameOf(h[:]) == e.Domain })
		if i < 0 { // none of ours, or given already
			return err
		}
		record, failed := records(ctx, domains[i])
		if failed != nil {
			return &Error{Code: wire.DomainUnknown, Domain: e.Domain, Err: failed}
		}
		given = append(given, record)
		domains = slices.Delete(slices.Clone(domains), i, i+1)
	}
}

// domains are those that the parent may find unknown.
func (r *Request) domains() []domain.Hash {
	if r.Domain == nil {
		return nil
	}
	return []domain.Hash{domain.Hash(r.Domain)}
}

// underDomain makes w a request for a vault under a domain, with the encapsulated keys that its fields name.
//
// A field that names none, or one that the record does not hold as it was, must fail alone, as a damaged field of
// another encoding does. The parent would refuse the request, so such a field is sent as one that cannot open. If there
// is no field but such, the error is the [*Error] that the parent would answer.
func underDomain(w *parentapi.Request[[]byte], r *Request) error {
	if len(r.Domain) != domain.HashSize {
		return &Error{Code: wire.Internal, Err: errors.New("not the hash of a domain's descriptor")}
	}
	w.Domain, w.Region, w.KeyContext = nameOf(r.Domain), "", 0
	w.Encs, w.Fields = map[string][]byte{}, map[string][]byte{}
	size := 0
	if suite, err := sealed.ParseSuite(r.SuiteID); err == nil {
		size = suite.EncSize()
	}
	var head []byte // of a field that is whole
	for name, blob := range r.Fields {
		ref, _, err := sealed.ParseRef(blob)
		key := hex.EncodeToString(ref[:])
		enc := r.Encs[key]
		if err != nil || len(enc) != size || w.Encs[key] == nil && sealed.RefOf(enc) != ref {
			continue
		}
		w.Encs[key], w.Fields[name], head = enc, blob, blob[:1+sealed.RefSize]
	}
	if len(w.Fields) == 0 && len(r.Fields) > 0 {
		return &Error{Code: wire.DecryptFailed}
	}
	for name := range r.Fields {
		if w.Fields[name] == nil {
			w.Fields[name] = append(slices.Clip(head), make([]byte, sealed.TagSize)...)
		}
	}
	return nil
}

// encNeeds is how much of a request's JSON the encapsulated key of a field takes, if no field of the same ref has been
// counted in seen.
func encNeeds(r *Request, blob []byte, seen map[sealed.Ref]bool) int {
	if r.Domain == nil {
		return 0
	}
	ref, _, err := sealed.ParseRef(blob)
	if err != nil || seen[ref] {
		return 0
	}
	seen[ref] = true
	return needs(hex.EncodeToString(ref[:]), r.Encs[hex.EncodeToString(ref[:])])
}
