package command

import "github.com/kubilitics/kubilitics/hub/internal/client"

// lineage is who owns whom in a graph, and who is tied to whom.
type lineage struct {
	owners map[string][]string
	tied   map[[2]string]bool // source and target
}

func lineageOf(edges []client.Edge) lineage {
	l := lineage{map[string][]string{}, map[[2]string]bool{}}
	for _, e := range edges {
		l.tied[[2]string{e.Source.ID, e.Target.ID}] = true
		if e.Type == "owns" {
			l.owners[e.Target.ID] = append(l.owners[e.Target.ID], e.Source.ID)
		}
	}
	return l
}

// owner tells whether any owner of a node, or of its owner, fits. Circles of owners are a finding, and end here all the same.
func (l lineage) owner(id string, fits func(string) bool) bool {
	seen := map[string]bool{id: true}
	for next := l.owners[id]; len(next) > 0; {
		var further []string
		for _, o := range next {
			if seen[o] {
				continue
			}
			if seen[o] = true; fits(o) {
				return true
			}
			further = append(further, l.owners[o]...)
		}
		next = further
	}
	return false
}

// repeats tells that an edge says of what is owned what another says of its owner, as a Pod's mount of a ConfigMap and its Deployment's do. Of the root
// everything is told.
func repeats(e client.Edge, in lineage, root string) bool {
	if e.Type == "owns" {
		return false
	}
	return e.Source.ID != root && in.owner(e.Source.ID, func(o string) bool { return in.tied[[2]string{o, e.Target.ID}] }) ||
		e.Target.ID != root && in.owner(e.Target.ID, func(o string) bool { return in.tied[[2]string{e.Source.ID, o}] })
}
