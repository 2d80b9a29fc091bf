package auth

import "os"

// flock: a simulation is one process.
func flock(*os.File) error { return nil }
