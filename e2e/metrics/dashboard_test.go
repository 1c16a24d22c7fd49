package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// dashboard is of Grafana's model what a panel needs to be shown.
type dashboard struct {
	UID           string `json:"uid"`
	Title         string `json:"title"`
	SchemaVersion int    `json:"schemaVersion"`
	Templating    struct {
		List []struct{ Name, Type string } `json:"list"`
	} `json:"templating"`
	Panels []panel `json:"panels"`
}

type panel struct {
	ID          int               `json:"id"`
	Type        string            `json:"type"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Datasource  map[string]string `json:"datasource"`
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct {
		RefID        string `json:"refId"`
		Expr         string `json:"expr"`
		LegendFormat string `json:"legendFormat"`
	} `json:"targets"`
	FieldConfig struct {
		Defaults struct{ Unit string }
	} `json:"fieldConfig"`
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile(chart + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// variables are those of the dashboard, and Grafana's own, as promtool can read them.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$hub", "hub", "$agent", "agent")

// The dashboard is one that Grafana shows: panels that don't lie on each other, each of which says what it is and asks something that Prometheus can answer.
func TestTheDashboardIsRight(t *testing.T) {
	d := readDashboard(t)
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 36 || len(d.Panels) < 30 {
		t.Fatalf("%q %q, schema %d, %d panels", d.UID, d.Title, d.SchemaVersion, len(d.Panels))
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	var asks []any
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %d %q", p.ID, p.Title)
		}
		ids[p.ID] = true
		g := p.GridPos
		if g.X < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
			t.Errorf("%s lies at %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies on %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource["uid"] != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("%s: described as %q, in %q, of %v", p.Title, p.Description, p.FieldConfig.Defaults.Unit, p.Datasource)
		}
		refs := map[string]bool{}
		for _, q := range p.Targets {
			if refs[q.RefID] || q.RefID == "" {
				t.Errorf("%s: two questions are called %q", p.Title, q.RefID)
			}
			refs[q.RefID] = true
			asks = append(asks, map[string]string{"record": fmt.Sprintf("q:p%d_%s", p.ID, strings.ToLower(q.RefID)), "expr": variables.Replace(q.Expr)})
			if strings.Contains(variables.Replace(q.Expr), "$") {
				t.Errorf("%s: a variable that isn't there: %s", p.Title, q.Expr)
			}
			for _, m := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(q.LegendFormat, -1) {
				if m[1] != "instance" && !strings.Contains(q.Expr, m[1]) {
					t.Errorf("%s: the legend names %s, which %s doesn't keep", p.Title, m[1], q.Expr)
				}
			}
		}
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": asks}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dashboard.rules.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}

var metricName = regexp.MustCompile(`\bkubilitics_[a-z0-9_]+`)

// Dashboard and rules ask for metrics that docs/metrics.md tells of, by labels that these have; the dashboard for all hops.
func TestWhatIsAskedForExists(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(kubilitics_[a-z0-9_]+)` \\| (\\w+) \\| [^|]*\\| ([^|]*) \\|")
	types, with := map[string]string{}, map[string]string{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		types[m[1]], with[m[1]] = m[2], m[3]
	}
	asked := map[string]string{}
	for _, r := range rules(t) {
		asked[r.Alert] = r.Expr
	}
	d := readDashboard(t)
	shown := ""
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			asked[p.Title+" "+q.RefID] = q.Expr
			shown += q.Expr
		}
	}
	for who, expr := range asked {
		for _, name := range metricName.FindAllString(expr, -1) {
			base := name
			for _, part := range []string{"_bucket", "_count", "_sum"} {
				if b := strings.TrimSuffix(name, part); types[b] == "histogram" {
					base = b
				}
			}
			if types[base] == "" || types[base] == "histogram" && base == name {
				t.Errorf("%s asks for %s, which isn't told", who, name)
			}
		}
		for _, m := range regexp.MustCompile(`(kubilitics_[a-z0-9_]+)\{([^}]*)\}`).FindAllStringSubmatch(expr, -1) {
			base := strings.TrimSuffix(strings.TrimSuffix(m[1], "_bucket"), "_count")
			for _, l := range regexp.MustCompile(`(\w+)=~?"`).FindAllStringSubmatch(m[2], -1) {
				if l[1] != "job" && !strings.Contains(with[base], "`"+l[1]+"`") {
					t.Errorf("%s: %s has no label %s", who, m[1], l[1])
				}
			}
		}
	}
	for _, name := range []string{"watch_events", "graph_changes", "uplink_dirty", "uplink_lag", "tunnel_bytes", "ingest_apply", "store_transaction", "live_delay", "stream_frames", "query_seconds", "kube_request", "kube_answer"} {
		if !slices.ContainsFunc(metricName.FindAllString(shown, -1), func(m string) bool { return strings.Contains(m, name) }) {
			t.Errorf("the dashboard doesn't show %s", name)
		}
	}
}
