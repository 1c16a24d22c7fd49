package storetest

import (
	"context"
	"slices"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// broken are the rules that scenarios break on purpose, or of whose subject they make light.
var broken = map[string][]string{
	"Edges": {"edge-ends"}, "Load": {"edge-ends"}, "LoadFinal": {"edge-ends"}, "Oracle": {"edge-ends"}, "Poison": {"edge-ends"}, "Trim": {"edge-ends"}, "Replay": {"edge-ends"},
	"Isolation": {"edge-ends", "hash", "digest"}, // its manifest is no text
	"Damage":    {"refs"},                        // a key that damage made is in history
}

// intact checks every cluster of every tenant; but for some rules.
func (h *house) intact(ctx context.Context, except ...string) {
	h.Helper()
	tenants, err := h.Store.Tenants(ctx)
	h.must(err)
	for _, tenant := range tenants {
		clusters, err := h.Store.Clusters(ctx, tenant.ID)
		h.must(err)
		for _, c := range clusters {
			found, err := h.Store.Check(ctx, store.Scope{Tenant: tenant.ID, Cluster: c.ID}, 1000)
			h.must(err)
			for _, v := range found {
				if !slices.Contains(except, v.Rule) {
					h.Errorf("%s: %s: %s", v.Rule, v.Key, v.Detail)
				}
			}
		}
	}
}

// check: each damage is named as what it is.
func check(t *testing.T, h *house) {
	a, b := pod("a", "app", "web", "tier", "front"), pod("b", "app", "web")
	mounts := edge(a.Ref, b.Ref, "r")
	d := store.Delta{Nodes: []topo.Node{a, b}, Edges: []topo.Edge{mounts}, Manifests: []topo.Manifest{manifest("a", "{}")}}
	for sql, want := range map[string]string{
		"UPDATE resources SET status = 'wrong' WHERE name = 'a'":   "hash",
		"UPDATE resources SET name = 'wrong' WHERE name = 'a'":     "key",
		"UPDATE resources SET health = 77 WHERE name = 'a'":        "value",
		"UPDATE resources SET labels = 'no JSON' WHERE name = 'a'": "damaged",
		"UPDATE resources SET app = 'wrong' WHERE name = 'a'":      "app",
		"UPDATE resources SET name = 'b' WHERE name = 'a'":         "duplicate",
		"DELETE FROM labels WHERE value = 'front'":                 "labels",
		"UPDATE labels SET value = 'wrong' WHERE value = 'front'":  "labels",
		"INSERT INTO labels (tenant_id, key, value, cluster_id, id, valid_from) SELECT tenant_id, 'x', 'y', cluster_id, id, valid_from FROM resources WHERE name = 'b'": "labels",
		"DELETE FROM resources WHERE name = 'b'":                                          "edge-ends",
		"UPDATE edges SET source = id":                                                    "edge-ends",
		"UPDATE edges SET type = 'likes'":                                                 "edge-type",
		"UPDATE edges SET path = 'wrong'":                                                 "hash",
		"UPDATE counts SET ok = ok + 1":                                                   "counts",
		"DELETE FROM counts":                                                              "counts",
		"UPDATE edge_counts SET number = number + 1":                                      "counts",
		"UPDATE digests SET s3 = s3 + 1":                                                  "digest",
		"DELETE FROM refs WHERE name = 'b'":                                               "refs",
		"UPDATE refs SET name = 'wrong' WHERE name = 'b'":                                 "refs",
		"UPDATE resources_history SET valid_to = valid_from":                              "history",
		"UPDATE resources SET valid_from = 0 WHERE name = 'a'":                            "history",
		"UPDATE labels SET valid_from = 0 WHERE value = 'front'":                          "history",
		"UPDATE edges SET valid_from = 0":                                                 "history",
		"UPDATE manifests SET valid_from = 0":                                             "history",
		"UPDATE manifests SET hash = (SELECT r.hash FROM resources r WHERE r.name = 'b')": "hash",
	} {
		first := d
		first.Nodes = []topo.Node{with(pod("a", "app", "web", "tier", "back"), func(n *topo.Node) { n.Status = "Pending" }), b}
		first.Edges = []topo.Edge{mounts}
		first.Edges[0].Path = "old"
		first.Manifests = []topo.Manifest{manifest("a", "[]")}
		s := h.loaded(first)
		s.apply(d)
		h.intact(h.ctx)
		h.must(h.Exec(h.ctx, sql))
		found, err := h.Store.Check(h.ctx, s.at, 100)
		h.must(err)
		if !slices.ContainsFunc(found, func(v store.Violation) bool { return v.Rule == want && v.Key != "" && v.Detail != "" }) {
			t.Errorf("%s: found %+v, not %q", sql, found, want)
		}
		few, err := h.Store.Check(h.ctx, s.at, 1)
		h.must(err)
		h.equal(len(few), 1)
		h.must(h.Store.DeleteCluster(h.ctx, s.at))
		for _, table := range []string{"resources", "labels", "edges", "manifests", "resources_history", "labels_history", "edges_history", "manifests_history", "refs", "digests", "counts", "edge_counts"} {
			h.must(h.Exec(h.ctx, "DELETE FROM "+table))
		}
	}
}
