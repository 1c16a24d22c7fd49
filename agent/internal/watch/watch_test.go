package watch

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func TestObjectsComeGoAndChange(t *testing.T) {
	f := newFakeAPI(t, pods, nodes)
	f.put("pods", "shop", "a", "")
	f.put("nodes", "", "n1", "")
	v := watchFake(t, f, nil)
	v.sync()
	v.wants("Pod shop/a", "Node n1")
	if k := v.kinds[pods.GroupKind]; !k.Observed || k.Kind != pods || k.Reason != "" {
		t.Errorf("pods: %+v", k)
	}
	f.put("pods", "shop", "b", "")
	v.wants("Pod shop/a", "Pod shop/b", "Node n1")
	f.remove("pods", "shop", "a", false)
	v.wants("Pod shop/b", "Node n1")
	f.put("pods", "shop", "b", `"color":"blue"`)
	v.until("the change of b", func() bool {
		return v.objects[topo.Ref{Kind: "Pod", Namespace: "shop", Name: "b"}].Resource.Status == "blue"
	})
	if n := f.count("list pods"); n != 0 {
		t.Errorf("pods were listed %d times, though their server streams", n)
	}
}

// A kind is known before its first object, and observed only after its last.
func TestObservedAfterItsObjects(t *testing.T) {
	f := newFakeAPI(t, pods)
	for i := range 3 * batchChanges {
		f.put("pods", "shop", fmt.Sprint("p", i), "")
	}
	v := watchFake(t, f, nil)
	v.until("pods are observed", func() bool {
		k, told := v.kinds[pods.GroupKind]
		if told && !k.Observed && k.Reason != "not yet listed" {
			t.Fatalf("unexpected reason %q", k.Reason)
		}
		return k.Observed
	})
	if len(v.objects) != 3*batchChanges {
		t.Errorf("observed with %d of %d objects", len(v.objects), 3*batchChanges)
	}
	v.sync()
}

func TestWatchGoesOnAfterACutWithoutListing(t *testing.T) {
	f := newFakeAPI(t, pods)
	f.put("pods", "shop", "a", "")
	v := watchFake(t, f, nil)
	v.sync()
	f.put("pods", "shop", "b", "") // a watch that ends at once and told nothing is begun anew altogether
	v.wants("Pod shop/a", "Pod shop/b")
	f.cutAll()
	f.put("pods", "shop", "c", "")
	v.wants("Pod shop/a", "Pod shop/b", "Pod shop/c")
	if n := f.count("stream pods") + f.count("list pods"); n != 1 {
		t.Errorf("everything was read %d times, want once", n)
	}
}

// While the watch was away an object was deleted, and the version is too old to be told of it.
func TestExpiredVersionIsListedAnewAndWhatIsGoneIsFound(t *testing.T) {
	f := newFakeAPI(t, pods)
	f.put("pods", "shop", "a", "")
	f.put("pods", "shop", "b", "")
	v := watchFake(t, f, nil)
	v.sync()
	v.wants("Pod shop/a", "Pod shop/b")
	f.remove("pods", "shop", "a", true)
	f.cutAll()
	v.wants("Pod shop/b")
	f.put("pods", "shop", "c", "")
	v.wants("Pod shop/b", "Pod shop/c")
}

func TestServersWithoutStreamsAreListedInPages(t *testing.T) {
	for name, fault := range map[string]func(*fakeKind){
		"refusing": func(k *fakeKind) { k.refuse["stream"] = http.StatusUnprocessableEntity },
		"ignoring": func(k *fakeKind) { k.mute = true },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeAPI(t, pods)
			f.with("pods", fault)
			want := []string{}
			for i := range 5 {
				f.put("pods", "shop", fmt.Sprint("p", i), "")
				want = append(want, fmt.Sprint("Pod shop/p", i))
			}
			v := watchFake(t, f, nil)
			v.sync()
			v.wants(want...)
			if n := f.count("list pods"); n != 3 {
				t.Errorf("%d requests for 5 objects in pages of 2", n)
			}
			f.put("pods", "shop", "late", "")
			v.wants(append(want, "Pod shop/late")...)
			f.remove("pods", "shop", "p0", true)
			f.cutAll()
			v.wants(append(want[1:], "Pod shop/late")...)
		})
	}
}

