// Package kube is what hub and agent both say of requests to a Kubernetes API: what one asks for, whose it is, which headers never pass, and
// the Status that a refusal is.
package kube

import (
	"net/http"
	"slices"
	"strings"

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
}

// reader is the API server's own way to read a path, so that what is decided on is what will be done.
var reader = &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}

// Parse reads a request whose URL is as the API server will see it, "/api/…". A path that could be read in more than one way is a BadRequest.
func Parse(r *http.Request) (Request, error) {
	if err := plain(r); err != nil {
		return Request{}, err
	}
	info, err := reader.NewRequestInfo(r)
	if err != nil {
		return Request{}, fault.Wrap(err, fault.BadRequest, "the request can't be read: %v", err)
	}
	q := Request{Verb: info.Verb, Path: r.URL.Path}
	if !info.IsResourceRequest {
		return q, nil
	}
	q.Group, q.Version, q.Resource, q.Subresource = info.APIGroup, info.APIVersion, info.Resource, info.Subresource
	q.Namespace, q.Name = info.Namespace, info.Name
	q.Follows = q.is("pods") && q.Subresource == "log" && truthy(r.URL.Query().Get("follow"))
	return q, nil
}

func truthy(s string) bool { return s != "" && s != "0" && !strings.EqualFold(s, "false") }

// methods are those that an API server knows.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// plain refuses what one reader would take for another path than the next: dot segments, empty segments, separators and control characters that
// are encoded.
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
	rest, proxied, seen := strings.Cut(r.URL.EscapedPath(), "/proxy/")
	if err := plainSegments(rest, true); err != nil || !seen {
		return err
	}
	return plainSegments("/"+proxied, false) // belongs to whatever is behind: only what could lead out of it is refused
}

func plainSegments(escaped string, strict bool) error {
	lower := strings.ToLower(escaped)
	if strict && strings.Contains(lower, "%2f") {
		return fault.New(fault.BadRequest, "the path holds an encoded slash")
	}
	segments := strings.Split(strings.ReplaceAll(strings.ReplaceAll(lower, "%2f", "/"), "%2e", ".")[1:], "/")
	for i, s := range segments {
		switch {
		case s == "." || s == "..":
			return fault.New(fault.BadRequest, "the path holds the segment %q", s)
		case strict && s == "" && i < len(segments)-1:
			return fault.New(fault.BadRequest, "the path holds an empty segment")
		}
	}
	return nil
}

func (q Request) is(resources ...string) bool {
	return q.Group == "" && slices.Contains(resources, q.Resource)
}

// Reads tells that nothing changes by it.
func (q Request) Reads() bool {
	return slices.Contains([]string{"get", "list", "watch", "head", "options"}, q.Verb) && !q.Connects()
}

// Connects tells that it leads into a container, or past the API server to what a pod, a service or a node serves.
func (q Request) Connects() bool {
	return q.Verb == "proxy" || q.is("pods", "services", "nodes") && slices.Contains([]string{"exec", "attach", "portforward", "proxy"}, q.Subresource)
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
