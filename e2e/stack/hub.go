package stack

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"
)

// HubOptions say how to start a hub. Program and Dir are required.
type HubOptions struct {
	Program  string    // the executable
	Dir      string    // its data directory
	Database string    // a postgres:// address; SQLite in Dir if empty
	Listen   string    // of the API; a free port of the loopback interface if empty
	Tunnels  string    // of the tunnels, likewise
	Log      io.Writer // gets its log; nobody if nil
	Args     []string  // further flags
	TLS      bool      // the API is served over TLS, with a certificate made in Dir
}

// Hub is a running hub.
type Hub struct {
	*process
	Client
	Tunnels string // how agents reach it
	CA      []byte // PEM, with TLS: what its API's certificate is known by
	options HubOptions
}

// StartHub starts a hub and returns when it is ready. Given the directory of an earlier one, it goes on where that stopped.
func StartHub(ctx context.Context, o HubOptions) (*Hub, error) {
	listen, tunnels := o.Listen, o.Tunnels
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	if tunnels == "" {
		tunnels = "127.0.0.1:0"
	}
	args := []string{"serve", "--data-dir", o.Dir, "--listen", listen, "--tunnel-listen", tunnels, "--log-format", "text"}
	if o.Database != "" {
		args = append(args, "--database", o.Database)
	}
	ca, trusting, err := o.secure(&args)
	if err != nil {
		return nil, err
	}
	said := &lines{told: map[string]string{}}
	p, err := launch("kubilitics-hub", o.Log, said, nil, o.Program, append(args, o.Args...)...)
	if err != nil {
		return nil, err
	}
	h := &Hub{process: p, options: o, CA: ca, Client: Client{HTTP: trusting}}
	err = p.await(ctx, "it is ready", func() error {
		h.URL, h.Tunnels = said.get("api"), said.get("tunnels")
		if h.Tunnels == "" {
			return fmt.Errorf("its addresses are not known yet")
		}
		return h.ready(ctx)
	})
	if err != nil {
		p.Kill()
		return nil, err
	}
	if token := said.get("token"); token != "" {
		h.Token = token
	}
	return h, nil
}

func (h *Hub) ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := h.http().Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answers %s", resp.Status)
	}
	return nil
}

// Restart starts the hub again on the addresses and the data it had; it must have ended.
func (h *Hub) Restart(ctx context.Context) (*Hub, error) {
	o := h.options
	o.Listen, o.Tunnels = h.URL[strings.Index(h.URL, "://")+len("://"):], h.Tunnels[len("tls://"):]
	again, err := StartHub(ctx, o)
	if err == nil && again.Token == "" {
		again.Token = h.Token
	}
	return again, err
}

// AgentOptions say how to start an agent. Program, Dir, Hub and Kubeconfig are required.
type AgentOptions struct {
	Program    string
	Dir        string // of its keys
	Hub        string // address of the tunnels
	Kubeconfig string // path
	Token      string // join token; not needed once it is enrolled
	Log        io.Writer
	Args       []string
	Env        []string
}

// Agent is a running agent.
type Agent struct{ *process }

// StartAgent starts an agent; it connects on its own.
func StartAgent(o AgentOptions) (*Agent, error) {
	args := []string{"run", "--hub", o.Hub, "--kubeconfig", o.Kubeconfig, "--state-dir", filepath.Join(o.Dir, "agent"), "--log-format", "text"}
	env := o.Env
	if o.Token != "" {
		env = append(env, "KUBILITICS_TOKEN="+o.Token) // not an argument: those are there for everybody to see
	}
	p, err := launch("kubilitics-agent", o.Log, nil, env, o.Program, append(args, o.Args...)...)
	if err != nil {
		return nil, err
	}
	return &Agent{p}, nil
}

// Join makes a cluster at the hub and starts its agent.
func (h *Hub) Join(ctx context.Context, name string, labels map[string]string, o AgentOptions) (id string, a *Agent, err error) {
	made, err := h.CreateCluster(ctx, name, labels)
	if err != nil {
		return "", nil, err
	}
	o.Hub, o.Token = h.Tunnels, made.Token
	a, err = StartAgent(o)
	return made.ID, a, err
}

// AwaitLive waits until the hub and the cluster's agent agree.
func (h *Hub) AwaitLive(ctx context.Context, id string) error {
	return h.await(ctx, "cluster "+id+" is live", func() error {
		c, err := h.Cluster(ctx, id)
		if err != nil {
			return err
		}
		if c.Freshness.State != "live" {
			return fmt.Errorf("it is %s", c.Freshness.State)
		}
		return nil
	})
}

// Within bounds a context, with the bound in the error that it ends with.
func Within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("not within %s", d))
}
