//go:build !race

package proctest

// Race reports that this test runs under the race detector. Then pools forget at random, so allocations cannot be
// counted, times are several times as long, and programs that the test builds should be built with it too.
const Race = false
