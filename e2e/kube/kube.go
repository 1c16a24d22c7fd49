// Package kube brings up real Kubernetes control planes for tests and demos: etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler and kwok, which plays the nodes, on free ports of the loopback
// interface. Everything is the upstream program; simulated are only the kubelets (pods become Running without
// running) and the storage behind volumes. A cluster is ready in seconds, several can run at once, and nothing of
// one outlives the process that started it.
package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"
)

// Options of a cluster; the zero value is a good one.
type Options struct {
	Name   string    // of the cluster, its kubeconfig context and its nodes; "kube" if empty
	Nodes  int       // simulated nodes; 0 means 3, a negative number none
	Region string    // label of the nodes; "local" if empty
	Dir    string    // where the cluster's own directory is made, which Stop removes; the system's temporary directory if empty
	Log    io.Writer // told of the progress; nobody if nil
	Bin    *Bin      // the programs; Programs(ctx, Log) if nil

	// Exec lets commands be run in containers. They run on this machine, as its user: harmless programs in a directory of the
	// container's own, but nothing holds a shell there. Only those who may exec in the cluster can run them.
	Exec bool
	// Node adds a real node, whose pods run: kubelet and kube-proxy (NodePrograms), and from the distribution containerd, runc and CNI plugins. NodeLacks tells
	// what of that isn't there. Dir must not be in /run or /var.
	Node bool
	// Metrics has metrics.k8s.io served, by metrics-server (Extras). Start doesn't wait for the first figures: MetricsServed does.
	Metrics bool
}

// Cluster is a running control plane with its nodes. Its methods may be called at once by many, except Stop,
// StopAPIServer and StartAPIServer, which take turns.
type Cluster struct {
	URL string // of the API server, https://127.0.0.1:PORT; with a real node at an address that it has a link to

	opts       Options
	bin        Bin
	dir        string
	pki        *pki
	guard      *guard
	kubeconfig []byte
	port       int    // of the API server, held for it
	freePort   func() // gives it back
	kubelet    *kubelet
	real       *node      // the real one, if there is one
	address    netip.Addr // of the API server
	died       chan *process

	kubeletPort, metrics int // of the simulated kubelets and of metrics-server

	mu      sync.Mutex // guards running and stopped, and orders starts and stops
	running []*process // in the order of their start
	stopped bool
	stopErr error
}

var nameRule = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

func (o Options) complete() (Options, error) {
	if o.Name == "" {
		o.Name = "kube"
	}
	if !nameRule.MatchString(o.Name) {
		return o, fmt.Errorf("cluster name %q: want up to 40 lower-case letters, digits and dashes, as node names are made of it", o.Name)
	}
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.Region == "" {
		o.Region = "local"
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	return o, nil
}

// Start brings up a cluster and returns when it is usable: the API server is ready, the nodes are, and Pods can be
// created in the default namespace. ctx bounds the start, not the cluster's life, which ends with Stop or with
// this process. If a component dies meanwhile, the error names it and shows the end of its log.
func Start(ctx context.Context, opts Options) (*Cluster, error) {
	opts, err := opts.complete()
	if err != nil {
		return nil, err
	}
	if opts.Bin == nil {
		bin, err := Programs(ctx, opts.Log)
		if err != nil {
			return nil, err
		}
		opts.Bin = &bin
	}
	if opts.Metrics && opts.Bin.MetricsServer == "" {
		bin := *opts.Bin // the caller's may be shared
		if err := Extras(ctx, &bin, opts.Log); err != nil {
			return nil, err
		}
		opts.Bin = &bin
	}
	if opts.Node {
		if lacks := NodeLacks(); lacks != "" {
			return nil, errors.New("a real node can't run here: " + lacks)
		}
		bin := *opts.Bin
		if err := NodePrograms(ctx, &bin, opts.Log); err != nil {
			return nil, err
		}
		opts.Bin = &bin
	}
	began := time.Now()
	c, err := prepare(opts)
	if err != nil {
		return nil, err
	}
	if err := c.bringUp(ctx); err != nil {
		err = fmt.Errorf("start cluster %s: %w", opts.Name, err)
		return nil, errors.Join(err, c.Stop(context.WithoutCancel(ctx)))
	}
	fmt.Fprintf(opts.Log, "cluster %s: Kubernetes %s at %s, ready in %s\n", opts.Name, c.bin.Version, c.URL, time.Since(began).Round(100*time.Millisecond))
	return c, nil
}

// prepare makes the directory, its guard and the files; no component runs yet.
func prepare(opts Options) (*Cluster, error) {
	dir, err := os.MkdirTemp(opts.Dir, "kube-"+opts.Name+"-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for cluster %s: %w", opts.Name, err)
	}
	c := &Cluster{opts: opts, bin: *opts.Bin, dir: dir, freePort: func() {}, died: make(chan *process, 1)}
	if c.guard, err = newGuard(dir, cgroupOf(c.path(nodeDir))); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := c.writeFiles(); err != nil {
		return nil, errors.Join(err, c.release())
	}
	return c, nil
}

