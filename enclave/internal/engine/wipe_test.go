package engine

import (
	"bytes"
	"testing"
)

// A job keeps its buffers for the next request, so what they held must be gone when it is released.
func TestPlaintextsAndResultsAreWipedBeforeAJobIsUsedAgain(t *testing.T) {
	w := newWorld(t, options{})
	memory := func() []byte { return append(make([]byte, 0, 64), "SENTINEL-078-05-1120"...) }
	plain, apart, results := memory(), memory(), memory()
	j := &job{e: w.engine, plain: plain, results: results, fields: []field{{plain: apart, state: opened}}}
	j.refs.Store(1)
	j.release()
	for name, mem := range map[string][]byte{
		"the plaintexts' buffer": plain, "a plaintext beside it": apart, "the results": results,
	} {
		if !bytes.Equal(mem, make([]byte, len(mem))) {
			t.Errorf("%s: not wiped", name)
		}
	}
}
