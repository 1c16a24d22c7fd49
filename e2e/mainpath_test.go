package e2e

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/kubilitics/kubilitics/e2e/demo/app"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

// The way of the data, from two clusters to the clients of one hub.
func TestMainPath(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database) {
		r := start(t, db, "--log-level", "debug")
		debug := func(o *stack.AgentOptions) { o.Args = []string{"--log-level", "debug"} }
		eu, us := r.join(t, world.eu, world.eu.agent, debug), r.join(t, world.us, world.us.modest, debug)
		everything := listen(t, &r.hub.Client, map[string]any{"type": "subscribe", "id": "all", "what": []string{"topology", "events", "clusters"}})
		r.live(t, eu, us)
		p := &path{rig: r, eu: eu, us: us, stream: everything, ns: "path-" + db.tag}

		t.Run("summary", p.summary)
		t.Run("lists", p.lists)
		t.Run("the deliberate mistake", p.mistake)
		t.Run("forbidden kinds", p.forbidden)
		t.Run("changes", p.changes)
		t.Run("custom kinds", p.customKinds)
		t.Run("events", p.events)
		t.Run("manifests", p.manifests)
		t.Run("what others may see", p.restricted)
		t.Run("control", p.control)
		r.agrees(t, eu, world.eu)
		if n := r.verify(t, eu); n != 0 {
			t.Errorf("%d stored rows don't say what their hashes say", n)
		}
		t.Run("no Secret's value anywhere", p.secrets)
		t.Run("topology alone", p.topologyAlone)
		t.Run("deletion", p.deletion)
	})
}

// path is a run of TestMainPath.
type path struct {
	*rig
	eu, us *member
	stream *listener
	ns     string // a namespace of the run's own, in both clusters
}

