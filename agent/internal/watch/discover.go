package watch

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// Discovery is asked for here, not through client-go's package for it: that one links every typed API there is, which
// is 22 MB of program and 9 MiB of resident memory before anything is watched. The answer is two documents.

const (
	discoveryLimit = 30 * time.Second
	aggregated     = "application/json;g=apidiscovery.k8s.io;v=%;as=APIGroupDiscoveryList"
)

var discoveryAccept = strings.ReplaceAll(aggregated, "%", "v2") + "," + strings.ReplaceAll(aggregated, "%", "v2beta1") + ",application/json"

// definesKinds tells the kinds whose objects make other kinds come and go.
func definesKinds(gk topo.GroupKind) bool {
	return gk == topo.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"} ||
		gk == topo.GroupKind{Group: "apiregistration.k8s.io", Kind: "APIService"}
}

// inventory is what an API server serves.
type inventory struct {
	kinds  map[topo.GroupKind]Kind
	silent map[string]bool // groups that don't answer now: what they serve isn't gone
}

// groupDoc is a group with its versions, the preferred one first.
type groupDoc struct {
	Metadata struct{ Name string }
	Versions []versionDoc
}

type versionDoc struct {
	Version   string
	Freshness string
	Resources []resourceDoc
}

type resourceDoc struct {
	Resource     string
	ResponseKind struct{ Kind string }
	Scope        string
	Verbs        []string
}

// discover asks what there is. An error means that nothing was learned.
func (s *Source) discover(ctx context.Context) (inventory, error) {
	ctx, cancel := context.WithTimeout(ctx, discoveryLimit)
	defer cancel()
	inv := inventory{kinds: map[topo.GroupKind]Kind{}, silent: map[string]bool{}}
	for _, path := range []string{"/api", "/apis"} {
		groups, err := s.groups(ctx, path)
		if err != nil {
			return inventory{}, asFault(err, "the API server doesn't say what it serves")
		}
		for _, g := range groups {
			inv.addGroup(g)
		}
	}
	return inv, nil
}

// addGroup takes every kind of a group once, at the first version that serves it for watching. Versions come in the
// order of preference.
func (inv *inventory) addGroup(g groupDoc) {
	for _, v := range g.Versions {
		if v.Freshness == "Stale" {
			inv.silent[g.Metadata.Name] = true
			continue
		}
		slices.SortFunc(v.Resources, func(a, b resourceDoc) int { return cmp.Compare(a.Resource, b.Resource) })
		for _, r := range v.Resources {
			inv.addResource(g.Metadata.Name, v.Version, r)
		}
	}
}

func (inv *inventory) addResource(group, version string, r resourceDoc) {
	gk := topo.GroupKind{Group: group, Kind: r.ResponseKind.Kind}
	switch _, have := inv.kinds[gk]; {
	case have, gk.Kind == "", strings.Contains(r.Resource, "/"):
	case !slices.Contains(r.Verbs, "list"), !slices.Contains(r.Verbs, "watch"):
	case gk == topo.GroupKind{Group: "events.k8s.io", Kind: "Event"}: // the same objects as eventKind
	default:
		inv.kinds[gk] = Kind{GroupKind: gk, Version: version, Plural: r.Resource, Namespaced: r.Scope == "Namespaced"}
	}
}

// groups reads /api or /apis: everything at once where the server can, else group by group.
func (s *Source) groups(ctx context.Context, path string) ([]groupDoc, error) {
	raw, err := s.client.read(ctx, s.client.get(path).SetHeader("Accept", discoveryAccept))
	if err != nil {
		return nil, err
	}
	var doc struct {
		Kind     string
		Items    []groupDoc        // of an APIGroupDiscoveryList
		Groups   []metav1.APIGroup // of an APIGroupList
		Versions []string          // of an APIVersions
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	if doc.Kind == "APIVersions" {
		core := metav1.APIGroup{}
		for _, v := range doc.Versions {
			core.Versions = append(core.Versions, metav1.GroupVersionForDiscovery{GroupVersion: v, Version: v})
		}
		doc.Groups = append(doc.Groups, core)
	}
	for _, g := range doc.Groups {
		doc.Items = append(doc.Items, s.oldGroup(ctx, path, g))
	}
	return doc.Items, ctx.Err()
}

// oldGroup reads a group from a server that doesn't aggregate.
func (s *Source) oldGroup(ctx context.Context, path string, g metav1.APIGroup) groupDoc {
	doc := groupDoc{}
	doc.Metadata.Name = g.Name
	slices.SortStableFunc(g.Versions, func(a, b metav1.GroupVersionForDiscovery) int {
		return preference(g, a) - preference(g, b)
	})
	for _, v := range g.Versions {
		doc.Versions = append(doc.Versions, s.oldVersion(ctx, path, v))
	}
	return doc
}

func preference(g metav1.APIGroup, v metav1.GroupVersionForDiscovery) int {
	if v.Version == g.PreferredVersion.Version {
		return 0
	}
	return 1
}

func (s *Source) oldVersion(ctx context.Context, path string, v metav1.GroupVersionForDiscovery) versionDoc {
	doc := versionDoc{Version: v.Version, Freshness: "Stale"}
	raw, err := s.client.read(ctx, s.client.get(path+"/"+v.GroupVersion))
	if err != nil {
		return doc
	}
	var list metav1.APIResourceList
	if json.Unmarshal(raw, &list) != nil {
		return doc
	}
	doc.Freshness = "Current"
	for _, r := range list.APIResources {
		d := resourceDoc{Resource: r.Name, Verbs: r.Verbs}
		d.ResponseKind.Kind = r.Kind
		if r.Namespaced {
			d.Scope = "Namespaced"
		}
		doc.Resources = append(doc.Resources, d)
	}
	return doc
}
