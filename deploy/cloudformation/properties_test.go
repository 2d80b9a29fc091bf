package cloudformation

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var templates = []string{"vpc", "key", "table", "restored", "vault", "api", "canary", "observe"}

// wanted are properties by template, resource and path. A test that follows has those that are relations.
var wanted = []struct {
	template, resource string
	path               []any
	value              any
}{
	{"vault", "Template", []any{"LaunchTemplateData", "EnclaveOptions", "Enabled"}, true},
	{"vault", "Template", []any{"LaunchTemplateData", "MetadataOptions", "HttpTokens"}, "required"},
	{"vault", "Template", []any{"LaunchTemplateData", "MetadataOptions", "HttpPutResponseHopLimit"}, uint64(1)},
	{"vault", "Template", []any{"LaunchTemplateData", "BlockDeviceMappings", 0, "Ebs", "Encrypted"}, true},
	{"vault", "LoadBalancer", []any{"Type"}, "network"},
	{"vault", "LoadBalancer", []any{"Scheme"}, "internal"},
	{"vault", "Listener", []any{"Protocol"}, "TCP"}, // TLS passes through
	{"vault", "Targets", []any{"Protocol"}, "TCP"},
	{"vault", "Targets", []any{"HealthCheckPath"}, "/ready?exclude=kms"},
	{"vault", "Fleet", []any{"HealthCheckType"}, "ELB"},
	{"vault", "Rights", []any{
		"PolicyDocument", "Statement", 3, "Condition", "StringEquals",
		"kms:EncryptionContext:vault_id",
	}, "redoubt-probe"},
	{"vault", "Fleet", []any{"TargetGroupARNs", 0}, "<Targets>"},
	{"vault", "ScaleOnInFlight", []any{"PolicyType"}, "TargetTrackingScaling"},
	{
		"vault", "ScaleOnCpu",
		[]any{"TargetTrackingConfiguration", "PredefinedMetricSpecification", "PredefinedMetricType"},
		"ASGAverageCPUUtilization",
	},
	{"key", "Key", []any{"EnableKeyRotation"}, true},
	{"key", "MacKey", []any{"KeyUsage"}, "GENERATE_VERIFY_MAC"},
	{"table", "Table", []any{"DeletionProtectionEnabled"}, true},
	{"table", "Table", []any{"PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled"}, true},
	{"table", "Table", []any{"TimeToLiveSpecification", "Enabled"}, true},
	{"table", "Table", []any{"SSESpecification", "SSEEnabled"}, true},
	{"table", "KeyTable", []any{"DeletionProtectionEnabled"}, true},
	{"table", "KeyTable", []any{"PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled"}, true},
	{"table", "KeyTable", []any{"TimeToLiveSpecification", "Enabled"}, true},
	{"table", "KeyTable", []any{"SSESpecification", "SSEEnabled"}, true},
	{"table", "DomainTable", []any{"DeletionProtectionEnabled"}, true},
	{"table", "DomainTable", []any{"PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled"}, true},
	{"table", "DomainTable", []any{"TimeToLiveSpecification"}, nil},
	{"table", "DomainTable", []any{"SSESpecification", "SSEEnabled"}, true},
	{"api", "Stage", []any{"MethodSettings", 0, "DataTraceEnabled"}, false}, // a trace holds requests
	{"api", "Any", []any{"AuthorizationType"}, "AWS_IAM"},
	{"canary", "Schedule", []any{"ScheduleExpression"}, "rate(1 minute)"},
}

func TestTheTemplatesHaveWhatTheyMust(t *testing.T) {
	for _, w := range wanted {
		if got := at(load(t, w.template, nil).props(w.resource), w.path...); got != w.value {
			t.Errorf("%s: %s %v is %v (%T)", w.template, w.resource, w.path, got, got)
		}
	}
}

