package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"redoubt/api/internal/auth"
	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/kmsclient"
	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
	"redoubt/api/internal/store/bolt"
	"redoubt/api/internal/store/dynamo"
	"redoubt/api/internal/upstream"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/awsconfig"
	"redoubt/wire/kit/program"
	"redoubt/wire/kit/sealed"
)

// defaultFile is the embedded store's file if no store is named.
const defaultFile = "redoubt.db"

// storeFlags choose the store.
type storeFlags struct {
	Store            string `help:"${h_store}" env:"API_STORE" placeholder:"bolt:redoubt.db"`
	Table            string `hidden:"" env:"TABLE_NAME" help:"The DynamoDB table, as the reference names it; without --store."`
	KeyTable         string `help:"${h_key_table}" env:"API_KEY_TABLE" placeholder:"TABLE"`
	DomainTable      string `help:"${h_domain_table}" env:"API_DOMAIN_TABLE" placeholder:"TABLE"`
	DynamoDBEndpoint string `name:"dynamodb-endpoint" help:"${h_dynamodb}" env:"API_DYNAMODB_ENDPOINT" placeholder:"URL"`
	Region           string `help:"AWS region of key and table." env:"API_REGION,AWS_REGION" default:"us-east-1"`
}

// parentFlags say how to reach the parent.
type parentFlags struct {
	ParentURL string `name:"parent-url" help:"${h_parent_url}" env:"API_PARENT_URL,VAULT_URL" default:"${parent}"`

	ParentTimeout   time.Duration `help:"${h_parent_timeout}" env:"API_PARENT_TIMEOUT" default:"8s"`
	ParentTokenFile string        `help:"${h_parent_token}" env:"API_PARENT_TOKEN_FILE" type:"path" placeholder:"FILE"`
	ParentCAFile    string        `name:"parent-ca-file" help:"${h_parent_ca}" env:"API_PARENT_CA_FILE" type:"path"`
	ParentCertFile  string        `help:"${h_parent_cert}" env:"API_PARENT_CERT_FILE" type:"path" placeholder:"FILE"`
	ParentKeyFile   string        `help:"Private key of the client certificate, PEM." env:"API_PARENT_KEY_FILE" type:"path" placeholder:"FILE"`
}

// vaultFlags configure the vault itself.
type vaultFlags struct {
	KMSKey   string `name:"kms-key" help:"${h_kmskey}" env:"API_KMS_KEY,KEY_ARN" default:"alias/redoubt"`
	Schema   string `help:"${h_schema}" env:"API_SCHEMA" type:"path" placeholder:"FILE"`
	Policy   string `help:"${h_policy}" env:"API_POLICY" type:"path" placeholder:"FILE"`
	Suite    string `help:"${h_suite}" env:"API_SUITE" default:"P-384" enum:"${suites}"`
	Encoding int    `help:"${h_encoding}" env:"API_ENCODING" default:"3" enum:"2,3"`
	Cutover  string `name:"legacy-cutover" help:"${h_cutover}" env:"API_LEGACY_CUTOVER" placeholder:"TIME"`

	// Around decorates the store of the vault; nil: as it is.
	Around func(store.Store) store.Store `kong:"-"`

	macFlags `embed:""`
	keyFlags `embed:""`
}

// macFlags name the key that binds public keys and makes the keys of the audit log.
type macFlags struct {
	MACKey      string        `name:"mac-key" help:"${h_mackey}" env:"API_MAC_KEY" default:"alias/redoubt-mac"`
	KMSEndpoint string        `name:"kms-endpoint" help:"${h_kmsendpoint}" env:"API_KMS_ENDPOINT" placeholder:"URL"`
	KMSTimeout  time.Duration `name:"kms-timeout" help:"${h_kmstimeout}" env:"API_KMS_TIMEOUT" default:"5s"`
}

// kms is the configuration of a client of KMS, without the key that wraps private keys.
func (f *macFlags) kms(ctx context.Context, region string) (cfg kmsclient.Config, err error) {
	cfg = kmsclient.Config{Endpoint: f.KMSEndpoint, MACKeyID: f.MACKey, Timeout: f.KMSTimeout}
	cfg.AWS, err = awsconfig.Load(ctx, region)
	return cfg, err
}

// errTables reports flags of tables that do not fit together.
var errTables = hint(
	program.Mistake("--key-table and --domain-table are for --store dynamodb:TABLE, and given together"),
	"the embedded store keeps keys and domains in its file")

// check checks that the tables fit together.
func (f *storeFlags) check() error {
	kind, _ := f.kind()
	if (f.KeyTable == "") != (f.DomainTable == "") || f.KeyTable != "" && kind != "dynamodb" {
		return errTables
	}
	return nil
}

// keepsDomains reports whether the store has a place for domains and keys.
func (f *storeFlags) keepsDomains() bool { return f.boltPath() != "" || f.KeyTable != "" }

