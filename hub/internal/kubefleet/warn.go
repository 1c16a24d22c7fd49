package kubefleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/net"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
)

// warned bounds the warnings of one answer about clusters.
const warned = 5

// warn says, once for a list, of what in it isn't as of now, and what isn't in it at all.
func (f *Face) warn(w *answer, a *ask, p *query.ObjectList) {
	if a.goOn != "" {
		return
	}
	var about []fleet.Cluster
	for _, c := range p.Clusters {
		if c.Freshness.State != fleet.Live && a.clusters.fit(c.ID.String(), c.Name) && (a.verb != fleet.Get || within(p, c.ID)) {
			about = append(about, c)
		}
	}
	slices.SortFunc(about, func(x, y fleet.Cluster) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID)) })
	for i := range about {
		if i == warned {
			say(w, fmt.Sprintf("%d more clusters aren't connected", len(about)-i))
			break
		}
		say(w, sentence(&about[i]))
	}
	if k := a.kind; k.hidden > 0 && a.verb != fleet.Get {
		say(w, fmt.Sprintf("%s of %d clusters aren't among these: their agents can't watch them", k.Plural, k.hidden))
	}
}

func within(p *query.ObjectList, id fleet.ClusterID) bool {
	return slices.ContainsFunc(p.Items, func(o query.Object) bool { return o.Cluster == id })
}

func sentence(c *fleet.Cluster) string {
	since, stale := staleSince(c)
	if !stale {
		return fmt.Sprintf("nothing is known of cluster %s: its agent hasn't come yet", c.Name)
	}
	return fmt.Sprintf("cluster %s is offline since %s; what is shown of it is from then", c.Name, since.UTC().Format(time.RFC3339))
}

func say(w *answer, text string) {
	if h, err := net.NewWarningHeader(299, "-", text); err == nil {
		w.Header().Add("Warning", h)
	}
}

// listOf joins names, as many as one reads.
func listOf(names []string) string {
	if len(names) > named {
		return strings.Join(names[:named], ", ") + fmt.Sprintf(" and %d more", len(names)-named)
	}
	return strings.Join(names, ", ")
}
