package kubefleet

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// place is where a request asks: of the whole fleet, or of one cluster alone, and by whom.
type place struct {
	principal fleet.Principal // with nothing to do outside that cluster
	only      *query.Cluster  // nil: the whole fleet
	id        fleet.ClusterID // of that cluster
}

// ownRoot begins the paths that are about one cluster alone.
const ownRoot = "/clusters/"

// Within gives a request as an API server at its place would see it, and the cluster, by name or id, that it is about alone; "" for the whole fleet. A
// path that can't be read is left as it is, to be refused where it is parsed.
func Within(r *http.Request) (*http.Request, string) {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), ownRoot)
	if !ok {
		return r, ""
	}
	word, rest, _ := strings.Cut(rest, "/")
	word, errWord := url.PathUnescape(word)
	path, errPath := url.PathUnescape("/" + rest)
	if errWord != nil || errPath != nil || word == "" {
		return r, ""
	}
	u := *r.URL
	u.Path, u.RawPath = path, "/"+rest
	inner := *r
	inner.URL = &u
	return &inner, word
}

// enter finds the place of a request, and gives the request as an API server at that place would see it.
func (f *Face) enter(r *http.Request, p fleet.Principal) (*place, *http.Request, error) {
	r, word := Within(r)
	if word == "" {
		return &place{principal: p}, r, nil
	}
	c, err := f.cluster(r.Context(), p, word)
	if err != nil {
		return nil, nil, err
	}
	id, err := fleet.ParseClusterID(c.ID)
	if err != nil {
		return nil, nil, err
	}
	return &place{principal: p.Within([]fleet.ClusterID{id}), only: c, id: id}, r, nil
}

// cluster finds one by its id or its name, for whoever may see anything of it.
func (f *Face) cluster(ctx context.Context, p fleet.Principal, word string) (*query.Cluster, error) {
	if id, err := fleet.ParseClusterID(word); err == nil {
		found, err := f.cfg.Query.Cluster(ctx, p, id)
		if err == nil {
			return &found.Cluster, nil
		}
		if !fault.Is(err, fault.NotFound) {
			return nil, err
		}
	}
	list, err := f.cfg.Query.Clusters(ctx, p)
	if err != nil {
		return nil, err
	}
	for i := range list.Items {
		if list.Items[i].Name == word || list.Items[i].ID == word {
			return &list.Items[i], nil
		}
	}
	return nil, fault.New(fault.NotFound, "there is no cluster %q", word)
}
