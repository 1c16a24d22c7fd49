package relational

import (
	"context"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// TextsOf gives what searches look for in a node, in lower case: its name, and all of it, a line each.
func TextsOf(n *topo.Node) (name, all string) {
	var b strings.Builder
	b.WriteString(n.Ref.Name)
	for i := range n.Labels {
		b.WriteByte('\n')
		b.WriteString(n.Labels[i].Value)
	}
	for _, attr := range []string{listed[store.ImageKey], listed[store.IPKey]} {
		if list, ok := topo.Value(n.Attrs, attr); ok {
			b.WriteByte('\n')
			b.WriteString(strings.ReplaceAll(list, " ", "\n"))
		}
	}
	return lowered(n.Ref.Name), lowered(b.String())
}

// lowered turns the letters of ASCII to lower case, as databases do that know no other.
func lowered(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'A' && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, s)
}

// By so many letters or digits in a row the index of texts goes; what has fewer is found by reading all texts, which are less than the rows.
const (
	byLetters = 3
	byReading = 1
)

// inTextsIndex gives the condition on rows x of search_texts that every row fulfils which a filter's terms mean; "" when no term has so many letters.
func (w *where) inTextsIndex(f *store.Filter, least int) string {
	var all []string
	for i := range f.Terms {
		t := &f.Terms[i]
		_, label := strings.CutPrefix(t.Key, store.LabelKey)
		known := label || t.Key == store.TextKey || t.Key == store.ImageKey || t.Key == store.IPKey || t.Key == "name"
		if !known || t.Not || t.Op != store.Like || !indexable(t.Values, least) {
			continue
		}
		any := make([]string, len(t.Values))
		for j, v := range t.Values {
			any[j] = "x.texts LIKE " + w.param("%"+likePattern(lowered(core(v)))+"%") + ` ESCAPE '\'`
		}
		all = append(all, anyOf(any))
	}
	return strings.Join(all, " AND ")
}

// indexable tells whether each pattern has so many letters or digits in a row.
func indexable(patterns []string, least int) bool {
	for _, p := range patterns {
		run, most := 0, 0
		for i := 0; i < len(p); i++ {
			c := p[i]
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
				run++
				most = max(most, run)
				continue
			}
			run = 0
		}
		if most < least {
			return false
		}
	}
	return true
}

// The feed is read up to so many entries behind what the index has taken in; if it is further behind, the rows themselves are searched.
const (
	lagEntries  = 400
	lagRows     = 20000
	lagClusters = 20
)

// lag is what the index has not taken in yet at a snapshot's position.
type lag struct {
	rows  map[fleet.ClusterID][]topo.ID // those that may have changed
	whole []fleet.ClusterID             // clusters of which not all is in it
}

// lag reads it; nil when it is too much.
func (s *snapshot) lag(ctx context.Context) (*lag, error) {
	if !s.walks() || !s.sql.Texts {
		return nil, nil
	}
	var pos, trimmed int64
	begun, err := queryOne(ctx, s.conn, `SELECT i.pos, f.trimmed FROM search_state i JOIN tenant_feed f ON f.tenant_id = i.tenant_id WHERE i.tenant_id = $1`,
		[]any{int64(s.tenant)}, &pos, &trimmed)
	if err != nil || !begun || pos < trimmed {
		return nil, err
	}
	l := &lag{rows: map[fleet.ClusterID][]topo.ID{}}
	l.whole, err = queryAll(ctx, s.conn, func(rows Rows, c *fleet.ClusterID) error { return rows.Scan((*int64)(c)) },
		`SELECT cluster_id FROM search_pending WHERE tenant_id = $1`, int64(s.tenant))
	if err != nil || len(l.whole) > lagClusters {
		return nil, err
	}
	entries, err := queryAll(ctx, s.conn, scanEntry, `SELECT pos, at, kind, cluster_id, gap_since, payload FROM feed WHERE tenant_id = $1 AND pos > $2 AND pos <= $3
		ORDER BY pos LIMIT $4`, int64(s.tenant), pos, int64(s.pos), lagEntries+1)
	if err != nil || len(entries) > lagEntries {
		return nil, err
	}
	n := 0
	for i := range entries {
		e := &entries[i]
		if e.Kind == store.EntryLoaded {
			l.whole = append(l.whole, e.Cluster)
		}
		for j := range e.Diff.Nodes {
			l.rows[e.Cluster] = append(l.rows[e.Cluster], e.Diff.Nodes[j].Node.Ref.ID())
			n++
		}
	}
	if n > lagRows || len(l.whole) > lagClusters {
		return nil, nil
	}
	return l, nil
}
