// Package kube is what hub and agent both say of requests to a Kubernetes API: what one asks for, whose it is, which headers never pass, and
// the Status that a refusal is.
package kube

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Request is what a request to a Kubernetes API asks for, as the API server itself will read it.
type Request struct {
	Verb        string // get, list, watch, create, update, patch, delete, deletecollection; of a path that is no resource's: the method in lower case
	Group       string
	Version     string
	Resource    string // the plural, as written; "" for a path that is no resource's
	Subresource string
	Namespace   string
	Name        string
	Path        string // decoded
	Follows     bool   // a log that is followed
	Makes       bool   // an update or a patch that creates what isn't there
	Upgrades    bool   // asks to leave HTTP for a WebSocket or SPDY
}

// reader is the API server's own way to read a path, so that what is decided on is what will be done.
var reader = &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}

// Parse reads a request whose URL is as the API server will see it, "/api/…". What could be read in more than one way is a BadRequest.
func Parse(r *http.Request) (Request, error) {
	if err := plain(r); err != nil {
		return Request{}, err
	}
	upgrades, err := upgrade(r.Header)
	if err != nil {
		return Request{}, err
	}
	info, err := reader.NewRequestInfo(r)
	if err != nil {
		return Request{}, fault.Wrap(err, fault.BadRequest, "the path can't be read as one of a Kubernetes API")
	}
	// The reader has no verb for OPTIONS.
	q := Request{Verb: cmp.Or(info.Verb, strings.ToLower(r.Method)), Path: r.URL.Path, Upgrades: upgrades}
	if !info.IsResourceRequest {
		return q, nil
	}
	if q.Verb == "watch" && r.Method != http.MethodGet && r.Method != http.MethodHead {
		return Request{}, fault.New(fault.BadRequest, "a watch is asked for by GET")
	}
	q.Group, q.Version, q.Resource, q.Subresource = info.APIGroup, info.APIVersion, info.Resource, info.Subresource
	q.Namespace, q.Name = info.Namespace, info.Name
	q.Follows = q.log() && follows(r)
	q.Makes = q.Subresource == "" && (q.Verb == "update" && q.madeByUpdate() || q.Verb == "patch" && applies(r.Header))
	return q, nil
}

// applies tells of server-side apply.
func applies(h http.Header) bool {
	return slices.ContainsFunc(h["Content-Type"], func(v string) bool { return strings.Contains(strings.ToLower(v), "apply-patch") })
}

// made are the resources, by group, that Kubernetes creates where they are updated and aren't there; registries say so by AllowCreateOnUpdate.
var made = map[string][]string{
	"":                          {"endpoints", "events", "limitranges", "services"},
	"events.k8s.io":             {"events"},
	"coordination.k8s.io":       {"leases", "leasecandidates"},
	"node.k8s.io":               {"runtimeclasses"},
	"rbac.authorization.k8s.io": {"roles", "rolebindings", "clusterroles", "clusterrolebindings"},
}

func (q Request) madeByUpdate() bool { return slices.Contains(made[q.Group], q.Resource) }

// follows reads the parameter as the API server does.
func follows(r *http.Request) bool {
	v, there := r.URL.Query()["follow"]
	return there && v[0] != "0" && !strings.EqualFold(v[0], "false")
}

// methods are those that an API server knows.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// plain refuses what one reader would take for another path than the next: dot segments, empty segments, separators and control characters that
// are encoded, what is encoded twice.
func plain(r *http.Request) error {
	if !slices.Contains(methods, r.Method) {
		return fault.New(fault.BadRequest, "the method isn't one of a Kubernetes API")
	}
	if !strings.HasPrefix(r.URL.Path, "/") || r.URL.Opaque != "" {
		return fault.New(fault.BadRequest, "the path must begin with a slash")
	}
	if strings.ContainsFunc(r.URL.Path, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\\' }) {
		return fault.New(fault.BadRequest, "the path holds a character that no path of a Kubernetes API has")
	}
	escaped := r.URL.EscapedPath()
	if !strings.HasPrefix(escaped, "/") {
		return fault.New(fault.BadRequest, "the path holds an encoded slash")
	}
	segments := strings.Split(escaped[1:], "/")
	own := behind(segments)
	if err := plainOwn(segments[:own], own == len(segments)); err != nil {
		return err
	}
	return plainBehind(segments[own:])
}

