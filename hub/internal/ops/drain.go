package ops

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubilitics/kubilitics/shared/fault"
)

const (
	drainWorkers = 256 // Pods under way at once
	drainSends   = 8   // of which as many are asked to go at once
	drainPoll    = time.Second
	drainRetry   = 5 * time.Second // after a budget has said no
)

// DrainOptions say which Pods may go, and how.
type DrainOptions struct {
	IgnoreDaemonSets   bool          // leave the Pods of DaemonSets where they are; otherwise they refuse the drain
	DeleteEmptyDirData bool          // also those whose emptyDir goes with them
	Force              bool          // also those that nothing makes again
	Grace              *int64        // seconds; nil is each Pod's own
	Timeout            time.Duration // of the whole; 0 is none
	PodSelector        string
	DisableEviction    bool // delete, past the budgets
	DryRun             bool
}

// The steps of a drain.
const (
	StepCordoned = "cordoned"
	StepSkipped  = "skipped"
	StepEvicting = "evicting"
	StepBlocked  = "blocked"
	StepEvicted  = "evicted"
	StepFailed   = "failed"
	StepWaiting  = "waiting"
	StepDone     = "done"
)

// DrainStep is one thing that happened in a drain.
type DrainStep struct {
	Step      string    `json:"step" enum:"cordoned,skipped,evicting,blocked,evicted,failed,waiting,done" doc:"blocked: a disruption budget refuses for now, and it is tried again; waiting: nothing happened for a while; done is the last"`
	At        time.Time `json:"at"`
	Namespace string    `json:"namespace,omitempty" doc:"of the Pod"`
	Pod       string    `json:"pod,omitempty"`
	Owner     string    `json:"owner,omitempty" doc:"what makes it again elsewhere, as Kind/name"`
	Reason    string    `json:"reason,omitempty"`
	Drained   *bool     `json:"drained,omitempty" doc:"with done: whether all went that should"`
	Evicted   int       `json:"evicted,omitempty" doc:"with done"`
	Failed    int       `json:"failed,omitempty" doc:"with done"`
	Skipped   int       `json:"skipped,omitempty" doc:"with done"`
}

// Drain is a drain that was decided on and hasn't begun.
type Drain struct {
	*Target
	node    found
	pods    Kind
	options DrainOptions
	steps   chan DrainStep
	sends   chan struct{}
	over    <-chan struct{} // closed when nobody listens any more

	mu      sync.Mutex
	leaving map[types.UID]chan error // of Pods that are on their way out, which hear when they are gone
}

// Drain looks at a node and its Pods. Where some may not go by these options, it is a Conflict that names them, and nothing happens.
func (t *Target) Drain(ctx context.Context, node string, o DrainOptions) (*Drain, error) {
	if _, err := labels.Parse(o.PodSelector); err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the selector can't be read").WithField("podSelector", "%v", err)
	}
	f, err := t.locate(ctx, nodePlace(node))
	if err != nil {
		return nil, err
	}
	if _, err := t.do(ctx, f.call(http.MethodGet)); err != nil {
		return nil, err
	}
	d := &Drain{
		Target: t, node: f, options: o, steps: make(chan DrainStep, drainWorkers), sends: make(chan struct{}, drainSends), leaving: map[types.UID]chan error{},
	}
	if d.pods, err = t.of(ctx, "v1", "Pod"); err != nil {
		return nil, err
	}
	plans, err := d.plans(ctx)
	if err != nil {
		return nil, err
	}
	return d, refusals(f.name, plans)
}

func refusals(node string, plans []PodPlan) error {
	f := fault.New(fault.Conflict, "node %s can't be drained like this; nothing was done", node)
	for _, p := range plans {
		if p.Action == ActionRefuse {
			f = f.WithField(p.Namespace+"/"+p.Name, "%s", p.Reason)
		}
	}
	if len(f.Fields) == 0 {
		return nil
	}
	return f
}

