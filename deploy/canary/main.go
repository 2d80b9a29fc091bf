// Command canary watches a deployment from outside: a synthetic record's round trip through the API, and that KMS
// refuses to decrypt outside an enclave. It runs as a process that exports metrics, or as a Lambda on a schedule.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-lambda-go/lambda"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"redoubt/deploy/canary/internal/probe"
	"redoubt/wire/kit/awsconfig"
	"redoubt/wire/kit/cmdline"
	"redoubt/wire/kit/h1"
	"redoubt/wire/kit/program"
	"redoubt/wire/kit/secret"
)

type cli struct {
	APIURL      string           `name:"api-url" env:"CANARY_API_URL" required:"" placeholder:"URL" help:"URL of the API, its stage included: https://HOST/v1."`
	Token       string           `name:"token-file" type:"existingfile" env:"CANARY_TOKEN_FILE" help:"File with a bearer token for the API."`
	Sign        bool             `env:"CANARY_SIGN" help:"Sign requests to the API with IAM credentials (SigV4)."`
	KMSKey      string           `name:"kms-key" env:"CANARY_KMS_KEY" required:"" placeholder:"ARN" help:"ARN or alias of the key that wraps vaults' keys."`
	KMSEndpoint string           `name:"kms-endpoint" env:"CANARY_KMS_ENDPOINT" placeholder:"URL" help:"URL of KMS, in place of the region's own."`
	Region      string           `env:"CANARY_REGION,AWS_REGION" default:"us-east-1" help:"AWS region of the key and of the API."`
	Every       time.Duration    `env:"CANARY_EVERY" default:"1m" help:"Time between two probes, 1s to 24h."`
	Timeout     time.Duration    `env:"CANARY_TIMEOUT" default:"15s" help:"Limit of each probe, 1ms to 1h."`
	Version     kong.VersionFlag `help:"Print the version and exit."`

	MetricsHosts  []string `name:"metrics-host" env:"CANARY_METRICS_HOST" placeholder:"NAME" help:"Further host name that requests for /metrics may have, beside IP addresses and localhost. Requests with another are answered 421."`
	MetricsListen string   `env:"CANARY_METRICS_LISTEN" default:"127.0.0.1:9182" placeholder:"HOST:PORT" help:"Address on which the process serves /metrics. A Lambda function serves none."`
}

// version is set by the linker: -X main.version=.
var version = "dev"

func main() {
	var c cli
	k, err := newParser(&c)
	if err != nil {
		os.Exit(program.Fail(os.Stderr, "canary", err))
	}
	if kc, status := cmdline.Parse(k, os.Args[1:]); kc == nil {
		os.Exit(status)
	}
	log := program.NewLogger(os.Stderr, slog.LevelInfo)
	if err := secret.HardenProcess(); err != nil {
		log.Error("cannot start", slog.Any("error", err))
		os.Exit(program.Failed)
	}
	if err := c.run(log); err != nil {
		log.Error("canary ends", slog.Any("error", err))
		os.Exit(program.Failed)
	}
}

func newParser(c *cli) (*kong.Kong, error) {
	return cmdline.New("canary", version, c, os.Stdout, os.Stderr,
		kong.Description("Probes a deployment of Redoubt from outside."))
}

// Validate is called by the parser.
func (c *cli) Validate() error {
	return errors.Join(
		program.Range("--every", c.Every, time.Second, 24*time.Hour),
		program.Range("--timeout", c.Timeout, time.Millisecond, program.MaxWait),
	)
}

func (c *cli) run(log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	cfg, err := awsconfig.Load(ctx, c.Region)
	if err != nil {
		return err
	}
	client := awskms.NewFromConfig(cfg, func(o *awskms.Options) {
		if c.KMSEndpoint != "" {
			o.BaseEndpoint = &c.KMSEndpoint
		}
	})
	o := probe.Options{API: c.APIURL, Key: c.KMSKey, Timeout: c.Timeout, KMS: client}
	if c.Token != "" {
		if o.Token, err = probe.ReadToken(c.Token); err != nil {
			return err
		}
	}
	if c.Sign {
		o.Credentials, o.Region = cfg.Credentials, c.Region
	}
	p, err := probe.New(o)
	if err != nil {
		return err
	}
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		lambda.StartWithOptions(func(ctx context.Context) error {
			r := p.Once(ctx)
			tell(log, r)
			return json.NewEncoder(os.Stdout).Encode(probe.EMF(r, time.Now()))
		}, lambda.WithContext(ctx))
		return nil
	}
	return c.serve(ctx, p, log)
}

func (c *cli) serve(ctx context.Context, p *probe.Probe, log *slog.Logger) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", c.MetricsListen)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	m := probe.NewMetrics(version)
	failed := make(chan error, 1)
	defer c.serveMetrics(l, m, failed)()
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	for {
		r := p.Once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		tell(log, r)
		m.Set(r, time.Now())
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return fmt.Errorf("metrics: %w", err)
		case <-tick.C:
		}
	}
}

// serveMetrics serves until it is stopped.
func (c *cli) serveMetrics(l net.Listener, m *probe.Metrics, failed chan<- error) (stop func()) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	site := h1.Site{Names: c.MetricsHosts, Flag: "--metrics-host"}
	s := &http.Server{Handler: site.Guard(h1.AsSent(mux)), ReadHeaderTimeout: 5 * time.Second}
	go func() { failed <- s.Serve(h1.Listener{Listener: l}) }()
	return func() { _ = s.Close() }
}

// tell logs what failed, and never a value.
func tell(log *slog.Logger, r probe.Result) {
	if r.RoundTrip != nil {
		log.Error("round trip fails", slog.Any("error", r.RoundTrip))
	}
	switch r.Identity {
	case probe.Succeeded:
		log.Error("kms decrypts outside an enclave")
	case probe.CouldNotAsk:
		log.Warn("cannot ask kms to decrypt", slog.Any("error", r.IdentityError))
	case probe.Refused:
	}
}
