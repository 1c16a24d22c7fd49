package fleet

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

var (
	tenant = TenantID(1)
	east   = ClusterID(10)
	west   = ClusterID(20)
)

func bind(verbs, clusters, namespaces []string) Binding {
	return Binding{Verbs: verbs, Clusters: clusters, Namespaces: namespaces}
}

func of(bindings ...Binding) Principal { return Principal{Tenant: tenant, Bindings: bindings} }

func in(c ClusterID, namespace string) Scope {
	return Scope{Tenant: tenant, Cluster: c, Namespace: namespace}
}

var (
	all    = []string{All}
	reader = bind([]string{"get", "list"}, []string{east.String()}, []string{"shop", "till"})
)

func TestCan(t *testing.T) {
	cases := []struct {
		name string
		who  Principal
		verb Verb
		at   Scope
		want bool
	}{
		{"nothing bound", of(), Get, in(east, "shop"), false},
		{"as bound", of(reader), Get, in(east, "shop"), true},
		{"the second of each list", of(reader), List, in(east, "till"), true},
		{"another verb", of(reader), Delete, in(east, "shop"), false},
		{"another cluster", of(reader), Get, in(west, "shop"), false},
		{"another namespace", of(reader), Get, in(east, "kube-system"), false},
		{"what has no namespace isn't in any", of(reader), Get, in(east, ""), false},
		{"the tenant isn't a cluster", of(reader), Get, in(0, "shop"), false},
		{"everything", of(bind(all, all, all)), Admin, in(0, ""), true},
		{"everything, in one place", of(bind(all, all, all)), Delete, in(west, "shop"), true},
		{"of another tenant", of(bind(all, all, all)), Get, Scope{Tenant: 2, Cluster: east, Namespace: "shop"}, false},
		{"all namespaces take in what has none", of(bind(all, []string{east.String()}, all)), Get, in(east, ""), true},
		{"all clusters, one namespace: the tenant as a whole has none", of(bind(all, all, []string{"shop"})), Get, in(0, ""), false},
		{"all clusters, one namespace", of(bind(all, all, []string{"shop"})), Get, in(west, "shop"), true},
		{"empty verbs", of(bind(nil, all, all)), Get, in(east, "shop"), false},
		{"empty clusters", of(bind(all, nil, all)), Get, in(east, "shop"), false},
		{"empty namespaces", of(bind(all, all, nil)), Get, in(east, ""), false},
		{"an empty namespace in the list is no namespace's name", of(bind(all, all, []string{""})), Get, in(east, ""), false},
		{"an empty verb in the list", of(bind([]string{""}, all, all)), Verb(""), in(east, "shop"), false},
		{"the id of cluster zero isn't the tenant", of(bind(all, []string{ClusterID(0).String()}, all)), Get, in(0, ""), false},
		{"lists of different bindings don't mix",
			of(bind([]string{"get"}, []string{east.String()}, all), bind([]string{"delete"}, []string{west.String()}, all)), Delete, in(east, "shop"), false},
		{"the second binding", of(reader, bind([]string{"delete"}, all, all)), Delete, in(west, ""), true},
		{"names match as a whole", of(bind([]string{"get"}, all, []string{"shop"})), Get, in(east, "shop-2"), false},
		{"verbs are lower case", of(bind([]string{"GET"}, all, all)), Get, in(east, "shop"), false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := Can(c.who, c.verb, c.at); got != c.want {
				t.Errorf("Can = %v, want %v", got, c.want)
			}
		})
	}
}