func TestWhatHoldsDataOutlivesItsStack(t *testing.T) {
	for template, names := range map[string][]string{
		"key": {"Key", "MacKey"}, "table": {"Table", "KeyTable", "DomainTable"}, "vault": {"LogGroup"}, "api": {"LogGroup"},
	} {
		tm := load(t, template, nil)
		for _, name := range names {
			r := tm.root["Resources"].(object)[name].(object)
			if r["DeletionPolicy"] != "Retain" || r["UpdateReplacePolicy"] != "Retain" {
				t.Errorf("%s: %s may be deleted", template, name)
			}
		}
	}
	for _, template := range templates {
		tm := load(t, template, nil)
		for _, name := range tm.ofType("AWS::Logs::LogGroup") {
			if tm.props(name)["RetentionInDays"] == nil {
				t.Errorf("%s: %s keeps logs forever", template, name)
			}
		}
	}
}

func TestTheNetworkHasEndpointsAndNoWayOut(t *testing.T) {
	own := []string{"cloudformation", "dynamodb", "kms", "logs", "monitoring", "s3", "secretsmanager"}
	for shells, more := range map[string][]string{"false": nil, "true": {"ec2messages", "ssm", "ssmmessages"}} {
		tm := load(t, "vpc", map[string]string{"SessionManager": shells})
		var have []string
		for _, name := range tm.ofType("AWS::EC2::VPCEndpoint") {
			p := tm.props(name)
			if p["VpcEndpointType"] == "Interface" && p["PrivateDnsEnabled"] != true {
				t.Errorf("%s is not what the service's name leads to", name)
			}
			have = append(have, strings.TrimPrefix(p["ServiceName"].(string), "com.amazonaws."+region+"."))
		}
		want := slices.Concat(own, more)
		slices.Sort(have)
		slices.Sort(want)
		if !slices.Equal(have, want) {
			t.Errorf("with SessionManager %s: endpoints %v", shells, have)
		}
	}
	tm := load(t, "vpc", nil)
	for _, kind := range []string{"InternetGateway", "NatGateway", "Route", "TransitGatewayAttachment", "EIP"} {
		if ways := tm.ofType("AWS::EC2::" + kind); len(ways) > 0 {
			t.Errorf("ways out: %v", ways)
		}
	}
}

// An attacker inside the network cannot carry data to an account of his own. The endpoints refuse credentials of other
// accounts, and services that ask for no credentials cannot store anything.
func TestEndpointsServeThisAccount(t *testing.T) {
	tm := load(t, "vpc", map[string]string{"SessionManager": "true"})
	anyone := map[string]string{"S3": "s3:GetObject", "CloudFormation": "cloudformation:SignalResource"}
	for _, name := range tm.ofType("AWS::EC2::VPCEndpoint") {
		statements, _ := at(tm.props(name), "PolicyDocument", "Statement").([]any)
		if len(statements) == 0 {
			t.Errorf("%s has no policy", name)
		}
		for _, s := range statements {
			own := at(s, "Condition", "StringEquals", "aws:PrincipalAccount") == any(account)
			if !own && at(s, "Action") != any(anyone[name]) {
				t.Errorf("%s: %v by anyone", name, at(s, "Action"))
			}
		}
	}
}

// statements are those of the roles of a template.
func statements(tm *template) (out []object) {
	var policies []any
	for _, role := range tm.ofType("AWS::IAM::Role") {
		own, _ := tm.props(role)["Policies"].([]any)
		policies = append(policies, own...)
	}
	for _, policy := range tm.ofType("AWS::IAM::RolePolicy") {
		policies = append(policies, tm.props(policy))
	}
	for _, p := range policies {
		for _, s := range at(p, "PolicyDocument", "Statement").([]any) {
			out = append(out, s.(object))
		}
	}
	return out
}

