package kubefleet

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/search"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/kube"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// ask is a request for objects, read.
type ask struct {
	*place
	kube.Request
	form
	kind  *kind
	verb  fleet.Verb
	where query.Where // what of it the index answers

	clusters   clusterRules
	labels     labels.Selector // nil: none
	conditions []condition     // on fields
	about      []aboutEvent    // on fields of events

	limit    int // 0: no limit
	goOn     string
	version  topo.Position // the resourceVersion; 0: none
	exact    bool          // of just that version
	include  string        // what of an object stands in a table's row
	marks    bool          // bookmarks are wanted
	initial  bool          // a watch begins with all there is, and says where that ends
	duration time.Duration // of a watch; 0: not said
}

// subresources that are reads of what the index has.
var objectItself = map[string]bool{"": true, "status": true}

func (f *Face) ask(r *http.Request, at *place, q kube.Request) (*ask, error) {
	a := &ask{place: at, Request: q, verb: fleet.Verb(q.Verb)}
	if a.verb != fleet.Get && a.verb != fleet.List && a.verb != fleet.Watch {
		a.verb = fleet.Get // HEAD and OPTIONS, which are answered as GET is
	}
	if !may(at.principal, a.verb) {
		return nil, failure(http.StatusForbidden, "Forbidden", "%s may not %s anything in this fleet", at.principal.Name, a.verb)
	}
	if !objectItself[q.Subresource] {
		return nil, readsOnly(&kube.Request{Verb: q.Verb, Resource: q.Resource + "/" + q.Subresource})
	}
	cat, err := f.catalogue(r.Context(), at, q.Group+"/"+q.Resource)
	if err != nil {
		return nil, err
	}
	if a.kind = cat.find(q.Group, q.Version, q.Resource); a.kind == nil {
		return nil, noSuchPath()
	}
	if a.form, err = formOf(r.Header.Get("Accept")); err != nil {
		return nil, err
	}
	if err := a.bounds(); err != nil {
		return nil, err
	}
	return a, a.parameters(r.URL.Query())
}

// bounds says where to look.
func (a *ask) bounds() error {
	a.where.Kinds = a.kind.kinds
	space := a.Namespace
	if a.kind.Group == "" && a.kind.Plural == "namespaces" {
		space = "" // its path names itself
	}
	if space != "" && !a.kind.Namespaced {
		return noSuchPath()
	}
	if space != "" {
		a.where.Namespaces = []string{space}
	}
	if a.verb == fleet.Get {
		a.where.Names = []string{a.Name}
	}
	if a.only != nil {
		a.where.Clusters = []fleet.ClusterID{a.id}
	}
	return nil
}

func (a *ask) parameters(v url.Values) (err error) {
	if a.verb != fleet.Get {
		if err := a.selectors(v.Get("labelSelector"), v.Get("fieldSelector")); err != nil {
			return err
		}
	}
	if a.limit, err = number(v, "limit"); err != nil {
		return err
	}
	seconds, err := number(v, "timeoutSeconds")
	if err != nil {
		return err
	}
	a.duration = time.Duration(seconds) * time.Second
	a.goOn, a.include = v.Get("continue"), v.Get("includeObject")
	a.marks, a.initial = truthy(v, "allowWatchBookmarks"), truthy(v, "sendInitialEvents")
	return a.moment(v)
}

// moment reads which state is meant.
func (a *ask) moment(v url.Values) error {
	if text := v.Get("resourceVersion"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return badRequest("resourceVersion: %q is no position of this hub, which is a number", text)
		}
		a.version = topo.Position(n)
	}
	a.exact = v.Get("resourceVersionMatch") == "Exact" && a.version > 0
	if a.exact {
		a.where.At = store.When{Position: a.version}
	}
	at := v.Get("at")
	switch {
	case at == "":
		return nil
	case a.verb == fleet.Watch:
		return badRequest("at: what was can't be watched")
	}
	a.version, a.exact = 0, false
	when, err := parseMoment(at)
	a.where.At = when
	return err
}

// parseMoment reads a position, an instant, or how long ago.
func parseMoment(text string) (store.When, error) {
	if pos, err := strconv.ParseInt(text, 10, 64); err == nil && pos > 0 {
		return store.When{Position: topo.Position(pos)}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return store.When{Time: t}, nil
	}
	if ago, ok := strings.CutPrefix(text, "-"); ok {
		if d, err := search.ParseAge(ago); err == nil && d > 0 {
			return store.When{Time: time.Now().Add(-d)}, nil
		}
	}
	return store.When{}, badRequest("at: %q is neither a position, nor a time like 2026-01-02T15:04:05Z, nor a time ago like -2h or -7d", text)
}

func number(v url.Values, key string) (int, error) {
	text := v.Get(key)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, badRequest("%s: %q is no number from 0 up", key, text)
	}
	return n, nil
}

func truthy(v url.Values, key string) bool {
	b, err := strconv.ParseBool(v.Get(key))
	return err == nil && b
}
