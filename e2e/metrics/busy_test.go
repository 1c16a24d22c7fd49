package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// logbook keeps a log.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

var serves = regexp.MustCompile(`health and metrics are served\s+\{.*"at": "([^"]+)"`)

func (l *logbook) face() (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := serves.FindStringSubmatch(l.text.String()); m != nil {
		return "http://" + m[1], nil
	}
	return "", errors.New("the agent doesn't say where it shows its metrics:\n" + l.text.String())
}

// families are the metrics of both programs, without those of Go and of the process.
func families(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	out := map[string]*dto.MetricFamily{}
	for _, text := range []string{fetch(t, world.hub.URL+"/metrics", world.hub.Token), fetch(t, world.face+"/metrics", "")} {
		p := expfmt.NewTextParser(model.UTF8Validation)
		parsed, err := p.TextToMetricFamilies(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for name, f := range parsed {
			if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
				continue
			}
			if both, twice := out[name]; twice {
				f.Metric = append(f.Metric, both.Metric...)
			}
			out[name] = f
		}
	}
	return out
}

// series are the names of all series, with their labels.
func series(all map[string]*dto.MetricFamily) (out []string) {
	for name, f := range all {
		for _, m := range f.GetMetric() {
			s := name
			for _, l := range m.GetLabel() {
				s += fmt.Sprintf(" %s=%q", l.GetName(), l.GetValue())
			}
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// busy does some of everything, under a name that has never been heard.
func busy(t *testing.T, name string) {
	t.Helper()
	objects := fmt.Sprintf(`
{apiVersion: v1, kind: Namespace, metadata: {name: %[1]s}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: %[1]s, namespace: %[1]s, labels: {app: %[1]s}}, data: {a: b}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: %[1]s, namespace: %[1]s}, spec: {selector: {matchLabels: {app: %[1]s}}, template: {metadata: {labels: {app: %[1]s}}, spec: {containers: [{name: c, image: i, envFrom: [{configMapRef: {name: not-there}}]}]}}}}
`, name)
	heard := follow(t)
	if err := world.cluster.Apply(t.Context(), []byte(objects)); err != nil {
		t.Fatal(err)
	}
	ask(t, name)
	askCluster(t, name)
	heard()
	stranger(t, name)
	if _, err := world.cluster.Kubectl(t.Context(), nil, "delete", "namespace", name, "--wait=false"); err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, name string) {
	t.Helper()
	eventually(t, name+" is known to the hub", func() error {
		var list struct{ Items []stack.Resource }
		err := world.hub.Get(t.Context(), "/api/v1/resources?kind=Pod&namespace="+name, &list)
		if err == nil && len(list.Items) == 0 {
			err = errors.New("it has no pods")
		}
		return err
	})
	at := "/api/v1/clusters/" + world.id
	for _, path := range []string{
		"/api/v1/clusters", at, "/api/v1/clusters/summary", at + "/resources/ConfigMap/" + name + "/" + name, "/api/v1/search?q=" + name, "/api/v1/topology/findings", "/api/v1/events",
		"/api/v1/topology/groups?by=namespace", "/api/v1/nothing-" + name, "/" + name, "/api/v1/clusters/" + name, "/api/v1/health", "/api/v1/audit", "/readyz",
	} {
		call(t, http.MethodGet, world.hub.URL+path, world.hub.Token, "")
	}
	call(t, strings.ToUpper(strings.ReplaceAll(name, "-", "")), world.hub.URL+"/api/v1/clusters", world.hub.Token, "")
	call(t, http.MethodGet, world.hub.URL+"/api/v1/clusters", "kbt_"+name, "")
	if status, text := call(t, http.MethodPost, world.hub.URL+at+"/verify", world.hub.Token, ""); status != http.StatusOK {
		t.Errorf("verify: %d %s", status, text)
	}
}

// askCluster goes through the hub to the cluster itself.
func askCluster(t *testing.T, name string) {
	t.Helper()
	door := world.hub.URL + "/k8s/clusters/" + world.id
	in := door + "/api/v1/namespaces/" + name
	for _, c := range []struct{ method, url, body string }{
		{"GET", in + "/pods", ""}, {"GET", in + "/configmaps/" + name, ""}, {"GET", in + "/configmaps/not-" + name, ""}, {"GET", in + "/secrets", ""},
		{"POST", in + "/configmaps", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"by-` + name + `"}}`}, {"DELETE", in + "/configmaps/by-" + name, ""},
		{"DELETE", in + "/configmaps?labelSelector=nobody%3D" + name, ""}, {"GET", door + "/apis/" + name + ".example/v1/things", ""}, {"GET", door + "/version", ""},
		{"PROPFIND", in + "/services/" + name + "/proxy/", ""}, {"GET", world.hub.URL + "/k8s/clusters/" + name + "/version", ""}, {"GET", world.hub.URL + "/k8s/fleet/api/v1/pods", ""},
	} {
		call(t, c.method, c.url, world.hub.Token, c.body)
	}
	call(t, "GET", in+"/pods", "nobody", "")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, in+"/pods?watch=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+world.hub.Token)
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body) // until the watch is cut
		_ = resp.Body.Close()
	}
}

// follow subscribes to all there is; what it gives waits for a change and ends it.
func follow(t *testing.T) (heard func()) {
	t.Helper()
	s, err := world.hub.Stream(t.Context(), map[string]any{"type": "subscribe", "id": "all"})
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		defer s.Close()
		for {
			switch f, err := s.Next(t.Context()); {
			case err != nil:
				t.Fatal(err)
			case f.Type == "change":
				return
			}
		}
	}
}

// stranger comes to the tunnels and isn't let in.
func stranger(t *testing.T, name string) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(world.hub.Tunnels, "tls://"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.Write([]byte("GET /" + name + " HTTP/1.1\r\n\r\n"))
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()
}

// What is done under new names makes no new series: no label's values are anybody's to choose.
func TestNoLabelGrowsWithWhatIsDone(t *testing.T) {
	warm(t)
	before := series(families(t))
	for i := range 3 {
		busy(t, fmt.Sprintf("round-%d", i))
	}
	settled(t)
	for _, s := range series(families(t)) {
		if _, was := slices.BinarySearch(before, s); !was {
			t.Errorf("a new series: %s", s)
		}
	}
}

var warmed sync.Once

// warm has each hop seen some work.
func warm(t *testing.T) {
	t.Helper()
	warmed.Do(func() {
		busy(t, "first-round")
		settled(t)
	})
}

// settled waits until all is told, and counted once more.
func settled(t *testing.T) {
	t.Helper()
	since := time.Now()
	eventually(t, "all is told", func() error {
		all := families(t)
		for name, want := range map[string]float64{"kubilitics_agent_uplink_synced": 1, "kubilitics_agent_ready": 1, "kubilitics_hub_sessions": 1, "kubilitics_agent_watch_api_server_up": 1} {
			if got := value(all, name); got != want {
				return fmt.Errorf("%s is %v", name, got)
			}
		}
		if value(all, "kubilitics_hub_census_timestamp_seconds") < float64(since.UnixMilli())/1e3 {
			return errors.New("no census yet")
		}
		return nil
	})
}

func value(all map[string]*dto.MetricFamily, name string, labels ...string) (sum float64) {
	for _, m := range all[name].GetMetric() {
		fits := true
		for i := 0; i+1 < len(labels); i += 2 {
			fits = fits && slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == labels[i] && l.GetValue() == labels[i+1] })
		}
		if fits {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// Each hop of the data path has counted what went through it.
func TestEachHopCounts(t *testing.T) {
	warm(t)
	all := families(t)
	for _, name := range []string{
		"kubilitics_agent_watch_events_total", "kubilitics_agent_graph_changes_total", "kubilitics_agent_graph_nodes", "kubilitics_agent_uplink_sent_bytes_total",
		"kubilitics_agent_uplink_acknowledged_total", "kubilitics_agent_uplink_lag_seconds", "kubilitics_agent_uplink_comparisons_total", "kubilitics_agent_kube_answer_seconds",
		"kubilitics_agent_certificate_end_timestamp_seconds", "kubilitics_hub_tunnel_bytes_total", "kubilitics_hub_ingest_rows_total", "kubilitics_hub_ingest_apply_seconds",
		"kubilitics_hub_ingest_lag_seconds", "kubilitics_hub_ingest_acknowledged_total", "kubilitics_hub_feed_position", "kubilitics_hub_live_delay_seconds", "kubilitics_hub_query_seconds",
		"kubilitics_hub_store_transaction_seconds", "kubilitics_hub_store_bytes", "kubilitics_hub_kube_request_seconds", "kubilitics_hub_audit_rows_total", "kubilitics_hub_verify_total",
		"kubilitics_hub_tunnels_refused_total", "kubilitics_hub_plugin_failed_runs_total", "kubilitics_hub_data_free_bytes", "kubilitics_hub_janitor_pieces_total",
	} {
		if value(all, name) <= 0 {
			t.Errorf("%s counts nothing", name)
		}
	}
	if v := value(all, "kubilitics_hub_cluster_live", "name", "metrics"); v != 1 {
		t.Errorf("the cluster's state is %v", v)
	}
	if raw, sent := value(all, "kubilitics_agent_uplink_raw_bytes_total"), value(all, "kubilitics_agent_uplink_sent_bytes_total"); raw <= sent {
		t.Errorf("%v bytes were compressed to %v", raw, sent)
	}
	if nodes, rows := value(all, "kubilitics_agent_uplink_position"), value(all, "kubilitics_hub_feed_position"); nodes == 0 || nodes > rows {
		t.Errorf("the agent is at position %v, the feed at %v", nodes, rows)
	}
	if text := fetch(t, world.face+"/readyz", ""); text != "ok\n" {
		t.Errorf("ready: %q", text)
	}
}
