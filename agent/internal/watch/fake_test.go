package watch

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// fakeAPI speaks the part of the Kubernetes API that a watch uses, over HTTP/2 and TLS, and fails on demand. It is for
// faults; that real API servers are understood is shown against real ones.
type fakeAPI struct {
	srv *httptest.Server

	mu      sync.Mutex
	version int
	kinds   []*fakeKind
	changed chan struct{} // closed and renewed at every change
	cut     chan struct{} // closed and renewed to end all watches
	asked   []string      // "list pods", "stream pods", "watch pods", "get pods"
	stale   map[string]bool
	old     bool // doesn't aggregate discovery
	stopped bool
}

type fakeKind struct {
	Kind
	objects map[string]string // "namespace/name": JSON
	log     []fakeEvent
	expired int            // versions up to this one can't be watched from
	refuse  map[string]int // verb ("list", "watch", "stream"): status
	mute    bool           // doesn't know sendInitialEvents
	verbs   []string
}

type fakeEvent struct {
	version   int
	word, raw string
}

func newFakeAPI(t *testing.T, kinds ...Kind) *fakeAPI {
	f := &fakeAPI{changed: make(chan struct{}), cut: make(chan struct{}), version: 100, stale: map[string]bool{}}
	for _, k := range kinds {
		f.addKind(k)
	}
	f.listen(t, "127.0.0.1:0")
	t.Cleanup(f.stop)
	return f
}

// listen starts the server, or starts it again where it was.
func (f *fakeAPI) listen(t *testing.T, addr string) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.stopped = false
	f.mu.Unlock()
	f.srv = &httptest.Server{Listener: l, Config: &http.Server{Handler: f}, EnableHTTP2: true}
	f.srv.StartTLS()
}

// stop ends the server as a crash would.
func (f *fakeAPI) stop() {
	f.mu.Lock()
	f.stopped = true
	f.mu.Unlock()
	f.cutAll()
	f.srv.CloseClientConnections()
	f.srv.Close()
}

func (f *fakeAPI) config() *rest.Config {
	return &rest.Config{Host: f.srv.URL, TLSClientConfig: rest.TLSClientConfig{CAData: pemOf(f.srv)}}
}

func (f *fakeAPI) addKind(k Kind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kinds = append(f.kinds, &fakeKind{Kind: k, objects: map[string]string{}, refuse: map[string]int{}, verbs: []string{"list", "watch"}})
}

func (f *fakeAPI) dropKind(plural string) {
	f.with(plural, func(*fakeKind) {})
	f.mu.Lock()
	f.kinds = slices.DeleteFunc(f.kinds, func(k *fakeKind) bool { return k.Plural == plural })
	f.mu.Unlock()
	f.cutAll()
}

// with changes a kind while nobody reads it.
func (f *fakeAPI) with(plural string, do func(*fakeKind)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.kinds, func(k *fakeKind) bool { return k.Plural == plural })
	do(f.kinds[i])
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeAPI) cutAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.cut)
	f.cut = make(chan struct{})
}

// put writes an object; extra are its fields besides metadata, "" for none.
func (f *fakeAPI) put(plural, namespace, name, extra string) {
	f.with(plural, func(k *fakeKind) {
		f.version++
		key, word := namespace+"/"+name, "MODIFIED"
		if _, was := k.objects[key]; !was {
			word = "ADDED"
		}
		if extra != "" {
			extra = "," + extra
		}
		k.objects[key] = fmt.Sprintf(`{"metadata":{"name":%q,"namespace":%q,"uid":"u-%s","resourceVersion":"%d"}%s}`, name, namespace, name, f.version, extra)
		k.log = append(k.log, fakeEvent{f.version, word, k.objects[key]})
	})
}

// remove deletes an object; a silent removal is one that no watch will ever tell of.
func (f *fakeAPI) remove(plural, namespace, name string, silent bool) {
	f.with(plural, func(k *fakeKind) {
		f.version++
		key := namespace + "/" + name
		raw := k.objects[key]
		delete(k.objects, key)
		if silent {
			k.expired = f.version
			return
		}
		k.log = append(k.log, fakeEvent{f.version, "DELETED", raw})
	})
}