func TestRolesMayDoWhatIsNamedAndNoMore(t *testing.T) {
	decrypts := map[string]bool{}
	endpoint := stringsOf(at(load(t, "vpc", nil).props("Kms"), "PolicyDocument", "Statement", 0, "Action"))
	for _, template := range templates {
		for _, s := range statements(load(t, template, nil)) {
			for _, action := range stringsOf(s["Action"]) {
				if strings.Contains(action, "*") {
					t.Errorf("%s: %v allows %s", template, s["Sid"], action)
				}
				if action == "kms:Decrypt" {
					decrypts[template] = true
				}
				// The canary is outside of the network: it is to try what anyone could.
				if strings.HasPrefix(action, "kms:") && template != "canary" && !slices.Contains(endpoint, action) {
					t.Errorf("%s: %s is allowed by the role and not by the endpoint", template, action)
				}
				namespace := at(s, "Condition", "StringEquals", "cloudwatch:namespace")
				if action == "cloudwatch:PutMetricData" && namespace == nil {
					t.Errorf("%s: metrics of any namespace may be written", template)
				}
			}
			if slices.Contains(stringsOf(s["Resource"]), "*") && s["Condition"] == nil {
				t.Errorf("%s: %v is about everything", template, s["Sid"])
			}
		}
	}
	if len(decrypts) != 2 || !decrypts["vault"] || !decrypts["canary"] {
		t.Errorf("roles that may ask for Decrypt: %v", decrypts)
	}
}

func TestInstancesAreGravitonWithEnclaves(t *testing.T) {
	tm := load(t, "vault", nil)
	// The size large has no vCPU to spare for an enclave.
	graviton := regexp.MustCompile(`^[cmr][6-9]g[a-z]*\.(xlarge|[0-9]+xlarge)$`)
	for _, kind := range strings.Split(tm.params["InstanceTypes"], ",") {
		if !graviton.MatchString(kind) {
			t.Errorf("instance type %s", kind)
		}
	}
}

// A host's port that is closed by default opens by its parameter, and no other port does.
func TestHostsAreClosedUnlessAskedFor(t *testing.T) {
	sources := func(tm *template) (out []string) {
		for _, rule := range tm.props("ParentGroup")["SecurityGroupIngress"].([]any) {
			for _, kind := range []string{"CidrIp", "SourceSecurityGroupId"} {
				if from := at(rule, kind); from != nil {
					out = append(out, fmt.Sprintf("%v %v", at(rule, "FromPort"), from))
				}
			}
		}
		return out
	}
	closed := load(t, "vault", nil)
	balancer := []string{"8443 <LoadBalancerGroup>", "9180 <LoadBalancerGroup>"}
	if got := sources(closed); !slices.Equal(got, balancer) {
		t.Errorf("closed: open to %v", got)
	}
	if got := closed.ofType("AWS::IAM::RolePolicy"); !slices.Equal(got, []string{"Rights"}) {
		t.Errorf("closed: the role has %v", got)
	}
	opened := load(t, "vault", map[string]string{"MonitoringCidr": "10.9.0.7/32", "SessionManager": "true"})
	if got := sources(opened); !slices.Equal(got, append(balancer, "9180 10.9.0.7/32")) {
		t.Errorf("opened: open to %v", got)
	}
	if got := opened.ofType("AWS::IAM::RolePolicy"); !slices.Equal(got, []string{"Rights", "ShellRights"}) {
		t.Errorf("opened: the role has %v", got)
	}
}

// A first deployment that fails is rolled back, which deletion protection would forbid.
func TestTheLoadBalancerIsProtectedOnceAskedFor(t *testing.T) {
	for _, on := range []string{"", "false", "true"} {
		params := map[string]string{}
		if on != "" {
			params["DeletionProtection"] = on
		}
		protected := at(load(t, "vault", params).props("LoadBalancer"), "LoadBalancerAttributes", 1)
		if at(protected, "Key") != "deletion_protection.enabled" || at(protected, "Value") == "true" != (on == "true") {
			t.Errorf("%q: %v", on, protected)
		}
	}
}

