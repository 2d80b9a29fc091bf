package session

import (
	"context"
	"errors"
	"net"
	"time"

	"redoubt/wire"
)

// This file is configuration: it is filled in before a session begins, and not changed afterwards.

// Defaults of [ClientConfig] and [ServerConfig].
const (
	// DefaultHelloTimeout bounds the exchange of hellos, from the first byte.
	DefaultHelloTimeout = 5 * time.Second
	// DefaultWriteTimeout bounds one write to the connection; one that takes longer ends the session.
	DefaultWriteTimeout = 5 * time.Second
	// DefaultPingInterval is the time between two pings of a client.
	DefaultPingInterval = 2 * time.Second
	// DefaultPingTimeout is how long a client waits for a pong before it ends the session.
	DefaultPingTimeout = 4 * time.Second
	// DefaultIdleTimeout is how long a server does without a ping before it ends the session.
	DefaultIdleTimeout = 20 * time.Second
	// DefaultFrameTimeout is how long a frame or a message may stay half received before the session ends.
	DefaultFrameTimeout = 10 * time.Second
	// DefaultMaxInFlight is the most requests in flight on a session, all lanes together.
	DefaultMaxInFlight = 4096
	// DefaultLanes is the number of lanes for single requests; the batch lane comes on top.
	DefaultLanes = 1
	// DefaultQueueBytes bounds the bytes that wait to be written on one lane: a burst of the largest answers (30 of
	// 1 MiB). Answers beyond it become wire.Overloaded.
	DefaultQueueBytes = 32 << 20
	// DefaultMaxEgress is the most egress streams at once.
	DefaultMaxEgress = 64
	// DefaultLogsPerSecond is the rate of log messages that a server sends and a client takes.
	DefaultLogsPerSecond = 50
)

// Config is what both sides have in common. Zero values mean the defaults.
type Config struct {
	// Hello is announced to the peer. Versions, MaxInFlight, MaxLanes and MaxBody are filled in when zero, and Features
	// with all of this build.
	Hello wire.Hello

	HelloTimeout time.Duration
	WriteTimeout time.Duration
	FrameTimeout time.Duration
	// QueueBytes is at least wire.MaxBody and at most wire.MaxAssembly.
	QueueBytes    int
	MaxEgress     int
	LogsPerSecond int
	// Budget is shared with other sessions; nil: only the limits of each stream hold.
	Budget *Budget
}

// ClientConfig is the parent's side.
type ClientConfig struct {
	Config
	// Lanes for single requests, 1 to 16.
	Lanes int
	// MaxInFlight bounds the calls in flight; the lower of it and the enclave's limit counts.
	MaxInFlight int
	// PingInterval and PingTimeout: see the defaults.
	PingInterval, PingTimeout time.Duration
	// OnLog takes the enclave's log. It runs on the control stream's reader: it must be quick, must not call the
	// session, and must not keep m or what it points to. Nil drops logs.
	OnLog func(m *wire.Log)
	// OnPong sees each pong, on the goroutine of the pings or of the caller of Ping. May be nil.
	OnPong func(m wire.Pong, rtt time.Duration)
	// OnGoAway is told once that the enclave drains. Same rules as OnLog. May be nil.
	OnGoAway func(c wire.Code)
	// OnPanic is told of a panic that was recovered: the session ends with ErrFault, the process goes on. v may hold
	// anything: it must not be logged. May be nil.
	OnPanic func(v any)
	// OnEgress connects an egress stream to target ("host:port") or refuses: an error that wraps ErrRefused says
	// "not allowed", any other "unreachable". The session closes the connection. Each call has a goroutine of its own;
	// ctx ends with the session and after WriteTimeout. Nil refuses all.
	OnEgress func(ctx context.Context, target string) (net.Conn, error)
}

// ServerConfig is the enclave's side.
type ServerConfig struct {
	Config
	// IdleTimeout: see DefaultIdleTimeout.
	IdleTimeout time.Duration
	// Handler takes the requests and the control messages. It must not be nil.
	Handler Handler
	// Idle reports whether the process has no work at hand, so that a CPU may look for the next request instead of
	// sleeping, for a moment. It runs on the lanes' reader. Nil: it has none.
	Idle func() bool
}

