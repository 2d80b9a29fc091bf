//go:build race

package expr

// raceEnabled tells tests that the race detector is on, under which pools forget at random.
const raceEnabled = true
