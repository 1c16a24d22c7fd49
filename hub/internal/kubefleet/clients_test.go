package kubefleet

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"

	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Programs find the kinds as they do anywhere, by whichever way of discovery they know, and by the names that people use.
func TestDiscovery(t *testing.T) {
	r := newRig(t)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	client, err := discovery.NewDiscoveryClientForConfigAndClient(&rest.Config{Host: r.url}, &http.Client{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	cached := memory.NewMemCacheClient(client)
	mapper := restmapper.NewShortcutExpander(restmapper.NewDeferredDiscoveryRESTMapper(cached), cached, nil)
	for name, want := range map[string]schema.GroupVersionResource{
		"po": {Version: "v1", Resource: "pods"}, "deploy": {Group: "apps", Version: "v1", Resource: "deployments"},
		"wd": {Group: "example.com", Version: "v1", Resource: "widgets"}, "crd": {Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
		"ev": {Version: "v1", Resource: "events"},
	} {
		got, err := mapper.ResourceFor(schema.GroupVersionResource{Resource: name})
		if err != nil || got != want {
			t.Errorf("%s is %v (%v)", name, got, err)
		}
	}
	if _, err := mapper.ResourceFor(schema.GroupVersionResource{Resource: "secrets"}); err == nil {
		t.Error("a kind that no cluster shows is served")
	}
	legacy := map[string]string{}
	for _, path := range []string{"/api/v1", "/apis/apps/v1", "/apis/example.com/v1"} {
		for _, k := range r.get(path).json["resources"].([]any) {
			k := k.(map[string]any)
			legacy[k["name"].(string)] = fmt.Sprint(k["kind"], k["namespaced"], k["verbs"], k["shortNames"], k["categories"])
		}
	}
	if legacy["widgets"] != "Widgettrue [get list watch] [wd] [all]" || legacy["nodes"] != "Nodefalse [get list watch] [no] <nil>" {
		t.Errorf("%v", legacy)
	}
	if p := r.get("/apis/apps"); p.at("preferredVersion.groupVersion") != "apps/v1" {
		t.Errorf("a group: %s", p.text)
	}
	for _, path := range []string{"/apis/none.example.com", "/apis/apps/v7", "/openapi/v2", "/metrics"} {
		r.get(path).refused(http.StatusNotFound, metav1.StatusReasonNotFound, "")
	}
	for path, want := range map[string]string{"/api": `"versions":["v1"]`, "/apis": `"name":"example.com"`, "/version": "kubilitics", "/readyz": "ok", "/openapi/v3": "paths", "/": "/apis"} {
		if p := r.get(path); p.status != 200 || !strings.Contains(p.text, want) {
			t.Errorf("%s: %d %s", path, p.status, p.text)
		}
	}
}

// What is known already isn't sent again.
func TestDiscoveryIsTagged(t *testing.T) {
	r := newRig(t)
	const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
	first := r.do("GET", "/apis", accept)
	if first.header.Get("Content-Type") != "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList" {
		t.Errorf("%v", first.header)
	}
	if said := first.header.Get("Cache-Control"); said != "private, no-cache" { // what one may see is nobody else's, whoever keeps answers on the way
		t.Error(said)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/apis", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("If-None-Match", first.header.Get("ETag"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNotModified {
		t.Error(resp.Status)
	}
}

// A cache of the ecosystem, filled and kept up by its own reflector, holds what the hub does, also after the hub has told it to begin anew.
func TestReflector(t *testing.T) {
	r := newRig(t)
	client, err := metadata.NewForConfigAndClient(rest.AddUserAgent(&rest.Config{Host: r.url + "/clusters/eu-1"}, "test"), http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	pods := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"})
	held := cache.NewStore(cache.MetaNamespaceKeyFunc)
	reflector := cache.NewReflector(cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return pods.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return pods.Watch(ctx, o)
		},
	}, client), &metav1.PartialObjectMetadata{}, held, 0)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); reflector.RunWithContext(ctx) }()
	defer func() { cancel(); <-done }()
	holds := func(want ...string) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
			got := held.ListKeys()
			slices.Sort(got)
			if slices.Equal(got, want) {
				tick.Stop()
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("it holds %v, want %v", got, want)
			}
		}
	}
	holds("bank/vault", "shop/web-a", "shop/web-b")
	r.eu.Apply(pod("new", "app=new"))
	holds("bank/vault", "shop/new", "shop/web-a", "shop/web-b")
	r.eu.Apply(without("web-a"))
	holds("bank/vault", "shop/new", "shop/web-b")
	at := r.eu.Apply(pod("new", "app=newer"))
	deadline := time.Now().Add(10 * time.Second)
	for reflector.LastSyncResourceVersion() != fmt.Sprint(at) {
		if time.Now().After(deadline) {
			t.Fatalf("it stands at %s, want %d", reflector.LastSyncResourceVersion(), at)
		}
		time.Sleep(5 * time.Millisecond)
	}
	o, _, _ := held.GetByKey("shop/new")
	if m := o.(*metav1.PartialObjectMetadata); m.Labels["app"] != "newer" || m.Annotations[ClusterNameKey] != "eu-1" {
		t.Errorf("%v", m)
	}
}

// Typed clients, which would rather have protobuf, read JSON.
func TestTypedClient(t *testing.T) {
	r := newRig(t)
	client, err := kubernetes.NewForConfigAndClient(&rest.Config{Host: r.url, ContentConfig: rest.ContentConfig{
		ContentType: runtime.ContentTypeProtobuf, AcceptContentTypes: runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON}}, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	list, err := client.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{FieldSelector: "status.phase=Running"})
	if err != nil || len(list.Items) != 2 || list.Items[0].Spec.NodeName != "n1" || list.Items[0].Status.Phase != corev1.PodRunning {
		t.Errorf("%v %v", list, err)
	}
	w, err := client.CoreV1().Pods("shop").Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	r.eu.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/typed")}})
	if e := <-w.ResultChan(); e.Type != watch.Added || e.Object.(*corev1.Pod).Name != "typed" {
		t.Errorf("%v", e)
	}
}
