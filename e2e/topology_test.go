package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubilitics/kubilitics/e2e/demo/app"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

// What people come for: the questions about the topology of the demo application in two clusters, now and then.
func TestTopology(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database) {
		r := start(t, db)
		eu, us := r.join(t, world.eu, world.eu.agent), r.join(t, world.us, world.us.agent)
		r.live(t, eu, us)
		q := &questions{rig: r, eu: eu, us: us, at: "/api/v1/clusters/" + eu.id}
		t.Run("paths", q.paths)
		t.Run("impact", q.impact)
		t.Run("groups", q.groups)
		t.Run("health", q.health)
		t.Run("what clusters share", q.shared)
		t.Run("search", q.search)
		t.Run("findings", q.findings)
		t.Run("the past", q.past)
		t.Run("history", q.history)
		t.Run("files", q.files)
		t.Run("bad input", q.badInput)
		t.Run("an outage", q.outage)
		for _, m := range []*member{eu, us} {
			q.invariants(t, m)
		}
	})
}

type questions struct {
	*rig
	eu, us *member
	at     string // root of eu's paths
}

type named struct{ Group, Kind, Namespace, Name string }

func (n named) String() string {
	kind := n.Kind
	if n.Group != "" {
		kind += "." + n.Group
	}
	return strings.TrimPrefix(kind+" "+n.Namespace+"/"+n.Name, " /")
}

func (q *questions) paths(t *testing.T) {
	got := get[struct {
		Outcome string
		Length  int
		Paths   [][]string
		Nodes   []named
	}](t, &q.hub.Client, q.at+"/topology/paths?from=Ingress/shop/storefront&to=ConfigMap/shop/storefront-config&maxLength=6")
	if got.Outcome != "found" || got.Length < 2 || len(got.Paths) == 0 {
		t.Errorf("from the Ingress to the storefront's settings: %+v", got)
	}
}

func (q *questions) impact(t *testing.T) {
	type answer struct {
		Affected []struct {
			named
			Severity, Reason string
			Depth            int
		}
		Hits   []struct{ Kind, Sentence string }
		Counts struct{ Breaks, Degrades int }
	}
	got := get[answer](t, &q.hub.Client, q.at+"/topology/impact?focus=ConfigMap/shop/storefront-config")
	severity := map[string]string{}
	for _, a := range got.Affected {
		severity[a.Kind+" "+a.Name] = a.Severity
		if a.Reason == "" {
			t.Errorf("%s is affected for no reason", a.named)
		}
	}
	// The Ingress has another Service, too.
	for name, want := range map[string]string{"Deployment storefront": "breaks", "Service storefront": "breaks", "Ingress storefront": "degrades"} {
		if severity[name] != want {
			t.Errorf("without the storefront's settings, %s %s, not %s: %v", name, severity[name], want, severity)
		}
	}
}

func (q *questions) groups(t *testing.T) {
	type answer struct {
		Groups []struct {
			Namespace string
			Count     int
			Worst     string
			Expand    map[string]string
		}
		GroupEdges []struct{ Source, Target, Number int }
	}
	// Other tests change the cluster meanwhile: what is compared must be asked for together.
	eventually(t, "the groups hold all there is, and expand to what they count", 20*time.Second, func() error {
		got := get[answer](t, &q.hub.Client, "/api/v1/topology/groups?groupBy=namespace&cluster="+q.eu.id)
		all := get[info](t, &q.hub.Client, q.at+"/info").Cluster.Resources
		sum, worst := 0, map[string]string{}
		for _, g := range got.Groups {
			sum += g.Count
			worst[g.Namespace] = g.Worst
			if g.Namespace != "shop" {
				continue
			}
			values := url.Values{"cluster": {q.eu.id}, "limit": {"1000"}}
			for k, v := range g.Expand {
				values.Set(k, v)
			}
			if list := get[page[stack.Resource]](t, &q.hub.Client, "/api/v1/resources?"+values.Encode()); len(list.Items) != g.Count {
				return fmt.Errorf("the group of shop counts %d and expands to %d", g.Count, len(list.Items))
			}
		}
		if all != sum || worst[app.MistakeNamespace] != "error" || len(got.GroupEdges) == 0 {
			return fmt.Errorf("%d resources in groups, %d in all; the mistake's namespace is %q; %d edges", sum, all, worst[app.MistakeNamespace], len(got.GroupEdges))
		}
		return nil
	})
}

