package kube

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
)

// Snapshot keeps what the cluster holds now, as a copy of etcd's data, for Rewind. The control plane stands still meanwhile and is started again; only clusters
// with simulated nodes can do it.
func (c *Cluster) Snapshot(ctx context.Context) error {
	return c.still(ctx, func() error {
		return errors.Join(os.RemoveAll(c.path("snapshot")), os.CopyFS(c.path("snapshot"), os.DirFS(c.path("etcd"))))
	})
}

// Rewind puts the cluster back to its last Snapshot, as restoring etcd from a backup does: objects are as they were, and their versions begin again from there.
func (c *Cluster) Rewind(ctx context.Context) error {
	return c.still(ctx, func() error {
		return errors.Join(os.RemoveAll(c.path("etcd")), os.CopyFS(c.path("etcd"), os.DirFS(c.path("snapshot"))), os.Chmod(c.path("etcd"), 0o700))
	})
}

// still ends the components that run, in the reverse order of their start, does something to their data, and starts them again.
func (c *Cluster) still(ctx context.Context, do func() error) error {
	c.mu.Lock()
	components := []component{etcd, apiServer, controllerManager, scheduler, kwok}
	if c.stopped || len(c.running) != len(components) {
		c.mu.Unlock()
		return errors.New("the cluster isn't one that can stand still: all of a simulated one must run, and nothing else")
	}
	var errs []error
	for _, p := range slices.Backward(c.running) {
		errs = append(errs, p.stop(ctx))
	}
	c.running = nil
	c.mu.Unlock()
	if c.kubelet != nil {
		errs = append(errs, c.kubelet.stop())
	}
	if err := errors.Join(append(errs, do())...); err != nil {
		return fmt.Errorf("let cluster %s stand still: %w", c.opts.Name, err)
	}
	for _, comp := range components {
		if err := c.launch(comp); err != nil {
			return err
		}
		if comp.name == apiServer.name {
			if err := c.until(ctx, "the API server is ready", c.ready); err != nil {
				return err
			}
		}
	}
	return nil
}