// count tells how often something was asked.
func (f *fakeAPI) count(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, a := range f.asked {
		if a == what {
			n++
		}
	}
	return n
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	stopped := f.stopped
	f.mu.Unlock()
	if stopped {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/version":
		fmt.Fprint(w, `{"gitVersion":"v1.37.2+k3s1"}`)
	case "/api", "/apis":
		f.discovery(w, r.URL.Path == "/api")
	default:
		f.resource(w, r)
	}
}

func (f *fakeAPI) resource(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	gv := parts[1:2]
	if parts[0] == "apis" {
		gv = parts[1:3]
	}
	rest, namespace := parts[1+len(gv):], ""
	if len(rest) > 2 && rest[0] == "namespaces" {
		namespace, rest = rest[1], rest[2:]
	}
	if len(rest) == 0 {
		f.oldVersion(w, strings.Join(gv, "/"))
		return
	}
	verb := verbOf(r, len(rest) > 1)
	f.mu.Lock()
	f.asked = append(f.asked, verb+" "+rest[0])
	i := slices.IndexFunc(f.kinds, func(k *fakeKind) bool {
		return k.Plural == rest[0] && k.gv() == strings.Join(gv, "/")
	})
	var k *fakeKind
	code := http.StatusNotFound
	if i >= 0 {
		k, code = f.kinds[i], f.kinds[i].refuse[verb]
	}
	f.mu.Unlock()
	switch {
	case code != 0:
		refuse(w, code, fmt.Sprintf("%s of %s is refused", verb, rest[0]))
	case verb == "get":
		f.get(w, k, namespace+"/"+rest[1])
	case verb == "list":
		f.list(w, r, k, namespace)
	default:
		f.watch(w, r, k, namespace)
	}
}

func (k *fakeKind) gv() string { return strings.TrimPrefix(k.Group+"/"+k.Version, "/") }

func verbOf(r *http.Request, named bool) string {
	q := r.URL.Query()
	switch {
	case named:
		return "get"
	case q.Get("sendInitialEvents") == "true":
		return "stream"
	case q.Get("watch") == "true":
		return "watch"
	default:
		return "list"
	}
}

func statusOf(code int, message string) metav1.Status {
	reasons := map[int]metav1.StatusReason{403: metav1.StatusReasonForbidden, 404: metav1.StatusReasonNotFound, 405: metav1.StatusReasonMethodNotAllowed, 410: metav1.StatusReasonExpired}
	return metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure",
		Message: message, Code: int32(code), Reason: reasons[code],
	}
}

func refuse(w http.ResponseWriter, code int, message string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(statusOf(code, message))
}

func (f *fakeAPI) get(w http.ResponseWriter, k *fakeKind, key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	raw, is := k.objects[key]
	if !is {
		refuse(w, 404, "not found")
		return
	}
	fmt.Fprint(w, string(headerOf(k.Kind).typed([]byte(raw))))
}

// in is called with mu held.
func (k *fakeKind) in(namespace string) []string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(k.objects)) {
		if namespace == "" || strings.HasPrefix(key, namespace+"/") {
			out = append(out, k.objects[key])
		}
	}
	return out
}

// list gives pages of two where a limit is set, with items that lack kind and version, as API servers do.
func (f *fakeAPI) list(w http.ResponseWriter, r *http.Request, k *fakeKind, namespace string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	items, more := k.in(namespace), ""
	from, _ := strconv.Atoi(r.URL.Query().Get("continue"))
	items = items[from:]
	if r.URL.Query().Get("limit") != "" && len(items) > 2 {
		items, more = items[:2], strconv.Itoa(from+2)
	}
	fmt.Fprintf(w, `{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"%d","continue":%q},"items":[%s]}`, f.version, more, strings.Join(items, ","))
}

func (f *fakeAPI) watch(w http.ResponseWriter, r *http.Request, k *fakeKind, namespace string) {
	q := r.URL.Query()
	from, _ := strconv.Atoi(q.Get("resourceVersion"))
	f.mu.Lock()
	cut := f.cut
	if q.Get("sendInitialEvents") == "true" || from == 0 {
		for _, raw := range k.in(namespace) {
			emit(w, k, "ADDED", raw)
		}
		from = f.version
		if !k.mute {
			emit(w, k, "BOOKMARK", fmt.Sprintf(`{"metadata":{"resourceVersion":"%d","annotations":{"k8s.io/initial-events-end":"true"}}}`, from))
		}
	} else if from < k.expired {
		status, _ := json.Marshal(statusOf(410, "too old resource version"))
		fmt.Fprintf(w, `{"type":"ERROR","object":%s}`+"\n", status)
		f.mu.Unlock()
		return
	}
	f.mu.Unlock()
	f.follow(w, r, k, namespace, from, cut)
}

