package config

import "redoubt/wire/kit/cmdline"

// help holds the text of each flag, keyed by the name to which the flag's tag refers.
var help = cmdline.Texts{
	"help_listen": "Address to serve on. Wins over --host and --port.",
	"help_host":   "Host or IP address to serve on.",
	"help_port":   "Port to serve on, 0 to 65535. 0: a free one.",
	"help_api_keys_file": "Callers that may use this parent with 'Authorization: Bearer KEY': a line 'NAME " +
		"SHA256HEX' for each key. Read again when it changes.",
	"help_insecure_no_client_auth": "Serve beyond loopback without any client authentication. Anyone who " +
		"reaches the port can then decrypt.",
	"help_request_timeout": "Longest time for one request inside, after which it is answered 504. 1ms to 1h.",
	"help_batch_timeout":   "The same for a batch. 1ms to 1h.",
	"help_header_timeout":  "Longest time for a client to send a request's header (and the TLS handshake). 1ms to 1h.",
	"help_body_timeout":    "Longest time for a client to send a request's body. 1ms to 1h.",
	"help_write_timeout":   "Longest time for a client to take an answer. 1ms to 1h.",
	"help_idle_timeout": "Idle connections are closed after this. Keep it under the 350 s after which an NLB " +
		"drops them. 1ms to 1h.",
	"help_max_connections": "Connections open at once, 1 to 1000000. A further one takes the place of a stranger's " +
		"connection, else of an idle caller's; if every one has a request in work, it is answered 503 and closed.",
	"help_batch_fan_out": "Items of one batch that are in an enclave at once, 1 to 1000.",
	"help_cert":          "Certificate chain, PEM. Read again when it changes.",
	"help_key":           "The certificate's key, PEM.",
	"help_clientca":      "Require client certificates issued by these roots, PEM.",
	"help_clientsan": "Accept only client certificates with one of these DNS or URI names. Repeatable; " +
		"without it, any that the CA issued.",
	"help_proxy_from": "Load balancers that send a PROXY protocol v2 header. Repeatable. From them it is " +
		"required, from others refused.",
	"help_enclave": "An enclave: vsock://CID:PORT, unix:///PATH or hybrid:///PATH?port=N. Repeatable. With " +
		"it, nitro-cli is not used.",
	"help_sessions":      "Sessions kept open to each enclave, 1 to 32.",
	"help_max_in_flight": "Requests in flight on one session, 1 to 65536; further ones are answered 503 at once.",
	"help_ping_every":    "How often a session is pinged, 1ms to 1h. One that misses three is replaced.",
	"help_retry_max":     "Longest wait before a lost session is dialled again, 1ms to 1h.",
	"help_skip_refresh":  "Do not look for enclaves with nitro-cli.",
	"help_skip_run":      "Use enclaves that run, but never start or end one.",
	"help_nitrocli":      "The nitro-cli program: a path, or a name to be found by PATH.",
	"help_eif":           "Enclave image (EIF) to run.",
	"help_name":          "Name of this parent's enclaves, or the beginning of it.",
	"help_count":         "Enclaves wanted on this host, 0 to 16.",
	"help_cp_us":         "vCPUs of an enclave, 1 to 1024; the allocator must have them.",
	"help_memory_mib":    "Memory of an enclave in MiB, 1 to 16777216; the allocator must have it.",
	"help_port2":         "vsock port on which an enclave listens, as its own file says, 0 to 4294967295.",
	"help_pcr":           "Use only enclaves with this measurement. Repeatable.",
	"help_refresh_every": "How often nitro-cli is asked which enclaves run, 1ms to 1h.",
	"help_region": "Regions whose KMS (kms.REGION.amazonaws.com:443) enclaves may reach. Repeatable. " +
		"The instance's own, by IMDS, when absent.",
	"help_egress": "One more address that enclaves may reach, exactly as written (a KMS VPC endpoint). " +
		"Repeatable.",
	"help_egress_conns": "Egress connections open at once, 1 to 65536; further ones are refused.",
	"help_egress_idle":  "An egress connection that carries nothing for this long is closed. 1ms to 1h.",
	"help_probe_file": "A probe key: what 'aws kms generate-data-key-pair-without-plaintext --key-id ARN --key-pair-" +
		"spec ECC_NIST_P256 --encryption-context vault_id=redoubt-probe' prints. Each enclave must open it at KMS again " +
		"and again; /ready says whether it does. One file for each KMS key. Read again when it changes.",
	"help_probe_every": "How often each enclave opens each probe key, a KMS call each time; after a failure six times " +
		"as often. 1ms to 1h.",
	"help_credentials": "Where the enclave's AWS credentials come from: imds (the instance's role), static (a " +
		"file), env (AWS_* variables).",
	"help_role":   "Instance role to take from IMDS; without it, the first that IMDS names.",
	"help_static": "JSON file with AccessKeyId, SecretAccessKey, SessionToken. Read again when it changes.",
	"help_imds":   "URL of the instance metadata service.",
	"help_metrics_listen": "Address for /metrics, /ready, POST /purge and the status page; empty for none. /metrics and " +
		"/purge ask other hosts for a key.",
	"help_metrics_host": "Name by which the metrics listener may be asked, beside IP addresses and localhost; several " +
		"may be given. Any other Host is 421, so that no web page reaches it by DNS rebinding.",
	"help_served_host": "Name by which a front without client authentication may be asked, beside IP addresses and " +
		"localhost; several may be given. Any other Host is 421, so that no web page reaches it by DNS rebinding.",
	"help_metrics_keys_file": "Keys that open /metrics and /purge for other hosts, and nothing else; lines as of " +
		"--api-keys-file, whose keys then no longer open /metrics. They never open /purge. Read again when it changes.",
	"help_pprof": "Serve /debug/pprof/ on the metrics listener, which must then be on loopback. Profiles can " +
		"hold plaintext.",
	"help_ready_wait": "On SIGTERM: how long /ready fails before the listener closes. Behind an NLB, as long " +
		"as it takes to notice. 0s to 1h.",
	"help_drain_timeout": "On SIGTERM: longest wait for requests in flight, after that. 1ms to 1h.",
	"help_log_level":     "Lowest level that is logged (debug, info, warn, error).",
	"help_access_log":    "Log a line for each request (route, status, code, time, ids, client's address; never a value).",

	"help_otlp": "OpenTelemetry collector that gets spans of sampled requests: OTLP over HTTP, to URL/v1/traces. " +
		"Without it none are made.",
	"help_otlp_headers": "Headers for the collector, a line 'NAME: VALUE' each.",
	"help_otlp_ca":      "Roots of the collector's certificate, PEM, in place of the system's.",
	"help_trace_ratio": "Share of the traces begun here that are sampled, 0 to 1. For other traces the caller " +
		"has decided, in traceparent.",
}