func TestViewOf(t *testing.T) {
	one, two := []string{east.String()}, []string{east.String(), west.String()}
	cases := []struct {
		name     string
		who      Principal
		everyone bool
		east     string // the namespaces, "all" or "none"
		west     string
		other    string // of a cluster that no binding names
	}{
		{"nothing", of(), false, "none", "none", "none"},
		{"one cluster whole", of(bind(all, one, all)), false, "all", "none", "none"},
		{"some namespaces of two", of(bind(all, two, []string{"b", "a", "b"})), false, "[a b]", "[a b]", "none"},
		{"two bindings add up", of(bind(all, one, []string{"a"}), bind(all, two, []string{"b"})), false, "[a b]", "[b]", "none"},
		{"all covers some, whatever the order", of(bind(all, one, all), bind(all, one, []string{"a"})), false, "all", "none", "none"},
		{"and the other way round", of(bind(all, one, []string{"a"}), bind(all, one, all)), false, "all", "none", "none"},
		{"a namespace everywhere", of(bind(all, all, []string{"a"})), false, "[a]", "[a]", "[a]"},
		{"a namespace everywhere, one cluster whole", of(bind(all, all, []string{"a"}), bind(all, one, all)), false, "all", "[a]", "[a]"},
		{"a namespace everywhere, one more in one", of(bind(all, one, []string{"b"}), bind(all, all, []string{"a"})), false, "[a b]", "[a]", "[a]"},
		{"everything", of(bind(all, all, all)), true, "all", "all", "all"},
		{"everything besides something", of(reader, bind(all, all, all)), true, "all", "all", "all"},
		{"another verb counts for nothing", of(bind([]string{"delete"}, all, all)), false, "none", "none", "none"},
		{"no namespaces", of(bind(all, one, nil)), false, "none", "none", "none"},
		{"a cluster that is no id", of(bind(all, []string{"east"}, all)), false, "none", "none", "none"},
		{"the id of cluster zero isn't every cluster", of(bind(all, []string{ClusterID(0).String()}, all)), false, "none", "none", "none"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := ViewOf(c.who, Get)
			if v.Tenant != tenant || v.Everything != c.everyone {
				t.Errorf("tenant %d, everything %v", v.Tenant, v.Everything)
			}
			for id, want := range map[ClusterID]string{east: c.east, west: c.west, 99: c.other} {
				if got := describe(v, id); got != want {
					t.Errorf("cluster %d: %s, want %s", id, got, want)
				}
			}
		})
	}
}

func describe(v View, c ClusterID) string {
	some, all, ok := v.Namespaces(c)
	switch {
	case !ok:
		return "none"
	case all:
		return "all"
	default:
		return fmt.Sprint(some)
	}
}

// A view shows an object exactly if Can permits the verb on it, whatever the bindings.
func FuzzViewSeesWhatCanPermits(f *testing.F) {
	for seed := range uint64(64) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		p := draw(rand.New(rand.NewPCG(seed, 1)))
		for _, verb := range []Verb{Get, Delete} {
			v := ViewOf(p, verb)
			for _, c := range []ClusterID{east, west, 30} {
				for _, ns := range []string{"", "a", "b", "c"} {
					if sees, can := v.Sees(c, ns), Can(p, verb, in(c, ns)); sees != can {
						t.Fatalf("%+v: %s on %d/%q: the view says %v, Can says %v", p.Bindings, verb, c, ns, sees, can)
					}
				}
			}
			if whole := Can(p, verb, in(0, "")); v.Everything != whole {
				t.Fatalf("%+v: everything %v, Can on the tenant %v", p.Bindings, v.Everything, whole)
			}
		}
	})
}

// Who may grant a binding could have done all that the binding permits.
func FuzzGrantsNeverExceed(f *testing.F) {
	for seed := range uint64(64) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 2))
		giver, given := draw(r), draw(r)
		for _, b := range given.Bindings {
			if !Grants(giver, b) {
				continue
			}
			taker := of(b)
			for _, verb := range Verbs {
				for _, c := range []ClusterID{0, east, west, 30} {
					for _, ns := range []string{"", "a", "b", "c"} {
						if Can(taker, verb, in(c, ns)) && !Can(giver, verb, in(c, ns)) {
							t.Fatalf("%+v gave %+v, more than he has: %s on %d/%q", giver.Bindings, b, verb, c, ns)
						}
					}
				}
			}
		}
	})
}

