// Package config holds the parent's flags for its main: their names, environment variables, defaults and the rules
// between them.
//
// The flags of the reference, the AWS sample that Redoubt succeeds (--host, --port, --role, --skip-refresh-enclaves,
// --skip-run-enclaves), and their PARENT_* variables keep working. Every other flag has a variable too: PARENT_ and
// its name in capitals. A flag wins over its variable. No flag holds a secret. Secrets are read from files.
package config

import (
	"net/netip"
	"time"

	"github.com/alecthomas/kong"
)

// Config is the parent's command line. Its groups are those of --help.
type Config struct {
	Front     Front     `embed:""`
	TLS       TLS       `embed:""`
	Enclaves  Enclaves  `embed:""`
	LifeCycle LifeCycle `embed:""`
	KMS       KMS       `embed:""`
	Operate   Operate   `embed:""`
	Trace     Trace     `embed:""`

	// It has no variable: one of that name in the environment would end the parent.
	Version kong.VersionFlag `env:"-" help:"Print the version and exit."`
}

// Front are the limits of the HTTP listener.
type Front struct {
	Listen string `group:"front" placeholder:"HOST:PORT" help:"${help_listen}"`
	Host   string `group:"front" env:"PARENT_HTTP_HOST" default:"127.0.0.1" help:"${help_host}"`
	Port   uint16 `group:"front" env:"PARENT_HTTP_PORT" default:"8080" help:"${help_port}"`

	Hosts []string `group:"front" name:"served-host" placeholder:"NAME" help:"${help_served_host}"`

	APIKeysFile string `group:"front" name:"api-keys-file" type:"path" placeholder:"FILE" help:"${help_api_keys_file}"`

	InsecureNoClientAuth bool `group:"front" help:"${help_insecure_no_client_auth}"`

	RequestTimeout time.Duration `group:"front" default:"10s" help:"${help_request_timeout}"`
	BatchTimeout   time.Duration `group:"front" default:"30s" help:"${help_batch_timeout}"`
	HeaderTimeout  time.Duration `group:"front" default:"10s" help:"${help_header_timeout}"`
	BodyTimeout    time.Duration `group:"front" default:"20s" help:"${help_body_timeout}"`
	WriteTimeout   time.Duration `group:"front" default:"20s" help:"${help_write_timeout}"`
	IdleTimeout    time.Duration `group:"front" default:"340s" help:"${help_idle_timeout}"`

	MaxConnections int `group:"front" default:"4096" help:"${help_max_connections}"`
	BatchFanOut    int `group:"front" default:"64" help:"${help_batch_fan_out}"`
}

// TLS configures the front's own TLS 1.3. Without a certificate the front serves plain HTTP (behind something that
// ends TLS).
type TLS struct {
	Cert      string         `group:"tls" name:"tls-cert" type:"path" placeholder:"FILE" help:"${help_cert}"`
	Key       string         `group:"tls" name:"tls-key" type:"path" placeholder:"FILE" help:"${help_key}"`
	ClientCA  string         `group:"tls" name:"tls-client-ca" type:"path" placeholder:"FILE" help:"${help_clientca}"`
	ClientSAN []string       `group:"tls" name:"tls-client-san" placeholder:"SAN" help:"${help_clientsan}"`
	ProxyFrom []netip.Prefix `group:"tls" name:"proxy-protocol-from" placeholder:"CIDR" help:"${help_proxy_from}"`
}

// Enclaves says how enclaves are found, and how the parent speaks to them.
type Enclaves struct {
	Enclave     []string      `group:"enclaves" placeholder:"URL" help:"${help_enclave}"`
	Sessions    int           `group:"enclaves" default:"2" help:"${help_sessions}"`
	MaxInFlight int           `group:"enclaves" default:"1024" help:"${help_max_in_flight}"`
	PingEvery   time.Duration `group:"enclaves" default:"1s" help:"${help_ping_every}"`
	RetryMax    time.Duration `group:"enclaves" default:"1s" help:"${help_retry_max}"`
}

