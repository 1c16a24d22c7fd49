package ops

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// What a cluster says of its kinds is kept for a while; a name that isn't among them is looked for anew, but not at every request.
const (
	kindsFresh = time.Minute
	kindsRetry = time.Second
	kindsGappy = 5 * time.Second // where a server of some group didn't answer
	kindTables = 512             // clusters, of which each takes about 50 kB
)

// Kind is a kind of objects as a cluster serves it.
type Kind struct {
	Group        string   `json:"group" doc:"API group; empty for the core group"`
	Version      string   `json:"version"`
	Preferred    bool     `json:"preferred" doc:"the version that the cluster prefers"`
	Kind         string   `json:"kind"`
	Plural       string   `json:"plural"`
	Singular     string   `json:"singular"`
	ShortNames   []string `json:"shortNames"`
	Categories   []string `json:"categories"`
	Namespaced   bool     `json:"namespaced"`
	Verbs        []string `json:"verbs"`
	Subresources []string `json:"subresources"`
}

// Resource names it as people know it: deployments.apps.
func (k Kind) Resource() string {
	return schema.GroupResource{Group: k.Group, Resource: k.Plural}.String()
}

func (k Kind) root() string {
	if k.Group == "" {
		return "/api/" + k.Version
	}
	return "/apis/" + k.Group + "/" + k.Version
}

func (k Kind) gk() topo.GroupKind { return topo.GroupKind{Group: k.Group, Kind: k.Kind} }

func (k Kind) ref(namespace, name string) topo.Ref {
	return topo.Ref{Group: k.Group, Kind: k.Kind, Namespace: namespace, Name: name}
}

func (k Kind) answersTo(name string) bool {
	return strings.EqualFold(name, k.Plural) || strings.EqualFold(name, k.Singular) || strings.EqualFold(name, k.Kind)
}

func (k Kind) shortened(name string) bool {
	return slices.ContainsFunc(k.ShortNames, func(s string) bool { return strings.EqualFold(s, name) })
}

// kindTable is what a cluster serves, in the order in which it says so.
type kindTable struct {
	kinds  []Kind
	failed []schema.GroupVersion // whose servers didn't answer
	at     time.Time
}

func (k *kindTable) lasts(fresh time.Duration) time.Duration {
	if len(k.failed) > 0 {
		return min(fresh, kindsGappy)
	}
	return fresh
}

// Kinds is what the cluster serves, as it says itself. absent are the group versions whose servers don't answer.
func (t *Target) Kinds(ctx context.Context) (kinds []Kind, absent []string, err error) {
	table, err := t.table(ctx, 0)
	if err != nil {
		return nil, nil, err
	}
	for _, gv := range table.failed {
		absent = append(absent, gv.String())
	}
	return table.kinds, absent, nil
}

// Resolve finds the kind that is meant by a plural, singular, short name or kind, in any case. Without a group ("" or "-") it is the one of the core
// group, else the only one of that name; without a version, the preferred one.
func (t *Target) Resolve(ctx context.Context, group, version, name string) (Kind, error) {
	return t.find(ctx, func(table *kindTable) (Kind, error) { return table.resolve(undash(group), undash(version), name) })
}

// of finds the kind of a document.
func (t *Target) of(ctx context.Context, apiVersion, kind string) (Kind, error) {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return Kind{}, fault.New(fault.BadRequest, "%q is no apiVersion", apiVersion)
	}
	return t.find(ctx, func(table *kindTable) (Kind, error) { return table.exactly(gv, kind) })
}

// find looks twice: the second time at what the cluster serves now.
func (t *Target) find(ctx context.Context, look func(*kindTable) (Kind, error)) (k Kind, err error) {
	for _, fresh := range []time.Duration{kindsFresh, kindsRetry} {
		table, err := t.table(ctx, fresh)
		if err != nil {
			return k, err
		}
		if k, err = look(table); !fault.Is(err, fault.NotFound) {
			return k, err
		}
		if fresh == kindsRetry {
			return k, err
		}
	}
	return k, err
}

// table is what the cluster serves, at most so old. Only who may read something in the cluster is told from memory: anybody else's request is refused by
// the transport, in its words.
func (t *Target) table(ctx context.Context, fresh time.Duration) (*kindTable, error) {
	if kept, ok := t.Ops.kinds.Get(t.scope()); ok && t.now().Sub(kept.at) < kept.lasts(fresh) && t.sees() {
		return kept, nil
	}
	// Discovery takes a refusal for a cluster that serves nothing. This request shows one for what it is, in its own words.
	if err := t.rest.Get().AbsPath("/version").Do(ctx).Error(); err != nil {
		return nil, translate(ctx, err)
	}
	client, err := discovery.NewDiscoveryClientForConfigAndClient(restConfig(), t.http)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the client of the cluster can't be made")
	}
	table := &kindTable{at: t.now()}
	if err := table.discover(ctx, client); err != nil {
		return nil, translate(ctx, err)
	}
	t.Ops.kinds.Add(t.scope(), table)
	return table, nil
}