func TestGrants(t *testing.T) {
	editor := of(bind([]string{"get"}, all, []string{"a", "b"}), bind([]string{"get", "delete"}, []string{east.String()}, all))
	cases := []struct {
		name string
		give Binding
		want bool
	}{
		{"the same", bind([]string{"get"}, all, []string{"a"}), true},
		{"less", bind([]string{"delete"}, []string{east.String()}, []string{"a"}), true},
		{"from two bindings together", bind([]string{"get"}, []string{east.String(), west.String()}, []string{"a", "b"}), true},
		{"all of a cluster", bind([]string{"get", "delete"}, []string{east.String()}, all), true},
		{"another verb", bind([]string{"patch"}, []string{east.String()}, []string{"a"}), false},
		{"every verb, with some", bind(all, []string{east.String()}, all), false},
		{"every cluster, with one", bind([]string{"delete"}, all, []string{"a"}), false},
		{"every namespace, with some", bind([]string{"get"}, []string{west.String()}, all), false},
		{"one part too much", bind([]string{"get"}, []string{west.String()}, []string{"a", "c"}), false},
		{"nothing", bind(nil, nil, nil), true},
	}
	for _, c := range cases {
		if got := Grants(editor, c.give); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func draw(r *rand.Rand) Principal {
	verbs := []string{All, "get", "delete", "admin", ""}
	clusters := []string{All, east.String(), west.String(), ClusterID(0).String(), "nonsense", ""}
	namespaces := []string{All, "a", "b", ""}
	some := func(from []string) []string {
		picked := slices.Clone(from)
		r.Shuffle(len(picked), func(i, j int) { picked[i], picked[j] = picked[j], picked[i] })
		return picked[:r.IntN(4)]
	}
	p := Principal{Tenant: tenant}
	for range r.IntN(5) {
		p.Bindings = append(p.Bindings, bind(some(verbs), some(clusters), some(namespaces)))
	}
	return p
}

func TestIDText(t *testing.T) {
	for range 100 {
		c, id := NewClusterID(), NewTenantID()
		gotC, errC := ParseClusterID(c.String())
		gotT, errT := ParseTenantID(id.String())
		if gotC != c || gotT != id || errC != nil || errT != nil || len(c.String()) != 14 {
			t.Fatalf("%s, %s: %v, %v", c, id, errC, errT)
		}
		if _, err := ParseTenantID(c.String()); err == nil {
			t.Fatal("a cluster's id passed for a tenant's")
		}
	}
	for _, bad := range []string{"", "c", "c0", "czzzzzzzzzzzzz", "C0000000000000", "c0000000000000 ", "c00000000000000", "c000000000000\n0"} {
		if id, err := ParseClusterID(bad); err == nil {
			t.Errorf("%q was read as %d", bad, id)
		}
	}
}

func TestWithinLeavesNothingElse(t *testing.T) {
	a, b := NewClusterID(), NewClusterID()
	p := Principal{Tenant: 1, Bindings: []Binding{
		{Verbs: []string{All}, Clusters: []string{All}, Namespaces: []string{"shop"}}, {Verbs: []string{"get"}, Clusters: []string{b.String()}, Namespaces: []string{All}},
	}}
	q := p.Within([]ClusterID{a})
	for at, want := range map[Scope]bool{
		{1, a, "shop"}: true, {1, a, "bank"}: false, {1, b, "shop"}: false, {1, b, "bank"}: false, {1, 0, "shop"}: false,
	} {
		if Can(q, Get, at) != want {
			t.Errorf("%+v: not %v", at, want)
		}
	}
	if len(p.Within(nil).Bindings) != 0 || len(p.Bindings) != 2 || p.Bindings[0].Clusters[0] != All {
		t.Error("a principal within no clusters may do something, or the first one was changed")
	}
}