// Handler is what an enclave does with what arrives. Requests of different lanes arrive concurrently, those of one
// lane one after the other. A panic in any method is recovered and answered with wire.Internal.
type Handler interface {
	// Request takes one request frame. It runs on the lane's reader, which it must not block: what takes long goes to
	// a worker, after r.Own(). It must see to it that r.Responder is used exactly once, by any goroutine, at any time.
	// r itself is valid only until Request returns.
	Request(r *Request)
	// Credentials takes over new credentials; m and its memory are valid (and wiped) only during the call.
	Credentials(m *wire.Credentials) error
	// Purge forgets keys and contexts.
	Purge(m *wire.Purge) (wire.Purged, error)
	// Pong answers a ping.
	Pong() wire.Pong
	// Stats fills in a snapshot.
	Stats(m *wire.Stats)
	// Attest makes a document for a caller's nonce. It has a goroutine of its own; few run at once.
	Attest(ctx context.Context, nonce []byte) ([]byte, error)
	// OpenDomain opens the domain of a record, which is the handler's. It has a goroutine of its own; few run at once.
	OpenDomain(ctx context.Context, record []byte) error
	// Panicked is told of a recovered panic, so that it is counted and logged. v is the value recovered, which may
	// hold anything: it must not be logged.
	Panicked(v any)
}

// DefaultMaxLanes is the number of lanes that a server takes, the batch lane included.
const DefaultMaxLanes = 17

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// fill sets defaults and checks the rest.
func (c *Config) fill() error {
	orDefault(&c.HelloTimeout, DefaultHelloTimeout)
	orDefault(&c.WriteTimeout, DefaultWriteTimeout)
	orDefault(&c.FrameTimeout, DefaultFrameTimeout)
	orDefault(&c.QueueBytes, DefaultQueueBytes)
	orDefault(&c.MaxEgress, DefaultMaxEgress)
	orDefault(&c.LogsPerSecond, DefaultLogsPerSecond)
	h := &c.Hello
	orDefault(&h.MinVersion, wire.MinVersion)
	orDefault(&h.MaxVersion, wire.MaxVersion)
	orDefault(&h.Features, wire.AllFeatures())
	orDefault(&h.MaxInFlight, DefaultMaxInFlight)
	orDefault(&h.MaxLanes, DefaultMaxLanes)
	orDefault(&h.MaxBody, wire.MaxBody)
	if c.HelloTimeout < 0 || c.WriteTimeout < 0 || c.FrameTimeout < 0 || c.MaxEgress < 0 || c.LogsPerSecond < 0 ||
		c.QueueBytes < wire.MaxBody || c.QueueBytes > wire.MaxAssembly ||
		h.MaxInFlight > maxSlots || h.MaxBody > wire.MaxBody || h.MaxBody < wire.MaxChunk {
		return ErrConfig
	}
	if err := h.Validate(); err != nil {
		return errors.Join(ErrConfig, err)
	}
	return nil
}

func (c *ClientConfig) fill() error {
	orDefault(&c.Lanes, DefaultLanes)
	orDefault(&c.MaxInFlight, DefaultMaxInFlight)
	orDefault(&c.PingInterval, DefaultPingInterval)
	orDefault(&c.PingTimeout, DefaultPingTimeout)
	if c.Lanes < 1 || c.Lanes >= DefaultMaxLanes || c.MaxInFlight < 1 || c.MaxInFlight > maxSlots ||
		c.PingInterval < 0 || c.PingTimeout < 0 {
		return ErrConfig
	}
	return c.Config.fill()
}

func (c *ServerConfig) fill() error {
	orDefault(&c.IdleTimeout, DefaultIdleTimeout)
	if c.Handler == nil || c.IdleTimeout < 0 {
		return ErrConfig
	}
	return c.Config.fill()
}
