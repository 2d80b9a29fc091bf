package h1

var (
	space            = []byte(" ")
	semicolon        = []byte(";")
	contentLength    = []byte("Content-Length")
	transferEncoding = []byte("Transfer-Encoding")
	chunkedCoding    = []byte("chunked")
	hexDigits        = []byte("0123456789abcdef")
)

// token holds the characters of a token (RFC 9110, section 5.6.2).
var token = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

func isToken(b []byte) bool {
	for _, c := range b {
		if !token[c] {
			return false
		}
	}
	return len(b) > 0
}

// isTarget reports whether b may be a request's target: visible ASCII without a fragment.
func isTarget(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return false
		}
	}
	return len(b) > 0
}

// maxName bounds a field's name, and the line of a field that frames the message.
const maxName = 256

// fieldName is the name with which a header line begins. A line that begins with white space is folded, and has none.
// White space before the colon is not allowed either.
func fieldName(b []byte) (name []byte, ok bool) {
	for i, c := range b {
		if !token[c] {
			return b[:i], c == ':' && i > 0 && i <= maxName
		}
	}
	return nil, false
}
