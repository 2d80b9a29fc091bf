package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/program"
	"redoubt/wire/kit/test/kms"
)

// kmsCommand runs the KMS stand-in alone.
type kmsCommand struct {
	Listen    string `help:"${help_listen}" default:"127.0.0.1:9300" env:"KMS_LISTEN"`
	TLSListen string `name:"tls-listen" help:"${help_tlslisten}" default:"127.0.0.1:9301" env:"KMS_TLS_LISTEN"`
	State     string `help:"${help_state}" default:"${state}" type:"path" placeholder:"DIR" env:"LOCAL_STATE"`
	Region    string `help:"Region of its keys." default:"us-east-1" env:"KMS_REGION"`

	AttestationRoot []string `help:"${help_root}" type:"existingfile" placeholder:"FILE" env:"KMS_ATTESTATION_ROOT"`
	AllowPCR        []string `name:"allow-pcr" help:"${help_allow_pcr}" placeholder:"INDEX=HEX" env:"KMS_ALLOW_PCR"`
	Policy          string   `help:"${help_policy}" type:"existingfile" placeholder:"FILE" env:"KMS_POLICY"`

	AccessKey    string `help:"Access key that is known." default:"local" env:"KMS_ACCESS_KEY"`
	SecretKey    string `help:"Its secret." default:"local-secret" env:"KMS_SECRET_KEY"`
	SessionToken string `help:"Session token that requests must carry. Empty: none." env:"KMS_SESSION_TOKEN"`

	AcceptUnsignedAttestation bool `help:"${help_unsigned}"`
}

// Run serves until ctx ends.
func (k *kmsCommand) Run(ctx context.Context) error {
	log := program.NewLogger(os.Stderr, slog.LevelInfo)
	cfg := kms.Config{
		StateDir: k.State, Region: k.Region, Log: log, AcceptUnsignedAttestation: k.AcceptUnsignedAttestation,
		Credentials: []kms.Credential{{
			AccessKeyID: k.AccessKey, SecretAccessKey: k.SecretKey, SessionToken: k.SessionToken,
		}},
	}
	var err error
	if cfg.Policy, err = k.policy(); err != nil {
		return err
	}
	for _, path := range k.AttestationRoot {
		file, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("attestation root: %w", err)
		}
		root, err := attest.ParseRoot(file)
		if err != nil {
			return fmt.Errorf("attestation root %s: %w", path, err)
		}
		cfg.AttestationRoots = append(cfg.AttestationRoots, root)
	}
	server, err := kms.New(cfg)
	if err != nil {
		return err
	}
	ca, err := kms.OpenCA(k.State, time.Now())
	if err != nil {
		return err
	}
	tlsConfig, err := ca.ServerConfig(time.Now())
	if err != nil {
		return err
	}
	plain, err := kms.Listen(ctx, k.Listen)
	if err != nil {
		return err
	}
	var encrypted net.Listener
	where := []any{"listen", plain.Addr().String()}
	if k.TLSListen != "" {
		if encrypted, err = kms.Listen(ctx, k.TLSListen); err != nil {
			return errors.Join(err, plain.Close())
		}
		where = append(where, "tls_listen", encrypted.Addr().String())
	}
	log.Warn("KMS stand-in: a development tool that keeps its keys in a file; never for real data", where...)
	if k.AcceptUnsignedAttestation {
		log.Warn("UNSIGNED attestation documents are accepted: they prove nothing")
	}
	return server.Serve(ctx, plain, encrypted, tlsConfig)
}

// policy is what the flags say about the key's policy, and nil if they say nothing.
func (k *kmsCommand) policy() ([]byte, error) {
	switch {
	case k.Policy != "" && len(k.AllowPCR) > 0:
		return nil, program.Mistake("--policy and --allow-pcr exclude each other")
	case k.Policy != "":
		return os.ReadFile(k.Policy)
	case len(k.AllowPCR) == 0:
		return nil, nil
	}
	allowed := make(map[int][]string)
	for _, entry := range k.AllowPCR {
		name, value, ok := strings.Cut(entry, "=")
		index, err := strconv.Atoi(name)
		if !ok || err != nil {
			return nil, program.Mistake("--allow-pcr " + entry + ": want INDEX=HEX")
		}
		allowed[index] = append(allowed[index], value)
	}
	return kms.PolicyForPCRs(allowed)
}
