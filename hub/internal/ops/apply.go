package ops

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

const (
	applyWorkers   = 8                // documents of one rank that are applied at once
	establishLimit = 30 * time.Second // for a new kind to be served
	settleLimit    = 10 * time.Second // for a new namespace to have its service account
	applyPoll      = 100 * time.Millisecond
	maxDiffs       = 16 << 20 // bytes of all diffs of an answer
)

// Application is documents and how they are applied.
type Application struct {
	Text      []byte
	JSON      bool // otherwise YAML
	Query          // Version doesn't count
	Force     bool // take fields from their managers
	Diff      bool
	Namespace string // of documents that name none; "" is default
}

// Applied is what came of documents, in their order.
type Applied struct {
	DryRun    string            `json:"dryRun,omitempty" enum:"All,impact" doc:"that nothing was kept, as was asked"`
	Summary   ApplySummary      `json:"summary"`
	Documents []AppliedDocument `json:"documents" doc:"in the order they were sent"`
	Impact    *Touched          `json:"impact,omitempty" doc:"with dryRun=impact: what the topology says this touches"`
}

// ApplySummary counts outcomes.
type ApplySummary struct {
	Created    int `json:"created"`
	Configured int `json:"configured"`
	Unchanged  int `json:"unchanged"`
	Failed     int `json:"failed"`
	Unchecked  int `json:"unchecked" doc:"a dry run can't tell: they need what other documents make"`
}

// AppliedDocument is what came of one object.
type AppliedDocument struct {
	Document  int             `json:"document" doc:"number of the document it stands in, from 1"`
	Line      int             `json:"line" doc:"at which that begins, from 1"`
	Group     string          `json:"group"`
	Version   string          `json:"version"`
	Kind      string          `json:"kind"`
	Namespace string          `json:"namespace,omitempty"`
	Name      string          `json:"name"`
	Outcome   string          `json:"outcome,omitempty" enum:"created,configured,unchanged,failed,unchecked"`
	Code      string          `json:"code,omitempty" doc:"of what failed, as in problems"`
	Reason    string          `json:"reason,omitempty" doc:"why it failed or can't be checked: the cluster's own sentence where it has one"`
	Conflicts []FieldConflict `json:"conflicts,omitempty" doc:"fields that others manage; force takes them"`
	Warnings  []string        `json:"warnings" doc:"what the cluster remarks"`
	Diff      string          `json:"diff,omitempty" doc:"unified diff against the live object, where it was asked for; values of Secrets are masked"`
}

// FieldConflict is a field that another manager has set.
type FieldConflict struct {
	Manager string `json:"manager"`
	Field   string `json:"field"`
}

func (d *document) gk() topo.GroupKind {
	gv, err := schema.ParseGroupVersion(d.header.APIVersion)
	if err != nil {
		return topo.GroupKind{Kind: d.header.Kind}
	}
	return topo.GroupKind{Group: gv.Group, Kind: d.header.Kind}
}

// blank is a document's result before there is one.
func (d *document) blank() AppliedDocument {
	out := AppliedDocument{
		Document: d.number, Line: d.line, Group: d.gk().Group, Kind: d.header.Kind, Namespace: d.header.Namespace, Name: d.header.Name, Warnings: []string{},
	}
	if gv, err := schema.ParseGroupVersion(d.header.APIVersion); err == nil {
		out.Version = gv.Version
	}
	return out
}

// Apply applies documents by server-side apply. What can't be read is a BadRequest, and nothing was applied then; what fails afterwards is in the result.
func (t *Target) Apply(ctx context.Context, a Application) (*Applied, error) {
	docs, err := parse(a.Text, a.JSON, or(a.Validation, "Strict") == "Strict")
	if err != nil {
		return nil, err
	}
	if _, err := t.table(ctx, 0); err != nil { // asked now: nobody wants ten thousand times the sentence that the cluster isn't connected
		return nil, err
	}
	r := &run{Target: t, Application: a, docs: docs, results: map[*document]*AppliedDocument{}}
	r.note()
	for _, wave := range waves(docs) {
		if err := r.wave(ctx, wave); err != nil {
			return nil, err
		}
	}
	return r.tell(), nil
}

