package fleet

import (
	"slices"
	"time"
)

// Verb is what somebody wants to do. Those on objects are the verbs of Kubernetes; those below them are the hub's own.
type Verb string

// The verbs.
const (
	Get    Verb = "get"
	List   Verb = "list"
	Watch  Verb = "watch"
	Create Verb = "create"
	Update Verb = "update"
	Patch  Verb = "patch"
	Delete Verb = "delete"

	Exec    Verb = "exec"    // live only: run commands in pods, attach to them, forward their ports, and reach what pods, services and nodes serve
	Secrets Verb = "secrets" // live only, beside the verb itself: what Secrets hold, and tokens of service accounts

	Enroll  Verb = "enroll"  // create, rename, label and delete clusters
	Metrics Verb = "metrics" // in the tenant that the hub was started for: what this hub counts, of all tenants
	Admin   Verb = "admin"   // manage tokens; run the admin endpoints
)

// Verbs lists every verb a binding may name, besides "*".
var Verbs = []Verb{Get, List, Watch, Create, Update, Patch, Delete, Exec, Secrets, Enroll, Metrics, Admin}

// All stands in a binding for every verb, cluster or namespace. On Namespaces it also covers what has no namespace.
const All = "*"

// Binding permits Verbs on Namespaces of Clusters. Each list takes exact values or "*"; an empty list permits nothing.
// Clusters are named by id.
type Binding struct {
	Verbs      []string `json:"verbs"`
	Clusters   []string `json:"clusters"`
	Namespaces []string `json:"namespaces"`
}

// Principal is somebody who was authenticated: who it is, and what they may do within one tenant.
type Principal struct {
	Tenant   TenantID
	Name     string
	Groups   []string
	Bindings []Binding
	Token    string    // id of the API token it came with, or that its ticket was made from
	Ticket   string    // id of the ticket it came with; "" where it came with the token itself
	Only     ClusterID // the one cluster that the ticket is for; 0 is all. Bindings tell no more than that either
	Expires  time.Time // when the authentication ends; zero is never
}

// Scope is where something is done. A zero Cluster is "the tenant as a whole", an empty Namespace is "no namespace, or
// all of them".
type Scope struct {
	Tenant    TenantID
	Cluster   ClusterID
	Namespace string
}

// Can decides whether p may do verb there. It is the only place that does.
func Can(p Principal, verb Verb, at Scope) bool {
	if p.Tenant != at.Tenant {
		return false
	}
	return slices.ContainsFunc(p.Bindings, func(b Binding) bool { return b.permits(verb, at) })
}

func (b Binding) permits(verb Verb, at Scope) bool {
	return covers(b.Verbs, string(verb)) && b.coversCluster(at.Cluster) && covers(b.Namespaces, at.Namespace)
}

func (b Binding) coversCluster(c ClusterID) bool {
	if c == 0 {
		return slices.Contains(b.Clusters, All)
	}
	return covers(b.Clusters, c.String())
}

// covers never takes an empty value for a member: it stands for the whole, which only "*" covers.
func covers(list []string, value string) bool {
	return slices.Contains(list, All) || (value != "" && slices.Contains(list, value))
}

// Grants tells whether p may give b away: whether each thing that b names stands in p's own bindings. "*" is given only by who has "*",
// so the answer also holds for verbs, clusters and namespaces that don't exist yet.
func Grants(p Principal, b Binding) bool {
	for _, verb := range b.Verbs {
		for _, cluster := range b.Clusters {
			for _, namespace := range b.Namespaces {
				if !slices.ContainsFunc(p.Bindings, func(own Binding) bool { return own.names(verb, cluster, namespace) }) {
					return false
				}
			}
		}
	}
	return true
}

func (b Binding) names(verb, cluster, namespace string) bool {
	return has(b.Verbs, verb) && has(b.Clusters, cluster) && has(b.Namespaces, namespace)
}

func has(list []string, value string) bool {
	return slices.Contains(list, All) || slices.Contains(list, value)
}

// Within is p with nothing to do outside those clusters, for a question that is about them alone.
func (p Principal) Within(clusters []ClusterID) Principal {
	var bindings []Binding
	for _, b := range p.Bindings {
		var some []string
		for _, c := range clusters {
			if b.coversCluster(c) {
				some = append(some, c.String())
			}
		}
		if b.Clusters = some; len(some) > 0 {
			bindings = append(bindings, b)
		}
	}
	p.Bindings = bindings
	return p
}

// View is the part of a tenant that a principal may read with one verb: what a query needs to leave out what it may not show.
type View struct {
	Tenant TenantID
	// Everything tells that nothing in the tenant is left out; Clusters is empty then.
	Everything bool
	// Clusters maps each visible cluster to its visible namespaces; nil namespaces are all of them, and what has none. The
	// key 0 stands for every cluster that isn't named.
	Clusters map[ClusterID][]string
}

// ViewOf works out what p may do verb on.
func ViewOf(p Principal, verb Verb) View {
	v := View{Tenant: p.Tenant, Clusters: map[ClusterID][]string{}}
	for _, b := range p.Bindings {
		if covers(b.Verbs, string(verb)) {
			v.add(b)
		}
	}
	if spaces, ok := v.Clusters[0]; ok && spaces == nil {
		return View{Tenant: p.Tenant, Everything: true}
	}
	return v.spread()
}

func (v View) add(b Binding) {
	for _, c := range b.Clusters {
		id := ClusterID(0)
		if c != All {
			parsed, err := ParseClusterID(c)
			if err != nil || parsed == 0 {
				continue // refused when the token was made; permits nothing. Zero would be taken for every cluster
			}
			id = parsed
		}
		v.Clusters[id] = unionSpaces(v.Clusters, id, b.Namespaces)
	}
}

func unionSpaces(have map[ClusterID][]string, id ClusterID, add []string) []string {
	old, known := have[id]
	if slices.Contains(add, All) || (known && old == nil) {
		return nil
	}
	merged := append(slices.Clone(old), add...)
	slices.Sort(merged)
	return append([]string{}, slices.Compact(merged)...) // never nil: nil means all
}

// spread gives clusters that are named what every cluster gets.
func (v View) spread() View {
	everywhere, ok := v.Clusters[0]
	if !ok {
		return v
	}
	for id, spaces := range v.Clusters {
		if id != 0 && spaces != nil {
			v.Clusters[id] = unionSpaces(v.Clusters, id, everywhere)
		}
	}
	return v
}

// Namespaces tells which namespaces of a cluster are visible: all (and what has none), some, or, with ok false, nothing.
func (v View) Namespaces(c ClusterID) (some []string, all, ok bool) {
	if v.Everything {
		return nil, true, true
	}
	spaces, ok := v.Clusters[c]
	if !ok {
		spaces, ok = v.Clusters[0]
	}
	return spaces, ok && spaces == nil, ok && (spaces == nil || len(spaces) > 0)
}

// Sees tells whether an object in that namespace ("" for none) of that cluster is visible.
func (v View) Sees(c ClusterID, namespace string) bool {
	some, all, ok := v.Namespaces(c)
	return ok && (all || (namespace != "" && slices.Contains(some, namespace)))
}
