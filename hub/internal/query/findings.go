package query

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// The kinds of findings.
const (
	MissingTarget   = "missing-target"
	DanglingBinding = "dangling-binding"
	NothingToScale  = "nothing-to-scale"
	MissingOwner    = "missing-owner"
	SelectsNothing  = "selects-nothing"
	ProtectsNothing = "protects-nothing"
	UngrantedRef    = "ungranted-reference"
	OwnerCycle      = "owner-cycle"
	Unused          = "unused"
	PluginFinding   = "plugin" // whatever a plugin has to say
)

// How much findings matter, and how certain they are.
const (
	SeverityError    = "error"
	SeverityWarning  = "warning"
	SeverityInfo     = "info"
	ConfidenceHigh   = "high"
	ConfidenceMedium = "medium"
	ConfidenceLow    = "low"
)

// Bounds of findings.
const (
	MaxFindings       = 500
	findingBatches    = 40 // looked at for one page
	maxCycleClusters  = 50
	maxRelatedObjects = 10
)

// FindingKinds lists the kinds, in the order in which they are told.
var FindingKinds = []string{MissingTarget, DanglingBinding, NothingToScale, MissingOwner, UngrantedRef, SelectsNothing, ProtectsNothing, OwnerCycle, Unused, PluginFinding}

// Severities lists them, the gravest first.
var Severities = []string{SeverityError, SeverityWarning, SeverityInfo}

// FindingQuestion asks what is wrong with the graph. Where restricts the objects that findings are about.
type FindingQuestion struct {
	Where
	Findings   []string // kinds; none: all
	Severities []string // none: all
	Page
}

// Findings is a page of what is wrong with the graph, kind by kind. A page may be short, even empty, and still have a next one.
type Findings struct {
	Meta
	Items    []Finding   `json:"items"`
	Continue string      `json:"continue,omitempty" doc:"gives the next page; absent on the last"`
	Excluded []Exclusion `json:"excluded" doc:"what is never told as a finding, and why; of the kinds of findings asked for"`
}

// Exclusion is what no finding is made of.
type Exclusion struct {
	Finding string `json:"finding" doc:"the kind of findings"`
	What    string `json:"what"`
	Reason  string `json:"reason"`
}

// Finding is something of the graph that somebody should know.
type Finding struct {
	Kind       string        `json:"kind" doc:"missing-target, dangling-binding, nothing-to-scale, missing-owner, ungranted-reference, selects-nothing, protects-nothing, owner-cycle, plugin, unused"`
	Severity   string        `json:"severity" enum:"error,warning,info"`
	Cluster    string        `json:"cluster"`
	Object     Ref           `json:"object" doc:"what it is about"`
	Related    []Ref         `json:"related" doc:"what else it is about: what is missing, what refers to it, the rest of the circle"`
	Sentence   string        `json:"sentence"`
	Since      topo.Position `json:"since,omitempty" doc:"the position since which the object or the relationship has been as it is; what it leads to may have gone later"`
	SinceAt    *time.Time    `json:"sinceAt,omitempty" doc:"the instant of it, where that is kept"`
	Created    *time.Time    `json:"created,omitempty" doc:"of the object, by its cluster's clock"`
	Confidence string        `json:"confidence" enum:"high,medium,low"`
	Doubts     []string      `json:"doubts,omitempty" doc:"why the confidence isn't high"`
	Edge       *Edge         `json:"edge,omitempty" doc:"the relationship it is about"`
	Plugin     string        `json:"plugin,omitempty" doc:"who found it, where that is a plugin"`

	unseen fleet.ClusterID // set where it is doubtful if not all of the cluster is seen
}

// findingPlace is where findings go on: in which source, behind what.
type findingPlace struct {
	pinned
	Source int
	Key    *store.Key        `json:",omitempty"`
	Edge   *store.EdgePlace  `json:",omitempty"`
	Plugin *store.FindingKey `json:",omitempty"`
	Skip   int               `json:",omitempty"` // clusters that were looked at
	Told   int               `json:",omitempty"` // of the cluster that is being looked at
}

// possible tells of a place that a page may have ended at: a token is a text that anybody can make.
func (p *findingPlace) possible() bool {
	return p.Source >= 0 && p.Source < len(findingSources) && p.Skip >= 0 && p.Told >= 0
}

