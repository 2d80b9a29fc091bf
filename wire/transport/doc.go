// Package transport connects parent and enclave by URL, so that the layers above need not know which transport is
// below.
//
//	vsock://CID:PORT      AF_VSOCK. CID is a number, "host" (2) or, to listen, "any".
//	unix:///path          a unix stream socket.
//	hybrid:///path?port=N a unix socket behind which Firecracker or vhost-device-vsock hands on to a guest's vsock port:
//	                      one that dials writes "CONNECT N\n" and reads "OK M\n" before the bytes are its own; one that
//	                      listens takes what the guest dials to port N, which arrives at the unix socket path_N.
//
// What it guarantees: a vsock listener returns only connections from the context ids that it was given (the
// hypervisor gives a context id, and a guest cannot choose it) and from ports up to 1023. It closes others unread.
// The kernel of the peer's machine lets a process bind such a port only with CAP_NET_BIND_SERVICE (in its first user
// namespace). So a process of the parent's host is not the parent merely by running there. The dialer binds such a
// port. A unix socket is made with mode 0600 from its first moment. A stale socket file is replaced, a live one
// never.
//
// What it does not guarantee: it neither encrypts nor authenticates. A process that has the capability on the peer's
// machine, or may open the socket, is the peer. The port proves nothing if no kernel gave it: vhost-device-vsock,
// behind a hybrid socket, counts its ports from 0, so its first 1,024 connections look privileged, and those after
// them do not. A machine has 1,023 such ports, one for each connection.
//
// Sources: vsock(7), unix(7), capabilities(7); net/vmw_vsock/af_vsock.c of Linux 6.12 (LAST_RESERVED_PORT, EACCES);
// Firecracker docs/vsock.md for the handshake.
package transport
