//go:build dev && goexperiment.runtimesecret

package app

const runtimeSecret = true
