package front

import (
	"slices"

	"github.com/valyala/fastjson"
)

// The keys of a request.
const (
	kVaultID = iota
	kRegion
	kFields
	kSuiteID
	kWrappedKey
	kExpressions
	kEncoding
	kKeyContext
	kInclude // from here on only on /v1
	kCompat
	kReplyKey
	kReportAccess
	kDomain
	kEncs
	kDomainRecords
	kCount
)

var keyNames = [kCount]string{
	"vault_id", "region", "fields", "suite_id", "encrypted_private_key", "expressions", "encoding", "key_context",
	"include", "compat", "reply_key", "report_access", "domain", "encs", "domain_records",
}

// keys are the values of a request by key; nil when absent.
type keys [kCount]*fastjson.Value

// wantsResults reports whether there is a member that says what to return.
func (k *keys) wantsResults() bool {
	return k[kExpressions] != nil || k[kInclude] != nil || k[kCompat] != nil || k[kReplyKey] != nil ||
		k[kReportAccess] != nil
}

func (k *keys) collect(obj *fastjson.Object, d dialect) *fault {
	var f *fault
	obj.Visit(func(name []byte, v *fastjson.Value) {
		i := slices.Index(keyNames[:], string(name))
		switch {
		case i < 0 || d == reference && i >= kInclude:
			if d == v1 {
				f = faultUnknownKey
			}
		case k[i] != nil:
			f = faultTwice
		default:
			k[i] = v
		}
	})
	if f != nil {
		return f
	}
	for i := range k {
		if d == reference && i >= kExpressions && k[i] != nil && k[i].Type() == fastjson.TypeNull {
			k[i] = nil
		}
		if i < kExpressions && k[i] == nil && (i != kRegion || k[kDomain] == nil) {
			return faultMissing[i]
		}
	}
	return nil
}
