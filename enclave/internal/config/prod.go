//go:build !dev

package config

// Dev has no keys in a production build; soft_nsm is then unknown, and refused.
type Dev struct{}

func (Dev) defaults(*Config) bool { return false }

func (Dev) valid() error { return nil }
