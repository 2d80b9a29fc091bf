package front

import "net"

// pending: a simulation's connections do not tell.
func pending(net.Conn) bool { return false }