func (q *questions) health(t *testing.T) {
	eventually(t, "the deliberate mistake shows in the health of its workload, and of all above it", 30*time.Second, func() error {
		type answer struct {
			Worst     string
			Workloads []struct {
				named
				Rollup struct{ Worst string }
			}
		}
		got := get[answer](t, &q.hub.Client, "/api/v1/health?level=workload&namespace="+app.MistakeNamespace+"&cluster="+q.eu.id)
		for _, w := range got.Workloads {
			if w.Name == app.MistakeDeployment && w.Rollup.Worst != "error" {
				return fmt.Errorf("%s is %s", w.named, w.Rollup.Worst)
			}
		}
		for _, level := range []string{"tenant", "cluster", "namespace", "application"} {
			if all := get[answer](t, &q.hub.Client, "/api/v1/health?level="+level+"&cluster="+q.eu.id); all.Worst != "error" {
				return fmt.Errorf("at the level of %s it is %s", level, all.Worst)
			}
		}
		if len(got.Workloads) == 0 {
			return errors.New("there are no workloads")
		}
		return nil
	})
}

// The Service in us names the host of an Ingress in eu.
func (q *questions) shared(t *testing.T) {
	eventually(t, "a host ties the clusters together", 30*time.Second, func() error {
		got := get[struct {
			Items []struct {
				Name     string
				Clusters []struct {
					Cluster string
					Edges   []struct{ Source, Target named }
				}
			}
		}](t, &q.hub.Client, "/api/v1/topology/shared?kind=Host")
		for _, item := range got.Items {
			if item.Name != "recommendations.eu.tidewater.example" {
				continue
			}
			ends := map[string]bool{}
			for _, c := range item.Clusters {
				for _, e := range c.Edges {
					ends[c.Cluster+e.Source.Kind], ends[c.Cluster+e.Target.Kind] = true, true
				}
			}
			if ends[q.eu.id+"Ingress"] && ends[q.us.id+"Service"] {
				return nil
			}
			return fmt.Errorf("the ends are %v", ends)
		}
		return fmt.Errorf("shared are %+v", got.Items)
	})
}

func (q *questions) search(t *testing.T) {
	type hit struct {
		stack.Resource
		Highlights []struct{ Field string }
	}
	for query, want := range map[string]string{
		"kind:Pod ns:pay* -status:Running": "Pod fraud-scorer", "image:fraud-scorer kind:deploy": "Deployment fraud-scorer",
		"kind:svc recommend cluster:us-*": "Service recommendations", "cluster.region=eu* kind:ing storefront": "Ingress storefront",
	} {
		eventually(t, "a search for "+query, 10*time.Second, func() error {
			got := get[page[hit]](t, &q.hub.Client, "/api/v1/search?q="+url.QueryEscape(query))
			if len(got.Items) == 0 || !strings.HasPrefix(got.Items[0].Kind+" "+got.Items[0].Name, want) || len(got.Items[0].Highlights) == 0 {
				return fmt.Errorf("found %+v", got)
			}
			return nil
		})
	}
	if got := get[page[hit]](t, &q.hub.Client, "/api/v1/search?q=kind:cm+"+app.MissingConfigMap); len(got.Items) != 0 {
		t.Errorf("what is missing was found: %+v", got.Items)
	}
	values := get[struct{ Items []struct{ Text string } }](t, &q.hub.Client, "/api/v1/search/values?key=ns&prefix=pay")
	if len(values.Items) != 1 || values.Items[0].Text != "payments" {
		t.Errorf("namespaces that begin with pay are %+v", values)
	}
}

func (q *questions) findings(t *testing.T) {
	type finding struct {
		Kind, Severity, Sentence string
		Object                   named
		Related                  []named
	}
	eventually(t, "the deliberate mistake is found", 30*time.Second, func() error {
		var all []finding
		for token := ""; ; {
			got := get[page[finding]](t, &q.hub.Client, "/api/v1/topology/findings?cluster="+q.eu.id+"&namespace="+app.MistakeNamespace+"&limit=20&continue="+token)
			all = append(all, got.Items...)
			if token = got.Continue; token == "" {
				break
			}
		}
		for _, f := range all {
			if f.Kind == "missing-target" && slices.ContainsFunc(f.Related, func(n named) bool { return n.Name == app.MissingConfigMap }) {
				return nil
			}
		}
		return fmt.Errorf("found %+v", all)
	})
}

