//go:build !race

package e2e

// raceEnabled says that the tests run under the race detector, and so should the programs.
const raceEnabled = false
