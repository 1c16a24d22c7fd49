package metrics

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

const page = "../../docs/metrics.md"

// label is what a label may say: the words themselves, or, where these are others' to choose, what bounds their number.
type label struct {
	words   string // separated by spaces
	bounded string
	most    int // values after what this test does
}

// codes are those of faults.
const codes = "bad_request unauthorized forbidden not_found conflict gone too_many_requests unavailable internal_server_error"

// labels are those of all metrics; where one means different things, it is named with its metric.
var labels = map[string]label{
	"code": {words: codes},
	"kubilitics_agent_kube_answer_seconds verb": {words: "get list watch create update patch delete deletecollection connect other"},
	"kubilitics_hub_kube_request_seconds verb":  {words: "get list watch create update patch delete deletecollection head options post put connect other"},
	"status":                                 {words: "none 1xx 2xx 3xx 4xx 5xx other"},
	"event":                                  {words: "listed added modified deleted bookmark"},
	"kubilitics_agent_watch_lists_total how": {words: "pages stream"},
	"kubilitics_agent_watch_rereads_total how":    {words: "object list"},
	"kubilitics_agent_watch_errors_total reason":  {words: "refused answered unreachable"},
	"kubilitics_agent_watch_kinds state":          {words: "watched unwatched excluded"},
	"kubilitics_agent_uplink_session state":       {words: "offline welcomed loading comparing steady"},
	"kubilitics_agent_uplink_dirty table":         {words: "nodes edges manifests gone"},
	"kubilitics_agent_uplink_deltas_total of":     {words: "load comparison change"},
	"kubilitics_hub_ingest_apply_seconds of":      {words: "load comparison change"},
	"kubilitics_hub_store_transaction_seconds of": {words: "read write"},
	"table":                                  {words: "nodes edges manifests events"},
	"direction":                              {words: "in out"},
	"freshness":                              {words: "live stale never"},
	"pool":                                   {words: "read write record"},
	"kubilitics_hub_store_connections state": {words: "used idle"},
	"task":                                   {words: "retention audit purge"},
	"question":                               {words: "added cluster clusters compare diff events export findings get graph groups health history impact info kinds list members neighbours objects paths revision search shared summary values workloads"},
	"kind":                                   {words: "connection log watch"},
	"type":                                   {words: "change bookmark lagged reset error"},
	"kubilitics_hub_live_dropped_total reason":       {words: "lagged reset unauthorized"},
	"kubilitics_hub_kube_refused_total reason":       {words: codes + " offline record closing"},
	"kubilitics_hub_ingest_comparisons_total result": {words: "equal unequal"},
	"kubilitics_hub_plugin_calls_total result":       {words: "ok error timeout"},
	"kubilitics_hub_notify_attempts_total result":    {words: "ok later never"},
	"method":  {words: "GET HEAD POST PUT PATCH DELETE OPTIONS other"},
	"route":   {bounded: "the patterns of the API's routes, as in the OpenAPI document, and none", most: 200},
	"plugin":  {bounded: "the names that the configuration gives to plugins", most: 1},
	"target":  {bounded: "the names that the configuration gives to whom is notified", most: 1},
	"tenant":  {bounded: "the tenants", most: 1},
	"cluster": {bounded: "the enrolled clusters", most: 1},
	"name":    {bounded: "the enrolled clusters, each of which has one name at a time", most: 1},
	"program": {words: "kubilitics-hub kubilitics-agent"},
	"version": {bounded: "the program's version", most: 2},
}

func labelOf(metric, name string) (label, bool) {
	if l, own := labels[metric+" "+name]; own {
		return l, true
	}
	l, ok := labels[name]
	return l, ok
}

