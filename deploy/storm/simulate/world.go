//go:build dev

package simulate

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/goccy/go-yaml"

	"redoubt/api/apid"
	"redoubt/enclave/enclaved"
	"redoubt/parent/parentd"
	"redoubt/wire"
	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/program"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/attesttest"
	"redoubt/wire/kit/test/kms"
)

// Parts of the path.
const (
	partKMS     = "kms"
	partEnclave = "enclave"
	partParent  = "parent"
	partAPI     = "api"
)

// Links, by the parts at their ends.
const (
	callerAPI     = "caller-api"
	callerParent  = "caller-parent"
	apiParent     = "api-parent"
	apiKMS        = "api-kms"
	parentEnclave = "parent-enclave"
	enclaveKMS    = "enclave-kms"
)

var linkNames = []string{callerAPI, callerParent, apiParent, apiKMS, parentEnclave, enclaveKMS}

// The settings of the tiers. They are short, so that a run that ends them all is short as well.
const (
	keyTTL         = 2 * time.Second
	maxKeys        = 4
	maxContexts    = 16
	requestTimeout = pace * 2 * time.Second
	drainTimeout   = 500 * time.Millisecond
)

// settings are those that a seed draws.
type settings struct {
	suite          sealed.Suite // of the vaults
	workers, queue int          // of the enclave
}

// drawSettings draws from a generator of its own. Most seeds have the curve that costs a simulation least.
func drawSettings(seed uint64) settings {
	rng := rand.New(rand.NewPCG(seed, stream("settings")))
	s := settings{sealed.P256, 1 + rng.IntN(3), 8 << rng.IntN(4)}
	if rng.IntN(4) > 0 {
		return s
	}
	names := sealed.SuiteNames()
	suite, err := sealed.SuiteNamed(names[rng.IntN(len(names))])
	if err != nil {
		panic(err)
	}
	if suite.KeySpec() != "" { // KMS makes pairs of it
		s.suite = suite
	}
	return s
}

//go:embed testdata/recipients.pem
var recipientsPEM []byte

// world is the whole path: the parts, the links between them, and what is known of what they should do.
type world struct {
	dir    string
	seed   uint64
	log    *buffer
	logger *slog.Logger
	links  map[string]*link

	settings settings
	kms      *kms.Server
	keyARN   string
	kmsPlain string // where the stand-in is, past the links
	config   *enclaved.Config
	pool     []*rsa.PrivateKey
	taken    int // of the pool
	nextSock int

	mu             sync.Mutex
	counts         map[string]int
	parts          map[string]*part
	metricsAddress string

	store storeFaults
}

// part is a started tier.
type part struct {
	stop context.CancelFunc
	wait func() error
}

// newWorld makes the folder's files, the stand-in and the links, and starts every part.
func newWorld(ctx context.Context, dir string, seed uint64, features features) (w *world, err error) {
	w = &world{
		dir: dir, seed: seed, log: &buffer{}, links: map[string]*link{}, counts: map[string]int{},
		parts: map[string]*part{}, settings: drawSettings(seed),
	}
	w.store.init(w)
	w.logger = program.NewLogger(w.log, slog.LevelInfo)
	if w.pool, err = recipients(); err != nil {
		return nil, err
	}
	for _, name := range linkNames {
		network, address := "tcp", "127.0.0.1:0"
		if name == parentEnclave {
			network, address = "unix", filepath.Join(dir, "link.sock")
		}
		if w.links[name], err = newLink(name, network, address, seed, w.count); err != nil {
			return nil, err
		}
		w.links[name].serve()
	}
	if err := w.startKMS(ctx); err != nil {
		return nil, fmt.Errorf("stand-in: %w", err)
	}
	for _, name := range []string{partEnclave, partParent, partAPI} {
		if err := w.start(ctx, name, features); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return w, nil
}

// recipients are the pool's RSA key pairs.
func recipients() (pool []*rsa.PrivateKey, err error) {
	for rest := recipientsPEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return pool, nil
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		pair, ok := key.(*rsa.PrivateKey)
		if !ok {
			return nil, errors.New("the pool has a key that is not of RSA")
		}
		pool = append(pool, pair)
	}
}

// recipient is the next key pair of the pool.
func (w *world) recipient() (*rsa.PrivateKey, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taken++
	return w.pool[w.taken%len(w.pool)], nil
}

