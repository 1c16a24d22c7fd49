package main

import (
	"context"
	"fmt"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/search"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/bigstore"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// labels lists Pods by label over all clusters: a label that few have, one that some have, and one that a third has.
func (b *bench) labels(ctx context.Context) error {
	var all sample
	for _, ask := range []struct {
		what     string
		selector func() string
	}{
		{"rare", func() string {
			space := b.random.IntN(10)
			return fmt.Sprintf("app.kubernetes.io/instance=%s-%s", bigstore.App(space*25+b.random.IntN(25)), bigstore.Namespace(space))
		}},
		{"one in a thousand", func() string { return "zz-canary=true" }},
		{"common", func() string { return "tier=" + []string{"front", "back", "data"}[b.random.IntN(3)] }},
	} {
		s, err := b.measure(ctx, func(ctx context.Context) (int, int, error) {
			l, err := b.query.List(ctx, b.who, query.Where{Kinds: []topo.GroupKind{{Kind: "Pod"}}, Labels: ask.selector()}, query.Page{Limit: 100})
			if err != nil {
				return 0, 0, err
			}
			return len(l.Items), 0, nil
		})
		if err != nil {
			return err
		}
		note("list.label_page, a %s label: p50 %.4g ms, p95 %.4g ms; %d rows", ask.what, ms(s.quantile(0.5)), ms(s.quantile(0.95)), s.size/len(s.took))
		all.took, all.size = append(all.took, s.took...), all.size+s.size
	}
	all.p95("list.label_page.p95", "rows (%d)")
	return nil
}

// aggregate asks for a cluster of 20,000 objects in groups.
func (b *bench) aggregate(ctx context.Context) error {
	by := [][]store.Dimension{{store.ByNamespace}, {store.ByNamespace, store.ByApplication}, {store.ByNamespace, store.ByKind}}
	var all sample
	for _, dimensions := range by {
		s, err := b.measure(ctx, func(ctx context.Context) (int, int, error) {
			g, err := b.query.Groups(ctx, b.who, query.GroupQuestion{Where: query.Where{Clusters: []fleet.ClusterID{b.named(0)}}, By: dimensions, Limit: query.MaxGroups})
			if err != nil {
				return 0, 0, err
			}
			return len(g.Groups), len(g.Edges), nil
		})
		if err != nil {
			return err
		}
		note("topology.cluster.aggregate by %v: p50 %.4g ms, p95 %.4g ms; %d groups, %d edges between them", dimensions, ms(s.quantile(0.5)), ms(s.quantile(0.95)), s.size/len(s.took), s.extra/len(s.took))
		all.took, all.size, all.extra = append(all.took, s.took...), all.size+s.size, all.extra+s.extra
	}
	all.p95("topology.cluster.aggregate.p95", "groups and %d edges")
	return nil
}

// search looks for rare, common and absent words, and by the keys of the language.
func (b *bench) search(ctx context.Context) error {
	var all sample
	for _, ask := range []struct {
		what string
		text func() string
	}{
		{"a Pod's name", func() string { return fmt.Sprintf("%s-6d4f9b7c5d", bigstore.App(b.random.IntN(250))) }},
		{"a rare word", func() string { return fmt.Sprintf("%s-team-0%d", bigstore.App(b.random.IntN(250)), b.random.IntN(10)) }},
		{"a common word", func() string { return "app" }},
		{"an absent word", func() string { return fmt.Sprintf("nothing%d", b.random.IntN(1000)) }},
		{"an address", func() string { return fmt.Sprintf("10.%d.%d.", b.random.IntN(200), b.random.IntN(250)) }},
		{"an image", func() string { return fmt.Sprintf("kind:Pod image:shop/%s", bigstore.App(b.random.IntN(250))) }},
		{"fields", func() string {
			return fmt.Sprintf("kind:Pod ns:%s status!=Running cluster:eu-*", bigstore.Namespace(b.random.IntN(10)))
		}},
		{"bad health", func() string { return "-health:ok,unknown app-0" }},
	} {
		s, err := b.measure(ctx, func(ctx context.Context) (int, int, error) {
			parsed, err := search.Parse(ask.text(), time.Now())
			if err != nil {
				return 0, 0, err
			}
			found, err := b.query.Search(ctx, b.within(parsed.Clusters), query.SearchQuestion{Where: query.Where{Terms: parsed.Terms}})
			if err != nil {
				return 0, 0, err
			}
			return len(found.Items), 0, nil
		})
		if err != nil {
			return err
		}
		note("search for %s (%s): p50 %.4g ms, p95 %.4g ms; %d found", ask.what, ask.text(), ms(s.quantile(0.5)), ms(s.quantile(0.95)), s.size/len(s.took))
		all.took, all.size = append(all.took, s.took...), all.size+s.size
	}
	all.p95("search.p95", "resources (%d)")
	return nil
}

// within is the principal, within the clusters that a query means.
func (b *bench) within(terms []search.ClusterTerm) fleet.Principal {
	if len(terms) == 0 {
		return b.who
	}
	var ids []fleet.ClusterID
	for _, c := range b.Clusters {
		if terms[0].Fits(c.Name, c.ID.String(), nil) {
			ids = append(ids, c.ID)
		}
	}
	return b.who.Within(ids)
}
