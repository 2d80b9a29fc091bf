package trace

import "strings"

// Limits of a tracestate: members by section 3.3.1.1; bytes by section 3.3.1.5, which asks for at least 512.
const (
	maxMembers = 32
	maxState   = 1024
	maxKey     = 256
	maxTenant  = 241
	maxSystem  = 14
	maxValue   = 256
)

// State combines the tracestate headers of a request into one (section 3.3.1). It is "" if there are none, or if any
// part of them is malformed, repeated or beyond the limits. It is of use only beside a valid traceparent.
func State(headers ...string) string {
	var members []string
	for _, h := range headers {
		for part := range strings.SplitSeq(h, ",") {
			part = strings.Trim(part, " \t")
			if part == "" {
				continue // empty members are allowed, and dropped
			}
			key, value, ok := strings.Cut(part, "=")
			if !ok || !validKey(key) || !validValue(value) || len(members) == maxMembers || has(members, key) {
				return ""
			}
			members = append(members, part)
		}
	}
	if s := strings.Join(members, ","); len(s) <= maxState {
		return s
	}
	return ""
}

func has(members []string, key string) bool {
	for _, m := range members {
		if len(m) > len(key) && m[len(key)] == '=' && m[:len(key)] == key {
			return true
		}
	}
	return false
}

// validKey is section 3.3.1.3.1: a simple key, or tenant@system.
func validKey(key string) bool {
	tenant, system, multi := strings.Cut(key, "@")
	if !multi {
		return len(key) > 0 && len(key) <= maxKey && lower(key[0]) && keyChars(key)
	}
	return len(tenant) > 0 && len(tenant) <= maxTenant && (lower(tenant[0]) || decimal(tenant[0])) && keyChars(tenant) &&
		len(system) > 0 && len(system) <= maxSystem && lower(system[0]) && keyChars(system)
}

func lower(c byte) bool   { return c >= 'a' && c <= 'z' }
func decimal(c byte) bool { return c >= '0' && c <= '9' }

func keyChars(s string) bool {
	for i := range len(s) {
		if c := s[i]; !lower(c) && !decimal(c) && !strings.ContainsRune("_-*/", rune(c)) {
			return false
		}
	}
	return true
}

// validValue is section 3.3.1.3.2: printable ASCII without comma and equals sign, not ending in a space.
func validValue(s string) bool {
	if len(s) == 0 || len(s) > maxValue || s[len(s)-1] == ' ' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == ',' || c == '=' {
			return false
		}
	}
	return true
}
