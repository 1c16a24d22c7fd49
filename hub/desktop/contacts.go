package desktop

import (
	"sync"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
)

// The states of a contact.
const (
	connecting = "connecting"
	connected  = "connected"
	failed     = "failed"
	removed    = "removed"
)

// contacts is how this process gets on with each cluster.
type contacts struct {
	mu       sync.Mutex
	of       map[fleet.ClusterID]query.Contact
	revision int64
}

func newContacts() *contacts { return &contacts{of: map[fleet.ClusterID]query.Contact{}} }

// Of gives one; nil where nothing is known.
func (c *contacts) Of(id fleet.ClusterID) *query.Contact {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one, ok := c.of[id]; ok {
		return &one
	}
	return nil
}

// Revision is raised by each change.
func (c *contacts) Revision() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.revision
}

// set notes a state, and tells whether it is news.
func (c *contacts) set(id fleet.ClusterID, state, code, reason string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	had, ok := c.of[id]
	if ok && had.State == state && had.Code == code && had.Reason == reason {
		return false
	}
	since := had.Since
	if had.State != state {
		since = time.Now().UTC()
	}
	c.of[id] = query.Contact{State: state, Code: code, Reason: reason, Since: since}
	c.revision++
	return true
}

// overdue says of a cluster that is still being connected to that it is silent.
func (c *contacts) overdue(id fleet.ClusterID) {
	if one := c.Of(id); one != nil && one.State == connecting {
		c.set(id, failed, "silent", "it has not answered within "+silentFor.String()+"; it is tried further")
	}
}

func (c *contacts) drop(id fleet.ClusterID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.of, id)
	c.revision++
}
