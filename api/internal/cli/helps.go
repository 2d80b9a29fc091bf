package cli

import (
	"strings"

	"github.com/alecthomas/kong"

	"redoubt/api/internal/vault"
	"redoubt/wire/kit/cmdline"
	"redoubt/wire/kit/sealed"
)

// defaults are the defaults and values that tags refer to, by name.
var defaults = kong.Vars{
	"parent":     "http://127.0.0.1:8080",
	"metrics":    "127.0.0.1:9181",
	"vault_keys": strings.Join(vault.KeyModes(), ","),
	"suites":     strings.Join(sealed.SuiteNames(), ","),

	"domain_suites": strings.Join(sealed.DomainSuiteNames(), ","),
}

// helps are the longer texts of help, by the name that a flag's tag refers to.
var helps = cmdline.Texts{
	"h_admin": "Unix socket for backup and restore of the embedded store, or \"off\"; the store's file and " +
		".sock by default.",
	"h_backup_keys": "Where to write the keys of vaults under domains, if there are any; FILE.keys by default. Keep " +
		"these files for a shorter time than the others: erased keys are gone once they are.",
	"h_client_ca": "PEM roots of client certificates; callers are named by their subject alternative name.",
	"h_client_names": "Alternative name that is accepted, exact or with a trailing star; repeatable; by " +
		"default all are.",
	"h_cutover": "Vaults without a MAC (the reference's) take writes if their id is older than this time, " +
		"RFC 3339, not later than now.",
	"h_drain_timeout": "On SIGTERM: longest wait for requests in flight after that, 1ms to 1h.",
	"h_drain_delay":   "On SIGTERM: how long /ready fails before listeners close, 0s to 1h.",
	"h_domain_table": "DynamoDB table of domains, of table.yaml; with --store dynamodb:TABLE and --key-table. The " +
		"embedded store needs none.",
	"h_dynamodb": "DynamoDB's URL in place of the region's own.",
	"h_encoding": "Encoding of new vaults: 3, or 2 as the reference writes.",
	"h_every": "How long entries of the audit log are in no checkpoint, 1s to 24h. Checkpoints go to the store and to " +
		"this program's log.",
	"h_file": "File to which checkpoints of the audit log are appended, for `audit verify --since`; keep it where " +
		"the store's writers cannot change it.",
	"h_fields": "Fields as NAME=VALUE; values on a command line are seen by others on the machine, prefer " +
		"--file.",
	"h_key_table":        "DynamoDB table of the keys of vaults under domains; without it there are none.",
	"h_attestation_root": "PEM root of attestation documents in place of AWS's, for development.",
	"h_configuration": "SHA-256 digest of the enclave's configuration in hex, which is measured with it: the user data " +
		"of /v1/attestation end with it.",
	"h_domain_id": "Id of the domain: a tenant, a class of data or a shard; 1 to 63 of a-z 0-9 . _ -",
	"h_domain_key": "ARN of a KMS key that is to open the domain; repeatable. With two, of two accounts or regions, the " +
		"loss of one loses nothing.",
	"h_drop_keys": "Also remove keys that are no longer in use and were kept long enough.",
	"h_evidence": "Where to write the enclave's attestation document, which shows later that an enclave made the " +
		"domain.",
	"h_pcrs": "Measurements of an image that is believed, as `eif build` writes them; repeatable.",
	"h_pin":  "Hash of the descriptor, 96 hex digits, that was noted when the domain was made.",
	"h_reseal_resume": "File with the place that was reached. A job goes on from the place of one that was ended. It is " +
		"removed when all was looked at.",
	"h_keyed": "A time after which no release wrote the audit log without MACs, RFC 3339; by default a day after the " +
		"oldest entry with one.",
	"h_kmsendpoint": "URL of KMS, in place of the region's own.",
	"h_kmskey":      "KMS key that wraps private keys: ARN or alias.",
	"h_kmstimeout":  "Limit of one KMS call with its retries, 1ms to 1h.",
	"h_listen":      "Address to serve on; beyond loopback only with authentication and TLS.",
	"h_log_level":   "debug, info, warn or error.",
	"h_mackey":      "KMS HMAC_256 key that binds public keys to vaults, and makes the audit log's keys: ARN or alias.",
	"h_maxconnections": "Connections open at once, 1 to 1000000: idle ones and those without a known caller make " +
		"room, never one with a request in work.",
	"h_metricshost": "Further host name that requests for /metrics may have, beside IP addresses and localhost. " +
		"Requests with another are answered 421.",
	"h_metrics":      "Address of the listener of /metrics, or \"off\".",
	"h_oidcaudience": "Audience that the tokens must name.",
	"h_oidcgroups":   "Claim with the caller's groups.",
	"h_oidcissuer":   "Issuer of JWTs that are accepted.",
	"h_oidcjwks":     "URL of the issuer's keys, in place of discovery.",
	"h_operations":   "What the key may do: create, read, update, delete, decrypt, list, audit, or *.",
	"h_otlp": "OpenTelemetry collector that gets spans of sampled requests: OTLP over HTTP, to URL/v1/traces. " +
		"Without it none are made. On Lambda they are sent during later invocations.",
	"h_otlp_ca":        "PEM roots that the collector's certificate must chain to, in place of the system's.",
	"h_otlp_headers":   "File with headers for the collector, a line 'NAME: VALUE' each.",
	"h_parent_ca":      "PEM roots that the parent's certificate must chain to, in place of the system's.",
	"h_parent_cert":    "Client certificate for the parent, PEM.",
	"h_parent_timeout": "Limit of one decrypt with its retry, 1ms to 1h.",
	"h_parent_token":   "File with the bearer token for the parent.",
	"h_parent_url":     "URL of the parent, or of the load balancer in front of it.",
	"h_plain": "Serve beyond loopback without TLS: only behind a proxy that terminates it, on a network that " +
		"nobody else reads.",
	"h_policy":       "YAML file that says who may do what; without it API keys' own scopes decide.",
	"h_restore_keys": "The file with the keys, if the backup has them apart; by default FILE.keys.",
	"h_resume": "Journal of a verification. A run goes on from the journal of one that was ended, and does not read " +
		"its vaults again; a new run writes one. It is removed when all was read. Keep it where the store's writers " +
		"cannot reach it.",
	"h_schema": "YAML file with the fields of a vault; the reference's schema by default.",
	"h_since": "Checkpoint file of an earlier run, or a log or file with checkpoints that the API wrote: what they " +
		"cover must still be there.",
	"h_store": "Where records are kept: bolt:FILE or dynamodb:TABLE; bolt:redoubt.db by default.",
	"h_vault_keys": "Where keys of new vaults come from: kms makes a key pair for each; domain: the enclave makes them " +
		"under --domain. domain-only also refuses existing vaults whose key KMS made. Once a vault is under a domain, " +
		"releases without domains cannot read it.",
	"h_domain": "Domain of new vaults, and of those that are moved from keys of KMS's.",
	"h_write_generation": "Generation of --domain that new keys are of; a write to a vault of an earlier one gives it a " +
		"new key. 1 to 65535; 0: the highest that is active.",
	"h_domain_suite": "Suite of new keys under domains: P-256, P-384, P-521 or X-Wing; empty: the domain's default.",
	"h_moved_before": "Time before which vaults got keys of KMS's, RFC 3339, not later than now: such a vault may move " +
		"to --domain.",
	"h_keep_keys": "How long an older key of a vault is kept, for backups of records from before, 1h to 10 years.",
	"h_erase_window": "How long after an erasure DynamoDB can bring keys back (point-in-time recovery of --key-table); " +
		"stands in the audit log. 0s to 10 years.",
	"h_suite":    "Curve of new vaults: " + strings.Join(sealed.SuiteNames(), ", ") + ".",
	"h_tls_cert": "Certificate to serve TLS 1.3 with, PEM; read again when it changes.",
	"h_tls_key":  "Private key of the certificate, PEM.",
	"h_trace_ratio": "Share of the traces begun here that are sampled, 0 to 1. For other traces the caller " +
		"has decided, in traceparent.",
	"h_verify_cutover": "A time after the reference made its last vault, RFC 3339; by default the time of the oldest " +
		"vault made here. Younger vaults must not have entries without a chain.",
	"h_write": "Write the chains' heads to this file if there is no problem and its old ones hold; keep it where the " +
		"store's writers cannot reach it.",
}
