package live

import (
	"testing"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func TestScopes(t *testing.T) {
	reader := fleet.Principal{Tenant: tenant, Name: "reader", Bindings: []fleet.Binding{{Verbs: []string{"watch"}, Clusters: []string{"*"}, Namespaces: []string{"shop"}}}}
	stranger := fleet.Principal{Tenant: tenant, Name: "stranger", Bindings: []fleet.Binding{{Verbs: []string{"get"}, Clusters: []string{"*"}, Namespaces: []string{"*"}}}}
	everything := store.Entry{
		Diff: topo.Diff{
			Nodes: []topo.NodeChange{
				node(topo.Add, "Pod", "shop", "web", "app", "web"), node(topo.Update, "Service", "shop", "db", "app", "db"),
				node(topo.Add, "Pod", "bank", "vault", "app", "web"), node(topo.Remove, "Node", "", "n1"),
			},
			Edges: []topo.EdgeChange{
				{Op: topo.Add, Edge: topo.Edge{Source: topo.Ref{Kind: "Service", Namespace: "shop", Name: "db"}, Target: topo.Ref{Kind: "Pod", Namespace: "shop", Name: "web"}, Type: topo.Selects}},
				{Op: topo.Add, Edge: topo.Edge{Source: topo.Ref{Kind: "Pod", Namespace: "shop", Name: "web"}, Target: topo.Ref{Kind: "Node", Name: "n1"}, Type: topo.RunsOn}},
			},
		},
		Texts:  []topo.Ref{{Kind: "Pod", Namespace: "shop", Name: "text"}, {Kind: "Secret", Namespace: "bank", Name: "key"}},
		Events: []topo.Event{{Namespace: "bank", Name: "e1", Regarding: topo.Ref{Kind: "Pod", Namespace: "bank", Name: "vault"}}},
	}
	ghost := node(topo.Update, "ConfigMap", "shop", "ghost")
	ghost.Node.Presence = topo.Missing
	everything.Diff.Nodes = append(everything.Diff.Nodes, ghost)
	cases := map[string]struct {
		who   fleet.Principal
		scope Scope
		what  []What
		want  string
	}{
		"all":        {admin, Scope{}, []What{Topology, Events}, "add web, update db, add vault, remove n1, update ghost, add db->web, add web->n1, update e1"},
		"resources":  {admin, Scope{}, []What{Resources}, "add web, update db, add vault, remove n1, remove ghost"},
		"events":     {admin, Scope{}, []What{Events}, "update e1"},
		"regarding":  {admin, Scope{Regarding: &topo.Ref{Kind: "Pod", Namespace: "bank", Name: "vault"}}, []What{Events}, "update e1"},
		"another":    {admin, Scope{Regarding: &topo.Ref{Kind: "Pod", Namespace: "bank", Name: "web"}}, []What{Events, Clusters}, ""},
		"namespace":  {admin, Scope{Namespaces: []string{"shop"}}, []What{Topology, Events}, "add web, update db, update ghost, add db->web, add web->n1"},
		"kind":       {admin, Scope{Kinds: []topo.GroupKind{{Kind: "Service"}}}, []What{Topology}, "update db, add db->web"},
		"selector":   {admin, Scope{Selector: labels.SelectorFromSet(labels.Set{"app": "web"})}, []What{Resources}, "add web, remove db, add vault, remove ghost"},
		"cluster":    {admin, Scope{Clusters: []fleet.ClusterID{77}}, []What{Topology, Events}, ""},
		"reader":     {reader, Scope{}, []What{Topology, Events}, "add web, update db, update ghost, add db->web"},
		"texts":      {admin, Scope{Namespaces: []string{"shop", "bank"}, Kinds: []topo.GroupKind{{Kind: "Pod"}}}, []What{Texts}, "update text"},
		"his texts":  {reader, Scope{}, []What{Texts}, "update text"},
		"no watcher": {stranger, Scope{}, []What{Topology, Events, Clusters}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			view := fleet.ViewOf(c.who, fleet.Watch)
			e := everything
			e.Kind, e.Cluster = store.EntryDiff, cluster
			if got := tell(newSieve(c.scope, c.what).sift(&view, &item{Entry: e})); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func tell(changes []Change) (s string) {
	for _, c := range changes {
		if s != "" {
			s += ", "
		}
		s += string(c.Op) + " "
		switch {
		case c.Node != nil:
			s += c.Node.Ref.Name
		case c.Edge != nil:
			s += c.Edge.Source.Name + "->" + c.Edge.Target.Name
		case c.Event != nil:
			s += c.Event.Name
		case c.Text != nil:
			s += c.Text.Name
		case c.About != nil:
			s += c.About.Name
		}
	}
	return s
}

func TestSelectorsAreLevels(t *testing.T) {
	s := newSieve(Scope{Selector: labels.SelectorFromSet(labels.Set{"app": "web"})}, []What{Resources})
	view := fleet.ViewOf(admin, fleet.Watch)
	for n, step := range []struct {
		change topo.NodeChange
		want   string
	}{
		{node(topo.Add, "Pod", "shop", "x", "app", "db"), ""},
		{node(topo.Update, "Pod", "shop", "x", "app", "db"), "remove x"}, // may have matched before, for all the feed says
		{node(topo.Update, "Pod", "shop", "x", "app", "db"), ""},         // told already
		{node(topo.Update, "Pod", "shop", "x", "app", "web"), "update x"},
		{node(topo.Update, "Pod", "shop", "x", "app", "db"), "remove x"},
		{node(topo.Remove, "Pod", "shop", "x", "app", "db"), ""},
		{node(topo.Add, "Pod", "shop", "x", "app", "web"), "add x"},
		{node(topo.Remove, "Pod", "shop", "x", "app", "web"), "remove x"},
	} {
		e := diff(step.change)
		e.Kind, e.Cluster = store.EntryDiff, cluster
		if got := tell(s.sift(&view, &item{Entry: e})); got != step.want {
			t.Errorf("step %d: got %q, want %q", n, got, step.want)
		}
	}
}
