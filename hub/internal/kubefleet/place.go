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

// enter finds the place of a request, and gives the request as an API server at that place would see it.
func (f *Face) enter(r *http.Request, p fleet.Principal) (*place, *http.Request, error) {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), ownRoot)
	if !ok {
		return &place{principal: p}, r, nil
	}
	word, rest, _ := strings.Cut(rest, "/")
	word, err := url.PathUnescape(word)
	if err != nil {
		return nil, nil, badRequest("the path can't be read")
	}
	path, err := url.PathUnescape("/" + rest)
	if err != nil {
		return nil, nil, badRequest("the path can't be read")
	}
	c, err := f.cluster(r.Context(), p, word)
	if err != nil {
		return nil, nil, err
	}
	id, err := fleet.ParseClusterID(c.ID)
	if err != nil {
		return nil, nil, err
	}
	u := *r.URL
	u.Path, u.RawPath = path, "/"+rest
	inner := r.Clone(r.Context())
	inner.URL = &u
	return &place{principal: p.Within([]fleet.ClusterID{id}), only: c, id: id}, inner, nil
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
