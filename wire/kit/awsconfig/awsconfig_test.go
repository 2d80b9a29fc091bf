package awsconfig

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

const role = `{"Code":"Success","AccessKeyId":"SENTINEL","SecretAccessKey":"SENTINEL","Expiration":"2099-01-01T00:00:00Z"}`

// metadata serves version 1 to anybody who asks, and tokens by put. It counts what is asked without a token.
type metadata struct {
	*httptest.Server
	first, second atomic.Int64
}

func serve(t *testing.T, put http.HandlerFunc) *metadata {
	t.Helper()
	m := &metadata{}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut:
			put(w, r)
			return
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") == "":
			m.first.Add(1)
		default:
			m.second.Add(1)
		}
		switch {
		case strings.HasSuffix(r.URL.Path, "/security-credentials/"):
			_, _ = io.WriteString(w, "a-role")
		case strings.HasSuffix(r.URL.Path, "/a-role"):
			_, _ = io.WriteString(w, role)
		default:
			_, _ = io.WriteString(w, "{}")
		}
	}))
	t.Cleanup(m.Close)
	return m
}

// alone leaves the metadata service as the only source of credentials.
func alone(t *testing.T, endpoint string) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // remembers the value for afterwards
			os.Unsetenv(name)
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint)
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func cuts(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestTheMetadataServiceIsNeverAskedByVersion1(t *testing.T) {
	for name, c := range map[string]struct {
		put http.HandlerFunc
		env string
	}{
		"403":              {status(403), ""},
		"404":              {status(404), ""},
		"405":              {status(405), ""},
		"no answer":        {hangs, ""},
		"cut":              {cuts, ""},
		"allowed by env":   {status(404), "AWS_EC2_METADATA_V1_DISABLED=false"},
		"asked on loading": {status(404), "AWS_DEFAULTS_MODE=auto"},
	} {
		t.Run(name, func(t *testing.T) {
			m := serve(t, c.put)
			alone(t, m.URL)
			if key, value, ok := strings.Cut(c.env, "="); ok {
				t.Setenv(key, value)
			}
			cfg, err := Load(t.Context(), "us-east-1")
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time the SDK has learnt that there are no tokens
				_, err = cfg.Credentials.Retrieve(t.Context())
				if !errors.Is(err, ErrNoCredentials) || !strings.Contains(err.Error(), "metadata service by version 2") {
					t.Errorf("%v", err)
				}
			}
			if n := m.first.Load(); n > 0 {
				t.Errorf("%d requests without a token", n)
			}
		})
	}
}

func TestARoleFromAProfileIsNotAskedByVersion1Either(t *testing.T) {
	m := serve(t, status(404))
	alone(t, m.URL)
	file := filepath.Join(t.TempDir(), "config")
	text := "[default]\nrole_arn = arn:aws:iam::111122223333:role/r\ncredential_source = Ec2InstanceMetadata\n" +
		"ec2_metadata_v1_disabled = false\nregion = us-east-1\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", file)
	cfg, err := Load(t.Context(), "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cfg.Credentials.Retrieve(t.Context()); !errors.Is(err, ErrNoCredentials) || m.first.Load() > 0 {
		t.Errorf("%v, %d requests without a token", err, m.first.Load())
	}
}

func TestVersion2GivesTheRolesCredentials(t *testing.T) {
	m := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
		_, _ = io.WriteString(w, "token")
	})
	alone(t, m.URL)
	cfg, err := Load(t.Context(), "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if c, err := cfg.Credentials.Retrieve(t.Context()); err != nil || c.AccessKeyID != "SENTINEL" {
			t.Errorf("%q, %v", c.AccessKeyID, err)
		}
	}
	if m.first.Load() != 0 || m.second.Load() != 2 {
		t.Errorf("%d requests without a token, %d with", m.first.Load(), m.second.Load())
	}
}

func TestAServicesClientPassesTheErrorOn(t *testing.T) {
	m := serve(t, status(404))
	alone(t, m.URL)
	cfg, err := Load(t.Context(), "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kms.NewFromConfig(cfg).ListKeys(t.Context(), nil); NoCredentials(err) == nil ||
		NoCredentials(err).Error() != "no aws credentials (none configured, and none from the instance "+
			"metadata service by version 2)" {
		t.Errorf("%v", err)
	}
	if err := NoCredentials(errors.New("other")); err != nil {
		t.Errorf("%v", err)
	}
}

type source struct{ err error }

func (s source) Retrieve(context.Context) (aws.Credentials, error) { return aws.Credentials{}, s.err }

func TestASourcesTextIsNotRepeated(t *testing.T) {
	_, err := (&typed{source{errors.New("SENTINEL")}}).Retrieve(t.Context())
	if !errors.Is(err, ErrNoCredentials) || strings.Contains(err.Error(), "SENTINEL") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&typed{source{ctx.Err()}}).Retrieve(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, ErrNoCredentials) {
		t.Errorf("a caller that went: %v", err)
	}
}

// Every other way to the SDK's default configuration would fall back to version 1.
func TestNoProgramLoadsTheDefaultConfigurationByItself(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	seen := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.Contains(string(data), "LoadDefaultConfig(") {
			seen++
			if filepath.Base(filepath.Dir(path)) != "awsconfig" {
				t.Errorf("%s: use awsconfig.Load", path)
			}
		}
		return nil
	})
	if err != nil || seen == 0 {
		t.Errorf("%v, %d files", err, seen)
	}
}
