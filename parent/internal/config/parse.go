package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"

	"github.com/alecthomas/kong"

	"redoubt/wire/kit/program"
)

// Groups of flags, in the order of --help.
var groups = []kong.Group{
	{Key: "front", Title: "HTTP front:", Description: "Where callers are served, who may call, and how long " +
		"they may take."},
	{Key: "tls", Title: "TLS and load balancer:", Description: "TLS 1.3 (X25519MLKEM768 preferred), client " +
		"certificates, PROXY protocol v2."},
	{Key: "enclaves", Title: "Enclaves:", Description: "Where enclaves are, and the sessions to them."},
	{Key: "lifecycle", Title: "Enclave life cycle:", Description: "Finding and running enclaves with nitro-cli. " +
		"Not used with --enclave."},
	{Key: "kms", Title: "KMS:", Description: "The enclave's credentials and its way to KMS. TLS to KMS ends inside the " +
		"enclave; what the enclave may ask is fixed in its own image."},
	{Key: "operate", Title: "Operating:"},
	{Key: "trace", Title: "Tracing:", Description: "Spans for an OpenTelemetry collector. W3C trace context is " +
		"accepted, and trace ids logged, without it too."},
}

const description = `Redoubt's parent: serves detokenization over HTTP from an attested enclave.

It holds no key and decrypts nothing itself. On a Nitro instance it starts the enclave with nitro-cli; elsewhere, say
where one listens:

  parent --enclave unix:///run/redoubt/enclave.sock --credentials static --static-credentials-file creds.json

Then: curl http://127.0.0.1:8080/ready

Every flag has a variable, PARENT_ and its name in capitals: PARENT_METRICS_LISTEN=127.0.0.1:9180.`

// ExitError is a request to end the process with a status, after --help, --version or a mistake on the command line.
type ExitError int

func (e ExitError) Error() string { return "exit " + strconv.Itoa(int(e)) }

// ErrInvalid is returned for flags that contradict one another.
var ErrInvalid = errors.New("invalid configuration")

// invalid is an ErrInvalid whose text says only what is wrong.
type invalid struct{ error }

func (invalid) Is(target error) bool { return target == ErrInvalid }

func (e invalid) Unwrap() error { return e.error }

// Parse reads the command line and the environment. Help and version go to out, and the error is then an ExitError.
func Parse(args []string, version string, out io.Writer) (c *Config, err error) {
	c = &Config{}
	defer func() {
		if e, ok := recover().(ExitError); ok { // kong calls Exit in the middle of parsing
			c, err = nil, e
		}
	}()
	k, err := parser(c, version, out)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if _, err := k.Parse(args); err != nil {
		return nil, invalid{err}
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return c, nil
}

func parser(c *Config, version string, out io.Writer) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name("parent"),
		kong.Description(description),
		kong.DefaultEnvars("PARENT"),
		kong.ExplicitGroups(groups),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 110}),
		kong.Writers(out, out),
		kong.Exit(func(status int) { panic(ExitError(status)) }),
		help,
		kong.Vars{"version": program.Version("parent", version)},
	)
}

// Address is the address on which the front listens.
func (f *Front) Address() string {
	if f.Listen != "" {
		return f.Listen
	}
	return net.JoinHostPort(f.Host, strconv.Itoa(int(f.Port)))
}

// Loopback reports whether address can only be reached from this host. A name other than localhost cannot be judged,
// and counts as reachable.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// rule is a condition, with the text for when it does not hold.
type rule struct {
	ok   bool
	text string
}

func (c *Config) check() error {
	for _, r := range c.rules() {
		if !r.ok {
			return invalid{errors.New(r.text)}
		}
	}
	if err := errors.Join(c.ranges()...); err != nil {
		return invalid{err}
	}
	return nil
}

func (c *Config) rules() []rule {
	auth := c.Front.APIKeysFile != "" || c.TLS.ClientCA != ""
	f, o := &c.Front, &c.Operate
	_, _, listen := net.SplitHostPort(f.Address())
	_, _, metrics := net.SplitHostPort(o.MetricsListen)
	return []rule{
		{listen == nil, "--listen must be HOST:PORT"},
		{o.MetricsListen == "" || metrics == nil, "--metrics-listen must be HOST:PORT, or empty"},
		{
			Loopback(f.Address()) || auth || f.InsecureNoClientAuth,
			"beyond loopback, clients must authenticate: give --api-keys-file or --tls-client-ca, " +
				"or accept that anyone can decrypt with --insecure-no-client-auth",
		},
		{
			o.MetricsListen == "" || Loopback(o.MetricsListen) || o.MetricsKeysFile != "" || f.APIKeysFile != "" ||
				f.InsecureNoClientAuth,
			"beyond loopback, /metrics asks other hosts for a key: give --metrics-keys-file (or --api-keys-file), or accept " +
				"that anyone can read it with --insecure-no-client-auth",
		},
		{
			o.MetricsKeysFile == "" || o.MetricsListen != "" && o.MetricsKeysFile != f.APIKeysFile,
			"--metrics-keys-file needs --metrics-listen, and must not be the file of --api-keys-file",
		},
		{(c.TLS.Cert == "") == (c.TLS.Key == ""), "--tls-cert and --tls-key go together"},
		{c.TLS.ClientCA == "" || c.TLS.Cert != "", "--tls-client-ca needs --tls-cert"},
		{len(c.TLS.ClientSAN) == 0 || c.TLS.ClientCA != "", "--tls-client-san needs --tls-client-ca"},
		{!o.Pprof || o.MetricsListen != "" && Loopback(o.MetricsListen), "--pprof needs --metrics-listen on loopback"},
		{
			c.KMS.Credentials != "static" || c.KMS.StaticFile != "",
			"--credentials static needs --static-credentials-file",
		},
	}
}

// Level is LogLevel for slog.
func (o *Operate) Level() slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(o.LogLevel)); err != nil {
		return slog.LevelInfo // kong accepts only levels
	}
	return l
}
