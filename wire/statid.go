package wire

// StatID identifies a counter or gauge of the enclave. Numbers never change their meaning. A receiver keeps those it
// does not know apart or drops them ([StatID.Info] is empty for them).
type StatID uint32

// Counters only grow. Gauges, from 128 on, rise and fall.
const (
	StatRequests             StatID = 0
	StatFieldsOpened         StatID = 1
	StatFieldsFailed         StatID = 2
	StatExpressionsEvaluated StatID = 3
	StatExpressionsFailed    StatID = 4
	StatKeyHits              StatID = 5
	StatKeyMisses            StatID = 6
	StatKeyNegativeHits      StatID = 7
	StatKeyRefreshes         StatID = 8
	StatKeyEvictions         StatID = 9
	StatKeyExpired           StatID = 10
	StatContextHits          StatID = 11
	StatContextMisses        StatID = 12
	StatContextEvictions     StatID = 13
	StatKMSOK                StatID = 14
	StatKMSDenied            StatID = 15
	StatKMSThrottled         StatID = 16
	StatKMSUnavailable       StatID = 17
	StatKMSInvalid           StatID = 18
	StatKMSRetries           StatID = 19
	StatKMSCircuitOpen       StatID = 20
	StatOverloaded           StatID = 21
	StatExpired              StatID = 22
	StatBadRequests          StatID = 23
	StatPanics               StatID = 24
	StatLogsDropped          StatID = 25
	StatPurges               StatID = 26
	StatAttestations         StatID = 27
	StatProgramHits          StatID = 28
	StatProgramMisses        StatID = 29
	StatEgressOpened         StatID = 30
	StatEgressFailed         StatID = 31
	StatKMSCredentials       StatID = 32
	StatSealedReplies        StatID = 33
	StatSessions             StatID = 34
	StatCredentialsReceived  StatID = 35
	StatKMSDomainDecrypts    StatID = 36
	StatDomainOpenFailures   StatID = 37
	StatDomainRefusals       StatID = 38
	StatDomainUnknown        StatID = 39
	StatVaultsOpened         StatID = 40
	StatVaultsOverBudget     StatID = 41
	StatDomainsCreated       StatID = 42
	StatDomainWrapsAdded     StatID = 43
	StatDomainWrapsChecked   StatID = 44
	StatVaultKeysMinted      StatID = 45
	StatResealedFromKMS      StatID = 46
	StatResealedFromDomain   StatID = 47
	StatDomainWritesRefused  StatID = 48
	StatDomainWritesFailed   StatID = 49

	StatGaugeInFlight        StatID = 128
	StatGaugeQueued          StatID = 129
	StatGaugeKeys            StatID = 130
	StatGaugeContexts        StatID = 131
	StatGaugeSecretBytes     StatID = 132
	StatGaugeHeapBytes       StatID = 133
	StatGaugeGoroutines      StatID = 134
	StatGaugePrograms        StatID = 135
	StatGaugeSessions        StatID = 136
	StatGaugeKMSInFlight     StatID = 137
	StatGaugeKMSWaiting      StatID = 138
	StatGaugeKMSCircuitsOpen StatID = 139
	StatGaugeKMSDocumentAge  StatID = 140
	StatGaugeKMSRSAKeyAge    StatID = 141
	StatGaugeCredentialsLeft StatID = 142
	StatGaugeDomains         StatID = 143
	StatGaugeVaultKeys       StatID = 144

	// statExpressionKinds is the first of the counters of failed expressions by kind.
	statExpressionKinds StatID = 96
	firstGauge          StatID = 128
)

// StatInfo describes a number, for showing it. Numbers of one Family form one metric, whose Label has a Value for
// each. A number that is a metric by itself has neither.
type StatInfo struct {
	// Family is the metric's name in snake_case, its unit last, without a prefix and without a counter's suffix.
	Family, Label, Value string
	// Help says in a sentence what the family counts.
	Help string
}

// Help of families with several numbers.
const (
	helpFields = "Fields by outcome. Those of sealed replies are left out, since only their caller may learn " +
		"the outcome."
	helpExpressions    = "Expressions by outcome, those of sealed replies left out."
	helpKeyLookups     = "Look-ups of keys in the cache. `negative_hit`: a remembered failure was answered."
	helpContextLookups = "Look-ups of HPKE contexts in the cache. `hit`: the context, or the field's own key, was " +
		"there."
	helpProgramLookups = "Look-ups of compiled expressions in the cache."
	helpDomainWraps    = "Records of domains that got one wrap more, or were shown to open."
	helpResealed       = "Vaults whose fields were sealed to a new key, by what the old key was."
	helpDomainWrites   = "Creations of domains, wraps, mints and reseals that came to nothing. `refused`: the measured " +
		"file, the descriptor, KMS or an epoch does not allow it. `failed`: any other reason but load and an unknown domain."
	helpKMSCalls           = "Calls of KMS Decrypt by outcome."
	helpExpressionFailures = "Expressions that failed, by kind, those of sealed replies left out. " +
		"`evaluation` stands for every failure that depends on a value."
)