func (p *path) kubectl(t *testing.T, stdin string, args ...string) []byte {
	t.Helper()
	out, err := world.eu.Kubectl(t.Context(), strings.NewReader(stdin), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (p *path) summary(t *testing.T) {
	s := get[struct {
		Clusters []struct {
			stack.Cluster
			Resources, Edges int
		}
		Resources int
		Versions  map[string]int
	}](t, &p.hub.Client, "/api/v1/clusters/summary")
	if len(s.Clusters) != 2 || len(s.Versions) != 1 {
		t.Fatalf("got %+v", s)
	}
	sum := 0
	for _, c := range s.Clusters {
		sum += c.Resources
		if c.Freshness.State != "live" || c.Resources < 200 || c.Edges < 200 || !strings.HasPrefix(c.Version, "v1.") {
			t.Errorf("got %+v", c)
		}
	}
	if sum != s.Resources {
		t.Errorf("the clusters have %d resources, all together %d", sum, s.Resources)
	}
}

func (p *path) lists(t *testing.T) {
	for _, q := range []string{"kind=ConfigMap", "kind=pods", "namespace=shop", "labelSelector=app.kubernetes.io/name=checkout", "fieldSelector=health!=ok,kind=Pod",
		"labelSelector=" + url.QueryEscape("app.kubernetes.io/part-of in (tidewater),app.kubernetes.io/component!=backend")} {
		values, err := url.ParseQuery(q)
		if err != nil {
			t.Fatal(err)
		}
		values.Set("cluster", p.eu.id)
		eventually(t, "pages hold what one page holds: "+q, 10*time.Second, func() error { return p.samePages(t, values) })
	}
	list := get[page[stack.Resource]](t, &p.hub.Client, "/api/v1/clusters/"+p.eu.id+"/resources/apps/-/deployments?namespace=payments")
	names := []string{}
	for _, d := range list.Items {
		names = append(names, d.Name)
	}
	if !slices.Contains(names, "checkout") || !slices.Contains(names, app.MistakeDeployment) {
		t.Errorf("Deployments of payments: %q", names)
	}
	got := get[detail](t, &p.hub.Client, "/api/v1/clusters/"+p.eu.id+"/resources/apps/v1/deployments/shop/api")
	if got.Resource.Name != "api" || got.Resource.UID == "" || got.Resource.Labels["app.kubernetes.io/part-of"] != "tidewater" || len(got.Edges) == 0 {
		t.Errorf("got %+v", got)
	}
	for path, status := range map[string]int{
		"/api/v1/clusters/" + p.eu.id + "/resources/-/v1/pods/shop/nobody": 404,
		"/api/v1/clusters/c0000000000000":                                  404,
		"/api/v1/resources?kinds=Pod":                                      400,
		"/api/v1/resources?limit=0":                                        400,
	} {
		if got := refused(t, &p.hub.Client, http.MethodGet, path, nil); got.Status != status || !strings.Contains(got.Body, `"code"`) {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// samePages compares pages of three with one page of all.
func (p *path) samePages(t *testing.T, q url.Values) error {
	whole := get[page[stack.Resource]](t, &p.hub.Client, "/api/v1/resources?limit=1000&"+q.Encode())
	q.Set("limit", "3")
	pieces, err := all[stack.Resource](t.Context(), &p.hub.Client, "/api/v1/resources", q)
	q.Del("limit")
	if err != nil {
		return err
	}
	var a, b []string
	for _, r := range whole.Items {
		a = append(a, nameOf(r))
	}
	for _, r := range pieces {
		b = append(b, nameOf(r))
	}
	if !slices.Equal(a, b) || whole.Total.Count != len(a) || !whole.Total.Exact || len(a) == 0 {
		return fmt.Errorf("one page (of %d in all) holds %q, pages of three %q", whole.Total.Count, a, b)
	}
	return nil
}

func (p *path) mistake(t *testing.T) {
	at := "/api/v1/clusters/" + p.eu.id + "/topology?depth=3&focus=" + url.QueryEscape("Deployment.apps/"+app.MistakeNamespace+"/"+app.MistakeDeployment)
	g := get[graph](t, &p.hub.Client, at)
	missing := "ConfigMap " + app.MistakeNamespace + "/" + app.MissingConfigMap
	presence := ""
	for _, n := range g.Nodes {
		if nameOf(n) == missing {
			presence = n.Presence
		}
	}
	if presence != "missing" {
		t.Errorf("the ConfigMap is %q, want missing", presence)
	}
	if !slices.ContainsFunc(g.Edges, func(e edge) bool {
		return nameOf(e.Target) == missing && e.Source.Kind == "Pod" && strings.Contains(e.Path, "configMapRef")
	}) {
		t.Errorf("no edge of a Pod to it: %+v", g.Edges)
	}
}

// An agent that may not read Secrets says so and goes on.
func (p *path) forbidden(t *testing.T) {
	i := get[info](t, &p.hub.Client, "/api/v1/clusters/"+p.us.id+"/info")
	found := false
	for _, u := range i.Unobserved {
		found = found || u.Kind == "Secret" && u.Group == "" && strings.Contains(u.Reason, "forbidden")
	}
	if !found || !i.Synced {
		t.Errorf("got %+v", i)
	}
	g := get[graph](t, &p.hub.Client, "/api/v1/clusters/"+p.us.id+"/topology?kind=Secret")
	if len(g.Nodes) == 0 {
		t.Error("the Secrets that Pods name are not in the graph")
	}
	for _, n := range g.Nodes {
		if n.Kind == "Secret" && n.Presence != "unobserved" {
			t.Errorf("%s is %s", nameOf(n), n.Presence)
		}
	}
	// Kinds that other tests define come and go meanwhile, and are unobserved for a moment then.
	eventually(t, "an agent that may read everything observes everything", 10*time.Second, func() error {
		if full := get[info](t, &p.hub.Client, "/api/v1/clusters/"+p.eu.id+"/info"); len(full.Unobserved) > 0 {
			return fmt.Errorf("not %+v", full.Unobserved)
		}
		return nil
	})
}

func (p *path) changes(t *testing.T) {
	p.kubectl(t, "", "create", "namespace", p.ns)
	p.kubectl(t, "", "create", "configmap", "walker", "-n", p.ns, "--from-literal=a=b")
	name := "ConfigMap " + p.ns + "/walker"
	added := p.stream.hears(t, "add", name)
	p.kubectl(t, "", "label", "configmap", "walker", "-n", p.ns, "step=one")
	updated := p.stream.hears(t, "update", name, func(f *stack.Frame) bool { return f.Node.Labels["step"] == "one" })
	list := get[page[stack.Resource]](t, &p.hub.Client, "/api/v1/resources?labelSelector=step%3Done&namespace="+p.ns)
	if len(list.Items) != 1 || list.Position < updated.Position {
		t.Errorf("the list, at %d after %d, holds %+v", list.Position, updated.Position, list.Items)
	}
	p.kubectl(t, "", "delete", "configmap", "walker", "-n", p.ns)
	removed := p.stream.hears(t, "remove", name)
	if added.Position >= updated.Position || updated.Position >= removed.Position {
		t.Errorf("positions %d, %d, %d", added.Position, updated.Position, removed.Position)
	}
	// Whoever was away hears it again.
	resumed := listen(t, &p.hub.Client, map[string]any{"type": "subscribe", "id": "again", "from": added.Position, "scope": map[string]any{"namespaces": []string{p.ns}}})
	if again := resumed.hears(t, "update", name); again.Position != updated.Position {
		t.Errorf("heard again at %d, not %d", again.Position, updated.Position)
	}
	resumed.hears(t, "remove", name)
}

func (p *path) customKinds(t *testing.T) {
	group := p.ns + ".example"
	crd := fmt.Sprintf(`{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "lanterns.%[1]s"}, "spec": {
		"group": "%[1]s", "scope": "Namespaced", "names": {"plural": "lanterns", "singular": "lantern", "kind": "Lantern"},
		"versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}`, group)
	lantern := fmt.Sprintf(`{"apiVersion": "%s/v1", "kind": "Lantern", "metadata": {"name": "red", "namespace": "%s"}, "spec": {"light": true}}`, group, p.ns)
	if err := world.eu.Apply(t.Context(), []byte(crd+"\n---\n"+lantern)); err != nil {
		t.Fatal(err)
	}
	name := "Lantern." + group + " " + p.ns + "/red"
	p.stream.hears(t, "add", name)
	at := "/api/v1/clusters/" + p.eu.id + "/resources/" + group + "/v1/lanterns/" + p.ns + "/red"
	eventually(t, "its kind's name is known", 10*time.Second, func() error { // the hub looks for unknown names every few seconds
		var got detail
		err := p.hub.Get(t.Context(), at, &got)
		if err == nil && got.Resource.UID == "" {
			err = fmt.Errorf("got %+v", got)
		}
		return err
	})
	p.kubectl(t, "", "delete", "crd", "lanterns."+group)
	p.stream.hears(t, "remove", name)
	if got := refused(t, &p.hub.Client, http.MethodGet, at, nil); got.Status != http.StatusNotFound {
		t.Errorf("after its end: %v", got)
	}
	eventually(t, "the kind has gone, too", 30*time.Second, func() error {
		kinds := get[struct {
			Items []struct{ Kind, Group string }
		}](t, &p.hub.Client, "/api/v1/clusters/"+p.eu.id+"/api-resources")
		for _, k := range kinds.Items {
			if k.Group == group {
				return fmt.Errorf("%s is still there", k.Kind)
			}
		}
		return nil
	})
}

func (p *path) events(t *testing.T) {
	p.kubectl(t, fmt.Sprintf(`{"apiVersion": "v1", "kind": "Event", "metadata": {"name": "whistle", "namespace": "%s"}, "type": "Warning", "reason": "Whistled",
		"message": "someone whistled", "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": "%[1]s", "name": "whistler"},
		"firstTimestamp": "%[2]s", "lastTimestamp": "%[2]s", "count": 3}`, p.ns, time.Now().UTC().Format(time.RFC3339)), "create", "-f", "-")
	eventually(t, "the event is in the list", 10*time.Second, func() error {
		list := get[page[event]](t, &p.hub.Client, "/api/v1/clusters/"+p.eu.id+"/events?type=Warning&regarding=Pod/"+p.ns+"/whistler")
		if len(list.Items) != 1 || list.Items[0].Reason != "Whistled" || list.Items[0].Message != "someone whistled" {
			return fmt.Errorf("%+v", list.Items)
		}
		return nil
	})
	eventually(t, "the stream tells the event", 10*time.Second, func() error {
		_, err := p.stream.find(func(f *stack.Frame) bool { return strings.Contains(string(f.Raw), `"Whistled"`) })
		return err
	})
	if list := get[page[event]](t, &p.hub.Client, "/api/v1/events?limit=1"); len(list.Items) != 1 || list.Continue == "" {
		t.Errorf("the first page of all events: %+v", list)
	}
}

func (p *path) manifests(t *testing.T) {
	at := "/api/v1/clusters/" + p.eu.id + "/resources/-/v1/configmaps/shop/api-config?manifest=true"
	var cm struct {
		Metadata map[string]any
		Data     map[string]string
	}
	eventually(t, "the manifest is served", 10*time.Second, func() error {
		got := get[detail](t, &p.hub.Client, at)
		if got.Manifest == nil {
			return errors.New(got.ManifestAbsent)
		}
		return json.Unmarshal(got.Manifest, &cm)
	})
	if cm.Data["LOG_LEVEL"] != "info" || !strings.Contains(cm.Data["feature-flags.yaml"], "gift-cards: true\n") {
		t.Errorf("data %q", cm.Data)
	}
	for _, key := range []string{"managedFields", "resourceVersion"} {
		if cm.Metadata[key] != nil {
			t.Errorf("the manifest has %s", key)
		}
	}
	secret := get[detail](t, &p.hub.Client, "/api/v1/clusters/"+p.eu.id+"/resources/-/v1/secrets/payments/planted?manifest=true")
	if !bytes.Contains(secret.Manifest, []byte(`"password"`)) || bytes.Contains(secret.Manifest, []byte("last-applied")) {
		t.Errorf("the Secret's keys, and they alone: %s", secret.Manifest)
	}
}

// Somebody who may see one namespace of one cluster sees nothing else, in lists, graphs and streams.
func (p *path) restricted(t *testing.T) {
	var made struct{ Secret string }
	err := p.hub.Do(t.Context(), http.MethodPost, "/api/v1/tokens", map[string]any{"name": "narrow", "bindings": []any{
		map[string]any{"verbs": []string{"get", "list", "watch"}, "clusters": []string{p.eu.id}, "namespaces": []string{"shop", p.ns}},
	}}, &made)
	if err != nil {
		t.Fatal(err)
	}
	narrow := &stack.Client{URL: p.hub.URL, Token: made.Secret}
	seen, err := all[stack.Resource](t.Context(), narrow, "/api/v1/resources", url.Values{"limit": {"1000"}})
	if err != nil || len(seen) == 0 {
		t.Fatalf("saw %d resources, %v", len(seen), err)
	}
	g := get[graph](t, narrow, "/api/v1/clusters/"+p.eu.id+"/topology")
	for _, r := range append(seen, g.Nodes...) {
		if r.Cluster != p.eu.id || r.Namespace != "shop" && r.Namespace != p.ns {
			t.Errorf("saw %s of %s", nameOf(r), r.Cluster)
		}
	}
	if got := refused(t, narrow, http.MethodGet, "/api/v1/clusters/"+p.us.id, nil); got.Status != http.StatusNotFound {
		t.Errorf("the other cluster: %v", got)
	}
	for _, try := range []struct{ method, path string }{
		{http.MethodDelete, "/api/v1/clusters/" + p.eu.id}, {http.MethodGet, "/api/v1/tokens"}, {http.MethodGet, "/metrics"},
		{http.MethodPost, "/api/v1/clusters/" + p.eu.id + "/verify"}, {http.MethodGet, "/api/v1/clusters/" + p.eu.id + "/quarantine"},
	} {
		if got := refused(t, narrow, try.method, try.path, nil); got.Status != http.StatusForbidden {
			t.Errorf("%s %s: %v", try.method, try.path, got)
		}
	}
	if got := refused(t, &stack.Client{URL: p.hub.URL, Token: "kbt1.nobody.nothing"}, http.MethodGet, "/api/v1/clusters", nil); got.Status != http.StatusUnauthorized {
		t.Errorf("a stranger: %v", got)
	}
	p.restrictedStream(t, narrow)
}

func (p *path) restrictedStream(t *testing.T, narrow *stack.Client) {
	stream := listen(t, narrow, map[string]any{"type": "subscribe", "id": "narrow", "what": []string{"topology", "events"}})
	// What happens before the subscription stands isn't told, so a change is made until one is.
	eventually(t, "the narrow stream tells something", 15*time.Second, func() error {
		p.kubectl(t, "", "label", "--overwrite", "namespace", "payments", "seen=no")
		p.kubectl(t, "", "label", "--overwrite", "configmap", "kube-root-ca.crt", "-n", p.ns, fmt.Sprintf("at=%d", time.Now().UnixNano()))
		_, err := stream.find(func(f *stack.Frame) bool { return f.Node != nil && f.Node.Namespace == p.ns })
		return err
	})
	p.kubectl(t, "", "create", "configmap", "hidden-"+p.ns, "-n", "payments")
	p.kubectl(t, "", "delete", "configmap", "hidden-"+p.ns, "-n", "payments")
	p.kubectl(t, "", "label", "--overwrite", "configmap", "kube-root-ca.crt", "-n", p.ns, "last=yes")
	stream.hears(t, "update", "ConfigMap "+p.ns+"/kube-root-ca.crt", func(f *stack.Frame) bool { return f.Node.Labels["last"] == "yes" })
	p.stream.hears(t, "remove", "ConfigMap payments/hidden-"+p.ns) // the others heard it
	if _, err := stream.find(func(f *stack.Frame) bool {
		return f.Node != nil && f.Node.Namespace != "shop" && f.Node.Namespace != p.ns || f.Cluster != "" && f.Cluster != p.eu.id
	}); err == nil {
		t.Error("the narrow stream told of other namespaces")
	}
}

func (p *path) control(t *testing.T) {
	ping := get[struct {
		Cluster, Version string
		RoundTripMS      float64
	}](t, &p.hub.Client, "/api/v1/clusters/"+p.eu.id+"/ping")
	if ping.Cluster != p.eu.id || !strings.HasPrefix(ping.Version, "v1.") || ping.RoundTripMS <= 0 {
		t.Errorf("ping %+v", ping)
	}
}

// secrets looks for the planted value wherever something is kept or told, also inside of what is compressed.
func (p *path) secrets(t *testing.T) {
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	look := func(where string, text []byte) {
		if plain, err := z.DecodeAll(text, nil); err == nil {
			text = append(slices.Clone(text), plain...)
		}
		if bytes.Contains(text, []byte(planted)) || bytes.Contains(text, []byte(plantedEncoded())) {
			t.Errorf("the Secret's value is in %s", where)
		}
	}
	bodies, credentials := 0, p.credentials(t)
	p.db.cells(t, func(table, column string, value []byte) {
		for what, credential := range credentials {
			if bytes.Contains(value, []byte(credential)) {
				t.Errorf("%s is in %s.%s", what, table, column)
			}
		}
		if column == "body" {
			bodies++
			if _, err := z.DecodeAll(value, nil); err != nil {
				t.Errorf("%s.%s is not what this test can look into: %v", table, column, err)
			}
		}
		look(table+"."+column, value)
	})
	if bodies < 100 {
		t.Errorf("looked into %d manifests only", bodies)
	}
	for name, l := range map[string]*logbook{"the hub's log": p.log, "an agent's log": p.eu.log, "the other agent's log": p.us.log} {
		look(name, []byte(l.String()))
	}
	look("the stream", []byte(p.stream.text()))
	for _, path := range []string{"/resources/-/v1/secrets/payments/planted?manifest=true", "/topology?namespace=payments", "/resources/-/v1/secrets?limit=1000"} {
		var raw json.RawMessage
		if err := p.hub.Get(t.Context(), "/api/v1/clusters/"+p.eu.id+path, &raw); err != nil {
			t.Error(err)
		}
		look(path, raw)
	}
}

// credentials are what would let whoever has the database into the hub or a cluster.
func (p *path) credentials(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(p.eu.options.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	account := regexp.MustCompile(`token: ?"?([A-Za-z0-9._-]{100,})`).FindSubmatch(text)
	if account == nil {
		t.Fatal("the agent's kubeconfig holds no token of an account")
	}
	join := strings.Split(p.eu.options.Token, ".")
	api := strings.Split(p.hub.Token, ".")
	return map[string]string{"the agent's token of its account": string(account[1]), "a join token's secret": join[2], "an API token's secret": api[2]}
}

// An agent that comes back with less to share takes back what it had shared.
func (p *path) topologyAlone(t *testing.T) {
	if err := p.eu.agent.Stop(); err != nil {
		t.Error(err)
	}
	p.eu.restart(t, "--share", "topology")
	eventually(t, "manifests are gone, past ones too", 30*time.Second, func() error {
		n := p.db.number(t, "SELECT (SELECT count(*) FROM manifests m JOIN clusters c ON c.cluster_id = m.cluster_id WHERE c.share = 'topology') + "+
			"(SELECT count(*) FROM manifests_history m JOIN clusters c ON c.cluster_id = m.cluster_id WHERE c.share = 'topology') + "+
			"(SELECT count(*) FROM clusters WHERE share = 'manifests') - 1")
		if n != 0 {
			return fmt.Errorf("%d are there", n)
		}
		return nil
	})
	p.live(t, p.eu)
	got := get[detail](t, &p.hub.Client, "/api/v1/clusters/"+p.eu.id+"/resources/-/v1/configmaps/shop/api-config?manifest=true")
	if got.Manifest != nil || !strings.Contains(got.ManifestAbsent, "topology only") {
		t.Errorf("got %s, %q", got.Manifest, got.ManifestAbsent)
	}
}

// A deleted cluster is gone at once for readers and agents, and soon from the tables.
func (p *path) deletion(t *testing.T) {
	if err := p.hub.Do(t.Context(), http.MethodDelete, "/api/v1/clusters/"+p.eu.id, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := refused(t, &p.hub.Client, http.MethodGet, "/api/v1/clusters/"+p.eu.id, nil); got.Status != http.StatusNotFound {
		t.Errorf("after the deletion: %v", got)
	}
	left, err := all[stack.Resource](t.Context(), &p.hub.Client, "/api/v1/resources", url.Values{"limit": {"1000"}})
	if err != nil || slices.ContainsFunc(left, func(r stack.Resource) bool { return r.Cluster == p.eu.id }) {
		t.Errorf("its rows are still told (%v)", err)
	}
	eventually(t, "the stream tells the deletion", 10*time.Second, func() error {
		_, err := p.stream.find(func(f *stack.Frame) bool { return f.Op == "deleted" && f.Cluster == p.eu.id })
		return err
	})
	says(t, p.eu.log, 20*time.Second, "refused")
	if err := p.hub.Stop(); err != nil {
		t.Error(err)
	}
	p.restartHub(t) // a hub purges at its start, too
	eventually(t, "its rows are purged", 30*time.Second, func() error { return p.purged(t) })
	p.rig.live(t, p.us)
}

func (p *path) purged(t *testing.T) error {
	db := p.db.open(t)
	defer func() { _ = db.Close() }()
	for _, table := range []string{"refs", "resources", "resources_history", "labels", "labels_history", "edges", "edges_history", "manifests", "manifests_history", "digests", "events", "kinds", "quarantine"} {
		var others sql.NullInt64
		var n int64
		row := db.QueryRowContext(t.Context(), "SELECT count(*), min(cluster_id) FROM "+table+" WHERE cluster_id NOT IN (SELECT cluster_id FROM clusters WHERE deleted IS NULL)")
		if err := row.Scan(&n, &others); err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%s has %d rows of cluster %d", table, n, others.Int64)
		}
	}
	return nil
}