func TestRefusedKindIsReportedRetriedAndRecovers(t *testing.T) {
	for _, code := range []int{http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotFound} {
		t.Run(http.StatusText(code), func(t *testing.T) {
			f := newFakeAPI(t, pods, nodes)
			f.put("pods", "shop", "a", "")
			f.with("pods", func(k *fakeKind) { k.refuse["stream"], k.refuse["list"] = code, code })
			f.put("nodes", "", "n1", "")
			v := watchFake(t, f, nil)
			v.sync() // a refusal doesn't keep the first sync from its end
			k := v.kinds[pods.GroupKind]
			if k.Observed || k.Reason != "list of pods is refused" {
				t.Errorf("pods: %+v", k)
			}
			v.wants("Node n1")
			f.with("pods", func(k *fakeKind) { clear(k.refuse) })
			v.wants("Node n1", "Pod shop/a")
			v.until("observed", func() bool { return v.kinds[pods.GroupKind].Observed })
		})
	}
}

func TestKindThatMayBeListedButNotWatched(t *testing.T) {
	f := newFakeAPI(t, pods)
	f.put("pods", "shop", "a", "")
	f.with("pods", func(k *fakeKind) { k.refuse["stream"], k.refuse["watch"] = 403, 403 })
	v := watchFake(t, f, nil)
	v.sync()
	v.wants("Pod shop/a")
	f.put("pods", "shop", "b", "") // found by the next look
	v.wants("Pod shop/a", "Pod shop/b")
	if k := v.kinds[pods.GroupKind]; k.Observed || k.Reason != "watch of pods is refused" {
		t.Errorf("pods: %+v", k)
	}
}

// A role is taken away for good: what was known becomes unknown, but not at the first refusal.
func TestRevokedKindIsForgottenAfterSomeRefusals(t *testing.T) {
	f := newFakeAPI(t, pods)
	f.put("pods", "shop", "a", "")
	v := watchFake(t, f, nil)
	v.sync()
	v.wants("Pod shop/a")
	before := f.count("list pods")
	f.with("pods", func(k *fakeKind) { k.refuse["stream"], k.refuse["list"], k.refuse["watch"] = 403, 403, 403 })
	f.cutAll()
	v.until("refused", func() bool { return !v.kinds[pods.GroupKind].Observed })
	v.wants()
	if n := f.count("list pods") - before; n < forgetAfter-1 {
		t.Errorf("forgotten after %d refused lists", n)
	}
}

func TestKindsComeAndGo(t *testing.T) {
	f := newFakeAPI(t, pods, crds)
	v := watchFake(t, f, nil)
	v.sync()
	f.addKind(widgets)
	f.put("widgets", "shop", "w", "")
	f.put("customresourcedefinitions", "", "widgets.example.com", "")
	v.wants("CustomResourceDefinition.apiextensions.k8s.io widgets.example.com", "Widget.example.com shop/w")
	v.until("observed", func() bool { return v.kinds[widgets.GroupKind].Observed })
	f.dropKind("widgets")
	f.remove("customresourcedefinitions", "", "widgets.example.com", false)
	v.until("gone", func() bool { return v.kinds[widgets.GroupKind].Gone })
	v.wants()
}

// The API of a group is down: what it serves isn't known to be gone.
func TestSilentGroupKeepsItsKinds(t *testing.T) {
	f := newFakeAPI(t, pods, widgets)
	f.put("widgets", "shop", "w", "")
	v := watchFake(t, f, nil)
	v.sync()
	f.mu.Lock()
	f.stale["example.com"] = true
	f.mu.Unlock()
	looked := watcherOf(v.src, widgets.GroupKind)
	v.src.nudge()
	f.addKind(nodes)
	f.put("nodes", "", "n1", "")
	v.wants("Node n1", "Widget.example.com shop/w")
	if watcherOf(v.src, widgets.GroupKind) != looked {
		t.Error("the watch was begun anew")
	}
}

func TestSwitchOfVersionKeepsObjectsAndFindsWhatIsGone(t *testing.T) {
	f := newFakeAPI(t, widgets)
	f.put("widgets", "shop", "a", "")
	f.put("widgets", "shop", "b", "")
	v := watchFake(t, f, nil)
	v.sync()
	f.with("widgets", func(k *fakeKind) {
		k.Version = "v2"
		delete(k.objects, "shop/b")
	})
	v.src.nudge()
	a := topo.Ref{Group: "example.com", Kind: "Widget", Namespace: "shop", Name: "a"}
	v.until("v2", func() bool {
		if v.kinds[widgets.GroupKind].Gone {
			t.Fatal("the kind was reported gone")
		}
		return v.objects[a].Resource.Version == "v2" && v.kinds[widgets.GroupKind].Observed
	})
	v.wants(a.String())
}

