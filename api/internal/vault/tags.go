package vault

import (
	"slices"
	"strings"
)

// Conditions are the preconditions of a request by entity tags (RFC 9110, section 13.1), as lists that [ParseTags]
// has read; nil means none.
type Conditions struct{ Match, NoneMatch []string }

// anyTag matches every vault that exists.
const anyTag = "*"

// ParseTags reads the value of If-Match or If-None-Match: "*", or entity tags separated by commas. ok is false for
// anything else, also for an empty list.
func ParseTags(list string) (tags []string, ok bool) {
	if list = strings.Trim(list, " \t"); list == anyTag {
		return []string{anyTag}, true
	}
	for {
		list = strings.TrimLeft(list, " \t,") // empty elements are allowed (section 5.6.1.2)
		if list == "" {
			return tags, tags != nil
		}
		opaque := strings.TrimPrefix(list, "W/")
		if !strings.HasPrefix(opaque, `"`) {
			return nil, false
		}
		end := strings.IndexByte(opaque[1:], '"') + 1
		if end == 0 || strings.ContainsFunc(opaque[1:end], func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return nil, false
		}
		end += 1 + len(list) - len(opaque)
		tags, list = append(tags, list[:end]), strings.TrimLeft(list[end:], " \t")
		if list != "" && list[0] != ',' {
			return nil, false
		}
	}
}

// Matched reports whether If-Match is absent or names the tag. Our tags are strong, so a weak tag is never equal to
// one.
func (c *Conditions) Matched(tag string) bool {
	return c.Match == nil || slices.Contains(c.Match, anyTag) || slices.Contains(c.Match, tag)
}

// Known reports whether If-None-Match names the tag, which means that the caller has this revision.
func (c *Conditions) Known(tag string) bool {
	return slices.ContainsFunc(c.NoneMatch, func(t string) bool {
		return t == anyTag || strings.TrimPrefix(t, "W/") == tag
	})
}
