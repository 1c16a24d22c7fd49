package containers

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/moby/moby/client"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// change makes, alters and removes objects, so that one who misses any of it is found out.
func (c *cluster) change(t *testing.T, word string) {
	t.Helper()
	maps := c.client.CoreV1().ConfigMaps("default")
	for i := range 20 {
		name := fmt.Sprintf("%s-%d", word, i)
		if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			if err := maps.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	label := fmt.Appendf(nil, `{"metadata":{"labels":{"word":%q}}}`, word)
	if _, err := c.client.CoreV1().Namespaces().Patch(t.Context(), "default", types.MergePatchType, label, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	pods := c.client.CoreV1().Pods("shop")
	if err := pods.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil { // others take their places
		t.Fatal(err)
	}
}

// state waits until the hub says of a cluster that it is this.
func (f *fleet) state(t *testing.T, c *cluster, want string) {
	t.Helper()
	f.must(t, time.Minute, "the cluster is "+want, func(ctx context.Context) error {
		about, err := f.client.Cluster(ctx, c.id)
		if err == nil && about.Freshness.State != want {
			err = fmt.Errorf("it is %s", about.Freshness.State)
		}
		return err
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestFleet goes through the bad days of a fleet, one after the other; after each, the hub knows what the clusters say.
func TestFleet(t *testing.T) {
	t.Parallel()
	f := world.fleet
	f.converges(t, f.eu)
	f.converges(t, f.us)
	t.Run("agents are held as a pod would be", f.held)
	t.Run("the network between an agent and the hub is cut", f.agentCut)
	t.Run("the network between hub and database is cut", f.databaseCut)
	t.Run("an agent is killed", f.agentKilled)
	t.Run("the hub is killed", f.hubKilled)
	t.Run("the database is killed", f.databaseKilled)
	t.Run("the network between an agent and its cluster is cut", f.clusterCut)
	t.Run("everything is stopped and ends well", f.stopped)
}

func (f *fleet) held(t *testing.T) {
	for _, b := range []*box{f.eu.agent, f.us.agent, f.hub, f.postgres} {
		seen, err := b.Inspect(t.Context())
		check(t, err)
		if b != f.postgres && !seen.HostConfig.ReadonlyRootfs || seen.Config.User != "65532:65532" && seen.Config.Image != published || seen.HostConfig.Privileged {
			t.Errorf("%s: user %q, %+v", b.name, seen.Config.User, seen.HostConfig)
		}
	}
}

func (f *fleet) agentCut(t *testing.T) {
	check(t, f.eu.agent.cut(t.Context(), f.ways))
	f.eu.change(t, "cut")
	f.us.change(t, "meanwhile")
	f.state(t, f.eu, "stale")
	f.converges(t, f.us) // one cluster's trouble is not another's
	if err := f.compare(t.Context(), f.eu); err == nil {
		t.Error("the hub knows what nobody could tell it")
	}
	check(t, f.eu.agent.heal(t.Context(), f.ways))
	f.converges(t, f.eu)
}

func (f *fleet) databaseCut(t *testing.T) {
	check(t, f.postgres.cut(t.Context(), f.base))
	f.eu.change(t, "no-database")
	f.must(t, time.Minute, "the hub says that it isn't ready", func(ctx context.Context) error {
		if _, err := f.client.Text(ctx, "/readyz"); err != nil {
			return nil
		}
		return fmt.Errorf("it says that it is")
	})
	check(t, f.postgres.heal(t.Context(), f.base))
	f.converges(t, f.eu)
	f.converges(t, f.us)
}

func (f *fleet) agentKilled(t *testing.T) {
	check(t, f.us.agent.kill(t.Context()))
	f.us.change(t, "agent-killed")
	f.state(t, f.us, "stale")
	check(t, f.us.agent.again(t.Context()))
	f.converges(t, f.us)
}

func (f *fleet) hubKilled(t *testing.T) {
	check(t, f.hub.kill(t.Context()))
	f.eu.change(t, "hub-killed")
	f.us.change(t, "hub-killed")
	check(t, f.hub.again(t.Context()))
	f.must(t, time.Minute, "the hub is ready again", f.greet)
	f.converges(t, f.eu)
	f.converges(t, f.us)
}

func (f *fleet) databaseKilled(t *testing.T) {
	check(t, f.postgres.kill(t.Context()))
	f.us.change(t, "database-killed")
	check(t, f.postgres.again(t.Context()))
	f.converges(t, f.eu)
	f.converges(t, f.us)
}

func (f *fleet) clusterCut(t *testing.T) {
	check(t, f.us.agent.cut(t.Context(), f.us.ground))
	f.us.change(t, "cluster-cut")
	if err := f.compare(t.Context(), f.us); err == nil {
		t.Error("the hub knows what nobody could tell it")
	}
	check(t, f.us.agent.heal(t.Context(), f.us.ground))
	f.converges(t, f.us)
}

func (f *fleet) stopped(t *testing.T) {
	for _, b := range []*box{f.eu.agent, f.us.agent, f.hub} {
		limit := 20 * time.Second
		check(t, b.Stop(t.Context(), &limit))
		seen, err := f.engine.client.ContainerInspect(t.Context(), b.GetContainerID(), client.ContainerInspectOptions{})
		check(t, err)
		if code := seen.Container.State.ExitCode; code != 0 {
			t.Errorf("%s ended with %d\n%s", b.name, code, f.engine.logs())
		}
	}
}
