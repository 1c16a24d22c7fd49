package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// rig is a hub of a test's own, with its agents.
type rig struct {
	hub     *stack.Hub
	db      *database
	log     *logbook // of the hub, over its restarts
	members []*member
	strays  []*stack.Agent // processes besides the members' own
	options stack.HubOptions
}

// member is a cluster at a rig's hub.
type member struct {
	id      string
	name    string
	agent   *stack.Agent
	options stack.AgentOptions
	log     *logbook
}

// logbook keeps all of a log.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// count tells how many lines hold all the words.
func (l *logbook) count(words ...string) (n int) {
	for line := range strings.Lines(l.String()) {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			n++
		}
	}
	return n
}

func newRig(ctx context.Context, dir string, db *database, args ...string) (*rig, error) {
	r := &rig{db: db, log: &logbook{}}
	if db.file == "" && db.url == "" {
		db.file = filepath.Join(dir, "kubilitics.db")
	}
	within, cancel := stack.Within(ctx, 30*time.Second)
	defer cancel()
	var err error
	r.options = stack.HubOptions{Program: world.programs.Hub, Dir: dir, Database: db.url, Log: r.log, Args: args}
	r.hub, err = stack.StartHub(within, r.options)
	return r, err
}

// enrol makes a cluster at the hub and starts its agent.
func (r *rig) enrol(ctx context.Context, name string, o stack.AgentOptions) (*member, error) {
	m := &member{name: name, log: &logbook{}}
	made, err := r.hub.CreateCluster(ctx, name, map[string]string{"region": name})
	if err != nil {
		return nil, err
	}
	if o.Hub == "" {
		o.Hub = r.hub.Tunnels
	}
	o.Program, o.Token, o.Log = world.programs.Agent, made.Token, m.log
	m.id, m.options = made.ID, o
	if m.agent, err = stack.StartAgent(o); err != nil {
		return nil, err
	}
	r.members = append(r.members, m)
	return m, nil
}

// stop ends the agents and the hub as an operator would.
func (r *rig) stop() error {
	var errs []error
	for _, m := range r.members {
		errs = append(errs, m.agent.Stop())
	}
	for _, a := range r.strays {
		errs = append(errs, a.Stop())
	}
	return errors.Join(append(errs, r.hub.Stop())...)
}

// start gives a test a hub on a database. All that the test doesn't kill must end well.
func start(t *testing.T, db *database, args ...string) *rig {
	t.Helper()
	r, err := newRig(t.Context(), t.TempDir(), db, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the hub's log:\n%s", lastLines(r.log, 60))
			for _, m := range r.members {
				t.Logf("the log of the agent of %s:\n%s", m.id, lastLines(m.log, 40))
			}
		}
	})
	return r
}

func lastLines(l *logbook, n int) string {
	all := strings.Split(strings.TrimSpace(l.String()), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}

// join adds a cluster to a test's hub.
func (r *rig) join(t *testing.T, c *cluster, kubeconfig string, change ...func(*stack.AgentOptions)) *member {
	t.Helper()
	o := stack.AgentOptions{Dir: t.TempDir(), Kubeconfig: kubeconfig}
	for _, f := range change {
		f(&o)
	}
	m, err := r.enrol(t.Context(), fmt.Sprintf("%s-%d", c.name, len(r.members)), o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// live waits until hub and agents agree.
func (r *rig) live(t *testing.T, members ...*member) {
	t.Helper()
	ctx, cancel := stack.Within(t.Context(), 30*time.Second)
	defer cancel()
	for _, m := range members {
		if err := r.hub.AwaitLive(ctx, m.id); err != nil {
			t.Fatal(err)
		}
	}
}

// restartHub starts it again where it was; it must have ended.
func (r *rig) restartHub(t *testing.T) {
	t.Helper()
	ctx, cancel := stack.Within(t.Context(), 30*time.Second)
	defer cancel()
	again, err := r.hub.Restart(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r.hub = again
}

// restart starts a member's agent again; it must have ended.
func (m *member) restart(t *testing.T, args ...string) {
	t.Helper()
	o := m.options
	o.Token, o.Args = "", append(o.Args, args...)
	a, err := stack.StartAgent(o)
	if err != nil {
		t.Fatal(err)
	}
	m.agent = a
}

// eventually polls until ok, or fails the test.
func eventually(t *testing.T, what string, limit time.Duration, ok func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
	}
}

// says waits for a line that holds all the words.
func says(t *testing.T, l *logbook, limit time.Duration, words ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the log says %q", words), limit, func() error {
		if l.count(words...) == 0 {
			return fmt.Errorf("it ends:\n%s", lastLines(l, 10))
		}
		return nil
	})
}
