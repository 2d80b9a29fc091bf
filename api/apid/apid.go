// Package apid starts the API as a server, for its main and for programs that run several tiers in one process. Beside
// the client (package client) it is the one package of the tier that others may import, and they import it for
// development and tests alone.
package apid

import (
	"context"
	"io"
	"log/slog"

	"redoubt/api/internal/cli"
	"redoubt/api/internal/store"
)

// Config is the content of the flags and variables of `api serve`: see [Parse].
type Config = cli.Serve

// Parse reads the flags of `api serve` and their environment variables.
func Parse(args []string, version string) (*Config, error) { return cli.ParseServe(args, version) }

// Environment has the settings that are not in the configuration. Credentials for AWS come from the process's own
// environment.
type Environment struct {
	// Version names the build in the metrics.
	Version string
	Log     *slog.Logger
	// Store decorates the store that the configuration names, below its metrics. Nil: as it is. Simulations put
	// failures there.
	Store func(Store) Store
}

// Store is what keeps the records.
type Store = store.Store

// API is a started API.
type API = cli.Server

// Start makes an API that serves until ctx ends and then drains. It returns once the API serves, or with the reason why
// it does not.
func Start(ctx context.Context, c *Config, env Environment) (*API, error) {
	c.Around = env.Store
	return c.Start(ctx, env.Version, env.Log)
}

// Main runs a command line of the program api, of which serving is one command, and returns the status to exit with.
func Main(args []string, version string, in io.Reader, out, errOut io.Writer) int {
	return cli.Main(args, version, in, out, errOut)
}
