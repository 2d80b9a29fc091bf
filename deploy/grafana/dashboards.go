package main

// objective is the share of decrypts that may fail for the service's own reasons in 30 days; alerts.yaml has the same.
const objective = "0.001"

// Selectors and shapes that several panels share.
const (
	answered = `redoubt_parent_http_requests_total|redoubt_parent_batch_items_total`
	counted  = `__name__=~"` + answered + `",route=~"|/decrypt|/v1/decrypt"`
	// callers are codes that are no failures. The asker answers domain_unknown with the domain's record.
	callers = `ok|bad_request|unauthenticated|key_denied|decrypt_failed|expression_failed|domain_unknown|` +
		`domain_record_refused|generation_closed`
	decrypts = `{` + counted + `}`
	failures = `{` + counted + `,code!~"` + callers + `"}`
	denials  = `redoubt:denials:rate5m` // recorded by alerts.yaml: of keys, where the probe is denied too
	took     = `redoubt_parent_http_request_duration_seconds_bucket`
	stage    = `redoubt_enclave_stage_duration_seconds_bucket`
)

func rate(metric string) string { return "rate(" + metric + "[5m])" }

func sum(metric string) string { return "sum(" + rate(metric) + ")" }

// orNone is the expression, or 0 if there is nothing to count.
func orNone(expr string) string { return "(" + expr + " or vector(0))" }

func by(labels, metric string) string { return "sum by (" + labels + ") (" + rate(metric) + ")" }

func quantile(q, labels, buckets string) string {
	return "histogram_quantile(" + q + ", " + by("le, "+labels, buckets) + ")"
}

func hits(family string) string {
	of := func(outcome string) string {
		return sum("redoubt_enclave_" + family + `_total{outcome="` + outcome + `"}`)
	}
	return of("hit") + " / (" + of("hit") + " + " + of("miss") + ")"
}

func dashboards() []dashboard {
	return []dashboard{overview(), enclave(), kms(), capacity()}
}

// heard are the outcomes of the API's calls that are no fault of the callee.
const heard = "ok|not_found|exists|conflict|cursor|too_large|erased|keyed|epochs|epochs_full|bad_request|" +
	"decrypt_failed|expression_failed|canceled"

func overview() dashboard {
	return build("redoubt-overview", "Redoubt: overview",
		graph("Availability", "Share of decrypts, batches' items too, that did not fail for the service's own reasons. "+
			"Denials of keys are that while the probe is denied, by a rule of alerts.yaml.",
			"percentunit", "1 - ("+orNone(sum(failures))+" + "+orNone("sum("+denials+")")+") / "+sum(decrypts), "now"),
		graph("Error budget left", "Of 30 days, at the objective of 99.9 %.", "percentunit",
			"1 - ("+orNone("sum(increase("+failures+"[30d]))")+" + "+orNone("sum(sum_over_time("+denials+"[30d:1m]) * 60)")+
				") / sum(increase("+decrypts+"[30d])) / "+objective, "left"),
		graph("Requests", "By route.", "reqps", by("route", "redoubt_parent_http_requests_total"), "{{route}}"),
		graph("Errors", "All answers but ok, by code.", "reqps",
			by("code", `redoubt_parent_http_requests_total{code!="ok"}`), "{{code}}"),
		graph("Latency of decrypts", "From the header to the answer.", "s",
			quantile("0.5", "route", took), "p50 {{route}}", quantile("0.99", "route", took), "p99 {{route}}"),
		graph("Parents ready", "Those that /ready calls ready.", "none",
			"sum(redoubt_parent_ready)", "ready", "sum(redoubt_parent_draining)", "draining"),
		graph("API", "Requests by status.", "reqps", by("status", "redoubt_api_requests_total"), "{{status}}"),
		graph("API latency", "By route.", "s",
			quantile("0.99", "route", "redoubt_api_request_duration_seconds_bucket"), "p99 {{route}}"),
		graph("What the API waits for", "Store, KMS and parent.", "s",
			quantile("0.99", "dependency", "redoubt_api_dependency_duration_seconds_bucket"), "p99 {{dependency}}"),
		graph("What the API asks in vain", "Store, KMS and parent: all but answers and callers that left.", "ops",
			by("dependency, outcome", `redoubt_api_dependency_duration_seconds_count{outcome!~"`+heard+`"}`),
			"{{dependency}} {{outcome}}"),
		graph("Audit entries", "Given to the store, by outcome.", "ops",
			by("outcome", "redoubt_api_audit_entries_total"), "{{outcome}}"),
	)
}

