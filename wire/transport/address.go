package transport

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
)

// Errors of this package. Match with errors.Is.
var (
	// ErrURL: the URL names no transport, or names one wrongly.
	ErrURL = errors.New("malformed transport url")
	// ErrHandshake: the other end of a hybrid socket did not answer CONNECT with OK.
	ErrHandshake = errors.New("hybrid vsock handshake failed")
	// ErrInUse: another process listens on the socket.
	ErrInUse = errors.New("socket is in use")
	// ErrNotSocket: the path exists and is not a socket, so it is not replaced.
	ErrNotSocket = errors.New("path is not a socket")
	// ErrAllowList: a vsock listener was given no context ids to accept.
	ErrAllowList = errors.New("no context ids are allowed")
	// ErrPrivilege: the process may not bind a vsock port below 1024.
	ErrPrivilege = errors.New("CAP_NET_BIND_SERVICE is needed to connect to an enclave from a vsock port below 1024")
	// ErrPorts: other connections hold all of these ports.
	ErrPorts = errors.New("every vsock port below 1024 is in use")
)

// maxPath is the longest path of a unix socket, without its final NUL.
const maxPath = 107

const (
	// cidAny stands for all context ids of this machine, VMADDR_CID_ANY.
	cidAny = math.MaxUint32
	// cidHost is the machine on which the enclave's virtual machine runs, VMADDR_CID_HOST.
	cidHost = 2
)

// maxPrivileged is the highest port that a process may bind only with CAP_NET_BIND_SERVICE.
const maxPrivileged = 1023

type scheme uint8

const (
	schemeVsock scheme = iota + 1
	schemeUnix
	schemeHybrid
)

// address is a parsed URL.
type address struct {
	scheme scheme
	cid    uint32
	port   uint32
	path   string
}

func parse(raw string) (address, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return address{}, ErrURL // the parser's error quotes its input
	}
	if u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return address{}, ErrURL
	}
	switch u.Scheme {
	case "vsock":
		return parseVsock(u)
	case "unix":
		if u.RawQuery != "" {
			return address{}, fmt.Errorf("%w: a unix url takes no query", ErrURL)
		}
		return parsePath(u, schemeUnix, 0)
	case "hybrid":
		return parseHybrid(u)
	}
	return address{}, fmt.Errorf("%w: scheme is none of vsock, unix, hybrid", ErrURL)
}

func parseVsock(u *url.URL) (address, error) {
	if u.Path != "" || u.RawQuery != "" {
		return address{}, fmt.Errorf("%w: a vsock url is vsock://CID:PORT", ErrURL)
	}
	host, portText, ok := strings.Cut(u.Host, ":")
	if !ok {
		return address{}, fmt.Errorf("%w: a vsock url is vsock://CID:PORT", ErrURL)
	}
	a := address{scheme: schemeVsock}
	switch host {
	case "host":
		a.cid = cidHost
	case "any":
		a.cid = cidAny
	default:
		n, err := strconv.ParseUint(host, 10, 32)
		if err != nil || n == cidAny {
			return address{}, fmt.Errorf("%w: context id out of range", ErrURL)
		}
		a.cid = uint32(n)
	}
	port, err := parsePort(portText)
	if err != nil {
		return address{}, err
	}
	a.port = port
	return a, nil
}

// parsePort accepts 1 to 2^32-2: the highest number means any port.
func parsePort(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 || n == math.MaxUint32 {
		return 0, fmt.Errorf("%w: port out of range", ErrURL)
	}
	return uint32(n), nil
}

func parseHybrid(u *url.URL) (address, error) {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil || len(q) != 1 || len(q["port"]) != 1 {
		return address{}, fmt.Errorf("%w: a hybrid url is hybrid:///path?port=N", ErrURL)
	}
	port, err := parsePort(q.Get("port"))
	if err != nil {
		return address{}, err
	}
	return parsePath(u, schemeHybrid, port)
}

func parsePath(u *url.URL, s scheme, port uint32) (address, error) {
	if u.Host != "" || len(u.Path) < 2 || u.Path[0] != '/' || strings.ContainsRune(u.Path, 0) {
		return address{}, fmt.Errorf("%w: an absolute path is needed, with three slashes", ErrURL)
	}
	a := address{scheme: s, path: u.Path, port: port}
	if len(a.listenPath()) > maxPath {
		return address{}, fmt.Errorf("%w: path is longer than a socket's may be", ErrURL)
	}
	return a, nil
}

// listenPath is where the listening side's socket is.
func (a address) listenPath() string {
	if a.scheme == schemeHybrid {
		return a.path + "_" + strconv.FormatUint(uint64(a.port), 10)
	}
	return a.path
}