// The image of the hosts is the one that was chosen until another is: no update takes another by itself.
func TestNoParameterIsWhateverIsLatest(t *testing.T) {
	for _, template := range templates {
		declared, _ := load(t, template, nil).root["Parameters"].(object)
		for name, p := range declared {
			if kind := fmt.Sprint(at(p, "Type")); strings.Contains(kind, "SSM") {
				t.Errorf("%s: %s is a %s", template, name, kind)
			}
		}
	}
}

// Of one client's connections, two through different zones may not meet at a target as one: either the balancer keeps to
// its zone, or it does not keep the clients' addresses.
func TestClientAddressesAndCrossZoneBalancingDoNotMeet(t *testing.T) {
	tm := load(t, "vault", nil)
	value := func(list any, key string) any {
		for _, a := range list.([]any) {
			if at(a, "Key") == key {
				return at(a, "Value")
			}
		}
		return nil
	}
	across := value(tm.props("LoadBalancer")["LoadBalancerAttributes"], "load_balancing.cross_zone.enabled")
	keeps := value(tm.props("Targets")["TargetGroupAttributes"], "preserve_client_ip.enabled")
	if across == nil || keeps == nil || across == "true" && keeps == "true" {
		t.Errorf("across zones %v, clients' addresses %v", across, keeps)
	}
}

// stated is a number that deploy/README.md states.
func stated(t *testing.T, pattern string) float64 {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(pattern).FindSubmatch(readme)
	if m == nil {
		t.Fatalf("deploy/README.md does not state %s", pattern)
	}
	n, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The example of the capacity section deploys: what it computes are parameters, and the gateway lets its peak through.
func TestTheExampleOfTheCapacitySectionFitsTheParameters(t *testing.T) {
	rate := stated(t, "Example: `R` = ([0-9]+)")
	if rate < 100 { // 2,000 is written with a comma
		rate *= 1000
	}
	given := stated(t, "ThrottleRate=([0-9]+)")
	tm := load(t, "api", map[string]string{"ThrottleRate": fmt.Sprint(given)})
	if got := fmt.Sprint(at(tm.props("Stage"), "MethodSettings", 0, "ThrottlingRateLimit")); got != fmt.Sprint(given) || given < rate {
		t.Errorf("throttled at %v, given %v for %v", got, given, rate)
	}
}

// A new account has ten invocations at once, of which nothing can be reserved.
func TestNothingIsReservedUnlessAskedFor(t *testing.T) {
	for _, of := range []string{"api", "canary"} {
		if n, ok := load(t, of, nil).props("Function")["ReservedConcurrentExecutions"]; ok && n != nil {
			t.Errorf("%s reserves %v", of, n)
		}
		p := load(t, of, map[string]string{"Concurrency": "7", "CodeVersion": "v3"}).props("Function")
		if fmt.Sprint(p["ReservedConcurrentExecutions"]) != "7" || at(p, "Code", "S3ObjectVersion") != "v3" {
			t.Errorf("%s: %v of %v", of, p["ReservedConcurrentExecutions"], p["Code"])
		}
	}
}

// While a fleet is rolled it does not serve with fewer than it was told to keep, and an instance that may still signal is
// not replaced for being unhealthy.
func TestARollKeepsCapacity(t *testing.T) {
	for given, want := range map[string]string{"": "2", "0": "2", "5": "5"} {
		params := map[string]string{}
		if given != "" {
			params["KeepInService"] = given
		}
		tm := load(t, "vault", params)
		update := tm.eval(at(tm.root["Resources"], "Fleet", "UpdatePolicy", "AutoScalingRollingUpdate"))
		if got := fmt.Sprint(at(update, "MinInstancesInService")); got != want || fmt.Sprint(at(update, "MaxBatchSize")) != "1" {
			t.Errorf("told to keep %q: %v", given, update)
		}
		pause, err := time.ParseDuration(strings.ToLower(strings.TrimPrefix(at(update, "PauseTime").(string), "PT")))
		if err != nil {
			t.Fatal(err)
		}
		grace := tm.props("Fleet")["HealthCheckGracePeriod"].(uint64)
		if float64(grace) < pause.Seconds() {
			t.Errorf("an instance has %v to signal and is replaced after %d s", pause, grace)
		}
	}
}

func TestARollOutIsNotDisturbed(t *testing.T) {
	fleet := load(t, "vault", nil).root["Resources"].(object)["Fleet"]
	update := at(fleet, "UpdatePolicy", "AutoScalingRollingUpdate")
	want := []string{"HealthCheck", "ReplaceUnhealthy", "AZRebalance", "AlarmNotification", "ScheduledActions"}
	if got := stringsOf(at(update, "SuspendProcesses")); !slices.Equal(got, want) || at(update, "WaitOnResourceSignals") != true {
		t.Errorf("%v", update)
	}
}

// Of the unit's processes only the parent is ended: the enclaves', which nitro-cli leaves in its group, stay.
func TestEnclavesOutliveTheirParent(t *testing.T) {
	data, err := os.ReadFile("../systemd/redoubt-parent.service")
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`(?m)^KillMode=.*$`).FindAllString(string(data), -1); !slices.Equal(m, []string{"KillMode=process"}) {
		t.Errorf("%v", m)
	}
}

