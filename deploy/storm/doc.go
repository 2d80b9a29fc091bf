// Package storm holds what looks for faults that no test was written for.
//
//   - simulate: the whole path in one process, with a network, a clock and a store that fail as a seed says. A failing
//     seed replays exactly.
//   - attack: real programs and real sockets, with a hostile peer at each protocol and honest callers beside it.
package storm
