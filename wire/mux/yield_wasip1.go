package mux

import "runtime"

func yield() { runtime.Gosched() }