func TestOldDiscovery(t *testing.T) {
	f := newFakeAPI(t, pods, widgets)
	f.old = true
	f.put("pods", "shop", "a", "")
	f.put("widgets", "shop", "w", "")
	v := watchFake(t, f, nil)
	v.sync()
	v.wants("Pod shop/a", "Widget.example.com shop/w")
	if len(v.kinds) != 2 {
		t.Errorf("kinds: %v", v.kinds)
	}
}

func TestWhatIsNotWatched(t *testing.T) {
	newEvents := Kind{GroupKind: topo.GroupKind{Group: "events.k8s.io", Kind: "Event"}, Version: "v1", Plural: "events", Namespaced: true}
	f := newFakeAPI(t, pods, nodes, newEvents, widgets)
	f.with("widgets", func(k *fakeKind) { k.verbs = []string{"list"} })
	f.put("nodes", "", "n1", "")
	f.put("pods", "kube-system", "hidden", "")
	f.put("pods", "shop", "a", "")
	v := watchFake(t, f, func(c *Config) {
		c.Exclude = []topo.GroupKind{nodes.GroupKind}
		c.ExcludeNamespaces = []string{"kube-system"}
	})
	v.sync()
	v.wants("Pod shop/a")
	if k := v.kinds[nodes.GroupKind]; k.Observed || !strings.Contains(k.Reason, "excluded") || len(v.kinds) != 2 {
		t.Errorf("kinds: %v", v.kinds)
	}
	if n := f.count("stream nodes") + f.count("stream events") + f.count("stream widgets"); n != 0 {
		t.Errorf("%d watches of what isn't to be watched", n)
	}
}

func TestOnlySomeNamespaces(t *testing.T) {
	f := newFakeAPI(t, pods, nodes)
	f.put("pods", "shop", "a", "")
	f.put("pods", "other", "b", "")
	f.put("pods", "pay", "c", "")
	f.put("nodes", "", "n1", "")
	v := watchFake(t, f, func(c *Config) { c.Namespaces = []string{"shop", "pay"} })
	v.sync()
	v.wants("Pod shop/a", "Pod pay/c", "Node n1")
	f.remove("pods", "pay", "c", true)
	f.cutAll()
	v.wants("Pod shop/a", "Node n1")
}

func TestBadObjectIsReportedAndStallsNothing(t *testing.T) {
	f := newFakeAPI(t, pods)
	f.put("pods", "shop", "a", "")
	f.put("pods", "shop", "b", `"bad":true`)
	f.put("pods", "shop", "c", `"worse":true`)
	v := watchFake(t, f, nil)
	v.sync()
	v.wants("Pod shop/a")
	v.until("both are reported", func() bool { return len(v.bad) == 2 })
	if v.bad[0] != (Problem{Ref: topo.Ref{Kind: "Pod", Namespace: "shop", Name: "b"}, Reason: "it is bad"}) || v.bad[1].Ref.Name != "c" {
		t.Errorf("problems: %v", v.bad)
	}
	// One that was good stays as it was, also through a new list; and goes when it goes.
	f.put("pods", "shop", "a", `"bad":true`)
	f.put("pods", "shop", "d", "")
	v.wants("Pod shop/a", "Pod shop/d")
	f.remove("pods", "shop", "d", true)
	f.cutAll()
	v.wants("Pod shop/a")
	f.remove("pods", "shop", "a", false)
	v.wants()
}

func TestServerThatGoesAwayAndComesBack(t *testing.T) {
	f := newFakeAPI(t, pods)
	f.put("pods", "shop", "a", "")
	v := watchFake(t, f, nil)
	v.sync()
	addr := f.srv.Listener.Addr().String()
	f.stop()
	v.until("down", func() bool { return v.down })
	v.wants("Pod shop/a") // what was known stays
	if !v.kinds[pods.GroupKind].Observed {
		t.Error("an outage was taken for a refusal")
	}
	f.listen(t, addr)
	f.put("pods", "shop", "b", "")
	v.wants("Pod shop/a", "Pod shop/b")
	v.until("up", func() bool { return !v.down })
}