// findingSource looks for findings of some kinds. Each time it looks at no more than some rows, each of which makes one finding at most.
type findingSource struct {
	kinds []string
	look  func(f *finder, ctx context.Context, at *findingPlace, rows int) (found []Finding, done bool, err error)
}

var findingSources = []findingSource{
	{[]string{MissingTarget, DanglingBinding, NothingToScale}, (*finder).dangling},
	{[]string{MissingOwner}, (*finder).ownerless},
	{[]string{UngrantedRef}, (*finder).ungranted},
	{[]string{SelectsNothing}, unlinkedSource(idleSelector, SelectsNothing)},
	{[]string{SelectsNothing}, unlinkedSource(idlePolicy, SelectsNothing)},
	{[]string{ProtectsNothing}, unlinkedSource(idleBudget, ProtectsNothing)},
	{[]string{OwnerCycle}, (*finder).cycles},
	{[]string{Unused}, unlinkedSource(unusedConfigMap, Unused)},
	{[]string{Unused}, unlinkedSource(unusedSecret, Unused)},
	{[]string{Unused}, unlinkedSource(unusedClaim, Unused)},
	{[]string{PluginFinding}, nil}, // looked for when the snapshot is closed
}

var pluginSource = len(findingSources) - 1

// Findings answers a FindingQuestion with a page.
func (q *Querier) Findings(ctx context.Context, p fleet.Principal, a FindingQuestion) (*Findings, error) {
	limit, err := a.limit(DefaultLimit, MaxFindings)
	if err != nil {
		return nil, err
	}
	if err := knownWords("finding", a.Findings, FindingKinds); err != nil {
		return nil, err
	}
	if err := knownWords("severity", a.Severities, Severities); err != nil {
		return nil, err
	}
	var place findingPlace
	question := []any{a.lasting(), a.Findings, a.Severities}
	at, err := pin(p.Tenant, question, a.Continue, a.At, &place)
	if err != nil {
		return nil, err
	}
	if !place.possible() {
		return nil, badCursor()
	}
	f := &finder{ask: a, place: place, limit: limit, past: !a.At.Now(), out: &Findings{Items: []Finding{}}}
	err = q.read(ctx, "findings", scope{p, fleet.List, a.Clusters, at}, func(ctx context.Context, r *reading) error {
		f.reading = r
		return f.run(ctx)
	})
	if err != nil {
		return nil, late(a.Continue, err)
	}
	// What the snapshot doesn't hold is asked for when it is closed: one question never takes two connections at once.
	if err := f.plugins(ctx); err != nil {
		return nil, err
	}
	if err := f.doubtViews(ctx); err != nil {
		return nil, err
	}
	f.out.Excluded = f.excluded()
	if f.place.Source < len(findingSources) {
		f.place.pinned = pinned{f.out.Position}
		f.out.Continue = seal(p.Tenant, question, f.place)
	}
	return f.out, nil
}

func knownWords(field string, words, known []string) error {
	for _, w := range words {
		if !slices.Contains(known, w) {
			return fault.New(fault.BadRequest, "there is no %s %q", field, w).WithField(field, "must be one of %v", known)
		}
	}
	return nil
}

// finder looks for one page of findings.
type finder struct {
	*reading
	ask    FindingQuestion
	place  findingPlace
	limit  int
	filter store.Filter
	past   bool // it isn't about the newest: what plugins say is left out
	out    *Findings
}

func (f *finder) run(ctx context.Context) (err error) {
	if f.filter, err = f.ask.filter(f.view); err != nil {
		return err
	}
	for range findingBatches {
		if f.place.Source == pluginSource || f.room() == 0 {
			break
		}
		source := findingSources[f.place.Source]
		if !f.wants(source.kinds) {
			f.next()
			continue
		}
		found, done, err := source.look(f, ctx, &f.place, f.room())
		if err != nil {
			return err
		}
		f.keep(found)
		if done {
			f.next()
		}
	}
	appear := map[fleet.ClusterID]bool{}
	for c := range f.known {
		appear[c] = slices.ContainsFunc(f.out.Items, func(x Finding) bool { return x.Cluster == c.String() })
	}
	f.out.Meta = f.meta(appear)
	return f.date(ctx, f.out.Items)
}