// plans decides on each Pod of the node.
func (d *Drain) plans(ctx context.Context) ([]PodPlan, error) {
	q := url.Values{"fieldSelector": {"spec.nodeName=" + d.node.name}}
	if d.options.PodSelector != "" {
		q.Set("labelSelector", d.options.PodSelector)
	}
	got, err := d.do(ctx, call{method: http.MethodGet, kind: d.pods, query: q})
	if err != nil {
		return nil, err
	}
	list, err := read[corev1.PodList](got.body)
	if err != nil {
		return nil, err
	}
	out := make([]PodPlan, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, d.options.plan(&list.Items[i]))
	}
	return out, nil
}

// Run cordons the node and sends its Pods away, telling each step, and that it is still at it where nothing happened for a while. It ends when no Pod is
// left to go, with ctx, or with an error of tell; the node stays cordoned in any case. What fails is told and isn't an error.
func (d *Drain) Run(ctx context.Context, quiet time.Duration, tell func(DrainStep) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.over = ctx.Done()
	var g errgroup.Group
	g.Go(func() error {
		defer close(d.steps)
		return d.work(ctx)
	})
	count, lost := d.relay(quiet, tell)
	if lost != nil {
		cancel()
	}
	failed := g.Wait()
	switch {
	case lost != nil:
		return lost
	case ctx.Err() != nil:
		return ctx.Err()
	case failed != nil:
		count[StepFailed]++
		if err := tell(DrainStep{Step: StepFailed, At: d.now().UTC(), Reason: fault.Public(failed).Message}); err != nil {
			return err
		}
	}
	return tell(DrainStep{
		Step: StepDone, At: d.now().UTC(), Drained: new(count[StepFailed] == 0), Evicted: count[StepEvicted], Failed: count[StepFailed], Skipped: count[StepSkipped],
	})
}

// relay tells steps as they come, and counts them.
func (d *Drain) relay(quiet time.Duration, tell func(DrainStep) error) (count map[string]int, err error) {
	count = map[string]int{}
	tick := time.NewTicker(quiet)
	defer tick.Stop()
	for {
		select {
		case s, ok := <-d.steps:
			if !ok {
				return count, nil
			}
			count[s.Step]++
			err = tell(s)
			tick.Reset(quiet)
		case <-tick.C:
			err = tell(DrainStep{Step: StepWaiting, At: d.now().UTC()})
		}
		if err != nil {
			return count, err
		}
	}
}

func (d *Drain) work(ctx context.Context) error {
	r, err := d.cordon(ctx, d.node, true, Query{DryRun: d.options.DryRun})
	if err != nil {
		return err
	}
	cordoned := DrainStep{Step: StepCordoned}
	if r.Outcome == Unchanged {
		cordoned.Reason = "it was already"
	}
	d.step(cordoned, nil)
	plans, err := d.plans(ctx) // anew: some may have come before the node was cordoned
	if err != nil {
		return err
	}
	if d.options.Timeout > 0 {
		within, cancel := context.WithTimeout(ctx, d.options.Timeout)
		defer cancel()
		ctx = within
	}
	d.all(ctx, plans)
	return nil
}

// all sends Pods away, many at once, while it looks which of them are still there.
func (d *Drain) all(ctx context.Context, plans []PodPlan) {
	looking, cancel := context.WithCancel(ctx)
	var look, g errgroup.Group
	look.Go(func() error { return d.look(looking) })
	defer func() {
		cancel()
		_ = look.Wait() // it was told to end
	}()
	g.SetLimit(drainWorkers)
	for i := range plans {
		p := &plans[i]
		switch p.Action {
		case ActionSkip:
			d.step(DrainStep{Step: StepSkipped, Reason: p.Reason}, p)
			continue
		case ActionRefuse:
			d.step(DrainStep{Step: StepFailed, Reason: p.Reason}, p)
			continue
		}
		g.Go(func() error {
			d.one(ctx, p)
			return nil
		})
	}
	_ = g.Wait() // they tell what fails
}

