package front

import (
	"errors"
	"math"

	"redoubt/wire"
	"redoubt/wire/kit/jsonscan"
)

// fault is the reason why a request does not get 200: a status, a code for programs, a static text for people.
type fault struct {
	status int
	code   string
	text   string
	// retryMS is the Retry-After in milliseconds; 0 for none.
	retryMS uint32
	// domain is the name, in hex, of the domain that the enclave lacks; empty for all other faults.
	domain string
	// fields are the names of those that do not open, of a reseal.
	fields []string
}

// String is the text. It holds nothing of the request.
func (f *fault) String() string { return f.text }

// retryAfter is the header's value in whole seconds, at least one. It is 0 for no header.
func (f *fault) retryAfter() int {
	return int(math.Ceil(float64(f.retryMS) / 1000))
}

const (
	codeBadRequest = "bad_request"
	// codeNoEnclave is the front's own code: there is no enclave to ask.
	codeNoEnclave = "no_enclave"
	// codeReplyKey is the front's own code too: the enclaves are of a version that does not pad sealed replies.
	codeReplyKey = "reply_key_unsupported"
	// codeDomainsUnsupported: the enclaves are of a version without domains. codeDomainNotKept: an enclave does not know
	// a domain whose record it has just taken.
	codeDomainsUnsupported = "domains_unsupported"
	codeDomainNotKept      = "domain_not_kept"
	// codeRecordRefused: the enclave refuses a record that a request hands over.
	codeRecordRefused = "domain_record_refused"
	// codeNotReady is the code of a failing /ready, in metrics and in the answer itself.
	codeNotReady = "not_ready"
)

// defaultRetryMS is the Retry-After of a 503 without a better hint.
const defaultRetryMS = 1000

func invalid(text string) *fault { return &fault{status: 400, code: codeBadRequest, text: text} }

func misshapen(text string) *fault { return &fault{status: 422, code: codeBadRequest, text: text} }