// An API server that has just started refuses what it will soon allow. After an outage that, too, costs no more than a moment, and isn't told.
func TestServerThatComesBackAndRefusesAtFirst(t *testing.T) {
	f := newFakeAPI(t, pods)
	f.put("pods", "shop", "a", "")
	v := watchFake(t, f, nil, func(p *pace) { p.refusedFirst, p.refused = 20*time.Millisecond, time.Hour })
	v.sync()
	addr := f.srv.Listener.Addr().String()
	f.stop()
	v.until("down", func() bool { return v.down })
	f.with("pods", func(k *fakeKind) { k.refuse["stream"], k.refuse["list"], k.refuse["watch"] = 403, 403, 403 })
	asked := func() int { return f.count("stream pods") + f.count("list pods") + f.count("watch pods") }
	before := asked()
	f.listen(t, addr)
	for asked() < before+2 { // at least one of them was refused by now, and the lane knows
		v.src.client.reach.pause(t.Context(), 5*time.Millisecond, false)
	}
	v.wants("Pod shop/a")
	f.with("pods", func(k *fakeKind) { clear(k.refuse) })
	f.put("pods", "shop", "b", "")
	v.wants("Pod shop/a", "Pod shop/b")
}

func TestServerThatIsDownAtFirst(t *testing.T) {
	f := newFakeAPI(t, pods)
	f.put("pods", "shop", "a", "")
	addr := f.srv.Listener.Addr().String()
	cfg := f.config()
	f.stop()
	v := watchFake(t, f, func(c *Config) { c.RESTConfig = cfg })
	v.until("down", func() bool { return v.down })
	if v.synced {
		t.Error("synced with nobody")
	}
	f.listen(t, addr)
	v.sync()
	v.wants("Pod shop/a")
}

