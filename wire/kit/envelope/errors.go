package envelope

import "errors"

// Errors. Each is returned as it stands: none says which byte was wrong, and none holds input.
var (
	// ErrMalformed reports bytes that are no sealed request: tell the peer so outside an envelope (unsealable).
	ErrMalformed = errors.New("not a sealed request")
	// ErrOpen reports a request that does not open: another request key, another domain, or changed bytes. Tell the
	// peer so outside an envelope (unsealable).
	ErrOpen = errors.New("sealed request does not open")
	// ErrBody reports a request that opened and is malformed inside: its sender made it so. Answer inside (bad_request).
	ErrBody = errors.New("malformed body of a sealed request")
	// ErrSkew reports a request that was made more than [MaxSkew] from now. Answer inside (clock_skew), with the time.
	ErrSkew = errors.New("sealed request is of another time")
	// ErrAuth reports a block of authentication that is malformed, or none of a caller's signature. Answer inside
	// (unauthenticated).
	ErrAuth = errors.New("caller is not authenticated")
	// ErrAnswer reports an answer that is not the enclave's to this request, or is malformed inside. Ask again, of any
	// enclave; believe nothing of it.
	ErrAnswer = errors.New("not an answer to this request")
	// ErrTooLarge reports a message that no envelope holds.
	ErrTooLarge = errors.New("message is too large for an envelope")
	// ErrRecords reports malformed domain records before a request. Tell the peer so outside an envelope (unsealable).
	ErrRecords = errors.New("malformed domain records before a sealed request")
	// ErrKey reports a descriptor without a request key of the suite.
	ErrKey = errors.New("domain has no request key of this suite")
	// ErrSpent reports a sender that was used for [MaxAge], or was destroyed. Make another.
	ErrSpent = errors.New("encapsulation is spent")
	// ErrSigner reports a caller's key that cannot sign as it must.
	ErrSigner = errors.New("caller's key cannot sign")
)
