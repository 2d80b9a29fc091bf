package jsonscan

// Each calls each with the parts of an array or an object, which MUST have passed [Check] and begin with its bracket.
// key is the key's JSON, and nil in an array. It stops when each returns false.
func Each(data []byte, each func(key, value []byte) bool) {
	w := Scanner{B: data, Values: len(data)}
	for i := SkipSpace(data, 1); data[i] != ']' && data[i] != '}'; {
		var key []byte
		if data[0] == '{' {
			end, _ := w.Value(i)
			key = data[i:end]
			i, _ = w.Key(i)
		}
		end, err := w.Value(i)
		if err != nil || !each(key, data[i:end]) { // a checked document has no errors
			return
		}
		if i = SkipSpace(data, end); data[i] == ',' {
			i = SkipSpace(data, i+1)
		}
	}
}