// The parent binds vsock ports below 1024, by which the enclave knows it; it may do nothing else that needs a privilege.
func TestOneCapabilityIsTheParents(t *testing.T) {
	data, err := os.ReadFile("../systemd/redoubt-parent.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"CapabilityBoundingSet", "AmbientCapabilities"} {
		m := regexp.MustCompile("(?m)^"+key+"=.*$").FindAllString(string(data), -1)
		if !slices.Equal(m, []string{key + "=CAP_NET_BIND_SERVICE"}) {
			t.Errorf("%v", m)
		}
	}
}

// The load balancer forgets an idle connection without a word; the parent closes it before.
func TestTheParentEndsIdleConnectionsBeforeTheLoadBalancer(t *testing.T) {
	m := regexp.MustCompile(`--idle-timeout=(\S+)`).FindStringSubmatch(helpOf(t, "parent"))
	if m == nil {
		t.Fatal("no --idle-timeout")
	}
	idle, err := time.ParseDuration(m[1])
	if err != nil {
		t.Fatal(err)
	}
	listener := load(t, "vault", nil).props("Listener")
	forgets, err := time.ParseDuration(fmt.Sprintf("%vs", at(listener, "ListenerAttributes", 0, "Value")))
	if err != nil || at(listener, "ListenerAttributes", 0, "Key") != "tcp.idle_timeout.seconds" {
		t.Fatalf("%v: %v", listener, err)
	}
	if idle >= forgets {
		t.Errorf("idle connections end after %v, the load balancer forgets them after %v", idle, forgets)
	}
}

func TestThrottlingIsWatchedByWhatTheTableTells(t *testing.T) {
	observe := load(t, "observe", nil)
	for alarm, metric := range map[string]string{
		"TableReadsThrottled": "ReadThrottleEvents", "TableWritesThrottled": "WriteThrottleEvents",
		"KeyReadsThrottled": "ReadThrottleEvents", "KeyWritesThrottled": "WriteThrottleEvents",
	} {
		p := observe.props(alarm)
		if p["MetricName"] != metric || len(p["Dimensions"].([]any)) != 1 || at(p, "Dimensions", 0, "Name") != "TableName" {
			t.Errorf("%s: %v of %v", alarm, p["MetricName"], p["Dimensions"])
		}
	}
}

