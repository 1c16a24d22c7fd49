package command

import (
	"context"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// scope says of which clusters, namespaces and resources something is asked, and of which moment.
type scope struct {
	clusters   []string
	namespaces []string
	everywhere bool
	kinds      []string
	selector   string
	query      string
	at         string
}

// where adds the flags by which every question is narrowed.
func (w *scope) where(a *app, c *cobra.Command) {
	c.Flags().StringSliceVar(&w.clusters, "cluster", nil, "names or ids of clusters, * stands for any text; all that you may see where none is given")
	c.Flags().StringSliceVarP(&w.namespaces, "namespace", "n", nil, "namespaces; all where none is given")
	c.Flags().BoolVarP(&w.everywhere, "all-namespaces", "A", false, "all namespaces, which is usual here")
	a.completes(c, "cluster", a.clusterNames)
	a.completes(c, "namespace", a.namespaceNames)
}

// which adds the flags that pick resources.
func (w *scope) which(a *app, c *cobra.Command, kinds bool) {
	c.Flags().StringVarP(&w.selector, "selector", "l", "", "label selector, such as app=web,tier!=db")
	c.Flags().StringVarP(&w.query, "query", "q", "", `the query language, such as 'image:nginx status!=Running cluster:eu-*'`)
	if kinds {
		c.Flags().StringSliceVar(&w.kinds, "kind", nil, "kinds of resources, by any of their names")
		a.completes(c, "kind", a.kindNames)
	}
}

// when adds the flag for a past moment.
func (w *scope) when(c *cobra.Command) {
	c.Flags().StringVar(&w.at, "at", "", "a past moment: how long ago (-2h, -7d), a time (2026-01-02T15:04:05Z), or a position; now where it isn't given")
}

// values are the parameters of the question; selector is what the one of labels is called.
func (w *scope) values(ctx context.Context, s *session, selector string) (url.Values, error) {
	if w.everywhere && len(w.namespaces) > 0 {
		return nil, fault.New(fault.BadRequest, "-A and -n exclude each other")
	}
	out := url.Values{}
	chosen, err := s.choose(ctx, w.clusters)
	if err != nil {
		return nil, err
	}
	for _, c := range chosen {
		out.Add("cluster", c.ID)
	}
	for key, list := range map[string][]string{"namespace": w.namespaces, "kind": kindsOf(w.kinds)} {
		if len(list) > 0 {
			out[key] = list
		}
	}
	for key, text := range map[string]string{selector: w.selector, "q": w.query, "at": w.at} {
		if text != "" {
			out.Set(key, text)
		}
	}
	return out, nil
}

// choose gives the clusters of the words, each a name, an id, or a pattern; none for no words.
func (s *session) choose(ctx context.Context, words []string) ([]client.Cluster, error) {
	all, err := s.fleet(ctx)
	if err != nil {
		return nil, err
	}
	var out []client.Cluster
	for _, word := range words {
		found, err := s.named(all, word)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// named gives the clusters that a word means, at least one.
func (s *session) named(all []client.Cluster, word string) ([]client.Cluster, error) {
	var exact, fitting []client.Cluster
	names := make([]string, 0, len(all))
	for _, c := range all {
		if c.Name == word || c.ID == word {
			exact = append(exact, c)
		}
		if ok, err := path.Match(word, c.Name); ok && err == nil {
			fitting = append(fitting, c)
		}
		names = append(names, c.Name)
	}
	switch {
	case len(exact) > 1:
		return nil, fault.New(fault.BadRequest, "%q is the name of one cluster and the id of another: name the first by its id", word)
	case len(exact) == 1:
		return exact, nil
	case len(fitting) > 0:
		return fitting, nil
	}
	f := fault.New(fault.NotFound, "%s knows no cluster %q", s.Address, word)
	if near := fault.Nearest(word, names); near != "" {
		f.Message += "; the nearest one is " + near
	}
	return nil, f
}

// one gives the cluster that is meant where it must be one: the only one of the fleet where none is named.
func (s *session) one(ctx context.Context, words []string) (client.Cluster, error) {
	chosen, err := s.choose(ctx, words)
	if err != nil {
		return client.Cluster{}, err
	}
	if len(words) == 0 {
		chosen, err = s.fleet(ctx)
	}
	switch {
	case err != nil:
		return client.Cluster{}, err
	case len(chosen) == 1:
		return chosen[0], nil
	case len(chosen) == 0:
		return client.Cluster{}, fault.New(fault.NotFound, "%s shows you no clusters", s.Address)
	}
	return client.Cluster{}, fault.New(fault.BadRequest, "which cluster? --cluster can be %s", oneOf(clusterNames(chosen)))
}

// oneOf names a few.
func oneOf(names []string) string {
	const few = 8
	if len(names) > few {
		return strings.Join(names[:few], ", ") + " …"
	}
	return strings.Join(names, ", ")
}

func clusterNames(list []client.Cluster) []string {
	var names []string
	for _, c := range list {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return names
}

// fleet lists the clusters, once.
func (s *session) fleet(ctx context.Context) ([]client.Cluster, error) {
	if s.known == nil {
		all, err := s.client.Fleet(ctx)
		if err != nil {
			return nil, err
		}
		s.known = all
	}
	return s.known, nil
}

// nameOf is what a cluster's id stands for.
func (s *session) nameOf(id string) string {
	for _, c := range s.known {
		if c.ID == id {
			return c.Name
		}
	}
	return id
}

// clusterCell names a cluster, and marks one that isn't connected, or wasn't at the moment that is shown.
func (s *session) clusterCell(id string, m client.Meta) cell {
	name := s.nameOf(id)
	if f, ok := m.Freshness[id]; ok && f.State != "live" {
		return cell{name + " (offline)", yellow}
	}
	return cell{text: name}
}

// offline tells of the clusters that aren't connected, or weren't at the moment that is shown.
func (a *app) offline(s *session, m client.Meta) {
	for _, c := range s.known {
		f, ok := m.Freshness[c.ID]
		if !ok || f.State == "live" {
			continue
		}
		if f.LastHeard.IsZero() {
			a.say("note: %s has never been connected", c.Name)
			continue
		}
		a.say("note: %s is offline: it is shown as it was when it was last heard, at %s", c.Name, clock(f.LastHeard))
	}
}
