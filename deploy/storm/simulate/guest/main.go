//go:build dev

// Command guest makes one run of a simulation and prints its result as a line of JSON. It is built for wasip1 and run
// by the program in ../host. One run in a usual process:
//
//	go run -tags dev ./deploy/storm/simulate/guest SEED|WORKLOAD:SEED|PLAN FOLDER
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"redoubt/deploy/storm/simulate"
)

func main() {
	p, err := plan(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "neither a seed nor a plan:", err)
		os.Exit(2)
	}
	dir := "/state"
	if len(os.Args) > 2 {
		dir = os.Args[2]
	}
	result := simulate.Run(context.Background(), dir, p, true)
	if os.Getenv("SIMULATE_LOG") != "" {
		fmt.Fprint(os.Stderr, result.Log)
	}
	fmt.Println(result.JSON())
}

// plan reads SEED, WORKLOAD:SEED or a plan's JSON.
func plan(text string) (p simulate.Plan, err error) {
	if text[0] == '{' {
		err = json.Unmarshal([]byte(text), &p)
		return p, err
	}
	name, number, of := strings.Cut(text, ":")
	if !of {
		number = name
	}
	seed, err := strconv.ParseUint(number, 10, 64)
	switch {
	case err != nil:
		return p, err
	case of:
		return simulate.PlanFor(name, seed)
	}
	return simulate.PlanOf(seed), nil
}
