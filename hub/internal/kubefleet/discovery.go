package kubefleet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"runtime"
	"slices"
	"strings"

	"github.com/munnerz/goautoneg"
	discovery "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"
)

// verbs are what can be done to everything here.
var verbs = []string{"get", "list", "watch"}

// describe answers what an API server says of itself.
func (f *Face) describe(w *answer, r *http.Request, at *place) error {
	path := strings.Trim(r.URL.Path, "/")
	first, rest, _ := strings.Cut(path, "/")
	switch first {
	case "":
		return w.json(metav1.RootPaths{Paths: []string{"/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"}})
	case "version":
		return w.json(versionOf(at))
	case "healthz", "livez", "readyz":
		_, err := w.Write([]byte("ok"))
		return err
	case "openapi":
		return schemas(w, rest)
	case "api", "apis":
		if !mayRead(at.principal) {
			return failure(http.StatusForbidden, metav1.StatusReasonForbidden, "%s may not read anything in this fleet", at.principal.Name)
		}
		c, err := f.catalogue(r.Context(), at, "")
		if err != nil {
			return err
		}
		return c.tell(w, r, first, rest)
	}
	return noSuchPath()
}

// servedVersion is that of Kubernetes whose clients the face speaks to.
const servedMajor, servedMinor = "1", "37"

// versionOf tells the hub's, or that of the one cluster that the place is about.
func versionOf(at *place) version.Info {
	v := version.Info{Major: servedMajor, Minor: servedMinor, GitVersion: "v" + servedMajor + "." + servedMinor + ".0+kubilitics-hub",
		GoVersion: runtime.Version(), Compiler: runtime.Compiler, Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if at.only == nil || at.only.Version == "" {
		return v
	}
	v.GitVersion = at.only.Version
	if parts := strings.SplitN(strings.TrimPrefix(at.only.Version, "v"), ".", 3); len(parts) > 1 {
		v.Major, v.Minor = parts[0], parts[1]
	}
	return v
}

// schemas says that there are none: the index knows objects, not what they may look like.
func schemas(w *answer, path string) error {
	if path == "v3" {
		return w.json(map[string]any{"paths": map[string]any{}})
	}
	return failure(http.StatusNotFound, metav1.StatusReasonNotFound, "the hub keeps no schemas; a cluster's own API has them, at /k8s/clusters/{id}")
}

// tell answers a path below /api or /apis.
func (c *catalogue) tell(w *answer, r *http.Request, root, rest string) error {
	if rest == "" {
		if v := aggregatedVersion(r.Header.Get("Accept")); v != "" {
			return tellTagged(w, r, "application/json;g="+discovery.GroupName+";v="+v+";as=APIGroupDiscoveryList", c.aggregated(root, v))
		}
		if root == "api" {
			return tellTagged(w, r, "application/json", metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"},
				ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{{ClientCIDR: "0.0.0.0/0", ServerAddress: r.Host}}})
		}
		return tellTagged(w, r, "application/json", c.groups())
	}
	group, version, versioned := strings.Cut(rest, "/")
	if root == "api" {
		group, version, versioned = "", rest, true
	}
	var doc any
	if versioned {
		doc = c.resources(group, version)
	} else {
		doc = c.group(group)
	}
	if doc == nil {
		return noSuchPath()
	}
	return tellTagged(w, r, "application/json", doc)
}

// aggregatedVersion gives the version of aggregated discovery that is asked for first, "" where legacy documents are.
func aggregatedVersion(accept string) string {
	for _, c := range goautoneg.ParseAccept(accept) {
		switch {
		case !takesJSON(c):
		case c.Params["as"] == "APIGroupDiscoveryList" && c.Params["g"] == discovery.GroupName && slices.Contains([]string{"v2", "v2beta1"}, c.Params["v"]):
			return c.Params["v"]
		case c.Params["as"] == "":
			return ""
		}
	}
	return ""
}

// tellTagged answers with a document, or that the client's is still right.
func tellTagged(w *answer, r *http.Request, kind string, doc any) error {
	body, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	tag := `"` + strings.ToUpper(hex.EncodeToString(sum[:])) + `"`
	h := w.Header()
	h.Set("ETag", tag)
	h.Set("Vary", "Accept")
	h.Set("Cache-Control", "private, no-cache") // the same path tells others other kinds
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", kind)
	_, err = w.Write(body)
	return err
}

// each gives the groups below a root in their order, each with its kinds.
func (c *catalogue) each(root string, give func(group string, versions []string, kinds []*kind)) {
	for i := 0; i < len(c.order); {
		j, group := i, c.order[i].Group
		var versions []string
		for ; j < len(c.order) && c.order[j].Group == group; j++ {
			versions = append(versions, c.order[j].Versions...)
		}
		slices.SortFunc(versions, func(a, b string) int { return -version.CompareKubeAwareVersionStrings(a, b) })
		if (group == "") == (root == "api") {
			give(group, slices.Compact(versions), c.order[i:j])
		}
		i = j
	}
}

func (c *catalogue) aggregated(root, v string) any {
	list := discovery.APIGroupDiscoveryList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupDiscoveryList", APIVersion: discovery.GroupName + "/" + v}, Items: []discovery.APIGroupDiscovery{}}
	c.each(root, func(group string, versions []string, kinds []*kind) {
		g := discovery.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: group}}
		for _, version := range versions {
			d := discovery.APIVersionDiscovery{Version: version, Freshness: discovery.DiscoveryFreshnessCurrent}
			for _, k := range kinds {
				if slices.Contains(k.Versions, version) {
					d.Resources = append(d.Resources, k.discovered(version))
				}
			}
			g.Versions = append(g.Versions, d)
		}
		list.Items = append(list.Items, g)
	})
	return list
}

func (k *kind) discovered(version string) discovery.APIResourceDiscovery {
	scope := discovery.ScopeCluster
	if k.Namespaced {
		scope = discovery.ScopeNamespace
	}
	return discovery.APIResourceDiscovery{Resource: k.Plural, ResponseKind: &metav1.GroupVersionKind{Group: k.Group, Version: version, Kind: k.Kind}, Scope: scope,
		SingularResource: k.Singular, Verbs: verbs, ShortNames: k.Short, Categories: k.Categories}
}

func (c *catalogue) groups() *metav1.APIGroupList {
	list := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{}}
	c.each("apis", func(group string, versions []string, _ []*kind) {
		g := metav1.APIGroup{Name: group}
		for _, v := range versions {
			g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{GroupVersion: group + "/" + v, Version: v})
		}
		g.PreferredVersion = g.Versions[0]
		list.Groups = append(list.Groups, g)
	})
	return list
}

func (c *catalogue) group(name string) any {
	groups := c.groups().Groups
	i := slices.IndexFunc(groups, func(g metav1.APIGroup) bool { return g.Name == name })
	if i < 0 {
		return nil
	}
	groups[i].TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
	return groups[i]
}

func (c *catalogue) resources(group, version string) any {
	list := &metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: version}
	if group != "" {
		list.GroupVersion = group + "/" + version
	}
	for _, k := range c.order {
		if k.Group == group && slices.Contains(k.Versions, version) {
			list.APIResources = append(list.APIResources, metav1.APIResource{Name: k.Plural, SingularName: k.Singular, Namespaced: k.Namespaced, Kind: k.Kind,
				Verbs: verbs, ShortNames: k.Short, Categories: k.Categories})
		}
	}
	if len(list.APIResources) == 0 && (group != "" || version != "v1") {
		return nil
	}
	return list
}
