//go:build dev && !goexperiment.runtimesecret

package enclaved

const runtimeSecret = false
