//go:build race

package audit

// raceEnabled says that allocations cannot be counted: pools drop what they get at random.
const raceEnabled = true
