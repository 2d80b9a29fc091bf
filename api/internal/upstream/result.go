package upstream

import (
	"bytes"
	"encoding/json"

	"redoubt/wire/kit/jsonscan"
)

// readResult reads the parent's answer. It copies the values as they are, since encoding/json would go through each
// three times. It leaves the rest, which is empty in nearly all answers, to encoding/json.
func readResult(answer []byte) (*Result, error) {
	if err := jsonscan.Check(answer, len(answer)); err != nil {
		return nil, err
	}
	answer = answer[jsonscan.SkipSpace(answer, 0):]
	if answer[0] != '{' {
		return nil, errAnswer
	}
	out := &Result{}
	var err error
	jsonscan.Each(answer, func(key, value []byte) bool {
		switch string(key) {
		case `"fields"`:
			if out.Fields != nil {
				err = errAnswer
				break
			}
			out.Fields, err = readValues(value)
		case `"errors"`:
			err = readInto(value, &out.Errors)
		case `"sealed"`:
			err = readInto(value, &out.Sealed)
		case `"access"`:
			err = readInto(value, &out.Access)
		}
		return err == nil
	})
	if err == nil && out.Fields == nil {
		err = errAnswer
	}
	if err != nil {
		out.Wipe()
		return nil, err
	}
	return out, nil
}

// readInto reads a value, unless it is empty or null.
func readInto(value []byte, to any) error {
	if s := string(value); s == "{}" || s == "null" {
		return nil
	}
	return json.Unmarshal(value, to)
}

// readValues copies the members of an object.
func readValues(object []byte) (map[string]json.RawMessage, error) {
	if object[0] != '{' {
		return nil, errAnswer
	}
	values := map[string]json.RawMessage{}
	var err error
	jsonscan.Each(object, func(quoted, value []byte) bool {
		name := string(quoted[1 : len(quoted)-1])
		if bytes.IndexByte(quoted, '\\') >= 0 {
			err = json.Unmarshal(quoted, &name)
		}
		clear(values[name]) // the earlier value of a name that is given twice
		values[name] = bytes.Clone(value)
		return err == nil
	})
	return values, err
}