// count counts a fault that really happened.
func (w *world) count(kind string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[kind]++
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// startKMS starts the stand-in and writes what the tiers read of it.
func (w *world) startKMS(ctx context.Context) error {
	authority, err := attesttest.New(attesttest.Chain{})
	if err != nil {
		return err
	}
	rootKey, err := authority.RootKeyPEM()
	if err != nil {
		return err
	}
	pcrs, allowed := map[int]string{}, map[int][]string{}
	for i := range 3 {
		sum := sha512.Sum384([]byte("simulation PCR" + strconv.Itoa(i)))
		pcrs[i] = hex.EncodeToString(sum[:])
		allowed[i] = []string{pcrs[i]}
	}
	policy, err := kms.PolicyForPCRs(allowed)
	if err != nil {
		return err
	}
	w.kms, err = kms.New(kms.Config{
		StateDir: w.dir, Log: slog.New(slog.DiscardHandler), Policy: policy,
		AttestationRoots: []attest.Root{authority.Root()},
	})
	if err != nil {
		return err
	}
	key, err := w.kms.Store().Find(kms.AliasSymmetric)
	if err != nil {
		return err
	}
	w.keyARN = key.ARN()
	ca, err := kms.OpenCA(w.dir, time.Now())
	if err != nil {
		return err
	}
	tlsConfig, err := ca.ServerConfig(time.Now())
	if err != nil {
		return err
	}
	plain, err := kms.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	encrypted, err := kms.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, plain.Close())
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- w.kms.Serve(run, plain, encrypted, tlsConfig) }()
	w.parts[partKMS] = &part{cancel, func() error { return <-done }}
	w.kmsPlain = plain.Addr().String()
	w.links[apiKMS].to("tcp", plain.Addr().String())
	w.links[enclaveKMS].to("tcp", encrypted.Addr().String())
	return w.write(pcrs, authority.RootCertPEM(), rootKey)
}

// write writes the files that the tiers read.
func (w *world) write(pcrs map[int]string, rootCert, rootKey []byte) error {
	creds, err := json.Marshal(map[string]string{
		"AccessKeyId": kms.DefaultAccessKey, "SecretAccessKey": kms.DefaultSecret, "SessionToken": "",
	})
	if err != nil {
		return err
	}
	file, err := yaml.Marshal(map[string]any{
		"listen": "unix://" + w.path("enclave.sock"),
		"keys":   map[string]string{kms.DefaultRegion: w.keyARN},
		"kms": map[string]string{
			"endpoint": "https://" + w.links[enclaveKMS].address(), "ca_file": w.path(kms.CAFile),
		},
		"cache":         map[string]any{"keys": maxKeys, "contexts": maxContexts, "key_ttl": keyTTL.String()},
		"work":          map[string]any{"workers": w.settings.workers, "queue": w.settings.queue, "queue_mib": 8},
		"sessions":      map[string]any{"max": 16, "memory_mib": 8},
		"drain_timeout": drainTimeout.String(),
		"logs":          map[string]any{"per_second": 50},
		"soft_nsm": map[string]any{
			"root_cert": w.path("nsm-root.pem"), "root_key": w.path("nsm-root-key.pem"), "pcrs": pcrs,
		},
	})
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(w.path("nsm-root.pem"), rootCert, 0o600),
		os.WriteFile(w.path("nsm-root-key.pem"), rootKey, 0o600),
		os.WriteFile(w.path("credentials.json"), creds, 0o600),
		os.WriteFile(w.path("enclave.yaml"), file, 0o600),
	)
}

// features are what the two ends of the wire announce; 0: all.
type features struct{ parent, enclave wire.Features }

// start starts a part in the place of one that has ended.
func (w *world) start(ctx context.Context, name string, f features) error {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var p *part
	var err error
	switch name {
	case partEnclave:
		p, err = w.startEnclave(run, f.enclave)
	case partParent:
		p, err = w.startParent(run, f.parent)
	case partAPI:
		p, err = w.startAPI(run)
	default:
		err = errors.New("no part that starts again")
	}
	if err != nil {
		cancel()
		return err
	}
	p.stop = cancel
	w.parts[name] = p
	return nil
}

func (w *world) startEnclave(ctx context.Context, f wire.Features) (*part, error) {
	cfg, err := enclaved.Load(w.path("enclave.yaml"))
	if err != nil {
		return nil, err
	}
	w.nextSock++
	socket := w.path("enclave-" + strconv.Itoa(w.nextSock) + ".sock")
	cfg.Listen = "unix://" + socket
	w.config = cfg
	e, err := enclaved.Start(ctx, cfg, enclaved.Environment{
		Build: "simulation", Console: w.log, Features: f, NewRecipient: w.recipient,
	})
	if err != nil {
		return nil, err
	}
	w.links[parentEnclave].to("unix", socket)
	return &part{wait: e.Wait}, nil
}

