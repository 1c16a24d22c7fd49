package kubeproxy

import (
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
)

// verbs gives those of Kubernetes, and the methods of paths that are no resource's, the fleet's verbs. What isn't here needs a role for every verb.
var verbs = map[string]fleet.Verb{
	"get": fleet.Get, "list": fleet.List, "watch": fleet.Watch, "create": fleet.Create, "update": fleet.Update, "patch": fleet.Patch,
	"delete": fleet.Delete, "deletecollection": fleet.Delete,
	"head": fleet.Get, "options": fleet.Get, "post": fleet.Create, "put": fleet.Update,
}

// needs lists what a role must permit for a request, all of it, in the request's namespace; nil is whatever reads anything in the cluster.
func needs(q kube.Request) []fleet.Verb {
	if q.AsksOfSelf() || q.Describes() {
		return nil
	}
	if q.Connects() {
		return []fleet.Verb{fleet.Exec}
	}
	wanted := []fleet.Verb{verbs[q.Verb]}
	if q.Secret() {
		wanted = append(wanted, fleet.Secrets)
	}
	if q.Makes { // it may be there already, which only the cluster knows
		wanted = append(wanted, fleet.Create)
	}
	return wanted
}

// decide tells whether a principal may send a request to a cluster: NotFound for one who may do nothing there at all, since he may not know
// either that it is there.
func decide(p fleet.Principal, cluster fleet.ClusterID, q kube.Request) error {
	wanted := needs(q)
	if wanted == nil {
		if readsAnything(p, cluster) {
			return nil
		}
		wanted = []fleet.Verb{fleet.Get}
	}
	at := fleet.Scope{Tenant: p.Tenant, Cluster: cluster, Namespace: q.Namespace}
	lacks := slices.IndexFunc(wanted, func(v fleet.Verb) bool { return !fleet.Can(p, v, at) })
	if lacks < 0 {
		return nil
	}
	if !doesAnything(p, cluster) {
		return noCluster(cluster)
	}
	return fault.New(fault.Forbidden, "%q may not %s here: the roles that this hub knows don't give %s on %s", p.Name, wording(q), verbText(wanted[lacks]), placeText(q))
}

func noCluster(cluster fleet.ClusterID) error {
	return fault.New(fault.NotFound, "there is no cluster %s", cluster)
}

func readsAnything(p fleet.Principal, cluster fleet.ClusterID) bool {
	return slices.ContainsFunc([]fleet.Verb{fleet.Get, fleet.List, fleet.Watch}, func(v fleet.Verb) bool {
		_, _, ok := fleet.ViewOf(p, v).Namespaces(cluster)
		return ok
	})
}

func doesAnything(p fleet.Principal, cluster fleet.ClusterID) bool {
	return slices.ContainsFunc(p.Within([]fleet.ClusterID{cluster}).Bindings, func(b fleet.Binding) bool {
		return len(b.Verbs) > 0 && len(b.Namespaces) > 0
	})
}

func wording(q kube.Request) string {
	if q.Resource == "" {
		return q.Verb + " " + q.Path
	}
	text := q.Verb + " " + resourceText(q)
	if q.Group != "" {
		text += " in the group " + q.Group
	}
	return text
}

func resourceText(q kube.Request) string {
	if q.Subresource == "" {
		return q.Resource
	}
	return q.Resource + "/" + q.Subresource
}

func verbText(v fleet.Verb) string {
	if v == "" {
		return "every verb"
	}
	return "the verb " + string(v)
}

func placeText(q kube.Request) string {
	if q.Namespace == "" {
		return "all namespaces of this cluster"
	}
	return "the namespace " + q.Namespace + " of this cluster"
}
