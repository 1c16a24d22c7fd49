package kubeproxy

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
)

// ofOrigins is what an answer says of the whole origin that it comes from, which is this hub's. Cookies could tell nobody anything either: those of
// requests are dropped.
var ofOrigins = []string{"Set-Cookie", "Clear-Site-Data", "Strict-Transport-Security", "Alt-Svc"}

// fit looks at the head of an answer, which a cluster in strange hands may have made up to harm others than itself.
func (s *passage) fit(resp *http.Response, asked *url.URL) error {
	switched := resp.StatusCode == http.StatusSwitchingProtocols && s.request.Upgrades
	if resp.StatusCode < http.StatusOK && !switched {
		return fault.New(fault.Unavailable, "cluster %s answers with a status that is no answer to this request: %d", s.cluster, resp.StatusCode)
	}
	for _, name := range ofOrigins {
		resp.Header.Del(name)
	}
	to := resp.Header.Get("Location")
	if resp.StatusCode/100 != 3 || to == "" {
		return nil
	}
	// Clients take their token along, which is good for all clusters, and repeat the request with its body, wherever they are sent.
	next, err := asked.Parse(to)
	if err != nil || next.Host != asked.Host || next.Scheme != asked.Scheme || !s.servesToo(next) {
		return fault.New(fault.Unavailable, "cluster %s answers that the client should ask somewhere else; such answers are passed on only within what one pod, service or node serves", s.cluster)
	}
	// The client knows the cluster's paths by longer ones.
	resp.Header.Set("Location", relative(asked.EscapedPath(), next))
	return nil
}

// servesToo tells that a place belongs to the same pod, service or node that the request was let through to.
func (s *passage) servesToo(u *url.URL) bool {
	q := s.request
	next, err := kube.Parse(&http.Request{Method: http.MethodGet, URL: u})
	return err == nil && q.Group == "" && q.Subresource == "proxy" && next.Subresource == "proxy" &&
		next.Group == q.Group && next.Resource == q.Resource && next.Namespace == q.Namespace && next.Name == q.Name
}

// relative words a place for who stands at a path.
func relative(from string, to *url.URL) string {
	path, same := to.EscapedPath(), 0
	for i := 0; i < min(len(from), len(path)) && from[i] == path[i]; i++ {
		if path[i] == '/' {
			same = i + 1
		}
	}
	up := strings.Repeat("../", strings.Count(from[same:], "/"))
	there := url.URL{RawQuery: to.RawQuery, RawFragment: to.RawFragment, Fragment: to.Fragment}
	return "./" + up + path[same:] + there.String()
}
