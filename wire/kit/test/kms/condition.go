package kms

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// condition is one key of a policy's Condition block with its operator and the values of which one must match.
type condition struct {
	key      string // lower case
	values   []string
	match    func(want, got string) bool
	negated  bool // holds when no value matches, and when the key is absent
	ifExists bool // holds when the key is absent
	null     bool // the operator Null: "true" demands that the key is absent
}

func foldEqual(want, got string) bool { return strings.EqualFold(want, got) }
func exact(want, got string) bool     { return want == got }

var operators = map[string]condition{
	"StringEquals":              {match: exact},
	"StringNotEquals":           {match: exact, negated: true},
	"StringEqualsIgnoreCase":    {match: foldEqual},
	"StringNotEqualsIgnoreCase": {match: foldEqual, negated: true},
	"StringLike":                {match: wildcard},
	"StringNotLike":             {match: wildcard, negated: true},
	"Bool":                      {match: foldEqual},
	"Null":                      {null: true},
}

func newCondition(operator, key string, values []string) (condition, error) {
	base, ifExists := strings.CutSuffix(operator, "IfExists")
	c, known := operators[base]
	if !known || c.null && ifExists {
		return c, fmt.Errorf("unknown condition operator %s", operator)
	}
	c.key, c.values, c.ifExists = strings.ToLower(key), values, ifExists
	if !knownConditionKey(c.key) {
		return c, fmt.Errorf("unknown condition key %s", key)
	}
	if len(values) == 0 {
		return c, fmt.Errorf("condition %s: an empty list allows nothing", key)
	}
	for _, v := range values {
		if c.null {
			if v != "true" && v != "false" {
				return c, fmt.Errorf("condition %s: Null takes true or false", key)
			}
			continue
		}
		if isMeasurement(c.key) && !strings.Contains(base, "Like") {
			if err := checkMeasurement(c.key, v); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

func (c *condition) holds(context map[string]string) bool {
	got, present := context[c.key]
	if c.null {
		return slices.Contains(c.values, strconv.FormatBool(!present))
	}
	if !present {
		return c.negated || c.ifExists
	}
	return slices.ContainsFunc(c.values, func(want string) bool { return c.match(want, got) }) != c.negated
}

func isMeasurement(key string) bool {
	if key == condImageSha384 {
		return true
	}
	index, ok := strings.CutPrefix(key, condPCR)
	if !ok {
		return false
	}
	n, err := strconv.Atoi(index)
	return err == nil && n >= 0 && n <= 31 && strconv.Itoa(n) == index
}

func knownConditionKey(key string) bool {
	switch key {
	case "aws:principalarn", "aws:principalaccount", "kms:calleraccount", "kms:datakeypairspec", "kms:keyspec",
		"kms:keyusage", "kms:macalgorithm":
		return true
	}
	return isMeasurement(key) || strings.HasPrefix(key, "kms:encryptioncontext:")
}

// wildcard matches s against a pattern in which * is any text and ? is any one byte.
func wildcard(pattern, s string) bool {
	star, mark, i, j := -1, 0, 0, 0
	for j < len(s) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, mark = i, j
			i++
		case i < len(pattern) && (pattern[i] == '?' || pattern[i] == s[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(pattern) && pattern[i] == '*' {
		i++
	}
	return i == len(pattern)
}
