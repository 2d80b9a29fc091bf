package expr

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// textFunctions are the reference's functions of strings, except the digests.
func (l library) textFunctions() []signature {
	return []signature{
		onString("is_empty", func(s string) ref.Val { return types.Bool(s == "") }),
		onString("to_lowercase", func(s string) ref.Val { return types.String(lower(s)) }),
		onString("to_uppercase", func(s string) ref.Val { return types.String(upper(s)) }),
		onString("base64_encode", func(s string) ref.Val {
			return types.String(stringOf(base64.StdEncoding.AppendEncode(nil, bytesOf(s))))
		}),
		onString("base64_decode", decodeBase64),
		onString("hex_encode", func(s string) ref.Val {
			return types.String(stringOf(hex.AppendEncode(nil, bytesOf(s))))
		}),
		onString("hex_decode", decodeHex),
	}
}

// lower and upper map case as Unicode's full mappings do, independent of a language: one letter may become several,
// and a final sigma has its own form.
func lower(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return cases.Lower(language.Und).String(s)
}

func upper(s string) string {
	if isASCII(s) {
		return strings.ToUpper(s)
	}
	return cases.Upper(language.Und).String(s)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// decodeBase64 takes only the standard alphabet with padding and zero trailing bits (RFC 4648, section 4).
// encoding/base64 by itself would also skip line breaks.
func decodeBase64(s string) ref.Val {
	if strings.ContainsAny(s, "\r\n") {
		return failed(KindInput)
	}
	out, err := base64.StdEncoding.Strict().AppendDecode(nil, bytesOf(s))
	if err != nil || !utf8.Valid(out) {
		clear(out)
		return failed(KindInput)
	}
	return types.String(stringOf(out))
}

// decodeHex takes lower-case digits only, as the reference does.
func decodeHex(s string) ref.Val {
	if strings.ContainsAny(s, "ABCDEF") {
		return failed(KindInput)
	}
	out, err := hex.AppendDecode(nil, bytesOf(s))
	if err != nil || !utf8.Valid(out) {
		clear(out)
		return failed(KindInput)
	}
	return types.String(stringOf(out))
}