func TestEvents(t *testing.T) {
	f := newFakeAPI(t, pods, events)
	f.put("events", "shop", "a.1", `"involvedObject":{"apiVersion":"apps/v1","kind":"Deployment","namespace":"shop","name":"web"},"type":"Warning","reason":"Failed","message":"no\u0000way","count":3,"firstTimestamp":"2026-01-01T00:00:00Z","lastTimestamp":"2026-01-01T00:01:00Z","source":{"component":"controller"}`)
	v := watchFake(t, f, nil)
	v.sync()
	f.put("events", "shop", "a.2", `"involvedObject":{"apiVersion":"v1","kind":"Pod","namespace":"shop","name":"p"},"eventTime":"2026-01-01T00:00:00.5Z","reportingComponent":"kubelet","series":{"count":7,"lastObservedTime":"2026-01-01T01:00:00.5Z"}`)
	v.until("both", func() bool { return len(v.events) == 2 })
	want := topo.Event{
		UID: "u-a.1", Namespace: "shop", Name: "a.1", Regarding: topo.Ref{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"},
		Type: "Warning", Reason: "Failed", Message: "no\uFFFDway", Source: "controller", Count: 3, First: 1767225600, Last: 1767225660,
	}
	if v.events[0] != want {
		t.Errorf("got  %+v\nwant %+v", v.events[0], want)
	}
	if e := v.events[1]; e.Count != 7 || e.Last-e.First != 3600 || e.Source != "kubelet" || e.Regarding.Group != "" {
		t.Errorf("a series: %+v", e)
	}
	if len(v.objects) != 0 {
		t.Error("an Event became an object")
	}
	var again []string
	err := v.src.EventsSince(v.ctx, time.Unix(1767226000, 0), func(e topo.Event) error {
		again = append(again, e.Name)
		return nil
	})
	if err != nil || len(again) != 1 || again[0] != "a.2" {
		t.Errorf("since: %v, %v", again, err)
	}
}

func TestManifestsAreTheSameHoweverTheyWereRead(t *testing.T) {
	f := newFakeAPI(t, pods, nodes)
	f.with("nodes", func(k *fakeKind) { k.refuse["stream"] = 422 }) // one kind streamed, one listed
	f.put("pods", "shop", "a", `"color":"red"`)
	f.put("nodes", "", "n1", `"color":"red"`)
	v := watchFake(t, f, func(c *Config) { c.Manifests = true })
	v.sync()
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	for ref, c := range v.objects {
		text, err := dec.DecodeAll(c.Body, nil)
		if err != nil || textHash(text) != c.Hash || !strings.HasPrefix(string(text), `{"kind":"`+ref.Kind+`","apiVersion":"v1",`) {
			t.Errorf("%s: %v, %s", ref, err, text)
		}
		m, found, err := v.src.Read(v.ctx, ref)
		if err != nil || !found || m.Hash != c.Hash || string(m.Body) != string(c.Body) {
			t.Errorf("%s read again: %+v, %v, %v", ref, m, found, err)
		}
	}
	if _, found, err := v.src.Read(v.ctx, topo.Ref{Kind: "Pod", Namespace: "shop", Name: "absent"}); found || err != nil {
		t.Errorf("absent: %v, %v", found, err)
	}
	if _, found, err := v.src.Read(v.ctx, topo.Ref{Kind: "Unheard", Name: "of"}); found || err != nil {
		t.Errorf("unwatched: %v, %v", found, err)
	}
	f.with("pods", func(k *fakeKind) { k.refuse["get"] = 403 })
	if _, _, err := v.src.Read(v.ctx, topo.Ref{Kind: "Pod", Namespace: "shop", Name: "a"}); !fault.Is(err, fault.Forbidden) {
		t.Errorf("forbidden: %v", err)
	}
}

func TestManifestsBeyondTheLimitAreReadAgain(t *testing.T) {
	f := newFakeAPI(t, pods, nodes)
	f.put("nodes", "", "n1", "")
	for i := range 2 * manyOfKind {
		f.put("pods", "shop", fmt.Sprint("p", i), "")
	}
	v := watchFake(t, f, func(c *Config) { c.Manifests, c.ManifestBytes = true, 1 })
	v.sync()
	var refs []topo.Ref
	for ref, c := range v.objects {
		if c.Body != nil || c.Hash.IsZero() {
			t.Fatalf("%s: %d bytes, hash %s", ref, len(c.Body), c.Hash)
		}
		refs = append(refs, ref)
	}
	refs = append(refs, topo.Ref{Kind: "Pod", Namespace: "shop", Name: "absent"})
	got := map[topo.Ref]topo.ID{}
	err := v.src.ReadMany(v.ctx, refs, func(m topo.Manifest) error {
		got[m.Ref] = m.Hash
		return nil
	})
	if err != nil || len(got) != len(v.objects) {
		t.Fatalf("%d of %d, %v", len(got), len(v.objects), err)
	}
	for ref, c := range v.objects {
		if got[ref] != c.Hash {
			t.Errorf("%s has another hash now", ref)
		}
	}
	if f.count("get pods") != 0 || f.count("get nodes") != 1 {
		t.Error("many are to be listed, few to be asked for")
	}
	stop := errors.New("enough")
	if err := v.src.ReadMany(v.ctx, refs, func(topo.Manifest) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("give's error: %v", err)
	}
}

func TestInfo(t *testing.T) {
	namespaces := Kind{GroupKind: topo.GroupKind{Kind: "Namespace"}, Version: "v1", Plural: "namespaces"}
	f := newFakeAPI(t, nodes, namespaces)
	v := watchFake(t, f, nil)
	if _, err := v.src.Info(v.ctx); !fault.Is(err, fault.NotFound) {
		t.Errorf("without kube-system: %v", err)
	}
	f.put("namespaces", "", "kube-system", "")
	info, err := v.src.Info(v.ctx)
	if want := (ClusterInfo{Version: "v1.37.2+k3s1", UID: "u-kube-system", Provider: "k3s"}); info != want || err != nil {
		t.Errorf("%+v, %v", info, err)
	}
}

// A list that hangs gives its turn to others after a while.
func TestSlowListsDoNotKeepOthersWaiting(t *testing.T) {
	kinds := []Kind{pods}
	for i := range atOnce {
		k := widgets
		k.GroupKind.Kind, k.Plural = fmt.Sprint("Slow", i), fmt.Sprint("slow", i)
		kinds = append(kinds, k)
	}
	f := newFakeAPI(t, kinds...)
	for _, k := range kinds[1:] {
		f.with(k.Plural, func(k *fakeKind) { k.mute = true })
	}
	f.put("pods", "shop", "a", "")
	v := watchFake(t, f, nil, func(p *pace) { p.silence, p.turn = time.Hour, 10*time.Millisecond })
	v.wants("Pod shop/a")
}
