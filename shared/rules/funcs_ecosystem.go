package rules

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// points emits a link with what the row keeps.
func (v *variant) points(f facts, to topo.Ref, emit func(*topo.Link)) {
	if to.Name != "" {
		emit(&topo.Link{To: to, Disc: f.get(v.slots.disc), Attrs: v.kept(f)})
	}
}

// linkHost reads a host name. Istio's may have a namespace in front, "ns/host".
func linkHost(v *variant, _ *topo.Resource, f facts, emit func(*topo.Link)) {
	text := f.get(v.slots.fields[0])
	if _, after, ok := strings.Cut(text, "/"); ok {
		text = after
	}
	v.points(f, hostRef(hostName(text)), emit)
}

// linkExternalName reads what a Service is another name of, which may be a Service as well, by its full name.
func linkExternalName(v *variant, _ *topo.Resource, f facts, emit func(*topo.Link)) {
	host := hostName(f.get(v.slots.fields[0]))
	to, ok := serviceOf(host)
	if !ok {
		to = hostRef(host)
	}
	v.points(f, to, emit)
}

// linkDestination reads where requests go: a Service by any of its names, or a host.
func linkDestination(v *variant, r *topo.Resource, f facts, emit func(*topo.Link)) {
	v.points(f, destination(f.get(v.slots.fields[0]), r.Ref.Namespace), emit)
}

// linkMeshHost and linkMeshService part the hosts that a mesh answers for: names of the world, and Services.
func linkMeshHost(v *variant, r *topo.Resource, f facts, emit func(*topo.Link)) {
	if to := destination(f.get(v.slots.fields[0]), r.Ref.Namespace); to.Kind == hostKind {
		v.points(f, to, emit)
	}
}

func linkMeshService(v *variant, r *topo.Resource, f facts, emit func(*topo.Link)) {
	if to := destination(f.get(v.slots.fields[0]), r.Ref.Namespace); to.Kind == "Service" {
		v.points(f, to, emit)
	}
}

// destination is what a name or a URL leads to, for one in a namespace.
func destination(text, namespace string) topo.Ref {
	if _, after, ok := strings.Cut(text, "://"); ok {
		text = after
	}
	text, _, _ = strings.Cut(text, "/")
	host := hostName(text)
	if to, ok := serviceOf(host); ok {
		return to
	}
	name, rest, dotted := strings.Cut(host, ".")
	switch {
	case !dotted && host != "localhost":
		return topo.Ref{Kind: "Service", Namespace: namespace, Name: name}
	case dotted && name != "*" && !strings.Contains(rest, ".") && !topLevel[rest]:
		return topo.Ref{Kind: "Service", Namespace: rest, Name: name}
	}
	return hostRef(host)
}

// topLevel tells "example.com" from a Service with its namespace. It has only those that hardly anybody calls a namespace.
var topLevel = map[string]bool{
	"biz": true, "co": true, "com": true, "edu": true, "gov": true, "info": true, "io": true, "net": true, "org": true,
}

// serviceOf reads the full name of a Service, "name.ns.svc" and whatever the cluster is called. In the set of clusters it
// is a node of its own.
func serviceOf(host string) (topo.Ref, bool) {
	parts := strings.SplitN(host, ".", 4)
	if len(parts) < 3 || parts[2] != "svc" || parts[0] == "*" {
		return topo.Ref{}, false
	}
	if len(parts) == 4 && parts[3] == "clusterset.local" {
		return topo.Ref{Group: OwnGroup, Kind: clusterSetKind, Name: parts[1] + "/" + parts[0]}, true
	}
	return topo.Ref{Kind: "Service", Namespace: parts[1], Name: parts[0]}, true
}

func hostRef(host string) topo.Ref {
	if host == "localhost" {
		return topo.Ref{}
	}
	return topo.Ref{Group: OwnGroup, Kind: hostKind, Name: host}
}

// hostName is a host as all write it, without its port. It is empty for what is no name: an address, a template, "*" for
// any host at all.
func hostName(text string) string {
	if i := strings.LastIndexByte(text, ':'); i >= 0 && !strings.Contains(text[:i], ":") {
		text = text[:i]
	}
	text = strings.ToLower(strings.TrimSuffix(text, "."))
	if _, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil || text == "*" || strings.ContainsAny(text, "{}$:[] /@") {
		return ""
	}
	return text
}

// linkImage reads the image that a container runs, as its runtime says it. A runtime that only knows a number of its own
// says nothing that means something elsewhere.
func linkImage(v *variant, _ *topo.Resource, f facts, emit func(*topo.Link)) {
	if name := imageName(f.get(v.slots.fields[0])); name != "" {
		emit(&topo.Link{To: topo.Ref{Group: OwnGroup, Kind: imageKind, Name: name}})
	}
}

func imageName(id string) string {
	if _, after, ok := strings.Cut(id, "://"); ok { // docker-pullable://
		id = after
	}
	repository, digest, ok := strings.Cut(id, "@")
	if !ok || repository == "" || !strings.Contains(digest, ":") {
		return ""
	}
	colon := strings.LastIndexByte(repository, ':')
	tagged := colon > strings.LastIndexByte(repository, '/')
	if tagged {
		repository = repository[:colon]
	}
	host, rest, ok := strings.Cut(repository, "/")
	switch {
	case !ok:
		repository = "docker.io/library/" + repository
	case host == "index.docker.io":
		repository = "docker.io/" + rest
	case host != "localhost" && !strings.ContainsAny(host, ".:"):
		repository = "docker.io/" + repository
	case !tagged:
		return id // as most are: Pods come often, so nothing is made anew
	}
	return repository + "@" + digest
}