// open opens the store.
func (f *storeFlags) open(ctx context.Context) (store.Store, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	switch kind, name := f.kind(); kind {
	case "bolt":
		s, err := bolt.Open(name, bolt.Options{}) //nolint:contextcheck // its sweeper lives as long as the store
		if err != nil {
			return nil, lockedHint(err)
		}
		return s, nil
	case "dynamodb":
		cfg, err := awsconfig.Load(ctx, f.Region)
		if err != nil {
			return nil, err
		}
		return dynamo.New(dynamo.Config{
			AWS: cfg, Endpoint: f.DynamoDBEndpoint, Table: name, KeyTable: f.KeyTable, DomainTable: f.DomainTable,
		})
	}
	return nil, hint(fmt.Errorf("unknown store %q", f.Store), "use bolt:FILE or dynamodb:TABLE")
}

func lockedHint(err error) error {
	if errors.Is(err, bolt.ErrLocked) {
		return hint(err, "is another api serving this file? stop it, or use another --store")
	}
	switch {
	case errors.Is(err, bolt.ErrIsBackup):
		return hint(err, "make a store of it first: api restore BACKUP --yes --create --store bolt:NEW; then use that store")
	case errors.Is(err, bolt.ErrBackup):
		return hint(err, "nothing was changed; use another backup")
	case errors.Is(err, bolt.ErrDamaged), errors.Is(err, bolt.ErrFormat):
		return hint(err, "keep a copy of the file, then replace it by the last good backup: api restore BACKUP --yes")
	}
	return err
}

// kind splits the flag. Both parts are empty if it names no store.
func (f *storeFlags) kind() (kind, name string) {
	choice := f.Store
	if choice == "" {
		choice = "bolt:" + defaultFile
		if f.Table != "" {
			choice = "dynamodb:" + f.Table
		}
	}
	kind, name, _ = strings.Cut(choice, ":")
	if name == "" || kind != "bolt" && kind != "dynamodb" {
		return "", ""
	}
	return kind, name
}

// boltPath is the store's file. It is empty for other kinds.
func (f *storeFlags) boltPath() string {
	if kind, name := f.kind(); kind == "bolt" {
		return name
	}
	return ""
}

func (f *parentFlags) client(region string) (*upstream.Client, error) {
	token, err := readSecret(f.ParentTokenFile)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS13}
	if f.ParentCAFile != "" {
		if cfg.RootCAs, err = readRoots(f.ParentCAFile); err != nil {
			return nil, err
		}
	}
	if f.ParentCertFile != "" {
		pair, err := tls.LoadX509KeyPair(f.ParentCertFile, f.ParentKeyFile)
		if err != nil {
			return nil, fmt.Errorf("client certificate for the parent: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return upstream.New(upstream.Config{
		URL: f.ParentURL, Region: region, Timeout: f.ParentTimeout, TLS: cfg,
		Token: token,
	})
}

func readRoots(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("no certificate in %s", path)
	}
	return pool, nil
}

// service builds the vault over a store.
func (f *appFlags) service(ctx context.Context, s store.Store, region string, up *upstream.Client,
	m *httpapi.Metrics, every time.Duration, kept func(*store.Checkpoint, error),
) (*vault.Service, *kmsclient.Client, error) {
	if f.Around != nil {
		s = f.Around(s)
	}
	cfg := vault.Config{
		Store: measuredStore{s, m}, Opener: measuredOpener{up, m}, Schema: schema.Default(),
		Encoding: sealed.Encoding(f.Encoding), CheckpointEvery: every, Checkpointed: kept,
	}
	var err error
	if f.Schema != "" {
		if cfg.Schema, err = schema.Load(f.Schema); err != nil {
			return nil, nil, err
		}
	}
	if f.Policy != "" {
		if cfg.Policy, err = auth.LoadPolicy(f.Policy); err != nil {
			return nil, nil, err
		}
	}
	if cfg.Suite, err = sealed.SuiteNamed(f.Suite); err != nil {
		return nil, nil, err
	}
	if cfg.Cutover, err = parseCutover(f.Cutover); err != nil {
		return nil, nil, err
	}
	kms, err := f.kms(ctx, region)
	if err != nil {
		return nil, nil, err
	}
	kms.KeyID = f.KMSKey
	keys, err := kmsclient.New(kms)
	if err != nil {
		return nil, nil, err
	}
	cfg.Keys = measuredKeys{keys, m}
	if f.keepsDomains() {
		cfg.KeyConfig, err = f.keyConfig(cfg.Store, f.boltPath() != "", cfg.Keys, measuredEnclave{measuredOpener{up, m}, up})
		if err != nil {
			return nil, nil, err
		}
	}
	svc, err := vault.New(cfg)
	if errors.Is(err, vault.ErrCutover) {
		err = hint(fmt.Errorf("--legacy-cutover %s: %w", f.Cutover, err),
			"until then records without a MAC would take writes as the reference's do; name a time that has passed")
	}
	return svc, keys, err
}

// parseCutover reads --legacy-cutover, which the server and `audit verify` have. Empty means none.
func parseCutover(text string) (time.Time, error) { return parseTime("--legacy-cutover", text) }

// parseTime reads the time that a flag names. Empty means none.
func parseTime(flag, text string) (at time.Time, err error) {
	if text == "" {
		return at, nil
	}
	if at, err = time.Parse(time.RFC3339, text); err != nil {
		return at, hint(program.Mistake(flag+" is not a time"), "write it as 2026-01-31T00:00:00Z")
	}
	return at, nil
}