// run is one application.
type run struct {
	*Target
	Application
	docs    []*document
	results map[*document]*AppliedDocument // each written by who applies it
	spaces  []string                       // that the documents make
	kinds   []topo.GroupKind               // that the documents' definitions make
	diffs   atomic.Int64                   // bytes
}

// note finds out what the documents make that others among them may need.
func (r *run) note() {
	for _, d := range r.docs {
		r.results[d] = new(d.blank())
		switch d.gk() {
		case topo.GroupKind{Kind: "Namespace"}:
			r.spaces = append(r.spaces, d.header.Name)
		case crdKind:
			var crd struct {
				Spec struct {
					Group string
					Names struct{ Kind string }
				}
			}
			if err := json.Unmarshal(d.text, &crd); err == nil {
				r.kinds = append(r.kinds, topo.GroupKind{Group: crd.Spec.Group, Kind: crd.Spec.Names.Kind})
			}
		}
	}
}

// wave applies the documents of one rank, several at once.
func (r *run) wave(ctx context.Context, docs []*document) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(applyWorkers)
	for _, d := range docs {
		g.Go(func() error {
			err := r.one(ctx, d, r.results[d])
			if err == nil {
				return nil
			}
			r.results[d].fail(err)
			if fault.Is(err, fault.Internal) && statusOf(err).Code == 0 { // it isn't the cluster that failed
				return err
			}
			return nil
		})
	}
	return g.Wait()
}

func (o *AppliedDocument) fail(err error) {
	public := fault.Public(err)
	o.Outcome, o.Code, o.Reason, o.Conflicts = Failed, string(public.Code), public.Message, conflictsOf(err)
}

// one applies a document.
func (r *run) one(ctx context.Context, d *document, out *AppliedDocument) error {
	k, err := r.kindOf(ctx, d)
	if err != nil {
		if r.DryRun && slices.Contains(r.kinds, d.gk()) {
			out.Outcome, out.Reason = Unchecked, "its kind is defined by these documents, and a dry run defines nothing"
			return nil
		}
		return err
	}
	out.Namespace = ""
	if k.Namespaced {
		out.Namespace = r.space(d)
	}
	f := found{k, out.Namespace, d.header.Name}
	before, seen, err := r.live(ctx, f)
	if err != nil {
		return err
	}
	got, err := r.send(ctx, f, d)
	if err != nil {
		if r.DryRun && fault.Is(err, fault.NotFound) && slices.Contains(r.spaces, out.Namespace) {
			out.Outcome, out.Reason = Unchecked, "its namespace is made by these documents, and a dry run makes nothing"
			return nil
		}
		return err
	}
	if err := r.judge(f, out, before, seen, got); err != nil {
		return err
	}
	if d.gk() == crdKind && !r.DryRun {
		return r.established(ctx, f)
	}
	return nil
}

// kindOf finds a document's kind; one that the documents themselves define may take a moment to be served.
func (r *run) kindOf(ctx context.Context, d *document) (k Kind, err error) {
	limit := r.now().Add(establishLimit)
	for {
		k, err = r.of(ctx, d.header.APIVersion, d.header.Kind)
		if !fault.Is(err, fault.NotFound) || r.DryRun || !slices.Contains(r.kinds, d.gk()) || r.now().After(limit) {
			return k, err
		}
		if err := wait(ctx, kindsRetry); err != nil {
			return k, err
		}
	}
}

// live is the object before. Who may write but not read learns less of what came of it.
func (r *run) live(ctx context.Context, f found) (before map[string]any, seen bool, err error) {
	got, err := r.do(ctx, f.call(http.MethodGet))
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, true, nil
	case fault.Is(err, fault.Forbidden):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	before, err = decode(got.body)
	return before, true, err
}

