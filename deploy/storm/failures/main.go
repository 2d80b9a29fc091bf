// Command failures says which failures of enclave, parent and API no test reaches.
//
// It reads the tiers' source for statements that report a failure: a return of an error (or of another type that says
// what went wrong) that is not nil, and a call of a function whose name says that it fails or refuses something. It
// reads coverage profiles of their tests. Each statement must be in a block that some test reached, or in the list
// (unreached.txt) below a reason. A line of the list whose statement is reached or gone is wrong too.
//
//	failures PROFILE...        compares; status 1 on a difference
//	failures -show PROFILE...  prints what is unreached, as lines for the list, with the lines of the source
//	failures -source           only checks that the statements of the list exist
//
// Limits: a return of a call, such as `return s.close()`, and the last return of a function, `return n, err`, are also
// passed in success, so they are not looked at. A statement that was reached is not thereby tested. Profiles have what
// runs in the tests' own processes, not in the programs that they start.
package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

const listFile = "deploy/storm/failures/unreached.txt"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, out, problems io.Writer) int {
	flags := flag.NewFlagSet("failures", flag.ContinueOnError)
	flags.SetOutput(problems)
	show := flags.Bool("show", false, "print what is unreached, as lines for the list")
	list := flags.String("list", listFile, "the list of what no test reaches")
	source := flags.Bool("source", false, "check only that the statements of the list exist")
	tiers := flags.String("tiers", "enclave,parent,api", "folders")
	if flags.Parse(args) != nil || flags.NArg() == 0 != *source {
		fmt.Fprintln(problems, "usage: failures [-show] [-list FILE] PROFILE... | failures -source")
		return 2
	}
	covered, err := readProfiles(flags.Args())
	if err != nil {
		fmt.Fprintln(problems, err)
		return 2
	}
	all, err := scan(strings.Split(*tiers, ","))
	if err != nil {
		fmt.Fprintln(problems, err)
		return 2
	}
	unreached := missing(all, covered)
	if *show {
		for _, k := range sortedKeys(unreached) {
			fmt.Fprintf(out, "%s # %s\n", k.line(len(unreached[k])), places(unreached[k]))
		}
		return 0
	}
	listed, err := readList(*list)
	if err != nil {
		fmt.Fprintln(problems, err)
		return 2
	}
	wrong := gone(all, listed)
	if !*source {
		wrong = compare(all, unreached, listed)
	}
	for _, w := range wrong {
		fmt.Fprintln(problems, w)
	}
	reasons := map[string]int{}
	for i := range listed {
		reasons[listed[i].reason] += listed[i].n
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(out, "%4d listed: %s\n", reasons[reason], reason)
	}
	fmt.Fprintf(out, "%d failures, %d problems with %s\n", count(all), len(wrong), *list)
	if len(wrong) > 0 {
		return 1
	}
	return 0
}
