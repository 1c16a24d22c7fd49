package export

import (
	"fmt"
	"slices"

	"github.com/kubilitics/kubilitics/shared/topo"
)

const (
	maxAcross = 40  // links of one type from box to box that are drawn; more are a bundle that nobody can follow
	maxLinks  = 500 // that are drawn between groups
)

// thin leaves out the links that would only hide the others, and says so.
func (p *picture) thin() {
	if len(p.links) > maxLinks && slices.ContainsFunc(p.marks, func(m mark) bool { return m.group }) {
		p.notes = append(p.notes, fmt.Sprintf("The relations between %d pairs of groups are not drawn, being too many to follow.", len(p.links)))
		p.links = nil
		return
	}
	across := map[string]int{}
	for _, l := range p.links {
		if p.across(l) {
			across[l.kind]++
		}
	}
	for _, t := range topo.EdgeTypes {
		n := across[string(t)]
		if n <= maxAcross {
			continue
		}
		note := fmt.Sprintf("%d %s relations from box to box are not drawn, being too many to follow", n, t)
		if t == topo.RunsOn {
			note += "; the node stands after each pod's status"
			p.sayHosts()
		}
		p.notes = append(p.notes, note+".")
		p.links = slices.DeleteFunc(p.links, func(l link) bool { return l.kind == string(t) && p.across(l) })
	}
}

// across tells whether a link leads from box to box.
func (p *picture) across(l link) bool { return !slices.Equal(p.marks[l.from].path, p.marks[l.to].path) }

func (p *picture) sayHosts() {
	for i := range p.marks {
		if m := &p.marks[i]; m.host != "" {
			m.detail += " on " + m.host
		}
	}
}