func (f *finder) room() int { return f.limit - len(f.out.Items) }

func (f *finder) next() { f.place = findingPlace{Source: f.place.Source + 1} }

func (f *finder) keep(found []Finding) {
	f.out.Items = append(f.out.Items, slices.DeleteFunc(found, func(x Finding) bool { return !f.means(&x) })...)
}

func (f *finder) wants(kinds []string) bool {
	return len(f.ask.Findings) == 0 || slices.ContainsFunc(kinds, func(k string) bool { return slices.Contains(f.ask.Findings, k) })
}

func (f *finder) means(x *Finding) bool {
	return (len(f.ask.Findings) == 0 || slices.Contains(f.ask.Findings, x.Kind)) && (len(f.ask.Severities) == 0 || slices.Contains(f.ask.Severities, x.Severity))
}

// date looks up the instants since when.
func (f *finder) date(ctx context.Context, items []Finding) error {
	var positions []topo.Position
	for i := range items {
		positions = append(positions, items[i].Since)
	}
	slices.Sort(positions)
	instants, err := f.Instants(ctx, slices.Compact(positions))
	for i := range items {
		if items[i].SinceAt == nil {
			items[i].SinceAt = instant(instants[items[i].Since].At)
		}
	}
	return err
}

func (f *finder) excluded() []Exclusion {
	out := []Exclusion{}
	for _, x := range exclusions {
		if f.wants([]string{x.Finding}) {
			out = append(out, x)
		}
	}
	return out
}

// only narrows the question's filter to some kinds; ok is false where it asks for others.
func (f *finder) only(kinds ...topo.GroupKind) (store.Filter, bool) {
	narrow := f.filter
	narrow.Fields, narrow.Terms = slices.Clone(f.filter.Fields), slices.Clone(f.filter.Terms)
	if len(f.filter.Kinds) > 0 {
		kinds = slices.DeleteFunc(slices.Clone(kinds), func(k topo.GroupKind) bool { return !slices.Contains(f.filter.Kinds, k) })
	}
	narrow.Kinds = kinds
	return narrow, len(kinds) > 0
}

// about begins a finding about a row, of which nothing is doubtful yet.
func about(kind, severity string, row *store.Row) Finding {
	x := Finding{
		Kind: kind, Severity: severity, Cluster: row.Cluster.String(), Object: refOf(row.Node.Ref, row.ID), Related: []Ref{}, Since: row.Since, Confidence: ConfidenceHigh,
	}
	if row.Node.Created != 0 {
		x.Created = instant(time.Unix(row.Node.Created, 0))
	}
	return x
}

// doubt lowers the confidence, and says why.
func (x *Finding) doubt(confidence, format string, args ...any) {
	if x.Confidence != ConfidenceLow {
		x.Confidence = confidence
	}
	x.Doubts = append(x.Doubts, fmt.Sprintf(format, args...))
}

// doubtViews lowers the confidence where the cluster isn't seen as it is: what can't be seen may be what is looked for.
func (f *finder) doubtViews(ctx context.Context) error {
	blind := map[fleet.ClusterID][]string{} // kinds that aren't watched
	for i := range f.out.Items {
		x := &f.out.Items[i]
		c := x.unseen
		if c == 0 {
			continue
		}
		if _, known := blind[c]; !known {
			reports, err := f.q.store.Kinds(ctx, f.scope(c))
			if err != nil {
				return err
			}
			blind[c] = []string{}
			for _, r := range reports {
				if !r.Observed {
					blind[c] = append(blind[c], r.GroupKind.String())
				}
			}
		}
		switch n := len(blind[c]); {
		case n > 3:
			x.doubt(ConfidenceMedium, "%s and %d more kinds of the cluster aren't watched", blind[c][0], n-1)
		case n > 0:
			x.doubt(ConfidenceMedium, "not watched in the cluster: %s", strings.Join(blind[c], ", "))
		}
		if freshness(f.known[c]).State != fleet.Live {
			x.doubt(ConfidenceMedium, "what is known of the cluster isn't current")
		}
	}
	return nil
}
