package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubilitics/kubilitics/e2e/stack"
	"github.com/kubilitics/kubilitics/shared/tunnel/tunneltest"
)

// relayed starts a stretch of network to a hub's tunnels.
func relayed(t *testing.T, r *rig) (*tunneltest.Relay, func(*stack.AgentOptions)) {
	t.Helper()
	relay := &tunneltest.Relay{}
	if err := relay.Start(strings.TrimPrefix(r.hub.Tunnels, "tls://")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Close)
	return relay, func(o *stack.AgentOptions) { o.Hub = "tls://" + relay.Addr() }
}

// becomes waits until a cluster's freshness is that.
func (r *rig) becomes(t *testing.T, m *member, state string, limit time.Duration) stack.Cluster {
	t.Helper()
	var c stack.Cluster
	eventually(t, m.name+" becomes "+state, limit, func() (err error) {
		if c, err = r.hub.Cluster(t.Context(), m.id); err == nil && c.Freshness.State != state {
			err = fmt.Errorf("it is %s", c.Freshness.State)
		}
		return err
	})
	return c
}

// told changes a label in the cluster and waits until the hub has heard of it.
func (r *rig) told(t *testing.T, m *member, c *cluster, limit time.Duration) {
	t.Helper()
	key, stamp := "told-"+strings.ToLower(m.id), fmt.Sprint(time.Now().UnixNano())
	patch := fmt.Appendf(nil, `{"metadata": {"labels": {"%s": "%s"}}}`, key, stamp)
	if _, err := c.client.CoreV1().ConfigMaps("shop").Patch(t.Context(), "banner-autumn", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the hub hears of a label", limit, func() error {
		got := get[detail](t, &r.hub.Client, "/api/v1/clusters/"+m.id+"/resources/-/v1/configmaps/shop/banner-autumn")
		if got.Resource.Labels[key] != stamp {
			return fmt.Errorf("labels %v", got.Resource.Labels)
		}
		return nil
	})
}

// A connection on which nothing passes any more, and nobody said so: both ends find out, and a new one is made.
func TestHalfOpenConnection(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database) {
		r := start(t, db)
		relay, through := relayed(t, r)
		m := r.join(t, world.eu, world.eu.agent, through)
		r.live(t, m)
		cut := time.Now()
		relay.BlackHole()
		relay.Heal()
		c := r.becomes(t, m, "stale", 22*time.Second)
		// A new session may have begun already, which isn't live before hub and agent have compared.
		if heard := c.Freshness.LastHeard; heard.Before(cut.Add(-6*time.Second)) || (heard.After(cut.Add(2*time.Second)) && heard.Before(cut.Add(10*time.Second))) {
			t.Errorf("last heard at %s, cut at %s", heard, cut)
		}
		r.becomes(t, m, "live", 10*time.Second)
		r.told(t, m, world.eu, 5*time.Second)
	})
}

// A stopped agent is known as stale, what it told is still served, and it goes on when it may.
func TestStoppedAgent(t *testing.T) {
	t.Parallel()
	r := start(t, &database{name: "sqlite"})
	m := r.join(t, world.eu, world.eu.agent)
	r.live(t, m)
	if err := m.agent.Pause(); err != nil {
		t.Fatal(err)
	}
	r.becomes(t, m, "stale", 22*time.Second)
	got := get[struct {
		page[stack.Resource]
		Freshness map[string]struct{ State string }
	}](t, &r.hub.Client, "/api/v1/resources?kind=Deployment&cluster="+m.id)
	if len(got.Items) == 0 || got.Freshness[m.id].State != "stale" {
		t.Errorf("the last known state: %d items, %+v", len(got.Items), got.Freshness)
	}
	if p := refused(t, &r.hub.Client, http.MethodGet, "/api/v1/clusters/"+m.id+"/ping", nil); p.Status != http.StatusServiceUnavailable || !strings.Contains(p.Body, "last heard") {
		t.Errorf("a ping: %v", p)
	}
	if err := m.agent.Resume(); err != nil {
		t.Fatal(err)
	}
	r.becomes(t, m, "live", 15*time.Second)
	r.told(t, m, world.eu, 5*time.Second)
}

// An agent that was killed on a connection that hangs is replaced by its successor within seconds.
func TestSuccessorSupersedesHalfOpenPredecessor(t *testing.T) {
	t.Parallel()
	r := start(t, &database{name: "sqlite"})
	relay, through := relayed(t, r)
	m := r.join(t, world.eu, world.eu.agent, through)
	r.live(t, m)
	relay.BlackHole()
	m.agent.Kill()
	m.options.Hub = r.hub.Tunnels
	m.restart(t)
	eventually(t, "the successor has a session", 7*time.Second, func() error {
		if n := r.log.count("sync session opened"); n < 2 {
			return fmt.Errorf("%d sessions so far", n)
		}
		return nil
	})
	r.live(t, m)
	r.told(t, m, world.eu, 5*time.Second)
}

// Two processes with one identity: the second is refused and both ends say so; the first doesn't notice.
func TestTwoAgentsWithOneIdentity(t *testing.T) {
	t.Parallel()
	r := start(t, &database{name: "sqlite"})
	m := r.join(t, world.eu, world.eu.agent)
	r.live(t, m)
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "agent"), os.DirFS(filepath.Join(m.options.Dir, "agent"))); err != nil {
		t.Fatal(err)
	}
	log := &logbook{}
	o := m.options
	o.Dir, o.Token, o.Log = dir, "", log
	second, err := stack.StartAgent(o)
	if err != nil {
		t.Fatal(err)
	}
	r.strays = append(r.strays, second)
	says(t, log, 15*time.Second, "another agent holds this cluster's session")
	says(t, r.log, time.Second, "two agents claim one cluster", m.id)
	r.told(t, m, world.eu, 5*time.Second)
	if n := r.log.count("sync session opened"); n != 1 {
		t.Errorf("%d sessions were opened, want the first one's only", n)
	}
}
