package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const chart = "../../charts/kubilitics-hub/files/"

// rule is an alert of the chart's.
type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

type ruleFile struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	} `json:"groups"`
}

func rules(t *testing.T) (out []rule) {
	t.Helper()
	text, err := os.ReadFile(chart + "rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var f ruleFile
	if err := yaml.UnmarshalStrict(text, &f); err != nil {
		t.Fatal(err)
	}
	for _, g := range f.Groups {
		out = append(out, g.Rules...)
	}
	return out
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), world.bin.Promtool, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// Promtool finds nothing wrong with the rules, and each says what is the matter and where it is told what to do.
func TestRulesAreRight(t *testing.T) {
	promtool(t, "check", "rules", "--lint=all", "--lint-fatal", chart+"rules.yaml")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules(t) {
		if s := r.Labels["severity"]; s != "warning" && s != "critical" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || len(r.Annotations["description"]) < 40 {
			t.Errorf("%s: %v", r.Alert, r.Annotations)
		}
		_, anchor, _ := strings.Cut(r.Annotations["runbook_url"], "/docs/metrics.md#")
		if anchor != strings.ToLower(r.Alert) || !strings.Contains(string(text), "\n### "+r.Alert+"\n") {
			t.Errorf("%s: nothing is told at %q", r.Alert, r.Annotations["runbook_url"])
		}
	}
}

// trial is what becomes of an alert when the metrics go like this, in promtool's notation, a value a minute. "I" stands for the labels of a hub.
type trial struct {
	alert  string
	bad    string // series, one a line: the alert is raised
	good   string // it isn't
	labels map[string]string
	after  int // minutes until it is raised
}

var trials = []trial{
	{"KubiliticsHubDown", "kubilitics_build_info{program=\"kubilitics-agent\"} 1x90", "kubilitics_build_info{program=\"kubilitics-hub\",I} 1x90", map[string]string{"program": "kubilitics-hub"}, 10},
	{"KubiliticsCensusOld", "kubilitics_hub_census_timestamp_seconds{I} 0x90", "kubilitics_hub_census_timestamp_seconds{I} 0+60x90", hubLabels(), 12},
	{"KubiliticsDatabaseFailing", "kubilitics_hub_store_failures_total{I,code=\"unavailable\"} 0+1x90", "kubilitics_hub_store_failures_total{I,code=\"not_found\"} 0+9x90", instance(), 15},
	{"KubiliticsDatabaseCrowded", "kubilitics_hub_store_connection_wait_seconds_total{I,pool=\"read\"} 0+120x90", "kubilitics_hub_store_connection_wait_seconds_total{I,pool=\"read\"} 0+6x90", instance("pool", "read"), 30},
	{"KubiliticsDiskFull", "kubilitics_hub_data_free_bytes{I} 9x90\nkubilitics_hub_data_size_bytes{I} 100x90", "kubilitics_hub_data_free_bytes{I} 11x90\nkubilitics_hub_data_size_bytes{I} 100x90", hubLabels(), 20},
	{"KubiliticsRetentionStuck", "kubilitics_hub_janitor_done_timestamp_seconds{I,task=\"retention\"} 0x900\nprocess_start_time_seconds{I} 0x900", "kubilitics_hub_janitor_done_timestamp_seconds{I,task=\"retention\"} 0+60x900\nprocess_start_time_seconds{I} 0x900", hubLabels("task", "retention"), 375},
	{"KubiliticsAuditLost", "kubilitics_hub_audit_lost_total{I} 0x5 1x90", "kubilitics_hub_audit_lost_total{I} 1x90", hubLabels(), 10},
	{"KubiliticsAPIErrors", answers("kubilitics_hub_http_request_seconds_count", "5xx", 10), answers("kubilitics_hub_http_request_seconds_count", "5xx", 2), instance(), 15},
	{"KubiliticsProxyErrors", answers("kubilitics_hub_kube_request_seconds_count", "none", 10), answers("kubilitics_hub_kube_request_seconds_count", "4xx", 50), instance(), 15},
	{"KubiliticsSubscribersDropped", "kubilitics_hub_live_dropped_total{I,reason=\"lagged\"} 0+1x90", "kubilitics_hub_live_dropped_total{I,reason=\"unauthorized\"} 0+9x90", instance(), 20},
	{"KubiliticsNotificationsUndelivered", "kubilitics_hub_notify_undelivered_total{I,target=\"ops\"} 0x5 1x90", "kubilitics_hub_notify_undelivered_total{I,target=\"ops\"} 3x90", hubLabels("target", "ops"), 10},
	{"KubiliticsPluginDown", "kubilitics_hub_plugin_up{I,plugin=\"costs\"} 0x90", "kubilitics_hub_plugin_up{I,plugin=\"costs\"} 0x10 1x90", hubLabels("plugin", "costs"), 20},
	{"KubiliticsClusterStale", clusterLive + " 0x90", clusterLive + " 0x10 1x90", hubLabels("tenant", "default", "cluster", "c1", "name", "shop"), 20},
	{"KubiliticsFleetStale", fleet(9, 3), fleet(1, 9), instance(), 10},
	{"KubiliticsAgentNotConnected", "kubilitics_agent_uplink_session{I,state=\"offline\"} 1x90", "kubilitics_agent_uplink_session{I,state=\"offline\"} 1x10 0x90", hubLabels("state", "offline"), 20},
	{"KubiliticsAgentNotReady", "kubilitics_agent_ready{I} 0x90", "kubilitics_agent_ready{I} 0x10 1x90", hubLabels(), 20},
	{"KubiliticsAgentBlind", "kubilitics_agent_watch_api_server_up{I} 0x90", "kubilitics_agent_watch_api_server_up{I} 1x90", hubLabels(), 15},
	{"KubiliticsCertificateEnding", "kubilitics_agent_certificate_end_timestamp_seconds{I} 10000x90", "kubilitics_agent_certificate_end_timestamp_seconds{I} 0x5 86400x90", hubLabels(), 15},
	{"KubiliticsTwoAgents", "kubilitics_hub_ingest_sessions_failed_total{I,code=\"conflict\"} 0+2x90", "kubilitics_hub_ingest_sessions_failed_total{I,code=\"unavailable\"} 0+9x90", instance(), 20},
	{"KubiliticsIngestLag", histogram("kubilitics_hub_ingest_lag_seconds_bucket", "", "15", 90, "60"), histogram("kubilitics_hub_ingest_lag_seconds_bucket", "", "1", 100, "60"), instance(), 30},
	{"KubiliticsApplySlow", histogram("kubilitics_hub_ingest_apply_seconds_bucket", `,of="change"`, "2.5", 90, "10"), histogram("kubilitics_hub_ingest_apply_seconds_bucket", `,of="load"`, "2.5", 90, "10"), instance(), 30},
	{"KubiliticsQuarantine", "kubilitics_hub_ingest_quarantined_total{I,table=\"nodes\"} 0x5 2x90", "kubilitics_hub_ingest_quarantined_total{I,table=\"nodes\"} 2x90", instance("table", "nodes"), 10},
	{"KubiliticsDigestRepairs", "kubilitics_hub_verify_corrected_total{I} 0x5 2x90", "kubilitics_hub_verify_corrected_total{I} 2x90", hubLabels(), 10},
}

const (
	at          = "10.0.0.7:8400"
	clusterLive = `kubilitics_hub_cluster_live{I,tenant="default",cluster="c1",name="shop"}`
)

func instance(more ...string) map[string]string {
	out := map[string]string{"instance": at}
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

func hubLabels(more ...string) map[string]string { return instance(append(more, "job", "hub")...) }

// answers are 100 requests a minute, of which some end like that.
func answers(metric, status string, n int) string {
	return fmt.Sprintf("%[1]s{I,status=%[2]q} 0+%[3]dx90\n%[1]s{I,status=\"2xx\"} 0+%[4]dx90", metric, status, n, 100-n)
}

func fleet(stale, live int) string {
	return fmt.Sprintf("kubilitics_hub_clusters{I,freshness=\"stale\"} %dx90\nkubilitics_hub_clusters{I,freshness=\"live\"} %dx90", stale, live)
}

// histogram is of 100 a minute, of which so many are within a bound and all within another.
func histogram(metric, label, bound string, within int, all string) string {
	return fmt.Sprintf("%[1]s{I%[2]s,le=%[3]q} 0+%[4]dx90\n%[1]s{I%[2]s,le=%[5]q} 0+100x90\n%[1]s{I%[2]s,le=\"+Inf\"} 0+100x90", metric, label, bound, within, all)
}

var template = regexp.MustCompile(`\{\{ \$labels\.(\w+) \}\}`)

// expected is the alert as it is raised: its templates only name labels.
func (tr trial) expected(r rule) map[string]any {
	labels, annotations := map[string]string{}, map[string]string{}
	for _, from := range []map[string]string{tr.labels, r.Labels} {
		for k, v := range from {
			labels[k] = v
		}
	}
	for k, v := range r.Annotations {
		annotations[k] = template.ReplaceAllStringFunc(v, func(s string) string { return labels[template.FindStringSubmatch(s)[1]] })
	}
	return map[string]any{"exp_labels": labels, "exp_annotations": annotations}
}

func inputs(text string) (out []map[string]string) {
	text = strings.ReplaceAll(text, "{I", fmt.Sprintf(`{job="hub",instance=%q`, at))
	text = strings.ReplaceAll(text, ",I}", fmt.Sprintf(`,job="hub",instance=%q}`, at))
	for line := range strings.Lines(text) {
		cut := strings.LastIndex(line, "} ") + 1
		out = append(out, map[string]string{"series": line[:cut], "values": strings.TrimSpace(line[cut:])})
	}
	return out
}

// Every alert is raised when it should be, with the words that it should have, not a minute after its metrics have begun, and never when all is well.
func TestAlertsAreRaised(t *testing.T) {
	known := rules(t)
	path, err := filepath.Abs(chart + "rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var tests []any
	tried := map[string]bool{}
	for _, tr := range trials {
		i := slices.IndexFunc(known, func(r rule) bool { return r.Alert == tr.alert })
		if i < 0 {
			t.Fatalf("%s is no alert", tr.alert)
		}
		tried[tr.alert] = true
		case1 := []any{map[string]any{"eval_time": fmt.Sprintf("%dm", tr.after), "alertname": tr.alert, "exp_alerts": []any{tr.expected(known[i])}}}
		if known[i].For != "" {
			case1 = append(case1, map[string]any{"eval_time": "1m", "alertname": tr.alert, "exp_alerts": []any{}})
		}
		tests = append(tests, map[string]any{"name": tr.alert, "interval": "1m", "input_series": inputs(tr.bad), "alert_rule_test": case1},
			map[string]any{"name": "no " + tr.alert, "interval": "1m", "input_series": inputs(tr.good), "alert_rule_test": []any{
				map[string]any{"eval_time": fmt.Sprintf("%dm", tr.after), "alertname": tr.alert, "exp_alerts": []any{}}}})
	}
	for _, r := range known {
		if !tried[r.Alert] {
			t.Errorf("%s is tried by nothing", r.Alert)
		}
	}
	text, err := json.Marshal(map[string]any{"rule_files": []string{path}, "evaluation_interval": "1m", "tests": tests})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.test.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "test", "rules", file)
}