// statTable has all numbers. An index that stands here twice does not compile, and a number that was given away before
// is found by the list of all numbers in testdata.
var statTable = [MaxStats]StatInfo{
	StatRequests:             {Family: "requests", Help: "Requests that arrived, from all parents."},
	StatFieldsOpened:         {"fields", "outcome", "opened", helpFields},
	StatFieldsFailed:         {"fields", "outcome", "failed", helpFields},
	StatExpressionsEvaluated: {"expressions", "outcome", "ok", helpExpressions},
	StatExpressionsFailed:    {"expressions", "outcome", "failed", helpExpressions},
	StatKeyHits:              {"key_lookups", "outcome", "hit", helpKeyLookups},
	StatKeyMisses:            {"key_lookups", "outcome", "miss", helpKeyLookups},
	StatKeyNegativeHits:      {"key_lookups", "outcome", "negative_hit", helpKeyLookups},
	StatKeyRefreshes:         {Family: "key_refreshes", Help: "Keys that were renewed before they expired."},
	StatKeyEvictions:         {Family: "key_evictions", Help: "Keys dropped because the cache was full."},
	StatKeyExpired:           {Family: "key_expired", Help: "Keys that expired."},
	StatContextHits:          {"context_lookups", "outcome", "hit", helpContextLookups},
	StatContextMisses:        {"context_lookups", "outcome", "miss", helpContextLookups},
	StatContextEvictions:     {Family: "context_evictions", Help: "Contexts dropped because the cache was full."},
	StatKMSOK:                {"kms_calls", "outcome", "ok", helpKMSCalls},
	StatKMSDenied:            {"kms_calls", "outcome", "denied", helpKMSCalls},
	StatKMSThrottled:         {"kms_calls", "outcome", "throttled", helpKMSCalls},
	StatKMSUnavailable:       {"kms_calls", "outcome", "unavailable", helpKMSCalls},
	StatKMSInvalid:           {"kms_calls", "outcome", "invalid", helpKMSCalls},
	StatKMSRetries:           {Family: "kms_retries", Help: "KMS calls that were repeated."},
	StatKMSCircuitOpen: {
		Family: "kms_circuit_open",
		Help:   "KMS calls that were not made, because KMS had failed and its circuit is open.",
	},
	StatOverloaded: {
		Family: "overloaded", Help: "Requests refused because the enclave could not answer them in time.",
	},
	StatExpired: {
		Family: "expired", Help: "Requests dropped because their deadline had passed before work began.",
	},
	StatBadRequests: {Family: "bad_requests", Help: "Requests refused as malformed or outside a limit."},
	StatPanics: {
		Family: "panics", Help: "Panics that were caught; the request was answered with an error.",
	},
	StatLogsDropped: {
		Family: "logs_dropped", Help: "Log entries dropped because there were more than the rate allows.",
	},
	StatPurges: {
		Family: "purges", Help: "Purges of the caches. The parent's probe purges its key once a minute, which counts too.",
	},
	StatAttestations:   {Family: "attestations", Help: "Attestation documents made for callers."},
	StatProgramHits:    {"program_lookups", "outcome", "hit", helpProgramLookups},
	StatProgramMisses:  {"program_lookups", "outcome", "miss", helpProgramLookups},
	StatEgressOpened:   {Family: "egress_opened", Help: "Connections to KMS that the parent opened for this enclave."},
	StatEgressFailed:   {Family: "egress_failed", Help: "Connections to KMS that the parent did not open."},
	StatKMSCredentials: {"kms_calls", "outcome", "credentials", helpKMSCalls},
	StatSealedReplies: {
		Family: "sealed_replies",
		Help:   "Answers sealed to a caller's key. The outcome of their fields and expressions is not counted.",
	},
	StatSessions:            {Family: "sessions", Help: "Sessions accepted since the enclave started."},
	StatCredentialsReceived: {Family: "credentials_received", Help: "Times that a parent gave credentials."},
	StatKMSDomainDecrypts: {
		Family: "kms_domain_decrypts", Help: "Times that KMS was asked for a domain's key, repetitions included.",
	},

	statExpressionKinds + StatID(ExpressionUntold):          expressionFailures("evaluation"),
	statExpressionKinds + StatID(ExpressionTooLong):         expressionFailures("too_long"),
	statExpressionKinds + StatID(ExpressionSyntax):          expressionFailures("syntax"),
	statExpressionKinds + StatID(ExpressionTooComplex):      expressionFailures("too_complex"),
	statExpressionKinds + StatID(ExpressionUndeclaredName):  expressionFailures("undeclared_name"),
	statExpressionKinds + StatID(ExpressionUnknownFunction): expressionFailures("unknown_function"),
	statExpressionKinds + StatID(ExpressionCycle):           expressionFailures("cycle"),
	statExpressionKinds + StatID(ExpressionDependency):      expressionFailures("dependency"),

	StatDomainOpenFailures: {Family: "domain_open_failures", Help: "Domains that were not opened, or not renewed."},
	StatDomainRefusals: {
		Family: "domain_refusals", Help: "Records of domains refused from memory, within 30 s of a refusal.",
	},
	StatDomainUnknown: {
		Family: "domain_unknown", Help: "Requests under a domain that was not open; the asker hands its record over.",
	},
	StatVaultsOpened:     {Family: "vaults_opened", Help: "Vault keys unwrapped under a domain, without KMS."},
	StatVaultsOverBudget: {Family: "vaults_over_budget", Help: "Requests refused by a domain's budget of opened vaults."},
	StatDomainsCreated:   {Family: "domains_created", Help: "Generations of domains that the enclave made."},
	StatDomainWrapsAdded: {"domain_wraps", "outcome", "added", helpDomainWraps},
	StatDomainWrapsChecked: {
		"domain_wraps", "outcome", "checked", helpDomainWraps,
	},
	StatVaultKeysMinted:    {Family: "vault_keys_minted", Help: "Keys of new vaults that the enclave made."},
	StatResealedFromKMS:    {"vaults_resealed", "from", "kms", helpResealed},
	StatResealedFromDomain: {"vaults_resealed", "from", "domain", helpResealed},
	StatDomainWritesRefused: {
		"domain_writes_unanswered", "outcome", "refused", helpDomainWrites,
	},
	StatDomainWritesFailed: {"domain_writes_unanswered", "outcome", "failed", helpDomainWrites},

	StatGaugeInFlight:    {Family: "in_flight", Help: "Requests in work, those that wait included."},
	StatGaugeQueued:      {Family: "queued", Help: "Requests that wait for a worker or a key."},
	StatGaugeKeys:        {Family: "cached_keys", Help: "Private keys in the cache."},
	StatGaugeContexts:    {Family: "cached_contexts", Help: "HPKE contexts in the cache."},
	StatGaugeDomains:     {Family: "open_domains", Help: "Domains, by generation, that are open."},
	StatGaugeVaultKeys:   {Family: "cached_vault_keys", Help: "Vault keys kept under domains."},
	StatGaugeSecretBytes: {Family: "secret_bytes", Help: "Locked memory for secrets."},
	StatGaugeHeapBytes:   {Family: "heap_bytes", Help: "Go heap in use."},
	StatGaugeGoroutines:  {Family: "goroutines", Help: "Goroutines that exist."},
	StatGaugePrograms:    {Family: "cached_programs", Help: "Compiled expressions in the cache."},
	StatGaugeSessions:    {Family: "open_sessions", Help: "Open sessions with all parents."},
	StatGaugeKMSInFlight: {Family: "kms_in_flight", Help: "KMS calls in flight."},
	StatGaugeKMSWaiting:  {Family: "kms_waiting", Help: "Keys that wait for a KMS call to begin."},
	StatGaugeKMSCircuitsOpen: {
		Family: "kms_circuits_open", Help: "Regions whose KMS is not called for a while, because it failed.",
	},
	StatGaugeKMSDocumentAge: {Family: "kms_document_age_seconds", Help: "Age of the attestation document in use."},
	StatGaugeKMSRSAKeyAge:   {Family: "kms_rsa_key_age_seconds", Help: "Age of the RSA pair that KMS answers to."},
	StatGaugeCredentialsLeft: {
		Family: "credentials_left_seconds",
		Help: "Time until the first of the enclave's credentials ends, over all sessions. " +
			"If the parent gets no new credentials, it extends these by some minutes at a time.",
	},
}

func expressionFailures(kind string) StatInfo {
	return StatInfo{"expression_failures", "kind", kind, helpExpressionFailures}
}

// Info describes the number; it is empty for an unknown one.
func (s StatID) Info() StatInfo {
	if s < MaxStats {
		return statTable[s]
	}
	return StatInfo{}
}

// Known reports whether the number has a meaning in this release.
func (s StatID) Known() bool { return s.Info().Family != "" }

// Gauge reports whether the value may fall.
func (s StatID) Gauge() bool { return s >= firstGauge }

// Stat is the number that counts the expressions that failed with this kind. That of [ExpressionUntold] counts all
// that failed in their evaluation.
func (k ExpressionKind) Stat() StatID { return statExpressionKinds + StatID(k) }