// LifeCycle says how the parent runs enclaves with nitro-cli. The first two flags are the reference's.
type LifeCycle struct {
	SkipRefresh bool `group:"lifecycle" name:"skip-refresh-enclaves" help:"${help_skip_refresh}"`
	SkipRun     bool `group:"lifecycle" name:"skip-run-enclaves" help:"${help_skip_run}"`

	NitroCLI     string            `group:"lifecycle" default:"nitro-cli" placeholder:"PATH" help:"${help_nitrocli}"`
	EIF          string            `group:"lifecycle" default:"/home/ec2-user/enclave-vault.eif" placeholder:"FILE" help:"${help_eif}"`
	NamePrefix   string            `group:"lifecycle" name:"enclave-name" default:"enclave-vault" help:"${help_name}"`
	Count        int               `group:"lifecycle" name:"enclave-count" default:"1" help:"${help_count}"`
	CPUs         int               `group:"lifecycle" name:"enclave-cpus" default:"1" help:"${help_cp_us}"`
	MemoryMiB    int               `group:"lifecycle" name:"enclave-memory" default:"512" help:"${help_memory_mib}"`
	Port         uint32            `group:"lifecycle" name:"enclave-port" default:"5050" help:"${help_port2}"`
	Measurements map[string]string `group:"lifecycle" name:"enclave-measurement" placeholder:"PCR0=HEX" help:"${help_pcr}"`
	RefreshEvery time.Duration     `group:"lifecycle" default:"10s" help:"${help_refresh_every}"`
}

// KMS configures what the enclave needs of its host: credentials and a way to KMS.
type KMS struct {
	Region      []string      `group:"kms" env:"PARENT_REGION,AWS_REGION" placeholder:"REGION" help:"${help_region}"`
	Egress      []string      `group:"kms" name:"kms-egress" placeholder:"HOST:PORT" help:"${help_egress}"`
	EgressConns int           `group:"kms" name:"kms-egress-conns" default:"64" help:"${help_egress_conns}"`
	EgressIdle  time.Duration `group:"kms" name:"kms-egress-idle" default:"90s" help:"${help_egress_idle}"`

	ProbeFile  []string      `group:"kms" name:"probe-file" type:"path" placeholder:"FILE" help:"${help_probe_file}"`
	ProbeEvery time.Duration `group:"kms" default:"1m" help:"${help_probe_every}"`

	Credentials  string `group:"kms" enum:"imds,static,env" default:"imds" help:"${help_credentials}"`
	Role         string `group:"kms" env:"PARENT_ROLE_NAME" placeholder:"NAME" help:"${help_role}"`
	StaticFile   string `group:"kms" name:"static-credentials-file" type:"path" placeholder:"FILE" help:"${help_static}"`
	IMDSEndpoint string `group:"kms" name:"imds-endpoint" default:"http://169.254.169.254" placeholder:"URL" help:"${help_imds}"`
}

// Operate says how the parent is watched and stopped.
type Operate struct {
	MetricsListen string `group:"operate" default:"127.0.0.1:9180" placeholder:"HOST:PORT" help:"${help_metrics_listen}"`

	MetricsHosts []string `group:"operate" name:"metrics-host" placeholder:"NAME" help:"${help_metrics_host}"`

	MetricsKeysFile string `group:"operate" name:"metrics-keys-file" type:"path" placeholder:"FILE" help:"${help_metrics_keys_file}"`

	Pprof        bool          `group:"operate" help:"${help_pprof}"`
	ReadyWait    time.Duration `group:"operate" default:"2s" help:"${help_ready_wait}"`
	DrainTimeout time.Duration `group:"operate" default:"30s" help:"${help_drain_timeout}"`
	LogLevel     string        `group:"operate" enum:"debug,info,warn,error" default:"info" help:"${help_log_level}"`
	AccessLog    bool          `group:"operate" help:"${help_access_log}"`
}

// Trace says where spans of requests are sent. Without an endpoint there are none.
type Trace struct {
	OTLPEndpoint string `group:"trace" env:"PARENT_OTLP_ENDPOINT,OTEL_EXPORTER_OTLP_ENDPOINT" help:"${help_otlp}"`

	Headers string  `group:"trace" name:"otlp-headers-file" type:"path" placeholder:"FILE" help:"${help_otlp_headers}"`
	CA      string  `group:"trace" name:"otlp-ca-file" type:"path" placeholder:"FILE" help:"${help_otlp_ca}"`
	Ratio   float64 `group:"trace" name:"trace-ratio" default:"0.01" help:"${help_trace_ratio}"`
}