// These are faults in a request's form. Texts name the key and the rule, never what was sent.
var (
	faultSyntax      = invalid(jsonscan.ErrSyntax.Error())
	faultDepth       = invalid(jsonscan.ErrDepth.Error())
	faultValues      = invalid("body holds too many values: at most 4096 in a request")
	faultContentType = &fault{status: 415, code: codeBadRequest, text: "content-type must be application/json"}

	faultContentEncoding = &fault{status: 415, code: codeBadRequest, text: "content-encoding must be identity"}

	faultTooLarge = &fault{status: 413, code: codeBadRequest, text: "body is too large"}
	faultHeader   = &fault{status: 431, code: codeBadRequest, text: "request header is too large"}
	faultTimeout  = &fault{status: 408, code: codeBadRequest, text: "request did not arrive in time"}
	faultHTTP     = invalid("malformed http request")
	faultNotFound = &fault{status: 404, code: codeBadRequest, text: "no such route"}
	faultMethod   = &fault{status: 405, code: codeBadRequest, text: "method not allowed"}
	faultAuth     = &fault{status: 401, code: wire.Unauthenticated.String(), text: wire.Unauthenticated.Text()}

	faultObject     = misshapen("body must be a json object")
	faultUnknownKey = misshapen("body has an unknown key")
	faultTwice      = misshapen("body has a key twice")
	faultVaultID    = invalid("vault_id must be 1 to 256 bytes")
	faultRegion     = invalid("region must be the name of an aws region")
	faultSuiteID    = invalid("suite_id must be the base64 of a known suite")
	faultWrappedKey = invalid("encrypted_private_key must be base64, 1 to 8192 characters")
	faultEncoding   = invalid(`encoding must be "1", "2" or "3"; on /v1 with a domain it must be "4"`)
	faultKeyContext = invalid("key_context must be 0 or 1")

	faultFieldsShape   = misshapen("fields must be an object of strings")
	faultFieldCount    = invalid("fields must be at most 100")
	faultFieldName     = invalid("a field's name must match [a-z][a-z0-9_]* and be at most 255 characters")
	faultFieldNameOld  = invalid("a field's name must be ascii, 1 to 255 characters")
	faultFieldTwice    = invalid("two fields have the same name")
	faultFieldValue    = invalid("a field's value must be standard padded base64")
	faultExprShape     = misshapen("expressions must be an object of strings")
	faultExprCount     = invalid("expressions must be at most 100")
	faultExprName      = invalid("an expression's name must be 1 to 256 bytes")
	faultExprTwice     = invalid("two expressions have the same name")
	faultExprSource    = invalid("an expression must be at most 65536 bytes")
	faultIncludeShape  = misshapen("include must be an array of strings")
	faultInclude       = invalid("include must name fields of the request")
	faultReplyShape    = misshapen("reply_key must be an object of suite_id and public_key")
	faultReplyKey      = invalid("reply_key must hold a known suite_id and a public_key of at most 2048 bytes, in base64")
	faultDomain        = invalid("domain must be 64 digits of lower-case hex")
	faultNoDomain      = misshapen("encs and domain_records need a domain")
	faultDomainRegion  = invalid("region must be empty or absent with a domain")
	faultDomainContext = invalid("key_context must be 0 or absent with a domain")
	faultEncsShape     = misshapen("encs must be an object of strings")
	faultEncCount      = invalid("encs must be at most 32")
	faultRef           = invalid("a name of encs must be 16 digits of lower-case hex")
	faultEnc           = invalid("encs must hold encapsulated keys of the suite, in standard padded base64")
	faultEncRef        = invalid("a name of encs must be the first 8 bytes of the sha-256 of its encapsulated key")
	faultEncTwice      = invalid("two encs have the same name")
	faultRefField      = invalid("a field's value of encoding 4 must be 0x05, 8 bytes that name an enc, and ciphertext")
	faultRefUnknown    = invalid("a field names an encapsulated key that encs does not have")
	faultRecordsShape  = misshapen("domain_records must be an array of strings")
	faultRecordCount   = invalid("domain_records must be at most 4")
	faultRecord        = invalid("domain_records must hold records of at most 16384 bytes, in standard padded base64")
	faultRecordOther   = invalid("domain_records must be records of the request's domains, one for each")
	faultDomainID      = invalid("id must be 1 to 63 of a-z, 0-9, dot, underscore and hyphen")
	faultSuiteName     = invalid("suite must be the name of a suite")
	faultDataKeyCount  = invalid("data_keys must be 1 to 16")
	faultDataKeyTwice  = invalid("two data keys have the same key_arn")
	faultKeyARN        = invalid("key_arn must be 1 to 2048 bytes")
	faultResealMember  = misshapen("old has no place for expressions, include, compat, reply_key and report_access")
	faultSize          = &fault{status: 413, code: codeBadRequest, text: "request is too large once encoded"}
	faultItemsMissing  = misshapen("items is required: an array of 1 to 1000 objects")
	faultItemsShape    = misshapen("items must be an array of objects")
	faultItemsCount    = invalid("items must be 1 to 1000")
	faultExclude       = invalid(ErrNoCondition.Error())
	faultReadyQuery    = misshapen(ErrQuery.Error())
	faultQuery         = misshapen("query must hold nonce once, and nothing else")
	faultNonce         = invalid("nonce must be 8 to 64 bytes in hex or base64url")
	faultNoEnclaves    = &fault{status: 404, code: codeNoEnclave, text: "No enclaves found"}
	faultNoneReady     = &fault{status: 503, code: codeNoEnclave, text: "no enclave is ready", retryMS: defaultRetryMS}
	faultNoPaddedReply = &fault{
		status: 503, code: codeReplyKey, retryMS: defaultRetryMS,
		text: "no enclave that can be asked pads sealed replies: it must be of the parent's version",
	}
	faultUndecryptable = &fault{status: 422, code: wire.DecryptFailed.String(), text: "no field could be decrypted"}

	faultNoDomains = &fault{
		status: 503, code: codeDomainsUnsupported, retryMS: defaultRetryMS,
		text: "no enclave that can be asked knows domains: it must be of the parent's version",
	}
	faultRecordRefused = &fault{
		status: 400, code: codeRecordRefused,
		text: "the enclave refuses the domain's record: it is malformed, or its secret is not the descriptor's",
	}
	faultDomainNotKept = &fault{
		status: 503, code: codeDomainNotKept, retryMS: defaultRetryMS,
		text: "the enclave took the domain's record, and still says that it does not know the domain",
	}

	faultUnopened = &fault{
		status: 422, code: wire.DecryptFailed.String(), text: "fields do not open; nothing was resealed",
	}
	faultKeyUnopened = &fault{
		status: 422, code: wire.DecryptFailed.String(), text: "the vault's key does not open; nothing was resealed",
	}

	faultUnanswered = &fault{
		status: 504, code: wire.DeadlineExceeded.String(),
		text: "the enclave did not answer, and the request was not sent to another",
	}
)