// step tells one, unless nobody listens any more.
func (d *Drain) step(s DrainStep, p *PodPlan) {
	s.At = d.now().UTC()
	if p != nil {
		s.Namespace, s.Pod = p.Namespace, p.Name
		if p.Owner != nil {
			s.Owner = p.Owner.Kind + "/" + p.Owner.Name
		}
	}
	select {
	case d.steps <- s:
	case <-d.over:
	}
}

// one sends a Pod away and waits until it is gone.
func (d *Drain) one(ctx context.Context, p *PodPlan) {
	d.step(DrainStep{Step: StepEvicting, Reason: p.Reason}, p)
	err := d.send(ctx, p)
	if err == nil && !d.options.DryRun {
		err = d.leaves(ctx, p)
	}
	switch {
	case err == nil || fault.Is(err, fault.NotFound):
		d.step(DrainStep{Step: StepEvicted}, p)
	case ctx.Err() != nil:
		d.step(DrainStep{Step: StepFailed, Reason: "the time was over before it was gone"}, p)
	default:
		d.step(DrainStep{Step: StepFailed, Reason: fault.Public(err).Message}, p)
	}
}

// send evicts a Pod, again and again while a budget says no.
func (d *Drain) send(ctx context.Context, p *PodPlan) error {
	said := ""
	for {
		c, err := d.departure(p)
		if err != nil {
			return err
		}
		err = d.ask(ctx, c)
		if !fault.Is(err, fault.TooManyRequests) || d.options.DryRun {
			return err
		}
		pause := max(drainRetry, fault.RetryAfter(err))
		why, budget := budgetSays(err)
		switch {
		case !budget: // too much goes on, here or in the cluster
			pause = max(drainPoll, fault.RetryAfter(err))
		case why != said:
			said = why
			d.step(DrainStep{Step: StepBlocked, Reason: why}, p)
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}

// ask sends one of few requests at once: a node's Pods must not fill the limits that all of the caller's requests share.
func (d *Drain) ask(ctx context.Context, c call) error {
	select {
	case d.sends <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-d.sends }()
	_, err := d.do(ctx, c)
	return err
}

// budgetSays words why a budget refuses an eviction, if that is what refused it.
func budgetSays(err error) (why string, budget bool) {
	s := statusOf(err)
	parts := []string{strings.TrimSuffix(s.Message, ".")}
	if s.Details != nil {
		for _, c := range s.Details.Causes {
			budget = budget || c.Type == policyv1.DisruptionBudgetCause
			if text := strings.TrimSuffix(c.Message, "."); !slices.Contains(parts, text) {
				parts = append(parts, text)
			}
		}
	}
	return strings.Join(parts, ": "), budget
}

// departure is the request by which a Pod goes, that very one and none that came after it by the same name.
func (d *Drain) departure(p *PodPlan) (call, error) {
	o := metav1.DeleteOptions{GracePeriodSeconds: d.options.Grace, Preconditions: &metav1.Preconditions{UID: new(types.UID(p.UID))}}
	c := call{method: http.MethodDelete, kind: d.pods, namespace: p.Namespace, name: p.Name, contentType: "application/json", once: true}
	if d.options.DryRun {
		o.DryRun, c.query = []string{metav1.DryRunAll}, url.Values{"dryRun": {metav1.DryRunAll}} // the query is what the record shows
	}
	var body any = o
	if !d.options.DisableEviction {
		c.method, c.subresource = http.MethodPost, "eviction"
		body = policyv1.Eviction{
			TypeMeta: metav1.TypeMeta{APIVersion: "policy/v1", Kind: "Eviction"}, ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace}, DeleteOptions: &o,
		}
	}
	var err error
	c.body, err = json.Marshal(body)
	return c, err
}
