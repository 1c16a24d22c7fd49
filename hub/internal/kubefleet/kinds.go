package kubefleet

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/version"

	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// kind is one that is served: what some cluster watches.
type kind struct {
	Group, Plural, Kind string
	Singular            string
	Short, Categories   []string
	Versions            []string // the best first
	Namespaced          bool

	kinds   []topo.GroupKind // mostly one; clusters may call theirs differently
	columns map[string][]printed
	hidden  int // clusters that don't let it be watched
}

func (k *kind) events() bool { return k.Group == "" && k.Kind == "Event" }

// catalogue is the kinds that somebody can ask for.
type catalogue struct {
	kinds map[string]*kind // by group and plural
	order []*kind
	read  time.Time
}

const (
	keptCatalogues   = 256
	keptDefinitions  = 4096
	catalogueFresh   = 15 * time.Second
	catalogueRetry   = 2 * time.Second
	catalogueTime    = 20 * time.Second
	definitionsFresh = 5 * time.Minute
)

func (c *catalogue) find(group, version, plural string) *kind {
	k := c.kinds[group+"/"+plural]
	if k == nil || !slices.Contains(k.Versions, version) {
		return nil
	}
	return k
}

// catalogue gives the kinds of a place. A kind that isn't in the one kept is looked for anew, now and then.
func (f *Face) catalogue(ctx context.Context, at *place, wanted string) (*catalogue, error) {
	all, ids := query.Visible(at.principal)
	key := at.principal.Tenant.String()
	if !all {
		key += " of"
		for _, id := range ids {
			key += " " + id.String()
		}
	}
	if c, ok := f.kept.Get(key); ok {
		age := time.Since(c.read)
		if known := wanted == "" || c.kinds[wanted] != nil; age < catalogueRetry || known && age < catalogueFresh {
			return c, nil
		}
	}
	// It is read for all who ask now, so it doesn't end with the one who came first.
	got, err, _ := f.flight.Do(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), catalogueTime)
		defer cancel()
		c, err := f.readCatalogue(ctx, at)
		if err == nil {
			f.kept.Add(key, c)
		}
		return c, err
	})
	if err != nil {
		return nil, err
	}
	return got.(*catalogue), nil
}

func (f *Face) readCatalogue(ctx context.Context, at *place) (*catalogue, error) {
	uses, err := f.cfg.Query.FleetKinds(ctx, at.principal)
	if err != nil {
		return nil, err
	}
	c := &catalogue{kinds: map[string]*kind{}, read: time.Now()}
	hidden := map[topo.GroupKind]int{}
	for i := range uses {
		if !uses[i].Observed {
			hidden[uses[i].GroupKind] += uses[i].Clusters
			continue
		}
		c.add(&uses[i])
	}
	if len(c.kinds) > 0 {
		c.add(&store.KindUse{GroupKind: topo.GroupKind{Kind: "Event"}, Version: "v1", Plural: "events", Namespaced: true, Observed: true})
	}
	for _, k := range c.kinds {
		for _, gk := range k.kinds {
			k.hidden += hidden[gk]
		}
		slices.SortFunc(k.Versions, func(a, b string) int { return -version.CompareKubeAwareVersionStrings(a, b) })
		c.order = append(c.order, k)
	}
	slices.SortFunc(c.order, func(a, b *kind) int {
		return cmp.Or(cmp.Compare(groupRank(a.Group), groupRank(b.Group)), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Plural, b.Plural))
	})
	return c, f.name(ctx, at, c)
}

func (c *catalogue) add(u *store.KindUse) {
	key := u.Group + "/" + u.Plural
	k := c.kinds[key]
	if k == nil {
		k = &kind{Group: u.Group, Plural: u.Plural, Kind: u.Kind, Namespaced: u.Namespaced, Singular: strings.ToLower(u.Kind)}
		c.kinds[key] = k
	}
	if !slices.Contains(k.kinds, u.GroupKind) {
		k.kinds = append(k.kinds, u.GroupKind)
	}
	if !slices.Contains(k.Versions, u.Version) {
		k.Versions = append(k.Versions, u.Version)
	}
}

// name gives kinds the names that people use: those of Kubernetes' own are known, those of others their definitions tell.
func (f *Face) name(ctx context.Context, at *place, c *catalogue) error {
	var custom []string
	for _, k := range c.order {
		own, ok := names[k.Group+"/"+k.Plural]
		switch {
		case ok:
			k.Short, k.Categories = own.short, own.categories
		case strings.Contains(k.Group, "."):
			custom = append(custom, k.Plural+"."+k.Group)
		}
	}
	known, err := f.definitions(ctx, at, custom)
	if err != nil {
		return err
	}
	for _, k := range c.order {
		if d := known[k.Plural+"."+k.Group]; d != nil {
			k.Singular = cmp.Or(d.Spec.Names.Singular, k.Singular)
			k.Short, k.Categories, k.columns = d.Spec.Names.ShortNames, d.Spec.Names.Categories, d.columns()
		}
	}
	return nil
}

// definition is what is needed of a CustomResourceDefinition.
type definition struct {
	read time.Time
	Spec struct {
		Names struct {
			Singular   string
			ShortNames []string
			Categories []string
		}
		Versions []struct {
			Name    string
			Columns []printed `json:"additionalPrinterColumns"`
		}
	}
}

// printed is a column that a definition asks for.
type printed struct {
	Name     string
	Type     string
	Format   string
	Priority int32
	JSONPath string
}

// columns are by version.
func (d *definition) columns() map[string][]printed {
	out := map[string][]printed{}
	for _, v := range d.Spec.Versions {
		if len(v.Columns) > 0 {
			out[v.Name] = v.Columns
		}
	}
	return out
}

// definitions reads those that aren't kept. Kinds that nobody's definition is known of have an empty one, so as not to be looked for each time.
func (f *Face) definitions(ctx context.Context, at *place, wanted []string) (map[string]*definition, error) {
	_, ids := query.Visible(at.principal)
	key := func(name string) string { return at.principal.Tenant.String() + "/" + at.id.String() + "/" + name }
	out := map[string]*definition{}
	var missing []string
	for _, name := range wanted {
		if d, ok := f.defined.Get(key(name)); ok && time.Since(d.read) < definitionsFresh {
			out[name] = d
			continue
		}
		missing = append(missing, name)
	}
	texts, err := f.cfg.Query.Definitions(ctx, at.principal, missing)
	for name, text := range texts {
		d := &definition{read: time.Now()}
		if json.Unmarshal(text, d) != nil {
			continue // of a version that nobody knows: the kind is served without its short names
		}
		out[name] = d
		if len(ids) == 0 || at.only != nil { // what some see of a fleet isn't kept for others
			f.defined.Add(key(name), d)
		}
	}
	return out, err
}
