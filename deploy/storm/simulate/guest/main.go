//go:build dev

// Command guest makes one run of a simulation and prints its result as a line of JSON. It is built for wasip1 and run
// by the program in ../host. One run in a usual process:
//
//	go run -tags dev ./deploy/storm/simulate/guest SEED|PLAN FOLDER
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"redoubt/deploy/storm/simulate"
)

func main() {
	var p simulate.Plan
	if seed, err := strconv.ParseUint(os.Args[1], 10, 64); err == nil {
		p = simulate.PlanOf(seed)
	} else if err := json.Unmarshal([]byte(os.Args[1]), &p); err != nil {
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