func (c *Cluster) writeFiles() error {
	if err := os.Mkdir(c.path("logs"), 0o700); err != nil {
		return fmt.Errorf("make a directory for the logs: %w", err)
	}
	var err error
	if c.address = netip.AddrFrom4([4]byte{127, 0, 0, 1}); c.opts.Node {
		if c.real, err = newNode(c.opts.Name, c.path(nodeDir)); err != nil {
			return err
		}
		c.address = c.real.host
	}
	if c.port, c.freePort, err = holdPort(c.address); err != nil {
		return err
	}
	c.URL = fmt.Sprintf("https://%s:%d", c.address, c.port)
	if c.pki, err = newPKI(c.path("pki"), c.opts.Name); err != nil {
		return err
	}
	return c.writeCredentials()
}

func (c *Cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}

// bringUp starts the components in the order they need each other, and waits until the cluster is usable.
func (c *Cluster) bringUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not ready after %s", startLimit))
	defer cancel()
	err := c.launch(etcd)
	if err != nil {
		return err
	}
	if err := c.StartAPIServer(ctx); err != nil {
		return err
	}
	for _, comp := range []component{controllerManager, scheduler, kwok} {
		if err := c.launch(comp); err != nil {
			return err
		}
	}
	if c.real != nil {
		if c.real.names, err = c.serveNames(c.real.host); err != nil {
			return err
		}
		if err := c.powerOn(ctx); err != nil {
			return err
		}
		if err := c.loadTools(ctx); err != nil {
			return err
		}
	}
	if err := c.furnish(ctx); err != nil || !c.opts.Metrics {
		return err
	}
	return c.serveMetrics(ctx)
}

// startLimit is for machines much slower than those on which 5 seconds are usual.
const startLimit = 2 * time.Minute

// launch starts a component; the order of launches is the reverse of the order in which Stop ends them.
func (c *Cluster) launch(comp component) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return fmt.Errorf("start %s: the cluster has been stopped", comp.name)
	}
	if c.find(comp.name) != nil {
		return fmt.Errorf("%s runs already", comp.name)
	}
	args, err := comp.args(c)
	if err != nil {
		return err
	}
	start := c.guard.inGroup
	if comp.inside {
		start = c.real.start
	}
	p, err := spawn(c.path("logs"), start, c.died, comp.name, *comp.bin(&c.bin), args...)
	if err != nil {
		return err
	}
	c.add(p)
	return nil
}

// add is called with mu held.
func (c *Cluster) add(p *process) {
	c.running = append(c.running, p)
	slices.SortStableFunc(c.running, func(a, b *process) int { return rank(a.name) - rank(b.name) })
}

// find is called with mu held.
func (c *Cluster) find(name string) *process {
	for _, p := range c.running {
		if p.name == name {
			return p
		}
	}
	return nil
}

// StartAPIServer starts the API server again, on the same port and data, and returns when it is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	if err := c.launch(apiServer); err != nil {
		return err
	}
	return c.until(ctx, "the API server is ready", c.ready)
}

// StopAPIServer ends the API server, for tests of what others do without it. The rest keeps running; the
// components that need it retry.
func (c *Cluster) StopAPIServer(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.find(apiServer.name)
	if p == nil {
		return errors.New("the API server isn't running")
	}
	if err := p.stop(ctx); err != nil {
		return err
	}
	c.running = slices.DeleteFunc(c.running, func(q *process) bool { return q == p })
	return nil
}

// Stop ends the components in the reverse order of their start, waits for each, and removes the cluster's
// directory. When ctx ends it goes on without courtesy; it never leaves anything. A second call returns the
// first one's result.
func (c *Cluster) Stop(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return c.stopErr
	}
	c.stopped = true
	var errs []error
	for _, p := range slices.Backward(c.running) {
		errs = append(errs, p.stop(ctx))
	}
	c.running = nil
	if c.kubelet != nil {
		errs = append(errs, c.kubelet.stop())
	}
	errs = append(errs, c.release())
	c.stopErr = errors.Join(errs...)
	return c.stopErr
}

func (c *Cluster) release() error {
	c.freePort()
	var err error
	if c.real != nil {
		err = c.real.close()
	}
	return errors.Join(err, c.guard.release())
}

// Wait blocks until ctx ends, then returns nil, or until a component dies, then tells which and why.
func (c *Cluster) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case p := <-c.died:
		return fmt.Errorf("cluster %s: %w", c.opts.Name, p.deathErr())
	}
}

// until polls a condition until it holds. It gives up when ctx ends, saying why the condition didn't hold, or
// when a component dies.
func (c *Cluster) until(ctx context.Context, what string, holds func(context.Context) error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := holds(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if dead := c.dead(); dead != nil {
			return dead
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w; last: %w", what, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

func (c *Cluster) dead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.running {
		if err := p.deathErr(); err != nil {
			return err
		}
	}
	return nil
}