// history asks for the revisions of the settings that past changed and deleted.
func (q *questions) history(t *testing.T) {
	path := q.at + "/resources/-/-/configmaps/shop/past-" + q.db.tag
	type revision struct {
		Revision   int64
		Until      int64
		Came, Went bool
		Changed    []struct{ Field string }
	}
	got := get[page[revision]](t, &q.hub.Client, path+"/history")
	if len(got.Items) != 2 || !got.Items[0].Went || !got.Items[1].Came || len(got.Items[0].Changed) == 0 {
		t.Fatalf("its revisions are %+v", got.Items)
	}
	newer, older := got.Items[0].Revision, got.Items[1].Revision
	text := get[struct{ Mode, YAML string }](t, &q.hub.Client, fmt.Sprint(path, "/history/", older))
	if text.Mode != "manifest" || !strings.Contains(text.YAML, "colour: blue") {
		t.Errorf("the first revision is %+v", text)
	}
	diff := get[struct {
		Unified string
		Patch   []struct{ Op, Path string }
	}](t, &q.hub.Client, fmt.Sprint(path, "/compare?from=", older, "&to=", newer))
	if !strings.Contains(diff.Unified, "-  colour: blue") || !strings.Contains(diff.Unified, "+  colour: red") || len(diff.Patch) == 0 {
		t.Errorf("between the two are %+v", diff)
	}
	type change struct {
		Op            string
		Before, After *stack.Resource
	}
	between := get[struct{ Nodes []change }](t, &q.hub.Client, fmt.Sprint(q.at, "/topology/diff?namespace=shop&name=past-", q.db.tag, "&kind=ConfigMap&from=", older, "&to=", newer))
	if len(between.Nodes) != 1 || between.Nodes[0].Op != "changed" {
		t.Errorf("the difference is %+v", between)
	}
	gone := get[struct{ Nodes []change }](t, &q.hub.Client, fmt.Sprint(q.at, "/topology/diff?namespace=shop&name=past-", q.db.tag, "&from=", newer))
	if len(gone.Nodes) != 1 || gone.Nodes[0].Op != "removed" {
		t.Errorf("since then the difference is %+v", gone)
	}
}

