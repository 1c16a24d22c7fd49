package node

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// door is `kubectl port-forward`, which ends with the pod that it leads to, and with the first connection that breaks off.
type door struct {
	kubeconfig, namespace, to string // pod/worker
	inside                    string // its port
	port                      string // here
	cmd                       *exec.Cmd
	ended                     chan struct{}
}

var forwarding = regexp.MustCompile(`^Forwarding from 127\.0\.0\.1:([0-9]+)`)

func (d *door) open(ctx context.Context) error {
	d.cmd = command(context.WithoutCancel(ctx), d.kubeconfig, place.dir, "kubectl", "--namespace", d.namespace, "port-forward", d.to, ":"+d.inside)
	var complaints strings.Builder
	d.cmd.Stderr = &complaints
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := d.cmd.Start(); err != nil {
		return err
	}
	d.ended = make(chan struct{})
	said := make(chan string, 1)
	go func() {
		defer close(d.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := forwarding.FindStringSubmatch(lines.Text()); m != nil {
				said <- m[1]
			}
		}
		_ = d.cmd.Wait() // it was killed, or its pod has gone
	}()
	select {
	case d.port = <-said:
		return nil
	case <-d.ended:
		return fmt.Errorf("the door doesn't open: %s", complaints.String())
	case <-ctx.Done():
		d.close()
		return context.Cause(ctx)
	}
}

func (d *door) close() {
	_ = d.cmd.Process.Kill() // it may have ended
	<-d.ended
}

// hub is the one that runs in a pod, seen from outside.
type hub struct {
	road
	stack.Client
}

// visit makes the way to the hub, at first, and waits until it answers.
func (h *hub) visit(t *testing.T) {
	t.Helper()
	if h.listener == nil {
		h.road.kubeconfig, h.namespace, h.pod, h.inside = place.kubeconfig, cmp.Or(h.namespace, "kubilitics"), "kubilitics-hub-0", 8400
		if err := h.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.URL = "http://" + h.listener.Addr().String()
		h.HTTP = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	}
	eventually(t, "the hub answers", 2*time.Minute, func() error {
		_, err := h.Text(t.Context(), "/readyz")
		return err
	})
}

// awaitAgent waits until the agent of a cluster answers through its tunnel.
func (h *hub) awaitAgent(t *testing.T, id string) {
	t.Helper()
	eventually(t, "the agent answers", 2*time.Minute, func() error {
		if _, err := h.Text(t.Context(), "/api/v1/clusters/"+id+"/ping"); err != nil {
			return fmt.Errorf("%w\n%s", err, agentLog(t))
		}
		c, err := h.Cluster(t.Context(), id)
		if err == nil && c.Freshness.State != "live" {
			err = fmt.Errorf("it is %s", c.Freshness.State)
		}
		return err
	})
}

// agentLog is what the agent's pods say, for those who look why something isn't so.
func agentLog(t *testing.T) string {
	out, err := do(t.Context(), place.kubeconfig, nil, "kubectl", "--namespace", "kubilitics", "logs", "--selector", "app.kubernetes.io/name=kubilitics-agent", "--tail", "5")
	if err != nil {
		return err.Error()
	}
	return out
}
