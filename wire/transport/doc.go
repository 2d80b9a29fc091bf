// Package transport connects parent and enclave by URL, so that nothing above knows what lies below.
//
//	vsock://CID:PORT      AF_VSOCK. CID is a number, "host" (2) or, to listen, "any".
//	unix:///path          a unix stream socket.
//	hybrid:///path?port=N a unix socket behind which Firecracker or vhost-device-vsock hands on to a guest's vsock port:
//	                      one that dials writes "CONNECT N\n" and reads "OK M\n" before the bytes are its own; one that
//	                      listens takes what the guest dials to port N, which arrives at the unix socket path_N.
//
// What it guarantees: a vsock listener returns only connections from the context ids it was told of (a context id is
// given by the hypervisor, a guest cannot choose it), and closes others unread. A unix socket is made with mode 0600
// from its first moment. A stale socket file is replaced, a live one never.
//
// What it does not: it neither encrypts nor authenticates. Whoever may open the socket is the peer.
//
// Sources: vsock(7), unix(7); Firecracker docs/vsock.md for the handshake.
package transport
