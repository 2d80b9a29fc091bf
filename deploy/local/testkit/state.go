package testkit

import (
	"context"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/goccy/go-yaml"
	"golang.org/x/sys/unix"

	"redoubt/wire/kit/test/attesttest"
	"redoubt/wire/kit/test/kms"
)

// Files of the state folder, beside those of the stand-in.
const (
	lockFile        = "lock"
	nsmRootFile     = "nsm-root.pem"
	nsmRootKeyFile  = "nsm-root-key.pem"
	enclaveFile     = "enclave.yaml"
	credentialsFile = "credentials.json"
	hmacKeyFile     = "hmac-key.b64"
	socketFile      = "enclave.sock"
	storeFile       = "vaults.db"
	probeFile       = "probe.json"
)

// maxSocketPath is what a unix socket's address can hold, less its end (unix(7)).
const maxSocketPath = 107

// state is a locked state folder.
type state struct {
	dir    string
	lock   *os.File
	socket string
	pcrs   map[int]string // measurements that the software NSM claims
}

func openState(dir string) (*state, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	s := &state{dir: dir, pcrs: make(map[int]string), socket: filepath.Join(dir, socketFile)}
	if len(s.socket) > maxSocketPath {
		return nil, errors.New("the state folder's path is too long for a unix socket; choose another by --state")
	}
	s.lock, err = os.OpenFile(s.path(lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	if err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = s.lock.Close()
		return nil, errors.New("another local stack uses the state folder " + dir)
	}
	for i := range 3 {
		sum := sha512.Sum384([]byte("redoubt local stack PCR" + strconv.Itoa(i)))
		s.pcrs[i] = hex.EncodeToString(sum[:])
	}
	return s, nil
}

func (s *state) path(name string) string { return filepath.Join(s.dir, name) }

func (s *state) close() { _ = s.lock.Close() }

func (s *state) exists(name string) bool {
	_, err := os.Stat(s.path(name))
	return err == nil
}

// ensureNSMRoot makes the root of the software NSM, once.
func (s *state) ensureNSMRoot() error {
	if s.exists(nsmRootFile) && s.exists(nsmRootKeyFile) {
		return nil
	}
	authority, err := attesttest.New(attesttest.Chain{})
	if err != nil {
		return fmt.Errorf("software NSM: %w", err)
	}
	key, err := authority.RootKeyPEM()
	if err != nil {
		return fmt.Errorf("software NSM: %w", err)
	}
	defer clear(key)
	if err := os.WriteFile(s.path(nsmRootKeyFile), key, 0o600); err != nil {
		return fmt.Errorf("software NSM: %w", err)
	}
	if err := os.WriteFile(s.path(nsmRootFile), authority.RootCertPEM(), 0o600); err != nil {
		return fmt.Errorf("software NSM: %w", err)
	}
	return nil
}

// writeCredentials writes the parent's static credentials, in the shape of the instance metadata service.
func (s *state) writeCredentials() error {
	data, err := json.Marshal(map[string]string{
		"AccessKeyId": kms.DefaultAccessKey, "SecretAccessKey": kms.DefaultSecret, "SessionToken": "",
	})
	if err != nil {
		return fmt.Errorf("credentials file: %w", err)
	}
	if err := os.WriteFile(s.path(credentialsFile), data, 0o600); err != nil {
		return fmt.Errorf("credentials file: %w", err)
	}
	return nil
}

// ensureHMACKey returns the key of hmac_sha256, wrapped by the stand-in. The key is made once, and is in the clear
// only while it is wrapped.
func (s *state) ensureHMACKey(ctx context.Context, client *awskms.Client) (string, error) {
	switch data, err := os.ReadFile(s.path(hmacKeyFile)); {
	case err == nil:
		return strings.TrimSpace(string(data)), nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("HMAC key: %w", err)
	}
	var key [32]byte
	defer clear(key[:])
	if _, err := rand.Read(key[:]); err != nil {
		return "", fmt.Errorf("HMAC key: %w", err)
	}
	out, err := client.Encrypt(ctx, &awskms.EncryptInput{
		KeyId: aws.String(kms.AliasSymmetric), Plaintext: key[:],
		EncryptionContext: map[string]string{"purpose": "redoubt-hmac"},
	})
	if err != nil {
		return "", fmt.Errorf("HMAC key: %w", err)
	}
	wrapped := base64.StdEncoding.EncodeToString(out.CiphertextBlob)
	if err := os.WriteFile(s.path(hmacKeyFile), []byte(wrapped+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("HMAC key: %w", err)
	}
	return wrapped, nil
}

// writeProbeKey has the stand-in make a probe key, and writes what the AWS CLI would print.
func (s *state) writeProbeKey(ctx context.Context, client *awskms.Client, keyARN string) error {
	out, err := client.GenerateDataKeyPairWithoutPlaintext(ctx, &awskms.GenerateDataKeyPairWithoutPlaintextInput{
		KeyId: &keyARN, KeyPairSpec: types.DataKeyPairSpecEccNistP256,
		EncryptionContext: map[string]string{"vault_id": "redoubt-probe"},
	})
	if err != nil {
		return fmt.Errorf("probe key: %w", err)
	}
	data, err := json.Marshal(map[string]any{
		"KeyId": out.KeyId, "KeyPairSpec": out.KeyPairSpec, "PublicKey": out.PublicKey,
		"PrivateKeyCiphertextBlob": out.PrivateKeyCiphertextBlob,
	})
	if err != nil {
		return fmt.Errorf("probe key: %w", err)
	}
	if err := os.WriteFile(s.path(probeFile), data, 0o600); err != nil {
		return fmt.Errorf("probe key: %w", err)
	}
	return nil
}

// writeEnclaveConfig writes the enclave's configuration anew: ports may have changed.
func (s *state) writeEnclaveConfig(keyARN, kmsTLS, hmacKey string, extra map[string]any) error {
	config := map[string]any{
		"listen":   "unix://" + s.socket,
		"keys":     map[string]string{kms.DefaultRegion: keyARN},
		"kms":      map[string]string{"endpoint": "https://" + kmsTLS, "ca_file": s.path(kms.CAFile)},
		"hmac_key": hmacKey,
		"soft_nsm": map[string]any{
			"root_cert": s.path(nsmRootFile), "root_key": s.path(nsmRootKeyFile), "pcrs": s.pcrs,
		},
	}
	for name, value := range extra {
		config[name] = value
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		return fmt.Errorf("enclave configuration: %w", err)
	}
	if err := os.WriteFile(s.path(enclaveFile), data, 0o600); err != nil {
		return fmt.Errorf("enclave configuration: %w", err)
	}
	return nil
}

// KMSClient is an SDK client for the stand-in at host:port, plain HTTP, with the stack's credentials. It takes nothing
// from the environment.
func KMSClient(hostport string) *awskms.Client {
	return awskms.New(awskms.Options{
		Region: kms.DefaultRegion, BaseEndpoint: aws.String("http://" + hostport),
		Credentials: credentials.NewStaticCredentialsProvider(kms.DefaultAccessKey, kms.DefaultSecret, ""),
		HTTPClient:  &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second},
	})
}