// outage has the agent away while something changes: the time it was away shows as stale, what it missed is marked late, and what didn't change has no
// more of a past than before.
func (q *questions) outage(t *testing.T) {
	name := "outage-" + q.db.tag
	maps := world.eu.client.CoreV1().ConfigMaps("shop")
	if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	path := q.at + "/resources/-/-/configmaps/shop/" + name
	q.position(t, path, "era", "")
	type revision struct {
		Revision int64
		Late     bool
		GapSince *time.Time
	}
	revisions := func(path string) []revision {
		return get[page[revision]](t, &q.hub.Client, path+"/history").Items
	}
	calm := q.at + "/resources/apps/-/deployments/shop/storefront"
	before := revisions(calm)

	q.eu.agent.Kill()
	q.becomes(t, q.eu, "stale", 30*time.Second)
	away := time.Now()
	if _, err := maps.Patch(t.Context(), name, types.MergePatchType, []byte(`{"metadata":{"labels":{"era":"away"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	q.eu.restart(t)
	q.becomes(t, q.eu, "live", 30*time.Second)
	q.position(t, path, "era", "away")

	if got := revisions(path); len(got) != 2 || !got[0].Late || got[0].GapSince == nil || !got[0].GapSince.Before(away) || got[1].Late {
		t.Errorf("what was missed is not marked late, since before %v: %+v", away, got)
	}
	if after := revisions(calm); len(after) != len(before) || after[0].Revision != before[0].Revision {
		t.Errorf("the storefront had %d revisions, and has %d after a comparison that found nothing", len(before), len(after))
	}
	then := get[struct {
		Freshness map[string]struct{ State string }
	}](t, &q.hub.Client, q.at+"/info?at="+url.QueryEscape(away.UTC().Format(time.RFC3339Nano)))
	if then.Freshness[q.eu.id].State != "stale" {
		t.Errorf("while the agent was away, the cluster was %+v", then.Freshness)
	}
}

func (q *questions) files(t *testing.T) {
	for format, begin := range map[string]string{"json": "{", "graphml": "<?xml", "dot": "digraph", "mermaid": "", "csv": "", "svg": "", "png": "\x89PNG", "pdf": "%PDF-"} {
		text, err := q.hub.Text(t.Context(), q.at+"/topology/export?namespace=shop&format="+format)
		if err != nil || len(text) < 1000 || !strings.HasPrefix(text, begin) {
			t.Errorf("%s: %d bytes, %v", format, len(text), err)
		}
	}
}

// past changes an object, and asks of before and after.
func (q *questions) past(t *testing.T) {
	ns, name := "shop", "past-"+q.db.tag
	maps := world.eu.client.CoreV1().ConfigMaps(ns)
	before := get[page[stack.Resource]](t, &q.hub.Client, "/api/v1/resources?limit=1").Position
	if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"colour": "blue"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	path := q.at + "/resources/-/-/configmaps/" + ns + "/" + name
	first := q.position(t, path, "version", "")
	if _, err := maps.Patch(t.Context(), name, types.MergePatchType, []byte(`{"metadata":{"labels":{"era":"new"}},"data":{"colour":"red"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	second := q.position(t, path, "era", "new")
	if err := maps.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the object is gone", 10*time.Second, func() error {
		return wantStatus(q.hub.Get(t.Context(), path, nil), http.StatusNotFound)
	})
	if err := wantStatus(q.hub.Get(t.Context(), fmt.Sprint(path, "?at=", before), nil), http.StatusNotFound); err != nil {
		t.Error("before it was made:", err)
	}
	for at, label := range map[int64]string{first: "", second: "new"} {
		got := get[detail](t, &q.hub.Client, fmt.Sprint(path, "?at=", at))
		if got.Resource.Labels["era"] != label {
			t.Errorf("at %d its labels are %v", at, got.Resource.Labels)
		}
		list := get[page[stack.Resource]](t, &q.hub.Client, fmt.Sprint("/api/v1/resources?kind=ConfigMap&labelSelector=era%3Dnew&cluster=", q.eu.id, "&at=", at))
		if found := slices.ContainsFunc(list.Items, func(r stack.Resource) bool { return r.Name == name }); found != (label == "new") {
			t.Errorf("at %d the label finds it: %v", at, found)
		}
	}
}

// position waits until the object has a label (none: is there), and gives the position since when.
func (q *questions) position(t *testing.T, path, label, value string) (since int64) {
	t.Helper()
	eventually(t, "the hub knows of the change", 10*time.Second, func() error {
		var got struct {
			Resource struct {
				Labels map[string]string
				Since  int64
			}
		}
		err := q.hub.Get(t.Context(), path, &got)
		if err == nil && got.Resource.Labels[label] != value {
			err = fmt.Errorf("its labels are %v", got.Resource.Labels)
		}
		since = got.Resource.Since
		return err
	})
	return since
}

func wantStatus(err error, status int) error {
	var p *stack.Problem
	if errors.As(err, &p) && p.Status == status {
		return nil
	}
	return fmt.Errorf("got %v, want status %d", err, status)
}

func (q *questions) badInput(t *testing.T) {
	for path, status := range map[string]int{
		"/api/v1/resources?q=kin:Pod":                                 400,
		"/api/v1/resources?at=yesterday":                              400,
		"/api/v1/resources?at=99999999":                               400,
		"/api/v1/topology/groups?groupBy=colour":                      400,
		q.at + "/topology/paths?from=Pod&to=Node/x":                   400,
		q.at + "/topology/impact?focus=Pod/shop/nobody":               404,
		q.at + "/topology?selector=a%20b":                             400,
		"/api/v1/topology/shared?kind=Pod":                            400,
		"/api/v1/health?level=universe":                               400,
		q.at + "/topology/paths?from=Pod/a/b&to=Pod/a/c&maxLength=13": 400,
	} {
		err := q.hub.Get(t.Context(), path, nil)
		var p *stack.Problem
		if !errors.As(err, &p) || p.Status != status || (status == 400 && !strings.Contains(fmt.Sprint(p), `"name"`)) {
			t.Errorf("%s: %v, want status %d and the field", path, err, status)
		}
	}
}

// invariants asks the hub to look whether what must always hold does.
func (r *rig) invariants(t *testing.T, m *member) {
	t.Helper()
	var out struct {
		Violations []struct{ Rule, Key, Detail string }
	}
	if err := r.hub.Do(t.Context(), http.MethodPost, "/api/v1/clusters/"+m.id+"/check", nil, &out); err != nil {
		t.Fatal(err)
	}
	for _, v := range out.Violations {
		t.Errorf("%s: %s: %s: %s", m.name, v.Rule, v.Key, v.Detail)
	}
}
