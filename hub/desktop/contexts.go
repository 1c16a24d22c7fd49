package desktop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"time"
	"unicode"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubilitics/kubilitics/agent"
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// contexts keeps an agent at work for each context of the kubeconfig. Its methods but status are for one goroutine.
type contexts struct {
	desk  *Desktop
	file  *kubeconfig
	log   *zap.Logger
	table *rules.Table // of all agents
	at    map[string]*tended
	work  sync.WaitGroup

	mu   sync.Mutex // guards what status tells
	told Status
}

// tended is a context with its agent.
type tended struct {
	entry
	id    fleet.ClusterID
	token string // that its agent joins with; "" once it was used
	known string // by what the hub knows the cluster: the UID of its kube-system namespace, "@" and its id here
	end   context.CancelFunc
	ended chan struct{}
}

// Status is where the kubeconfig stands.
type Status struct {
	Files    []string `json:"files"`             // in the order of their weight
	Problem  string   `json:"problem,omitempty"` // with reading them
	Contexts int      `json:"contexts"`
}

func newContexts(d *Desktop, file *kubeconfig) *contexts {
	return &contexts{desk: d, file: file, log: d.log.Named("contexts"), at: map[string]*tended{}}
}

func (c *contexts) status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.told
}

func (c *contexts) tell(n int, problem error) {
	if problem != nil {
		c.log.Warn("the kubeconfig can't be read as a whole", zap.Error(problem))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = Status{Files: c.file.own(), Contexts: n}
	if problem != nil {
		c.told.Problem = problem.Error()
	}
}

// begin makes every context a cluster of the hub, before anything is reached.
func (c *contexts) begin(ctx context.Context) (err error) {
	if c.table, err = rules.Default(); err != nil {
		return err
	}
	found, problem := c.file.read()
	c.tell(len(found), problem)
	have, err := c.desk.hub.Clusters(ctx)
	if err != nil {
		return err
	}
	for _, e := range found {
		if err := c.adopt(ctx, e, have); err != nil {
			return err
		}
	}
	c.left(found, have)
	return nil
}

// adopt finds or makes the hub's cluster of a context.
func (c *contexts) adopt(ctx context.Context, e entry, have []fleet.Cluster) error {
	t := &tended{entry: e}
	label := labelOf(e.name)
	for _, cl := range have {
		if cl.Labels[contextLabel] == label {
			t.id, t.known = cl.ID, cl.KubeUID
		}
	}
	if t.id == 0 {
		if err := c.create(ctx, t); err != nil {
			return err
		}
	}
	c.at[e.name] = t
	c.desk.contacts.set(t.id, connecting, "", "")
	return nil
}

// create makes the cluster. Its name is the context's, unless another has it.
func (c *contexts) create(ctx context.Context, t *tended) (err error) {
	name, labels := clusterName(t.name), map[string]string{contextLabel: labelOf(t.name)}
	t.id, t.token, err = c.desk.hub.Invite(ctx, 0, name, labels)
	if fault.Is(err, fault.Conflict) {
		t.id, t.token, err = c.desk.hub.Invite(ctx, 0, clusterName(name[:min(len(name), maxClusterName-16)]+" "+digestOf(t.name)[:12]), labels)
	}
	return err
}

// labelOf is a context's name as a label can hold it.
func labelOf(name string) string {
	if name != "" && len(validation.IsValidLabelValue(name)) == 0 {
		return name
	}
	return "sha256-" + digestOf(name)[:32]
}

func digestOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// clusterName is a context's name as a cluster's may be.
func clusterName(name string) string {
	clean := strings.TrimSpace(strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '_'
	}, name), "_"))
	if clean = strings.TrimSpace(strings.ToValidUTF8(clean[:min(len(clean), maxClusterName)], "")); clean == "" {
		return "unnamed"
	}
	return clean
}

// run keeps agents at work, and follows the files, until ctx ends. Then it waits for the agents, but not for ever: one may be waiting for a credential plugin,
// which nothing can hurry.
func (c *contexts) run(ctx context.Context) {
	for _, t := range c.at {
		c.start(ctx, t)
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			if c.file.changed() {
				c.reread(ctx)
			}
		}
	}
	done := make(chan struct{})
	go func() { c.work.Wait(); close(done) }()
	bound := time.NewTimer(agentsEnd)
	defer bound.Stop()
	select {
	case <-done:
	case <-bound.C:
		c.log.Warn("an agent did not end in time; it ends with the process")
	}
}

// reread acts on what changed. A file that can't be read, as one that is being written, changes nothing: the next look will see it whole.
func (c *contexts) reread(ctx context.Context) {
	found, problem := c.file.read()
	if problem != nil {
		c.tell(len(c.at), problem)
		return
	}
	c.tell(len(found), nil)
	for name, t := range c.at {
		e, still := found[name]
		if still && e.print == t.print {
			continue
		}
		c.log.Info("a context was changed or removed", zap.String("context", name), zap.Bool("removed", !still))
		c.stop(t)
		delete(c.at, name)
	}
	have, err := c.desk.hub.Clusters(ctx)
	for name, e := range found {
		if c.at[name] != nil {
			continue
		}
		if err == nil {
			err = c.adopt(ctx, e, have)
		}
		if err != nil {
			c.file.seen = nil // it is looked at again
			c.log.Warn("a context can't be added yet", zap.String("context", name), zap.Error(err))
			return
		}
		c.start(ctx, c.at[name])
	}
	c.left(found, have)
}

