package httpapi

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// Contacts tells of clusters that this process watches itself how it gets on with them.
type Contacts interface {
	// Of gives one; nil where nothing is known.
	Of(id fleet.ClusterID) *query.Contact
	// Revision is raised by each change of any of them.
	Revision() int64
}

func (a *API) listClusters(ctx context.Context, p fleet.Principal) (*query.ClusterList, error) {
	list, err := a.cfg.Query.Clusters(ctx, p)
	if err != nil || a.cfg.Contacts == nil {
		return list, err
	}
	for i := range list.Items {
		a.addContact(&list.Items[i])
	}
	return list, nil
}

func (a *API) oneCluster(ctx context.Context, p fleet.Principal, id fleet.ClusterID) (*query.ClusterDetail, error) {
	one, err := a.cfg.Query.Cluster(ctx, p, id)
	if err != nil || a.cfg.Contacts == nil {
		return one, err
	}
	a.addContact(&one.Cluster)
	return one, nil
}

func (a *API) addContact(c *query.Cluster) {
	if id, err := fleet.ParseClusterID(c.ID); err == nil {
		c.Contact = a.cfg.Contacts.Of(id)
	}
}

// contactsAt is a part of what names an answer: contacts change without the position.
func (a *API) contactsAt() int64 {
	if a.cfg.Contacts == nil {
		return 0
	}
	return a.cfg.Contacts.Revision()
}

// ofKubeconfig refuses to make or delete by hand what a kubeconfig names; 0 is a new cluster.
func (a *API) ofKubeconfig(id fleet.ClusterID) error {
	if a.cfg.Contacts == nil {
		return nil
	}
	if c := a.cfg.Contacts.Of(id); id != 0 && (c == nil || c.State == "removed") {
		return nil
	}
	return fault.New(fault.Conflict, "the clusters here are the contexts of the kubeconfig: add one there, or take it out")
}