// notJSON is the fault for what the scan found.
func notJSON(err error) *fault {
	switch {
	case errors.Is(err, jsonscan.ErrDepth):
		return faultDepth
	case errors.Is(err, jsonscan.ErrValues):
		return faultValues
	}
	return faultSyntax
}

// These are faults of a value that has the wrong type.
var (
	shapeVaultID    = misshapen("vault_id must be a string")
	shapeRegion     = misshapen("region must be a string")
	shapeSuiteID    = misshapen("suite_id must be a string")
	shapeWrappedKey = misshapen("encrypted_private_key must be a string")
	shapeEncoding   = misshapen("encoding must be a string")
	shapeKeyContext = misshapen("key_context must be a number")
	shapeDomain     = misshapen("domain must be a string")
	shapeCompat     = misshapen("compat must be true or false")
	shapeReport     = misshapen("report_access must be true or false")
)

// faultMissing are the faults of a request that lacks one of its required keys.
var faultMissing = func() (t [kExpressions]*fault) {
	for i := range t {
		t[i] = misshapen(keyNames[i] + " is required")
	}
	return t
}()

// statuses maps codes of the enclave to HTTP.
var statuses = [wire.Codes]int{
	wire.OK:               200,
	wire.BadRequest:       400,
	wire.Unauthenticated:  401,
	wire.KeyDenied:        403,
	wire.KMSThrottled:     503,
	wire.KMSUnavailable:   503,
	wire.DecryptFailed:    422,
	wire.ExpressionFailed: 422,
	wire.Overloaded:       503,
	wire.DeadlineExceeded: 504,
	wire.ShuttingDown:     503,
	wire.Internal:         500,
	wire.DomainUnknown:    421,
	wire.GenerationClosed: 403,
}

// codeFaults holds a fault for each code, so that the usual refusals cost no allocation.
var codeFaults = func() (t [wire.Codes]*fault) {
	for i := range t {
		c := wire.Code(i)
		t[i] = &fault{status: statuses[i], code: c.String(), text: c.Text()}
		if statuses[i] == 503 {
			t[i].retryMS = defaultRetryMS
		}
	}
	return t
}()

// faultOf is the fault for a code. retryMS is the peer's hint, and 0 for none.
func faultOf(c wire.Code, retryMS uint32) *fault {
	if !c.Known() || c == wire.OK {
		c = wire.Internal
	}
	f := codeFaults[c]
	if f.status != 503 || retryMS == 0 || retryMS == f.retryMS {
		return f
	}
	hinted := *f
	hinted.retryMS = retryMS
	return &hinted
}

// StatusOf is the HTTP status for a code of the enclave.
func StatusOf(c wire.Code) int {
	if !c.Known() {
		c = wire.Internal
	}
	return statuses[c]
}