func (r *run) send(ctx context.Context, f found, d *document) (got *reply, err error) {
	c := f.call(http.MethodPatch)
	c.query, c.contentType, c.body = r.values(), string(types.ApplyYAMLPatchType), d.text
	if r.Force {
		c.query.Set("force", "true")
	}
	limit := r.now().Add(settleLimit)
	for {
		got, err = r.do(ctx, c)
		if err == nil || !r.settles(f, err) || r.now().After(limit) {
			return got, err
		}
		if err := wait(ctx, applyPoll); err != nil {
			return nil, err
		}
	}
}

// settles tells of a refusal that it is only because the namespace is so new that its service account isn't there.
func (r *run) settles(f found, err error) bool {
	return !r.DryRun && slices.Contains(r.spaces, f.namespace) && fault.Is(err, fault.Forbidden) && strings.Contains(fault.Public(err).Message, "error looking up service account")
}

// judge words what an answer says of a document.
func (r *run) judge(f found, out *AppliedDocument, before map[string]any, seen bool, got *reply) error {
	out.Warnings = notNil(got.warnings)
	after, err := decode(got.body)
	if err != nil {
		return err
	}
	switch {
	case got.created():
		out.Outcome = Created
	case seen && before != nil && f.same(before, after):
		out.Outcome = Unchanged
	default:
		out.Outcome = Configured
	}
	if !r.Diff {
		return nil
	}
	if !seen {
		out.Warnings = append(out.Warnings, "there is no diff, because the live object may not be read")
		return nil
	}
	text, err := difference(f, before, after)
	if err != nil {
		return err
	}
	if r.diffs.Add(int64(len(text))) > maxDiffs {
		out.Warnings = append(out.Warnings, "there is no diff, because those of all documents together are too long; apply fewer at once to see it")
		return nil
	}
	out.Diff = text
	return nil
}

// established waits until the kind that a definition defines is served.
func (r *run) established(ctx context.Context, f found) error {
	limit := r.now().Add(establishLimit)
	for {
		got, err := r.do(ctx, f.call(http.MethodGet))
		if err != nil {
			return err
		}
		crd, err := read[struct {
			Status struct{ Conditions []metav1.Condition }
		}](got.body)
		if err != nil {
			return err
		}
		for _, c := range crd.Status.Conditions {
			if c.Type == "Established" && c.Status == metav1.ConditionTrue {
				return nil
			}
			if c.Type == "NamesAccepted" && c.Status == metav1.ConditionFalse {
				return fault.New(fault.Conflict, "its names aren't accepted: %s", c.Message)
			}
		}
		if r.now().After(limit) {
			return fault.New(fault.Unavailable, "it is applied, and its kind isn't served after %s", establishLimit)
		}
		if err := wait(ctx, applyPoll); err != nil {
			return err
		}
	}
}

var conflictSentence = regexp.MustCompile(`^conflict with "(.*?)"`)

// conflictsOf reads which fields others manage.
func conflictsOf(err error) []FieldConflict {
	s := statusOf(err)
	if s.Details == nil {
		return nil
	}
	var out []FieldConflict
	for _, c := range s.Details.Causes {
		if c.Type != metav1.CauseTypeFieldManagerConflict {
			continue
		}
		manager := c.Message
		if m := conflictSentence.FindStringSubmatch(c.Message); m != nil {
			manager = m[1]
		}
		out = append(out, FieldConflict{Manager: manager, Field: c.Field})
	}
	return out
}

// tell gives the results in the order of the documents.
func (r *run) tell() *Applied {
	out := &Applied{Documents: make([]AppliedDocument, 0, len(r.docs))}
	if r.DryRun {
		out.DryRun = metav1.DryRunAll
	}
	counts := map[string]*int{
		Created: &out.Summary.Created, Configured: &out.Summary.Configured, Unchanged: &out.Summary.Unchanged, Failed: &out.Summary.Failed, Unchecked: &out.Summary.Unchecked,
	}
	for _, d := range r.docs {
		result := r.results[d]
		*counts[result.Outcome]++
		out.Documents = append(out.Documents, *result)
	}
	return out
}
