package proctest

import (
	"net"
	"slices"
	"testing"
)

func TestPortsDifferAndAreFree(t *testing.T) {
	got, err := FreePorts(t.Context(), 20)
	if err != nil || len(got) != 20 {
		t.Fatal(err, got)
	}
	for _, address := range got {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			t.Error(err)
			continue
		}
		_ = ln.Close()
	}
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != 20 {
		t.Errorf("%d different ports", n)
	}
}
