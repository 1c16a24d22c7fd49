package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubilitics/kubilitics/e2e/demo/app"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

// changeEvery is the pace at which the demo changes its clusters.
const changeEvery = 6 * time.Second

// errTold ends a demo that is to end after the first changes.
var errTold = errors.New("the first changes were told")

// narrate tells what changes, and in clusters of the demo's own makes changes to tell, until ctx ends.
func (d *demo) narrate(ctx context.Context) error {
	stream, err := d.hub.Stream(ctx, map[string]any{"type": "subscribe", "id": "demo", "what": []string{"topology", "clusters"}})
	if err != nil {
		return err
	}
	defer stream.Close()
	fmt.Fprintf(d.out, "  What changes from now on, as /ws/v1/stream tells it (Ctrl-C ends the demo):\n\n")
	g, within := errgroup.WithContext(ctx)
	g.Go(func() error { return d.tell(within, stream) })
	g.Go(func() error { return d.change(within) })
	g.Go(func() error { return d.watch(within) })
	if err := g.Wait(); ctx.Err() == nil && !errors.Is(err, errTold) {
		return err
	}
	return nil
}

// watch ends the demo when one of its programs ends.
func (d *demo) watch(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.hub.Done():
			return fmt.Errorf("the hub ended:\n%s", d.hub.Log())
		case <-time.After(time.Second):
		}
		for i, a := range d.agents {
			select {
			case <-a.Done():
				return fmt.Errorf("the agent of %s ended:\n%s", d.members[i].name, a.Log())
			default:
			}
		}
	}
}

// tell prints frames: nodes one by one, edges as a number.
func (d *demo) tell(ctx context.Context, stream *stack.Stream) error {
	edges, told := 0, 0
	for {
		f, err := stream.Next(ctx)
		if err != nil {
			return err
		}
		switch {
		case f.Type == "error" || f.Type == "reset" || f.Type == "lagged":
			d.say("the stream says %s %s %s", f.Type, f.Code, f.Message)
		case f.Edge != nil:
			edges++
		case f.Node != nil:
			d.say("%s", d.line(f))
			told++
		case f.About != nil:
			d.say("%-14s   cluster is %s", d.name(f.Cluster), f.About.Freshness.State)
		}
		if !f.More && edges > 0 {
			d.say("%-14s   … and %d edges, position %d", d.name(f.Cluster), edges, f.Position)
			edges = 0
			if d.set.once && told > 0 {
				return errTold
			}
		}
	}
}

func (d *demo) line(f stack.Frame) string {
	signs := map[string]string{"add": "+", "update": "~", "remove": "-"}
	where := f.Node.Name
	if f.Node.Namespace != "" {
		where = f.Node.Namespace + "/" + f.Node.Name
	}
	state := f.Node.Status
	if f.Node.Presence != "present" {
		state = f.Node.Presence
	}
	return strings.TrimRight(fmt.Sprintf("%-14s %s %-22s %-48s %-12s %s", d.name(f.Cluster), signs[f.Op], f.Node.Kind, where, f.Node.Health, state), " ")
}

func (d *demo) name(id string) string {
	for _, m := range d.members {
		if m.id == id {
			return m.name
		}
	}
	return id
}

// change does, round and round, what people do to clusters.
func (d *demo) change(ctx context.Context) error {
	steps := []struct {
		say  string
		args []string
	}{
		{"a deployment is scaled up", []string{"scale", "deployment", "--all", "--replicas=3", "-n", app.MistakeNamespace}},
		{"a pod is deleted", nil},
		{"the ConfigMap that was missing is created", []string{"create", "configmap", app.MissingConfigMap, "-n", app.MistakeNamespace, "--from-literal=threshold=0.8"}},
		{"and is deleted again", []string{"delete", "configmap", app.MissingConfigMap, "-n", app.MistakeNamespace}},
		{"a deployment is scaled down", []string{"scale", "deployment", "--all", "--replicas=1", "-n", app.MistakeNamespace}},
	}
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(changeEvery):
		}
		m := d.members[0]
		if m.cluster == nil {
			continue // not ours to change
		}
		step := steps[i%len(steps)]
		args := step.args
		if args == nil {
			out, err := m.cluster.Kubectl(ctx, nil, "get", "pods", "-n", app.MistakeNamespace, "-o", "jsonpath={.items[0].metadata.name}")
			if err != nil {
				return err
			}
			args = []string{"delete", "pod", string(out), "-n", app.MistakeNamespace, "--wait=false"}
		}
		fmt.Fprintln(d.out)
		d.say("%-14s   %s: kubectl %s", m.name, step.say, strings.Join(args, " "))
		if _, err := m.cluster.Kubectl(ctx, nil, args...); err != nil && ctx.Err() == nil {
			d.say("%v", err)
		}
	}
}
