package query

import (
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Objects come with the texts that are asked for and, where there is none, their owners; and with nothing that may not be seen, by whichever way they are asked for.
func TestObjectsWithTheirTexts(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(querytest.Shop())
	q := New(st)
	whole := ObjectsQuestion{Verb: fleet.List, Owners: true, Texts: func(*store.Row) bool { return true }}
	whole.Kinds = []topo.GroupKind{{Kind: "ConfigMap"}, {Kind: "Pod"}}
	list, err := q.Objects(t.Context(), p, whole, Page{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Object{}
	for _, o := range list.Items {
		got[o.Node.Ref.Name] = o
	}
	if len(got["web"].Text) == 0 || len(got["web-a"].Text) != 0 || len(got["web-a"].Owners) != 1 || got["web-a"].Owners[0].Ref.Kind != "ReplicaSet" || list.Clusters[c.ID].Name != "c" {
		t.Errorf("%+v", list)
	}
	refs := []topo.Ref{querytest.Ref("ConfigMap shop/web"), querytest.Ref("ConfigMap shop/absent"), querytest.Ref("Pod bank/vault")}
	named, err := q.Named(t.Context(), may(p.Tenant, "shop"), whole, c.ID, refs)
	if err != nil || len(named) != 1 || len(named[0].Text) == 0 { // what is absent, and what is another's, isn't there
		t.Errorf("%+v %v", named, err)
	}
	rows := []store.Row{got["web"].Row}
	for namespaces, texts := range map[string]int{"shop": 1, "bank": 0} {
		done, err := q.Complete(t.Context(), may(p.Tenant, namespaces), whole, rows)
		if err != nil || len(done) != 1 || (len(done[0].Text) > 0) != (texts == 1) {
			t.Errorf("%s: %+v %v", namespaces, done, err)
		}
	}
	if all, ids := Visible(may(p.Tenant, "shop")); !all || len(ids) > 0 {
		t.Errorf("whoever sees a namespace of every cluster sees something of every cluster: %v", ids)
	}
	if all, ids := Visible(may(p.Tenant, "*").Within([]fleet.ClusterID{c.ID})); all || len(ids) != 1 {
		t.Errorf("%v %v", all, ids)
	}
}
