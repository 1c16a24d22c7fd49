package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubilitics/kubilitics/e2e/demo/app"
	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

// member is a cluster of the demo.
type member struct {
	name       string
	labels     map[string]string
	kubeconfig string        // of the agent
	cluster    *kube.Cluster // nil where the cluster isn't ours
	id         string        // at the hub
}

// demo holds what runs, in the order of its start.
type demo struct {
	set   settings
	out   io.Writer
	dir   string
	log   io.Writer
	began time.Time

	programs stack.Programs
	members  []*member
	hub      *stack.Hub
	agents   []*stack.Agent
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%6.1fs  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// Write lets builds and clusters tell their progress.
func (d *demo) Write(b []byte) (int, error) { return d.out.Write(b) }

func run(ctx context.Context, set settings, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "kubilitics-demo-")
	if err != nil {
		return err
	}
	d := &demo{set: set, out: out, dir: dir, began: time.Now()}
	if set.log {
		d.log = os.Stderr
	}
	defer func() { err = errors.Join(err, d.stop(context.WithoutCancel(ctx))) }()
	if err := d.start(ctx); err != nil {
		return err
	}
	if err := d.show(ctx); err != nil {
		return err
	}
	return d.narrate(ctx)
}

func (d *demo) start(ctx context.Context) (err error) {
	if d.set.kubeconfig != "" {
		d.members = []*member{{name: "mine", kubeconfig: d.set.kubeconfig}}
	} else if err := d.clusters(ctx); err != nil {
		return err
	}
	if d.programs, err = stack.Build(ctx, filepath.Join(d.dir, "bin"), d); err != nil {
		return err
	}
	if err := d.startHub(ctx); err != nil {
		return err
	}
	for _, m := range d.members {
		if err := d.join(ctx, m); err != nil {
			return err
		}
	}
	within, cancel := stack.Within(ctx, 2*time.Minute)
	defer cancel()
	for _, m := range d.members {
		if err := d.hub.AwaitLive(within, m.id); err != nil {
			return err
		}
		d.say("%s is live at the hub", m.name)
	}
	return nil
}

// clusters starts a control plane for each region of the application, and applies it.
func (d *demo) clusters(ctx context.Context) error {
	bin, err := kube.Programs(ctx, d)
	if err != nil {
		return err
	}
	d.say("starting two Kubernetes %s control planes", bin.Version)
	g, within := errgroup.WithContext(ctx)
	for _, region := range app.Regions() {
		m := &member{name: "tidewater-" + region, labels: map[string]string{"region": region, "env": "demo"}}
		d.members = append(d.members, m)
		g.Go(func() error { return d.cluster(within, m, region, &bin) })
	}
	return g.Wait()
}

func (d *demo) cluster(ctx context.Context, m *member, region string, bin *kube.Bin) (err error) {
	if m.cluster, err = kube.Start(ctx, kube.Options{Name: m.name, Region: region, Nodes: 3, Dir: d.dir, Bin: bin, Exec: true}); err != nil {
		return err
	}
	d.say("%s is ready at %s", m.name, m.cluster.URL)
	manifests, err := app.Manifests(region)
	if err != nil {
		return err
	}
	if err := m.cluster.Apply(ctx, append(append(manifests, "\n---\n"...), agentAccess...)); err != nil {
		return err
	}
	account, err := m.cluster.ServiceAccountKubeconfig(ctx, agentNamespace, agentAccount)
	if err != nil {
		return err
	}
	m.kubeconfig = filepath.Join(d.dir, m.name+".agent.kubeconfig")
	d.say("%s runs the application", m.name)
	return os.WriteFile(m.kubeconfig, account, 0o600)
}

func (d *demo) startHub(ctx context.Context) (err error) {
	within, cancel := stack.Within(ctx, time.Minute)
	defer cancel()
	d.hub, err = stack.StartHub(within, stack.HubOptions{Program: d.programs.Hub, Dir: filepath.Join(d.dir, "hub"), Listen: freeAddress(d.set.listen), Log: d.log})
	if err != nil {
		return err
	}
	d.say("the hub is ready at %s", d.hub.URL)
	return nil
}

// freeAddress gives the address, or one with a free port when its port is taken.
func freeAddress(want string) string {
	l, err := net.Listen("tcp", want)
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = l.Close()
	return want
}

func (d *demo) join(ctx context.Context, m *member) error {
	access := "read" // somebody's own cluster isn't ours to open
	if m.cluster != nil {
		access = "impersonate"
	}
	id, a, err := d.hub.Join(ctx, m.name, m.labels, stack.AgentOptions{
		Program: d.programs.Agent, Dir: filepath.Join(d.dir, m.name+"-agent"), Kubeconfig: m.kubeconfig, Log: d.log, Args: []string{"--access", access},
	})
	if err != nil {
		return err
	}
	m.id = id
	d.agents = append(d.agents, a)
	return nil
}

// stop ends everything in the reverse order of its start, whatever fails on the way.
func (d *demo) stop(ctx context.Context) error {
	fmt.Fprintln(d.out)
	d.say("stopping")
	var failures []error
	for _, a := range d.agents {
		failures = append(failures, a.Stop())
	}
	if d.hub != nil {
		failures = append(failures, d.hub.Stop())
	}
	for _, m := range d.members {
		if m.cluster != nil {
			failures = append(failures, m.cluster.Stop(ctx))
		}
	}
	failures = append(failures, os.RemoveAll(d.dir))
	err := errors.Join(failures...)
	if err == nil {
		d.say("nothing is left behind")
	}
	return err
}