func enclave() dashboard {
	return build("redoubt-enclave", "Redoubt: enclaves",
		graph("Stages", "p99 of each stage inside.", "s", quantile("0.99", "stage", stage), "{{stage}}"),
		graph("Requests", "By enclave.", "reqps", by("instance, enclave", "redoubt_enclave_requests_total"),
			"{{instance}} {{enclave}}"),
		graph("Conditions", "What enclaves report of themselves: 1 good.", "none",
			"min by (condition) (redoubt_enclave_condition)", "{{condition}}"),
		graph("Sessions", "Open and ready, and their lanes.", "none", "sum(redoubt_enclave_sessions_open)", "open",
			"sum(redoubt_enclave_sessions_ready)", "ready", "sum(redoubt_enclave_lanes_open)", "lanes"),
		graph("Restarts", "Enclaves launched, the first ones too, and other processes at an enclave's address, in an hour.",
			"none", `sum by (instance) (increase(redoubt_parent_enclave_launches_total{outcome="ok"}[1h]))`,
			"launched {{instance}}",
			"sum by (instance) (increase(redoubt_enclave_restarts_total[1h]))", "replaced {{instance}}"),
		graph("In flight and queued", "Inside the enclaves.", "none", "sum(redoubt_enclave_in_flight)", "in flight",
			"sum(redoubt_enclave_queued)", "queued"),
		graph("Refused and lost", "Overloaded, expired, panics.", "reqps",
			sum("redoubt_enclave_overloaded_total"), "overloaded", sum("redoubt_enclave_expired_total"), "expired",
			sum("redoubt_enclave_panics_total"), "panics"),
		graph("Clock offset", "Enclave minus host.", "s", "redoubt_enclave_clock_offset_seconds",
			"{{instance}} {{enclave}}"),
		graph("Ping", "p99 of a ping.", "s", quantile("0.99", "instance", "redoubt_parent_ping_duration_seconds_bucket"),
			"{{instance}}"),
		graph("Expressions that failed", "By kind. Evaluation is all that depends on a value, any other a caller's source.",
			"ops", by("kind", "redoubt_enclave_expression_failures_total"), "{{kind}}"),
	)
}

func kms() dashboard {
	return build("redoubt-kms", "Redoubt: KMS and cost",
		graph("KMS calls", "By outcome.", "reqps", by("outcome", "redoubt_enclave_kms_calls_total"), "{{outcome}}"),
		graph("Probe keys", "1: every enclave of a parent opened the region's probe key by KMS when last asked.", "none",
			"min by (instance, region) (redoubt_parent_probe_ok)", "{{instance}} {{region}}"),
		graph("KMS calls per thousand decrypts", "What a cache that works keeps low.", "none",
			"1000 * "+sum("redoubt_enclave_kms_calls_total")+" / "+sum("redoubt_enclave_requests_total"), "calls"),
		graph("KMS cost per million decrypts", "At 0.03 per 10,000 calls; see deploy/README.md.", "currencyUSD",
			"1e6 * 0.000003 * "+sum("redoubt_enclave_kms_calls_total")+" / "+sum("redoubt_enclave_requests_total"), "cost"),
		graph("Hit rates", "Keys, contexts, compiled expressions.", "percentunit", hits("key_lookups"), "keys",
			hits("context_lookups"), "contexts", hits("program_lookups"), "expressions"),
		graph("KMS latency", "Inside the enclave, TLS included.", "s",
			`histogram_quantile(0.5, sum by (le) (rate(`+stage+`{stage="kms"}[5m])))`, "p50",
			`histogram_quantile(0.99, sum by (le) (rate(`+stage+`{stage="kms"}[5m])))`, "p99"),
		graph("Retries and open circuits", "KMS that fails.", "none", sum("redoubt_enclave_kms_retries_total"), "retries",
			"sum(redoubt_enclave_kms_circuits_open)", "circuits"),
		graph("Egress", "Bytes to and from KMS.", "Bps", by("direction", "redoubt_parent_egress_bytes_total"),
			"{{direction}}"),
		graph("Ages", "Attestation document, RSA pair.", "s", "max(redoubt_enclave_kms_document_age_seconds)", "document",
			"max(redoubt_enclave_kms_rsa_key_age_seconds)", "RSA pair"),
	)
}

func capacity() dashboard {
	return build("redoubt-capacity", "Redoubt: capacity",
		graph("Cached", "Keys and contexts per enclave.", "none", "redoubt_enclave_cached_keys", "keys {{instance}}",
			"redoubt_enclave_cached_contexts", "contexts {{instance}}"),
		graph("Evictions", "For want of room.", "ops", sum("redoubt_enclave_key_evictions_total"), "keys",
			sum("redoubt_enclave_context_evictions_total"), "contexts"),
		graph("Enclave memory", "Go heap and locked secrets.", "bytes", "redoubt_enclave_heap_bytes", "heap {{instance}}",
			"redoubt_enclave_secret_bytes", "secrets {{instance}}"),
		graph("Parent", "CPU seconds per second.", "none", by("instance", `process_cpu_seconds_total{job="redoubt-parent"}`),
			"{{instance}}"),
		graph("Parent memory", "Resident.", "bytes", `process_resident_memory_bytes{job="redoubt-parent"}`, "{{instance}}"),
		graph("Wait for a worker", "The sign that CPUs are short.", "s",
			`histogram_quantile(0.99, sum by (le) (rate(`+stage+`{stage="queue"}[5m])))`, "p99"),
		graph("In flight per parent", "What scaling follows.", "none",
			"redoubt_parent_requests_in_flight", "{{instance}}"),
		graph("Requests per enclave", "Compare with what bench measured.", "reqps",
			sum("redoubt_enclave_requests_total")+" / sum(redoubt_parent_enclaves)", "each"),
	)
}
