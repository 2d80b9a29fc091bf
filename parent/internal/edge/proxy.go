package edge

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
)

// ErrProxyVersion reports a PROXY header of version 1, which is not supported.
var ErrProxyVersion = errors.New("proxy protocol header is not version 2")

// ProxyProtocol makes ln read a PROXY protocol v2 header from connections of the given networks, which must send it
// within timeout. A header from elsewhere ends the connection.
func ProxyProtocol(ln net.Listener, from []netip.Prefix, timeout time.Duration) net.Listener {
	return &proxyproto.Listener{
		Listener:          ln,
		ReadHeaderTimeout: timeout,
		ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			if trusted(o.Upstream, from) {
				return proxyproto.REQUIRE, nil
			}
			return proxyproto.REJECT, nil
		},
		ValidateHeader: func(h *proxyproto.Header) error {
			if h.Version != 2 {
				return ErrProxyVersion
			}
			return nil
		},
	}
}

func trusted(addr net.Addr, from []netip.Prefix) bool {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return false
	}
	ip := ap.Addr().Unmap().WithZone("")
	for _, p := range from {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// CID is the CID of a vsock URL, and 0 for any other URL.
func CID(url string) uint64 {
	rest, ok := strings.CutPrefix(url, "vsock://")
	if !ok {
		return 0
	}
	cid, _, _ := strings.Cut(rest, ":")
	n, err := strconv.ParseUint(cid, 10, 32)
	if err != nil {
		return 0
	}
	return n
}
