package app

import (
	"redoubt/wire/secret"
)

// Harden makes the process undumpable, and lets secrets lie in memory that could not be locked (with a warning by
// package secret): what the parent keeps are its own host's credentials.
func Harden() error {
	secret.SetPolicy(secret.WarnUnlocked)
	return secret.HardenProcess()
}
