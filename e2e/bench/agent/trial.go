package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/kubilitics/kubilitics/e2e/bench/measure"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

// trial is an agent that has never seen its cluster, and a hub that has never seen the agent.
type trial struct {
	hub   *stack.Hub
	agent *stack.Agent
	id    string
	dir   string
	told  time.Duration // from the start of the agent's process until the hub had acknowledged all that there was
	cpu   time.Duration // of the agent, until then
}

// settled is what the agent's log says once per session, when the hub has acknowledged every row and every text.
const settled = "everything is told and acknowledged"

// begin starts both and returns when everything is told.
func (b *bench) begin(ctx context.Context, f *field) (_ *trial, err error) {
	ctx, cancel := stack.Within(ctx, time.Minute)
	defer cancel()
	t := &trial{}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.end())
		}
	}()
	if t.dir, err = os.MkdirTemp(b.dir, "trial-"); err != nil {
		return nil, err
	}
	if t.hub, err = stack.StartHub(ctx, stack.HubOptions{Program: b.programs.Hub, Dir: filepath.Join(t.dir, "hub"), Log: b.log}); err != nil {
		return nil, err
	}
	made, err := t.hub.CreateCluster(ctx, f.name, nil)
	if err != nil {
		return nil, err
	}
	t.id = made.ID
	heard := &ear{word: []byte(settled), to: b.log, heard: make(chan struct{})}
	began := time.Now()
	t.agent, err = stack.StartAgent(stack.AgentOptions{
		Program: b.programs.Agent, Dir: t.dir, Hub: t.hub.Tunnels, Kubeconfig: f.kubeconfig, Token: made.Token, Log: heard,
	})
	if err != nil {
		return nil, err
	}
	select {
	case <-heard.heard:
		t.told = heard.at.Sub(began)
	case <-t.agent.Done():
		return nil, fmt.Errorf("the agent ended; its log ends:\n%s", t.agent.Log())
	case <-ctx.Done():
		return nil, fmt.Errorf("not everything is told: %w; the agent's log ends:\n%s", context.Cause(ctx), t.agent.Log())
	}
	if t.cpu, err = measure.CPUOf(t.agent.PID()); err != nil {
		return nil, err
	}
	return t, t.check(ctx, f)
}

// check asks the hub whether it has what the cluster was filled with: an agent that tells little would be a quick one.
func (t *trial) check(ctx context.Context, f *field) error {
	var s struct {
		Clusters []struct {
			Resources int `json:"resources"`
		} `json:"clusters"`
	}
	if err := t.hub.Get(ctx, "/api/v1/clusters/summary", &s); err != nil {
		return err
	}
	if want := f.load.Objects + f.load.Pods; len(s.Clusters) != 1 || s.Clusters[0].Resources < want {
		return fmt.Errorf("the hub has not the %d objects at least of one cluster: %+v", want, s)
	}
	return nil
}

// afterSync is for how long the agent is looked at after everything is told.
const afterSync = time.Minute

// peak waits, and gives the most memory that the agent has had by then, in MiB.
func (t *trial) peak(ctx context.Context) (float64, error) {
	timer := time.NewTimer(afterSync)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.agent.Done():
		return 0, fmt.Errorf("the agent ended; its log ends:\n%s", t.agent.Log())
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	kib, err := measure.Peak(t.agent.PID())
	return kib / 1024, err
}

// quiet waits until the agent has used no processor time worth telling for a while, and gives what it has used by then.
func (t *trial) quiet(ctx context.Context) (used time.Duration, err error) {
	const look, still = 250 * time.Millisecond, 4
	tick := time.NewTicker(look)
	defer tick.Stop()
	for same := 0; same < still; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		now, err := measure.CPUOf(t.agent.PID())
		if err != nil {
			return 0, err
		}
		if same++; now-used > measure.Tick {
			same, used = 0, now
		}
	}
	return used, nil
}

func (t *trial) end() error {
	var failures []error
	if t.agent != nil {
		failures = append(failures, t.agent.Stop())
	}
	if t.hub != nil {
		failures = append(failures, t.hub.Stop())
	}
	return errors.Join(append(failures, os.RemoveAll(t.dir))...)
}

// ear waits for a word in a log.
type ear struct {
	word []byte
	to   io.Writer

	once  sync.Once
	heard chan struct{} // closed when it came
	at    time.Time     // then
}

func (e *ear) Write(line []byte) (int, error) {
	if bytes.Contains(line, e.word) {
		e.once.Do(func() {
			e.at = time.Now()
			close(e.heard)
		})
	}
	if e.to != nil {
		return e.to.Write(line)
	}
	return len(line), nil
}