func (w *world) startParent(ctx context.Context, f wire.Features) (*part, error) {
	c, err := parentd.Parse([]string{
		"--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0",
		"--enclave", "unix://" + w.links[parentEnclave].address(), "--region", kms.DefaultRegion,
		"--kms-egress", w.links[enclaveKMS].address(),
		"--credentials", "static", "--static-credentials-file", w.path("credentials.json"),
		"--ready-wait", "0s", "--drain-timeout", drainTimeout.String(), "--request-timeout", requestTimeout.String(),
		"--batch-timeout", requestTimeout.String(),
		"--ping-every", (pace * 250 * time.Millisecond).String(), "--retry-max", "250ms",
	}, "simulation", w.log)
	if err != nil {
		return nil, err
	}
	p, err := parentd.Start(ctx, c, parentd.Environment{Version: "simulation", Log: w.logger, Features: f})
	if err != nil {
		return nil, err
	}
	w.links[apiParent].to("tcp", p.Address())
	w.links[callerParent].to("tcp", p.Address())
	w.mu.Lock()
	w.metricsAddress = p.MetricsAddress()
	w.mu.Unlock()
	return &part{wait: p.Wait}, nil
}

// environment has the API's credentials, and keeps what the machine says out.
var environment = [][2]string{
	{"AWS_ACCESS_KEY_ID", kms.DefaultAccessKey},
	{"AWS_SECRET_ACCESS_KEY", kms.DefaultSecret},
	{"AWS_EC2_METADATA_DISABLED", "true"},
	{"AWS_CONFIG_FILE", os.DevNull},
	{"AWS_SHARED_CREDENTIALS_FILE", os.DevNull},
}

func (w *world) startAPI(ctx context.Context) (*part, error) {
	for _, v := range environment {
		if err := os.Setenv(v[0], v[1]); err != nil {
			return nil, err
		}
	}
	c, err := apid.Parse([]string{
		"--listen", "127.0.0.1:0", "--metrics-listen", "off", "--store", "bolt:" + w.path("vaults.db"),
		"--region", kms.DefaultRegion, "--parent-url", "http://" + w.links[apiParent].address(),
		"--parent-timeout", requestTimeout.String(), "--kms-endpoint", "http://" + w.links[apiKMS].address(),
		"--kms-timeout", (pace * time.Second).String(), "--kms-key", w.keyARN, "--mac-key", kms.AliasMAC,
		"--suite", w.settings.suite.String(), "--drain-timeout", drainTimeout.String(),
	}, "simulation")
	if err != nil {
		return nil, err
	}
	a, err := apid.Start(ctx, c, apid.Environment{Version: "simulation", Log: w.logger, Store: apid.Failing(&w.store)})
	if err != nil {
		return nil, err
	}
	w.links[callerAPI].to("tcp", a.Address())
	return &part{wait: a.Wait}, nil
}

// end stops a part: at once, with its connections cut, or by its drain.
func (w *world) end(name string, kill bool) {
	p := w.parts[name]
	if p == nil {
		return
	}
	w.parts[name] = nil
	if kill {
		w.cutOff(name)
	}
	p.stop()
	_ = p.wait() // what was cut off is a fault's
	w.cutOff(name)
}

// cutOff cuts every connection of a part. Nobody reaches it any more.
func (w *world) cutOff(name string) {
	for _, l := range leadTo[name] {
		w.links[l].lead(false)
	}
	for _, l := range comeFrom[name] {
		w.links[l].cutAll()
	}
}

// leadTo and comeFrom are the links at whose far and near ends a part is.
var (
	leadTo = map[string][]string{
		partKMS: {apiKMS, enclaveKMS}, partEnclave: {parentEnclave}, partParent: {apiParent, callerParent},
		partAPI: {callerAPI},
	}
	comeFrom = map[string][]string{
		partEnclave: {enclaveKMS}, partParent: {parentEnclave, enclaveKMS}, partAPI: {apiParent, apiKMS},
	}
)

// close ends everything, in the order of a shutdown.
func (w *world) close() {
	w.heal()
	for _, name := range []string{partAPI, partParent, partEnclave, partKMS} {
		w.end(name, false)
	}
	for _, name := range linkNames {
		w.links[name].close()
	}
}

// heal ends every fault of the links, the store and the stand-in.
func (w *world) heal() {
	for _, name := range linkNames {
		w.links[name].heal()
	}
	w.store.heal()
	w.admin(http.MethodDelete, "faults", nil)
}

// admin uses the stand-in's admin routes, without a network.
func (w *world) admin(method, route string, body any) []byte {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	req := httptest.NewRequest(method, "http://localhost"+kms.AdminPath+route, bytes.NewReader(data))
	rec := httptest.NewRecorder()
	w.kms.AdminHandler().ServeHTTP(rec, req)
	if rec.Code != http.StatusOK {
		panic(fmt.Sprintf("stand-in: %s %s: %d %s", method, route, rec.Code, rec.Body))
	}
	return rec.Body.Bytes()
}

// buffer keeps what the parts log, up to a bound.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

const maxLog = 4 << 20

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.b.Len() < maxLog {
		b.b.Write(p)
	}
	return len(p), nil
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
