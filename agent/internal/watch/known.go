package watch

import "github.com/kubilitics/kubilitics/shared/topo"

// known is which objects of a kind (in one namespace, or in all) were handed out. Each list of them all is a new round,
// and what the round didn't meet is gone: a mark and a sweep, so that no list needs to be kept to be compared.
type known struct {
	seen  map[objectName]uint32 // the round in which the object was last met
	round uint32
}

type objectName struct{ namespace, name string }

// begin starts a list of everything.
func (k *known) begin() { k.round++ }

func (k *known) met(r topo.Ref) {
	if k.seen == nil {
		k.seen = map[objectName]uint32{}
	}
	k.seen[objectName{r.Namespace, r.Name}] = k.round
}

// still saves a known object from the sweep, of which nothing more could be learned than that it is there.
func (k *known) still(r topo.Ref) {
	name := objectName{r.Namespace, r.Name}
	if _, was := k.seen[name]; was {
		k.seen[name] = k.round
	}
}

func (k *known) forget(r topo.Ref) { delete(k.seen, objectName{r.Namespace, r.Name}) }

// sweep forgets the objects that this round didn't meet and names them.
func (k *known) sweep() []objectName {
	var out []objectName
	for name, round := range k.seen {
		if round != k.round {
			out = append(out, name)
			delete(k.seen, name)
		}
	}
	return out
}