// A parent that ends fails /ready long enough for the load balancer to notice, then drains, and only then is cut off.
func TestThereIsTimeToDrain(t *testing.T) {
	data, err := os.ReadFile("../systemd/redoubt-parent.service")
	if err != nil {
		t.Fatal(err)
	}
	span := func(text, pattern string) time.Duration {
		m := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("no %s", pattern)
		}
		d, err := time.ParseDuration(m[1])
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	readyWait := span(string(data), `--ready-wait=(\S+)`)
	drain := span(helpOf(t, "parent"), `--drain-timeout=(\S+)`)
	stop := span(string(data), `(?m)^TimeoutStopSec=(\S+)$`)
	targets := load(t, "vault", nil).props("Targets")
	number := func(v any) int {
		n, err := strconv.Atoi(fmt.Sprint(v))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	seconds := func(n int) time.Duration { return time.Duration(n) * time.Second }
	noticed := seconds(number(targets["HealthCheckIntervalSeconds"])*number(targets["UnhealthyThresholdCount"]) +
		number(targets["HealthCheckTimeoutSeconds"]))
	if noticed >= readyWait {
		t.Errorf("noticed after %v, the listener closes after %v", noticed, readyWait)
	}
	if stop <= readyWait+drain {
		t.Errorf("systemd kills after %v, draining takes %v", stop, readyWait+drain)
	}
	for _, a := range targets["TargetGroupAttributes"].([]any) {
		if at(a, "Key") == "deregistration_delay.timeout_seconds" {
			if delay := seconds(number(at(a, "Value"))); delay <= readyWait+drain {
				t.Errorf("deregistration delay %v", delay)
			}
		}
	}
}

func TestARestoredTableTakesTheOwnOnesPlace(t *testing.T) {
	given := map[string]string{"TableName": "vaults-2", "KeyTableName": "keys-2", "DomainTableName": "domains-2"}
	own, restored := load(t, "table", nil), load(t, "restored", given)
	want := map[string]string{}
	for name, table := range given {
		want[name] = table
		want[strings.TrimSuffix(name, "Name")+"Arn"] = "arn:aws:dynamodb:" + region + ":" + account + ":table/" + table
	}
	if n := len(own.root["Outputs"].(object)); n != len(want) {
		t.Errorf("the own ones have %d outputs", n)
	}
	for name, want := range want {
		output := at(restored.root, "Outputs", name)
		export := strings.Replace(restored.eval(at(output, "Export", "Name")).(string), "restored", "table", 1)
		if got := restored.eval(at(output, "Value")); got != want ||
			export != own.eval(at(own.root, "Outputs", name, "Export", "Name")) {
			t.Errorf("%s: %v, exported as %s", name, got, export)
		}
	}
}

func TestTheTableIsTheOneThatTheStoreReads(t *testing.T) {
	doc, err := os.ReadFile("../../api/internal/store/dynamo/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	p := load(t, "table", nil).props("Table")
	want := fmt.Sprintf("keys %v (%v, hash) and %v (%v, range) and the time-to-live attribute %v.",
		at(p, "KeySchema", 0, "AttributeName"), at(p, "AttributeDefinitions", 0, "AttributeType"),
		at(p, "KeySchema", 1, "AttributeName"), at(p, "AttributeDefinitions", 1, "AttributeType"),
		at(p, "TimeToLiveSpecification", "AttributeName"))
	says := strings.ReplaceAll(string(doc), "\n// ", " ")
	if !strings.Contains(says, want) {
		t.Errorf("the store does not say: %s", want)
	}
	keys, domains := load(t, "table", nil).props("KeyTable"), load(t, "table", nil).props("DomainTable")
	want = fmt.Sprintf("second table has the key %v (%v, hash) and the time-to-live attribute %v; the third has the keys "+
		"%v (%v, hash) and %v (%v, range).",
		at(keys, "KeySchema", 0, "AttributeName"), at(keys, "AttributeDefinitions", 0, "AttributeType"),
		at(keys, "TimeToLiveSpecification", "AttributeName"),
		at(domains, "KeySchema", 0, "AttributeName"), at(domains, "AttributeDefinitions", 0, "AttributeType"),
		at(domains, "KeySchema", 1, "AttributeName"), at(domains, "AttributeDefinitions", 1, "AttributeType"))
	if !strings.Contains(says, want) {
		t.Errorf("the store does not say: %s", want)
	}
}

// The API may delete neither a key item, which may be a tombstone, nor a domain: only an administrator can.
func TestTheAPICanRemoveNoKeyItemAndNoDomain(t *testing.T) {
	tm := load(t, "api", nil)
	for sid, resource := range map[string]string{"Keys": "KeyTableArn", "Domains": "DomainTableArn"} {
		found := false
		for _, s := range statements(tm) {
			if s["Resource"] != "<!redoubt-table-"+resource+">" {
				continue
			}
			found = s["Sid"] == sid
			actions := fmt.Sprint(s["Action"])
			if strings.Contains(actions, "Delete") || strings.Contains(actions, "*") || s["Effect"] != "Allow" {
				t.Errorf("%s: %v", sid, actions)
			}
		}
		if !found {
			t.Errorf("no statement %s about %s alone", sid, resource)
		}
	}
}

func TestEveryAlarmTellsSomeoneAndHasARunbook(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	alarms := 0
	for _, of := range templates {
		params := map[string]string{}
		if at(load(t, of, nil).root, "Parameters", "AlarmTopicArn") != nil {
			params["AlarmTopicArn"] = "topic"
		}
		tm := load(t, of, params)
		for _, name := range tm.ofType("AWS::CloudWatch::Alarm") {
			alarms++
			judgeAlarm(t, string(readme), name, tm.props(name))
		}
	}
	if alarms < 20 {
		t.Errorf("%d alarms", alarms)
	}
}

func judgeAlarm(t *testing.T, readme, name string, p object) {
	t.Helper()
	runbook := regexp.MustCompile(`Runbook (Redoubt\w+)\.$`).FindStringSubmatch(p["AlarmDescription"].(string))
	if runbook == nil || !strings.Contains(readme, "\n### "+runbook[1]+"\n") {
		t.Errorf("%s: runbook %v", name, runbook)
	}
	if at(p, "AlarmActions", 0) != "topic" || p["TreatMissingData"] == nil {
		t.Errorf("%s: actions %v, missing data %v", name, p["AlarmActions"], p["TreatMissingData"])
	}
}

func TestTheDashboardIsJSONAndItsWidgetsDoNotOverlap(t *testing.T) {
	var board struct {
		Widgets []struct {
			X, Y, Width, Height int
			Properties          struct {
				Title, Region string
				Metrics       [][]any
			}
		}
	}
	body := load(t, "observe", nil).props("Dashboard")["DashboardBody"].(string)
	if err := json.Unmarshal([]byte(body), &board); err != nil {
		t.Fatal(err)
	}
	for i, w := range board.Widgets {
		if w.Properties.Title == "" || w.Properties.Region != region || len(w.Properties.Metrics) == 0 || w.X+w.Width > 24 {
			t.Errorf("widget %d: %+v", i, w)
		}
		for _, o := range board.Widgets[:i] {
			if w.X < o.X+o.Width && o.X < w.X+w.Width && w.Y < o.Y+o.Height && o.Y < w.Y+w.Height {
				t.Errorf("%s lies over %s", w.Properties.Title, o.Properties.Title)
			}
		}
	}
	if len(board.Widgets) < 6 {
		t.Errorf("%d widgets", len(board.Widgets))
	}
}

// Each name that a stack imports is exported by another stack, under the name that is the first one's default.
func TestStacksFitTogether(t *testing.T) {
	exports := map[string]bool{}
	for _, template := range templates {
		tm := load(t, template, nil)
		outputs, _ := tm.root["Outputs"].(object)
		for _, o := range outputs {
			if name, ok := tm.eval(at(o, "Export", "Name")).(string); ok {
				exports[name] = true
			}
		}
	}
	imported := 0
	for _, template := range templates {
		data, err := json.Marshal(load(t, template, nil).eval(load(t, template, nil).root["Resources"]))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\\u003c!([\w-]+)\\u003e`).FindAllStringSubmatch(string(data), -1) {
			imported++
			if !exports[m[1]] {
				t.Errorf("%s imports %s, which no stack exports", template, m[1])
			}
		}
	}
	if imported < 20 {
		t.Errorf("%d imports found", imported)
	}
}
