package h1

import "bytes"

// Path is the path of a request's target (RFC 9112, section 3.2) as it was sent, without its query. Nothing is
// decoded or cleaned. In a target in absolute form it is the part after the authority, or "/" if there is none. For
// any other form it is empty.
func Path[T ~string | ~[]byte](target T) T {
	begin := 0
	if len(target) > 0 && target[0] != '/' {
		if begin = authority(target); begin < 0 {
			return target[:0]
		}
		for begin < len(target) && target[begin] != '/' && target[begin] != '?' {
			begin++
		}
		if begin == len(target) || target[begin] == '?' {
			return T("/")
		}
	}
	end := begin
	for end < len(target) && target[end] != '?' {
		end++
	}
	return target[begin:end]
}

// Authority is the host of a target in absolute form. It is empty for any other.
func Authority[T ~string | ~[]byte](target T) T {
	begin := authority(target)
	if begin < 0 {
		return target[:0]
	}
	end := begin
	for end < len(target) && target[end] != '/' && target[end] != '?' {
		end++
	}
	return target[begin:end]
}

var schemes = [][]byte{[]byte("http://"), []byte("https://")}

// authority is the index at which the authority of a target in absolute form begins, and -1 for other forms.
func authority[T ~string | ~[]byte](target T) int {
	if len(target) == 0 || target[0] == '/' {
		return -1
	}
	for _, s := range schemes {
		if len(target) >= len(s) && bytes.EqualFold([]byte(target[:len(s)]), s) {
			return len(s)
		}
	}
	return -1
}