// linkGitSource reads the address of a Git repository.
func linkGitSource(v *variant, _ *topo.Resource, f facts, emit func(*topo.Link)) {
	v.points(f, topo.Ref{Group: OwnGroup, Kind: gitKind, Name: gitName(f.get(v.slots.fields[0]))}, emit)
}

var gitSchemes = []string{"https", "http", "ssh", "git", "git+ssh", "git+https"}

// gitName is the address of a repository however it is reached: "host/path". User and password go. It is empty for what
// is no Git repository's, or a template's.
func gitName(url string) string {
	url = strings.TrimSpace(url)
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok { // git@host:path
		host, path, colon := strings.Cut(url, ":")
		if !colon || strings.Contains(host, "/") {
			return ""
		}
		scheme, rest = "ssh", host+"/"+strings.TrimPrefix(path, "/")
	}
	if !slices.Contains(gitSchemes, strings.ToLower(scheme)) || strings.ContainsAny(url, "{}$ ") {
		return ""
	}
	host, path, _ := strings.Cut(rest, "/")
	host = strings.ToLower(host[strings.LastIndexByte(host, '@')+1:])
	for _, port := range []string{":22", ":80", ":443"} {
		host = strings.TrimSuffix(host, port)
	}
	if end := strings.IndexAny(path, "?#"); end >= 0 {
		path = path[:end]
	}
	path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
	if host == "" || path == "" || strings.ContainsAny(host, "?#") || strings.Contains(path, "@") { // a password with a slash in it
		return ""
	}
	return host + "/" + path
}

// linkNamed reads "namespace/name", or a name alone.
func linkNamed(kind topo.GroupKind) linker {
	return func(v *variant, _ *topo.Resource, f facts, emit func(*topo.Link)) {
		namespace, name, ok := strings.Cut(f.get(v.slots.fields[0]), "/")
		if !ok {
			namespace, name = "", namespace
		}
		v.points(f, topo.Ref{Group: kind.Group, Kind: kind.Kind, Namespace: namespace, Name: name}, emit)
	}
}

// linkIstioGateway reads a Gateway's name: "ns/name", "./name", "name", or "name.ns" with anything behind, as it was once
// written. "mesh" is no Gateway but all proxies.
func linkIstioGateway(v *variant, _ *topo.Resource, f facts, emit func(*topo.Link)) {
	text := f.get(v.slots.fields[0])
	if text == "mesh" {
		return
	}
	namespace, name, ok := strings.Cut(text, "/")
	switch {
	case !ok:
		name, namespace, _ = strings.Cut(text, ".")
		namespace, _, _ = strings.Cut(namespace, ".")
	case namespace == ".":
		namespace = ""
	}
	v.points(f, topo.Ref{Group: istioNetworking, Kind: "Gateway", Namespace: namespace, Name: name}, emit)
}

// linkInventory reads an entry of what Flux has applied, "namespace_name_group_kind". Names of RBAC may have colons, which
// stand as "__".
func linkInventory(v *variant, _ *topo.Resource, f facts, emit func(*topo.Link)) {
	namespace, rest, ok := strings.Cut(f.get(v.slots.fields[0]), "_")
	k := strings.LastIndexByte(rest, '_')
	if !ok || k < 0 {
		return
	}
	g := strings.LastIndexByte(rest[:k], '_')
	if g < 0 {
		return
	}
	v.points(f, topo.Ref{
		Group: rest[g+1 : k], Kind: rest[k+1:], Namespace: namespace, Name: strings.ReplaceAll(rest[:g], "__", ":"),
	}, emit)
}

// linkExternalSecret names the Secret that an ExternalSecret fills: its fields are its own name and that of the Secret,
// which is the same unless said.
func linkExternalSecret(v *variant, _ *topo.Resource, f facts, emit func(*topo.Link)) {
	name := wordOr(f.get(v.slots.fields[1]), f.get(v.slots.fields[0]))
	v.points(f, topo.Ref{Kind: "Secret", Name: name}, emit)
}

// linkClusterSet names the Service that all clusters of a set call the same.
func linkClusterSet(v *variant, r *topo.Resource, f facts, emit func(*topo.Link)) {
	v.points(f, topo.Ref{Group: OwnGroup, Kind: clusterSetKind, Name: r.Ref.Namespace + "/" + r.Ref.Name}, emit)
}

// linkProviderConfig names the configuration of a managed resource's provider, whose group is the end of the resource's:
// "aws.upbound.io" of "s3.aws.upbound.io". Its fields are the name and, since namespaced resources came, the kind.
func linkProviderConfig(v *variant, r *topo.Resource, f facts, emit func(*topo.Link)) {
	parts := strings.Split(r.Ref.Group, ".")
	n := len(parts)
	if n < 3 || parts[n-1] != "io" || parts[n-2] != "upbound" && parts[n-2] != "crossplane" {
		return
	}
	keep := 3
	if parts[n-3] == "m" { // of namespaced resources: "aws.m.upbound.io"
		keep = min(4, n)
	}
	v.points(f, topo.Ref{
		Group: strings.Join(parts[n-keep:], "."), Kind: wordOr(f.get(v.slots.fields[1]), "ProviderConfig"), Name: f.get(v.slots.fields[0]),
	}, emit)
}