// behind is where the part of a path begins that belongs to what a pod, a service or a node serves; the number of segments if there is none.
func behind(segments []string) int {
	at := 2
	if len(segments) > at && segments[at] == "namespaces" {
		at = 4
	}
	if segments[0] == "api" && len(segments) > at+3 && slices.Contains(leading, segments[at]) && segments[at+2] == "proxy" {
		return at + 3
	}
	return len(segments)
}

// plainOwn is about what the API server itself reads. A slash may end it.
func plainOwn(segments []string, ends bool) error {
	for i, s := range segments {
		switch lower := strings.ToLower(s); {
		case s == "" && !(ends && i == len(segments)-1):
			return fault.New(fault.BadRequest, "the path holds an empty segment")
		case strings.Contains(lower, "%2f"), strings.Contains(lower, "%25"):
			return fault.New(fault.BadRequest, "the path holds an encoded slash or per cent sign")
		case dots(lower):
			return fault.New(fault.BadRequest, "the path holds a segment of dots alone")
		}
	}
	return nil
}

// plainBehind refuses only what could lead out: the rest is for whoever is behind to understand.
func plainBehind(segments []string) error {
	for _, s := range segments {
		// Whoever is behind may decode what the API server has decoded once.
		for part := range strings.SplitSeq(strings.ReplaceAll(strings.ToLower(s), "%25", "%"), "%2f") {
			if dots(part) {
				return fault.New(fault.BadRequest, "the path holds a segment of dots alone")
			}
		}
	}
	return nil
}

// dots tells whether a segment in lower case is "." or "..", encoded or not.
func dots(segment string) bool {
	s := strings.ReplaceAll(segment, "%2e", ".")
	return s == "." || s == ".."
}

// protocols are those into which a connection to an API server may turn. Any other, h2c above all, would let requests through that nobody reads.
var protocols = []string{"websocket", "spdy/3.1"}

func upgrade(h http.Header) (bool, error) {
	if !httpguts.HeaderValuesContainsToken(h["Connection"], "upgrade") {
		return false, nil
	}
	to := h["Upgrade"]
	if len(to) != 1 || !slices.Contains(protocols, strings.ToLower(to[0])) {
		return false, fault.New(fault.BadRequest, "a connection may be upgraded to websocket or SPDY/3.1 only")
	}
	return true, nil
}

func (q Request) is(resources ...string) bool {
	return q.Group == "" && slices.Contains(resources, q.Resource)
}

// Reads tells that nothing changes by it.
func (q Request) Reads() bool {
	return slices.Contains([]string{"get", "list", "watch", "head", "options"}, q.Verb) && !q.Connects()
}

// leading are the resources of the core group behind which something else serves.
var leading = []string{"pods", "services", "nodes"}

// log is what may be read over a WebSocket too, as watches may: nothing is said on it by the reader.
func (q Request) log() bool { return q.is("pods") && q.Subresource == "log" }

// Connects tells that it leads into a container, or past the API server to what a pod, a service or a node serves. Whatever else leaves HTTP is
// taken for such, as a console that an aggregated API offers.
func (q Request) Connects() bool {
	return q.Verb == "proxy" || q.Upgrades && q.Verb != "watch" && !q.log() ||
		q.is(leading...) && slices.Contains([]string{"exec", "attach", "portforward", "proxy"}, q.Subresource)
}

// Secret tells that it is about what Secrets hold, or makes a credential.
func (q Request) Secret() bool {
	return q.is("secrets") || q.is("serviceaccounts") && q.Subresource == "token"
}

// Lasts tells that it has no end of its own: a watch, a log that is followed, a connection.
func (q Request) Lasts() bool { return q.Verb == "watch" || q.Follows || q.Connects() }

// AsksOfSelf tells that it asks what the caller is and may do. It is worded as a creation and creates nothing.
func (q Request) AsksOfSelf() bool {
	return q.Verb == "create" && (q.Group == "authorization.k8s.io" && slices.Contains([]string{"selfsubjectaccessreviews", "selfsubjectrulesreviews"}, q.Resource) ||
		q.Group == "authentication.k8s.io" && q.Resource == "selfsubjectreviews")
}

// Describes tells that it reads what the API server says of itself: versions, groups, schemas, health.
func (q Request) Describes() bool {
	if q.Resource != "" || !q.Reads() {
		return false
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(q.Path, "/"), "/")
	return slices.Contains([]string{"", "api", "apis", "openapi", "version", "healthz", "livez", "readyz"}, first)
}
