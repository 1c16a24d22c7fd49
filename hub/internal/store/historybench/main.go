// Command historybench measures what the past costs on Postgres: the bytes of history that a change of status leaves behind, and how much longer it takes to
// read a namespace as it was than as it is. Each result is a line "bench NAME VALUE UNIT".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/postgres"
	"github.com/kubilitics/kubilitics/shared/pgtest"
	"github.com/kubilitics/kubilitics/shared/topo"
)

type options struct {
	changes, pods               int // of the bytes' part
	clusters, objects, versions int // of the times' part
	rounds                      int
	only                        string
}

func main() {
	var o options
	flag.IntVar(&o.changes, "changes", 100_000, "changes of status whose history is weighed")
	flag.IntVar(&o.pods, "pods", 10_000, "pods that change")
	flag.IntVar(&o.clusters, "clusters", 20, "clusters with a past")
	flag.IntVar(&o.objects, "objects", 5000, "resources in each of them, in namespaces of 500")
	flag.IntVar(&o.versions, "versions", 10, "versions of each object")
	flag.IntVar(&o.rounds, "rounds", 300, "readings of a namespace, now and then")
	flag.StringVar(&o.only, "only", "", "bytes or at")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "historybench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	server, err := pgtest.Start(ctx, true)
	if errors.Is(err, pgtest.ErrNone) {
		note("NOTHING WAS MEASURED: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	s, err := postgres.Open(ctx, postgres.Config{DSN: server.DSN, Migrate: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	conn, err := pgx.Connect(ctx, server.DSN)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	b := &bench{s: s, conn: conn}
	if o.only != "at" {
		if err := b.bytes(ctx, o); err != nil {
			return err
		}
	}
	if o.only != "bytes" {
		return b.at(ctx, o)
	}
	return nil
}

type bench struct {
	s    *postgres.Store
	conn *pgx.Conn
}

// cluster is one that is loaded, and the session that writes it.
type cluster struct {
	at    store.Scope
	epoch int64
	seq   int64
	pods  []topo.Node
}

// load makes a cluster in which every pod has two edges, to others of its namespace.
func (b *bench) load(ctx context.Context, tenant string, n, pods int) (*cluster, error) {
	t, err := b.s.EnsureTenant(ctx, tenant)
	if err != nil {
		return nil, err
	}
	c := &cluster{at: store.Scope{Tenant: t.ID, Cluster: fleet.NewClusterID()}}
	if err := b.s.CreateCluster(ctx, fleet.Cluster{Tenant: t.ID, ID: c.at.Cluster, Name: fmt.Sprint("c", n)}); err != nil {
		return nil, err
	}
	cl, err := b.s.OpenSession(ctx, c.at, store.Hello{KubeUID: fmt.Sprint(n), Share: fleet.ShareTopology})
	if err != nil {
		return nil, err
	}
	c.epoch = cl.Epoch
	l, err := b.s.BeginLoad(ctx, c.at, c.epoch)
	if err != nil {
		return nil, err
	}
	var d store.Delta
	for i := range pods {
		c.pods = append(c.pods, pod(i))
	}
	d.Nodes = c.pods
	for i := range pods {
		first := i / namespace * namespace
		for j, to := range []int{first + i%20, first + i%7} {
			d.Edges = append(d.Edges, topo.Edge{Source: c.pods[i].Ref, Target: c.pods[to].Ref, Rule: fmt.Sprint("pod-", j), Type: topo.Mounts, Path: "spec.volumes[0].configMap.name"})
		}
	}
	if _, err := l.Add(ctx, d); err != nil {
		return nil, err
	}
	c.seq++
	_, err = l.Commit(ctx, c.seq, store.Delta{})
	return c, err
}

// Resources of a namespace.
const namespace = 500

func pod(i int) topo.Node {
	app := fmt.Sprintf("app-%d", i/20)
	return topo.Node{
		Ref: topo.Ref{Kind: "Pod", Namespace: fmt.Sprintf("team-%d", i/namespace), Name: fmt.Sprintf("%s-6d4f9b7c5d-%05d", app, i)},
		UID: fmt.Sprintf("3f0c7a52-1111-4000-8000-%012d", i), Version: "v1", Created: 1_700_000_000 + int64(i), Health: topo.OK, Status: "Running",
		Labels: []topo.Pair{{Key: "app.kubernetes.io/name", Value: app}, {Key: "pod-template-hash", Value: "6d4f9b7c5d"}},
		Attrs: []topo.Pair{{Key: "app", Value: app}, {Key: "images", Value: "registry.example.com/shop/" + app + ":1.4.2"}, {Key: "ip", Value: fmt.Sprintf("10.42.%d.%d", i/250, i%250)},
			{Key: "node", Value: fmt.Sprint("worker-", i%40)}, {Key: "ready", Value: "1/1"}, {Key: "restarts", Value: "0"}},
	}
}

// change gives a pod another status.
func change(n topo.Node, round int) topo.Node {
	n.Status, n.Health = []string{"Running", "CrashLoopBackOff"}[round%2], []topo.Health{topo.OK, topo.Error}[round%2]
	n.Attrs = append([]topo.Pair(nil), n.Attrs...)
	n.Attrs[len(n.Attrs)-2].Value = []string{"1/1", "0/1"}[round%2]
	n.Attrs[len(n.Attrs)-1].Value = fmt.Sprint(round)
	return n
}

// apply has pods change, a hundred at a time, from one on and each so many further.
func (b *bench) apply(ctx context.Context, c *cluster, round, first, step int) (a store.Applied, err error) {
	var d store.Delta
	for i := range 100 {
		at := (first + i*step) % len(c.pods)
		c.pods[at] = change(c.pods[at], round)
		d.Nodes = append(d.Nodes, c.pods[at])
	}
	c.seq++
	a, err = b.s.Apply(ctx, store.Batch{Scope: c.at, Epoch: c.epoch, Seq: c.seq, Delta: d})
	if err == nil && a.Changed != 100 {
		err = fmt.Errorf("%d rows changed, not 100", a.Changed)
	}
	return a, err
}

func line(name string, value float64, unit string) {
	fmt.Printf("bench %s %.4g %s\n", name, value, unit)
}

func note(format string, args ...any) { fmt.Printf("# "+format+"\n", args...) }
