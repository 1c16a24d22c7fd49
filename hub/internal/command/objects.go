package command

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// naming is what somebody calls an object.
type naming struct{ kind, namespace, name string }

// readNaming reads "kind/name", "kind name" and "kind/namespace/name".
func readNaming(args []string) (naming, error) {
	parts := strings.Split(strings.Join(args, "/"), "/")
	bad := fault.New(fault.BadRequest, "%q names no object; one is named like pod/web, pod web, or pod/shop/web", strings.Join(args, " "))
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") || strings.Contains(parts[0], ",") {
		return naming{}, bad
	}
	n := naming{kind: kindsOf(parts[:1])[0], name: parts[len(parts)-1]}
	if len(parts) == 3 {
		n.namespace = parts[1]
	}
	return n, nil
}

// focus is how the hub calls it; a namespace that isn't known is none.
func (n naming) focus() string {
	if n.namespace == "" {
		return n.kind + "/" + n.name
	}
	return n.kind + "/" + n.namespace + "/" + n.name
}

// target is an object of a cluster.
type target struct {
	cluster client.Cluster
	client.Ref
	ready string // of a pod: how many of its containers are, "1/2"
}

// focus is how the hub calls it, in words.
func (t target) focus() string {
	return naming{kind: kindOf(t.Ref), namespace: t.Namespace, name: t.Name}.focus()
}

// String says it to people.
func (t target) String() string { return called(t.Ref, "") }

// called names an object; its namespace only where that isn't the usual one.
func called(r client.Ref, usual string) string {
	if r.Namespace == "" || r.Namespace == usual {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.Namespace + "/" + r.Name
}

// typed is an object's name as commands take it.
func typed(r client.Ref) string {
	kind := strings.ToLower(r.Kind)
	if r.Group != "" {
		kind += "." + r.Group
	}
	return kind + "/" + r.Name
}

const candidates = 50 // objects of one name that are looked at

// find gives the object that is meant. It needs no cluster and no namespace where there is only one of the name.
func (s *session) find(ctx context.Context, w scope, args []string) (target, error) {
	found, n, err := s.candidates(ctx, w, args)
	switch {
	case err != nil:
		return target{}, err
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		return s.unseen(ctx, w, n)
	}
	slices.SortFunc(found, func(a, b target) int { return strings.Compare(a.cluster.Name+a.Namespace, b.cluster.Name+b.Namespace) })
	var places []string
	for _, t := range found {
		places = append(places, fmt.Sprintf("%s in %s", t, t.cluster.Name))
	}
	return target{}, fault.New(fault.BadRequest, "%d are called so: %s; say which with --cluster and -n", len(found), oneOf(places))
}

// candidates gives the objects that a name may mean.
func (s *session) candidates(ctx context.Context, w scope, args []string) ([]target, naming, error) {
	n, err := readNaming(args)
	if err != nil {
		return nil, n, err
	}
	if n.namespace == "" && len(w.namespaces) == 1 {
		n.namespace = w.namespaces[0]
	}
	query, err := w.values(ctx, s, "labelSelector")
	if err != nil {
		return nil, n, err
	}
	query.Set("kind", n.kind)
	query.Set("name", n.name)
	if n.namespace != "" {
		query.Set("namespace", n.namespace)
	}
	list, err := client.Listed[client.Resource](ctx, s.client, "/api/v1/resources", query, client.Reach{Page: candidates, Limit: candidates})
	if err != nil {
		return nil, n, s.nearestKind(ctx, n.kind, err)
	}
	var out []target
	for _, item := range list.Items {
		out = append(out, target{s.byID(item.Value.Cluster), item.Value.Ref, item.Value.Attrs["ready"]})
	}
	return out, n, nil
}

func (s *session) byID(id string) client.Cluster {
	for _, c := range s.known {
		if c.ID == id {
			return c
		}
	}
	return client.Cluster{ID: id, Name: id}
}

// unseen is for what isn't in lists, and may be known all the same: as what is missing, or as what was there. Where it is can't be guessed then.
func (s *session) unseen(ctx context.Context, w scope, n naming) (target, error) {
	if c, err := s.one(ctx, w.clusters); err == nil {
		query := url.Values{"focus": {n.focus()}, "depth": {"1"}, "limit": {"1"}}
		if w.at != "" {
			query.Set("at", w.at)
		}
		var g client.Graph
		err := s.client.Get(ctx, client.Of(c.ID, "topology")+"?"+query.Encode(), &g)
		if err == nil && len(g.Nodes) > 0 {
			return target{cluster: c, Ref: g.Nodes[0].Ref}, nil
		}
	}
	return target{}, s.nothing(ctx, w, n)
}

// nothing says that there is no such object, and which there is that may be meant.
func (s *session) nothing(ctx context.Context, w scope, n naming) error {
	f := fault.New(fault.NotFound, "there is no %s", strings.Replace(n.focus(), "/", " ", 1))
	query, err := w.values(ctx, s, "labelSelector")
	if err != nil {
		return f
	}
	query.Set("kind", n.kind)
	if n.namespace != "" {
		query.Set("namespace", n.namespace)
	}
	list, err := client.Listed[client.Resource](ctx, s.client, "/api/v1/resources", query, client.Reach{Page: 1000, Limit: 1000})
	if err != nil {
		return f
	}
	var names []string
	for _, item := range list.Items {
		names = append(names, item.Value.Name)
	}
	if near := fault.Nearest(n.name, names); near != "" {
		f.Message += "; the nearest one is " + near
	}
	return f
}

// nearestKind adds to a no that may be about a kind which kind may have been meant.
func (s *session) nearestKind(ctx context.Context, kind string, err error) error {
	if !fault.Is(err, fault.BadRequest) || !strings.Contains(err.Error(), "no kind is known") {
		return err
	}
	kinds, broken := s.values(ctx, url.Values{"key": {"kind"}, "limit": {"200"}})
	if broken != nil {
		return err
	}
	known := slices.Collect(maps.Keys(short))
	for _, k := range kinds {
		bare, _, _ := strings.Cut(k, ".")
		known = append(known, bare, bare+"s")
	}
	f := fault.New(fault.BadRequest, "no kind is known by the name %q", kind)
	if near := fault.Nearest(kind, known); near != "" {
		f.Message += "; the nearest one is " + near
	}
	return f
}

// values are those that a key of the query language has.
func (s *session) values(ctx context.Context, query url.Values) ([]string, error) {
	var out struct {
		Items []struct {
			Text string `json:"text"`
		} `json:"items"`
	}
	err := s.client.Get(ctx, "/api/v1/search/values?"+query.Encode(), &out)
	var list []string
	for _, v := range out.Items {
		list = append(list, v.Text)
	}
	return list, err
}
