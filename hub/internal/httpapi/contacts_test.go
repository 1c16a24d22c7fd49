package httpapi

import (
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/shared/fault"
)

type someContacts map[fleet.ClusterID]query.Contact

func (s someContacts) Of(id fleet.ClusterID) *query.Contact {
	if c, ok := s[id]; ok {
		return &c
	}
	return nil
}

func (s someContacts) Revision() int64 { return int64(len(s)) }

// Contacts stand beside the clusters they are of, and what the kubeconfig names stays out of hands; without contacts nothing is different.
func TestContacts(t *testing.T) {
	a := &API{cfg: Config{Contacts: someContacts{1: {State: "failed", Reason: "why"}, 2: {State: "removed"}}}}
	for id, want := range map[fleet.ClusterID]string{1: "failed", 2: "removed", 3: ""} {
		c := query.Cluster{ID: id.String()}
		if a.addContact(&c); c.Contact == nil && want != "" || c.Contact != nil && c.Contact.State != want {
			t.Errorf("%d: %+v", id, c.Contact)
		}
	}
	for id, conflict := range map[fleet.ClusterID]bool{0: true, 1: true, 2: false, 3: false} {
		if err := a.ofKubeconfig(id); fault.Is(err, fault.Conflict) != conflict {
			t.Errorf("%d: %v", id, err)
		}
	}
	none := &API{}
	if none.ofKubeconfig(0) != nil || none.contactsAt() != 0 || a.contactsAt() != 2 {
		t.Error("a hub without contacts behaves as if it had some")
	}
}