// Each metric that the programs tell stands in docs/metrics.md as it is, with its type, unit, labels and meaning, and no other does.
func TestThePageIsRight(t *testing.T) {
	warm(t)
	all := families(t)
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	got := text
	for of, table := range map[string]string{"agent": table(all, "kubilitics_agent_"), "hub": table(all, "kubilitics_hub_"), "both": table(all, "kubilitics_build_"), "labels": labelTable(all)} {
		got = between(t, got, of, table)
	}
	if bytes.Equal(got, text) {
		return
	}
	if !*rewrite {
		t.Fatalf("%s isn't what the programs tell; see it after go test -rewrite", page)
	}
	if err := os.WriteFile(page, got, 0o644); err != nil {
		t.Fatal(err)
	}
}

// between replaces what stands between the marks of a table.
func between(t *testing.T, text []byte, of, table string) []byte {
	t.Helper()
	marks := regexp.MustCompile(`(?s)(<!-- ` + of + `: .*?-->\n).*?(<!-- end -->)`)
	if !marks.Match(text) {
		t.Fatalf("%s has no place for the table of %s", page, of)
	}
	return marks.ReplaceAllFunc(text, func(b []byte) []byte {
		m := marks.FindSubmatch(b)
		return slices.Concat(m[1], []byte("\n"+table+"\n"), m[2])
	})
}

func table(all map[string]*dto.MetricFamily, prefix string) string {
	var b strings.Builder
	b.WriteString("| Metric | Type | Unit | Labels | Meaning |\n|---|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if f := all[name]; strings.HasPrefix(name, prefix) {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", name, strings.ToLower(f.GetType().String()), unit(name), strings.Join(labelsOf(f), ", "), strings.ReplaceAll(f.GetHelp(), "|", "\\|"))
		}
	}
	return b.String()
}

// unit is what the end of a name says.
func unit(name string) string {
	name = strings.TrimSuffix(name, "_total")
	switch {
	case strings.HasSuffix(name, "_timestamp_seconds"):
		return "seconds since 1970"
	case strings.HasSuffix(name, "_seconds"):
		return "seconds"
	case strings.HasSuffix(name, "_bytes"):
		return "bytes"
	default:
		return ""
	}
}

func labelsOf(f *dto.MetricFamily) (out []string) {
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if word := "`" + l.GetName() + "`"; !slices.Contains(out, word) {
				out = append(out, word)
			}
		}
	}
	slices.Sort(out)
	return out
}

func labelTable(all map[string]*dto.MetricFamily) string {
	var b strings.Builder
	b.WriteString("| Label | Of | Values |\n|---|---|---|\n")
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		l, of, name := labels[key], "", key
		if metric, own, ok := strings.Cut(key, " "); ok {
			of, name = "`"+metric+"`", own
		}
		says := l.bounded
		if says == "" {
			says = "`" + strings.ReplaceAll(l.words, " ", "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, of, says)
	}
	return b.String()
}

// Every label is known, and says only what it may.
func TestLabelsAreBounded(t *testing.T) {
	warm(t)
	used := map[string]bool{}
	for name, f := range families(t) {
		if f.GetHelp() == "" || !strings.HasSuffix(f.GetHelp(), ".") {
			t.Errorf("%s doesn't say what it means: %q", name, f.GetHelp())
		}
		if counter := f.GetType() == dto.MetricType_COUNTER; counter != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is of type %s", name, f.GetType())
		}
		values := map[string]map[string]bool{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if values[l.GetName()] == nil {
					values[l.GetName()] = map[string]bool{}
				}
				values[l.GetName()][l.GetValue()] = true
			}
		}
		for l, said := range values {
			used[l], used[name+" "+l] = true, true
			judge(t, name, l, said)
		}
	}
	for l := range labels {
		if !used[l] {
			t.Errorf("the label %s is no metric's", l)
		}
	}
}

func judge(t *testing.T, name, l string, said map[string]bool) {
	t.Helper()
	known, ok := labelOf(name, l)
	if !ok {
		t.Errorf("%s has the label %s, which isn't known", name, l)
		return
	}
	if known.bounded != "" {
		if len(said) > known.most {
			t.Errorf("%s: %s has %d values", name, l, len(said))
		}
		return
	}
	words := strings.Fields(known.words)
	for v := range said {
		if !slices.Contains(words, v) {
			t.Errorf("%s: %s is %q", name, l, v)
		}
	}
}
