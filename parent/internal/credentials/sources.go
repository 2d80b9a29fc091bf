package credentials

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/valyala/fastjson"

	"redoubt/wire"
	"redoubt/wire/kit/secret"
)

// fileAgain is how often the static file is read again.
const fileAgain = 5 * time.Second

// maxAnswer bounds the file and IMDS's answers, in bytes.
const maxAnswer = 16 << 10

// File reads a JSON file of AccessKeyId, SecretAccessKey and, optionally, SessionToken (or Token) and Expiration
// (RFC 3339), as `aws configure export-credentials` and IMDS write it.
type File string

// Fetch implements Source.
func (f File) Fetch(_ context.Context, m *wire.Credentials) error {
	file, err := os.Open(string(f))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return ErrNone
		}
		return ErrUnavailable
	}
	defer func() { _ = file.Close() }()
	return read(file, m)
}

// Again implements Source.
func (File) Again() time.Duration { return fileAgain }

// Env takes the usual AWS_* variables.
type Env struct{}

// Fetch implements Source.
func (Env) Fetch(_ context.Context, m *wire.Credentials) error {
	m.AccessKeyID = []byte(os.Getenv("AWS_ACCESS_KEY_ID"))
	m.Secret = []byte(os.Getenv("AWS_SECRET_ACCESS_KEY"))
	m.Token = []byte(os.Getenv("AWS_SESSION_TOKEN"))
	if len(m.AccessKeyID) == 0 || len(m.Secret) == 0 {
		return ErrNone
	}
	return nil
}

// Again implements Source.
func (Env) Again() time.Duration { return 0 }

// IMDS asks the instance metadata service, version 2 only. It parses the answer itself, since the strings of
// credentials/ec2rolecreds could not be wiped.
type IMDS struct {
	client *imds.Client
	role   string
}

// NewIMDS makes a source for the given role, or for the instance's first role if the name is empty. It uses nothing
// of the environment.
func NewIMDS(endpoint, role string) *IMDS {
	if role == "None" {
		role = "" // the reference's default, which it then took for a name
	}
	return &IMDS{role: role, client: imds.New(imds.Options{
		Endpoint:          endpoint,
		ClientEnableState: imds.ClientEnabled,
		EnableFallback:    aws.FalseTernary,
	})}
}

const rolePath = "iam/security-credentials/"

// Fetch implements Source.
func (i *IMDS) Fetch(ctx context.Context, m *wire.Credentials) error {
	role := i.role
	if role == "" {
		var err error
		if role, err = i.first(ctx); err != nil {
			return err
		}
	}
	out, err := i.client.GetMetadata(ctx, &imds.GetMetadataInput{Path: rolePath + role})
	if err != nil {
		return ErrUnavailable
	}
	defer func() { _ = out.Content.Close() }()
	return read(out.Content, m)
}

// first is the name of the instance's first role.
func (i *IMDS) first(ctx context.Context) (string, error) {
	out, err := i.client.GetMetadata(ctx, &imds.GetMetadataInput{Path: rolePath})
	if err != nil {
		return "", ErrUnavailable
	}
	defer func() { _ = out.Content.Close() }()
	list, err := io.ReadAll(io.LimitReader(out.Content, maxAnswer))
	if err != nil {
		return "", ErrUnavailable
	}
	for n, c := range list {
		if c == '\n' || c == '\r' {
			list = list[:n]
			break
		}
	}
	if len(list) == 0 {
		return "", ErrNone
	}
	return string(list), nil
}

// Region is the instance's region.
func (i *IMDS) Region(ctx context.Context) (string, error) {
	out, err := i.client.GetMetadata(ctx, &imds.GetMetadataInput{Path: "placement/region"})
	if err != nil {
		return "", ErrUnavailable
	}
	defer func() { _ = out.Content.Close() }()
	region, err := io.ReadAll(io.LimitReader(out.Content, wire.MaxRegion+1))
	if err != nil {
		return "", ErrUnavailable
	}
	if len(region) == 0 || len(region) > wire.MaxRegion {
		return "", ErrMalformed
	}
	return string(region), nil
}

// Again implements Source.
func (*IMDS) Again() time.Duration { return mostWait }

// read parses credentials from r's JSON and wipes what it read.
func read(r io.Reader, m *wire.Credentials) error {
	buf := make([]byte, maxAnswer+1)
	defer secret.Wipe(buf)
	n, err := io.ReadFull(r, buf)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		if err == nil {
			return ErrMalformed // too long
		}
		return ErrUnavailable
	}
	var p fastjson.Parser
	v, err := p.ParseBytes(buf[:n])
	if err != nil || v.Type() != fastjson.TypeObject {
		return ErrMalformed
	}
	// These slices lie in the parser's copy. They are its secret parts, and are wiped together with it.
	id, key, token := v.GetStringBytes("AccessKeyId"), v.GetStringBytes("SecretAccessKey"), v.GetStringBytes("Token")
	if token == nil {
		token = v.GetStringBytes("SessionToken")
	}
	defer secret.Wipe(id)
	defer secret.Wipe(key)
	defer secret.Wipe(token)
	if code := v.GetStringBytes("Code"); code != nil && string(code) != "Success" {
		return ErrUnavailable
	}
	if len(id) == 0 || len(key) == 0 {
		return ErrMalformed
	}
	if s := v.GetStringBytes("Expiration"); len(s) > 0 {
		t, err := time.Parse(time.RFC3339, string(s))
		if err != nil {
			return ErrMalformed
		}
		m.ExpiresMS = t.UnixMilli()
	}
	m.AccessKeyID = append(m.AccessKeyID, id...)
	m.Secret = append(m.Secret, key...)
	m.Token = append(m.Token, token...)
	return nil
}