// left says of the clusters without a context that they have none. What is known of them stays.
func (c *contexts) left(found map[string]entry, have []fleet.Cluster) {
	named := map[string]bool{}
	for name := range found {
		named[labelOf(name)] = true
	}
	for _, cl := range have {
		if !named[cl.Labels[contextLabel]] {
			c.desk.contacts.set(cl.ID, removed, "", "the kubeconfig names it no more")
		}
	}
}

func (c *contexts) start(ctx context.Context, t *tended) {
	ctx, t.end = context.WithCancel(ctx)
	t.ended = make(chan struct{})
	ended := t.ended
	c.work.Go(func() {
		defer close(ended)
		c.tend(ctx, t)
	})
}

// stop ends a context's agent and waits for it, within the bound that all have.
func (c *contexts) stop(t *tended) {
	t.end()
	bound := time.NewTimer(agentsEnd)
	defer bound.Stop()
	select {
	case <-t.ended:
	case <-bound.C:
		c.log.Warn("an agent did not end in time", zap.String("context", t.name))
	}
}

// errReplaced says that another cluster answers at a context than did before.
var errReplaced = errors.New("another cluster is there now")

// tend keeps a context's agent at work until ctx ends.
func (c *contexts) tend(ctx context.Context, t *tended) {
	backoff := tunnel.Backoff{First: firstRetry, Cap: lastRetry}
	for ctx.Err() == nil {
		err := c.attend(ctx, t)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errReplaced):
			c.log.Warn("another cluster answers at a context than before: it is learned anew, and what was known of the other is dropped", zap.String("context", t.name))
			if err = c.replace(ctx, t); err == nil {
				continue
			}
		case t.err != nil: // only an edit of the kubeconfig helps
			<-ctx.Done()
			return
		}
		c.log.Warn("a context's agent failed", zap.String("context", t.name), zap.Error(err))
		code, reason := why(err)
		c.desk.contacts.set(t.id, failed, code, reason)
		if backoff.Wait(ctx, err) != nil {
			return
		}
	}
}

// replace begins a context's cluster anew.
func (c *contexts) replace(ctx context.Context, t *tended) error {
	if err := c.desk.hub.Forget(ctx, t.id); err != nil {
		return err
	}
	c.desk.contacts.drop(t.id)
	t.known = ""
	return c.create(ctx, t)
}

// attend runs an agent until ctx ends or it fails for good.
func (c *contexts) attend(ctx context.Context, t *tended) error {
	contacts := c.desk.contacts
	if t.err != nil {
		contacts.set(t.id, failed, "config", "the context can't be used: "+t.err.Error())
		return t.err
	}
	contacts.set(t.id, connecting, "", "")
	late := time.AfterFunc(silentFor, func() { contacts.overdue(t.id) })
	defer late.Stop()
	token := t.token
	if t.token = ""; token == "" {
		var err error
		if _, token, err = c.desk.hub.Invite(ctx, t.id, "", nil); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := &identity{id: t.id, known: t.known, contacts: contacts, log: c.log.With(zap.String("context", t.name)), replaced: func() { cancel(errReplaced) }}
	cfg := agent.DefaultConfig()
	cfg.Access, cfg.Token = "operate", token // the person's own rights are what the kubeconfig gives
	a, err := agent.Embed(cfg, agent.Embedding{REST: t.rest, Dial: c.desk.pipe.Dial, Rules: c.table, Identity: watch.of, Contact: watch.hear}, c.agentLog(t.name))
	if err != nil {
		return err
	}
	err = a.Run(ctx)
	t.known = watch.now()
	if errors.Is(context.Cause(ctx), errReplaced) {
		return errReplaced
	}
	if err == nil && ctx.Err() == nil {
		err = fault.New(fault.Internal, "the agent ended by itself")
	}
	return err
}

// agentLog is the log of a context's agent. That a cluster can't be reached is no news on a machine that comes and goes, and the contact tells it: unless more
// was asked for, only failures are logged.
func (c *contexts) agentLog(name string) *zap.Logger {
	log := c.log.Named(name)
	if log.Core().Enabled(zap.InfoLevel) {
		return log
	}
	return log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))
}

// identity is by what a context's cluster is known. The context is the cluster: two of them may lead to one, so that its own UID isn't enough.
type identity struct {
	id       fleet.ClusterID
	contacts *contacts
	log      *zap.Logger
	replaced func()

	mu    sync.Mutex
	known string
}

// of gives the text for the hub. It stays the same where the UID could be read once and can't be now, and the other way round.
func (i *identity) of(uid string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.known == "" {
		i.known = uid + "@" + i.id.String()
	}
	return i.known
}

func (i *identity) now() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.known
}

// hear takes news of the cluster.
func (i *identity) hear(n agent.Contact) {
	if n.Err != nil {
		code, reason := why(n.Err)
		if i.contacts.set(i.id, failed, code, reason) {
			i.log.Info("a cluster can't be used", zap.String("code", code), zap.String("reason", reason))
		}
		return
	}
	if had, _, _ := strings.Cut(i.now(), "@"); had != "" && n.KubeUID != "" && had != n.KubeUID {
		i.replaced()
		return
	}
	i.contacts.set(i.id, connected, "", "")
}