func (t *Target) sees() bool {
	return slices.ContainsFunc([]fleet.Verb{fleet.Get, fleet.List, fleet.Watch}, func(v fleet.Verb) bool {
		_, _, ok := fleet.ViewOf(t.by.Principal, v).Namespaces(t.cluster)
		return ok
	})
}

// discover asks with two requests where the cluster can say all in one answer, and with one for each group version where it can't.
func (k *kindTable) discover(ctx context.Context, client *discovery.DiscoveryClient) error {
	groups, lists, failed, err := client.GroupsAndMaybeResourcesWithContext(ctx)
	if err != nil {
		return err
	}
	for _, g := range groups.Groups {
		for _, v := range g.Versions {
			gv := schema.GroupVersion{Group: g.Name, Version: v.Version}
			list := lists[gv]
			if list == nil && failed[gv] == nil {
				list, err = client.ServerResourcesForGroupVersionWithContext(ctx, gv.String())
			}
			if err != nil && ctx.Err() != nil {
				return err
			}
			if list == nil {
				k.failed = append(k.failed, gv)
				continue
			}
			k.add(gv, v.Version == g.PreferredVersion.Version, list.APIResources)
		}
	}
	return nil
}

func (k *kindTable) add(gv schema.GroupVersion, preferred bool, list []metav1.APIResource) {
	under := map[string][]string{}
	for _, r := range list {
		if name, sub, ok := strings.Cut(r.Name, "/"); ok {
			under[name] = append(under[name], sub)
		}
	}
	for _, r := range list {
		if strings.Contains(r.Name, "/") {
			continue
		}
		k.kinds = append(k.kinds, Kind{
			Group: gv.Group, Version: gv.Version, Preferred: preferred, Kind: r.Kind, Plural: r.Name, Singular: cmp.Or(r.SingularName, strings.ToLower(r.Kind)),
			ShortNames: notNil(r.ShortNames), Categories: notNil(r.Categories), Namespaced: r.Namespaced, Verbs: notNil(r.Verbs), Subresources: notNil(under[r.Name]),
		})
	}
}

func notNil[S ~[]string](s S) []string { return append([]string{}, s...) }

func (k *kindTable) exactly(gv schema.GroupVersion, kind string) (Kind, error) {
	for _, one := range k.kinds {
		if one.Group == gv.Group && one.Version == gv.Version && one.Kind == kind {
			return one, nil
		}
	}
	return Kind{}, k.unknown(gv.Group, gv.Version, kind)
}

// resolve prefers names to short names, and then the core group; between other groups it doesn't choose.
func (k *kindTable) resolve(group, version, name string) (Kind, error) {
	for _, named := range []func(Kind) bool{func(o Kind) bool { return o.answersTo(name) }, func(o Kind) bool { return o.shortened(name) }} {
		found := k.matching(named, group, version)
		groups := groupsOf(found)
		switch {
		case len(found) == 0:
			continue
		case len(groups) > 1 && found[0].Group != "":
			return Kind{}, fault.New(fault.BadRequest, "several groups have a kind by the name %q", name).WithField("group", "must be one of %s", strings.Join(groups, ", "))
		}
		found = slices.DeleteFunc(found, func(o Kind) bool { return o.Group != found[0].Group })
		if i := slices.IndexFunc(found, func(o Kind) bool { return o.Preferred }); i >= 0 {
			return found[i], nil
		}
		return found[0], nil
	}
	return Kind{}, k.unknown(group, version, name)
}

func (k *kindTable) matching(named func(Kind) bool, group, version string) (found []Kind) {
	for _, one := range k.kinds {
		if named(one) && (group == "" || strings.EqualFold(group, one.Group)) && (version == "" || version == one.Version) {
			found = append(found, one)
		}
	}
	slices.SortStableFunc(found, func(a, b Kind) int { return cmp.Compare(min(len(a.Group), 1), min(len(b.Group), 1)) })
	return found
}

func groupsOf(kinds []Kind) (groups []string) {
	for _, one := range kinds {
		if !slices.Contains(groups, one.Group) {
			groups = append(groups, one.Group)
		}
	}
	return groups
}

// unknown tells a kind that isn't there from one whose server doesn't answer.
func (k *kindTable) unknown(group, version, name string) error {
	for _, gv := range k.failed {
		if group == gv.Group && (version == "" || version == gv.Version) {
			return fault.New(fault.Unavailable, "the server of %s in the cluster doesn't answer", gv)
		}
	}
	where := schema.GroupVersion{Group: group, Version: version}.String()
	if where == "" {
		return fault.New(fault.NotFound, "the cluster serves no kind by the name %q", name)
	}
	return fault.New(fault.NotFound, "the cluster serves no kind by the name %q in %s", name, strings.Trim(where, "/"))
}

// undash reads "-" as the empty value it stands for.
func undash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

// groupOf is the group of an apiVersion.
func groupOf(apiVersion string) (string, error) {
	gv, err := schema.ParseGroupVersion(apiVersion)
	return gv.Group, err
}