func (f *fakeAPI) follow(w http.ResponseWriter, r *http.Request, k *fakeKind, namespace string, from int, cut chan struct{}) {
	for {
		f.mu.Lock()
		changed := f.changed
		for _, e := range k.log {
			if e.version > from && (namespace == "" || strings.Contains(e.raw, fmt.Sprintf(`"namespace":%q`, namespace))) {
				emit(w, k, e.word, e.raw)
				from = e.version
			}
		}
		f.mu.Unlock()
		w.(http.Flusher).Flush()
		select {
		case <-changed:
		case <-cut:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func emit(w http.ResponseWriter, k *fakeKind, word, raw string) {
	fmt.Fprintf(w, `{"type":%q,"object":%s}`+"\n", word, headerOf(k.Kind).typed([]byte(raw)))
}

func (f *fakeAPI) discovery(w http.ResponseWriter, core bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.old {
		f.oldDiscovery(w, core)
		return
	}
	groups := []groupDoc{}
	for _, k := range f.kinds {
		if core != (k.Group == "") {
			continue
		}
		r := resourceDoc{Resource: k.Plural, Verbs: k.verbs}
		r.ResponseKind.Kind = k.Kind.Kind
		if k.Namespaced {
			r.Scope = "Namespaced"
		}
		g := groupDoc{Versions: []versionDoc{{Version: k.Version, Resources: []resourceDoc{r}}}}
		g.Metadata.Name = k.Group
		if f.stale[k.Group] {
			g.Versions[0] = versionDoc{Version: k.Version, Freshness: "Stale"}
		}
		groups = append(groups, g)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "APIGroupDiscoveryList", "items": groups})
}

// oldDiscovery is called with mu held.
func (f *fakeAPI) oldDiscovery(w http.ResponseWriter, core bool) {
	if core {
		fmt.Fprint(w, `{"kind":"APIVersions","versions":["v1"]}`)
		return
	}
	list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList"}}
	for _, k := range f.kinds {
		if k.Group != "" {
			v := metav1.GroupVersionForDiscovery{GroupVersion: k.gv(), Version: k.Version}
			worse := metav1.GroupVersionForDiscovery{GroupVersion: k.Group + "/v0", Version: "v0"}
			list.Groups = append(list.Groups, metav1.APIGroup{Name: k.Group, PreferredVersion: v, Versions: []metav1.GroupVersionForDiscovery{worse, v}})
		}
	}
	_ = json.NewEncoder(w).Encode(list)
}

func (f *fakeAPI) oldVersion(w http.ResponseWriter, gv string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := metav1.APIResourceList{GroupVersion: gv}
	for _, k := range f.kinds {
		if k.gv() == gv || k.Group != "" && gv == k.Group+"/v0" {
			list.APIResources = append(list.APIResources,
				metav1.APIResource{Name: k.Plural, Kind: k.Kind.Kind, Namespaced: k.Namespaced, Verbs: k.verbs},
				metav1.APIResource{Name: k.Plural + "/status", Kind: k.Kind.Kind, Namespaced: k.Namespaced, Verbs: k.verbs})
		}
	}
	_ = json.NewEncoder(w).Encode(list)
}

// plainDecoder stands in for the rules' decoder: names only, and the text as it came. It fails on an object with a field
// "bad", and panics on one with a field "worse".
type plainDecoder struct{}

func (plainDecoder) Decode(k Kind, raw, text []byte) (Object, error) {
	var o struct {
		Metadata   metav1.ObjectMeta
		Bad, Worse bool
		Color      string
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return Object{}, err
	}
	if o.Worse {
		panic("worse")
	}
	if o.Bad {
		return Object{}, fmt.Errorf("it is bad")
	}
	ref := topo.Ref{Group: k.Group, Kind: k.GroupKind.Kind, Namespace: o.Metadata.Namespace, Name: o.Metadata.Name}
	obj := Object{Resource: &topo.Resource{Ref: ref, UID: string(o.Metadata.UID), Version: k.Version, Status: o.Color}, ResourceVersion: o.Metadata.ResourceVersion}
	if text != nil {
		obj.Text = append(text, raw...)
	}
	return obj, nil
}
