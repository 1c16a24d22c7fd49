package query

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// settle is how long after a node changed its text may come and still belong to the same revision: texts travel on their own, behind the graph.
const settle = 10 * time.Second

// span is a stretch of an object's past in which nothing of it changed: one revision.
type span struct {
	since, to topo.Position // up to, without; 0: so still
	version   *store.Version
	text      topo.ID // its manifest at the end; zero: none
}

// timeline is the past of an object, newest first.
type timeline struct {
	spans    []span
	instants map[topo.Position]store.Instant
	before   topo.Position // that all of it began before; 0: it goes up to the snapshot's end
	more     bool          // there are older spans
}

// timeline joins the versions of a node and those of its text that began before a position (0: all), at most limit.
func (r *reading) timeline(ctx context.Context, w Which, before topo.Position, limit int) (*timeline, error) {
	var versions []store.Version
	var texts []store.Text
	var err error
	if r.view.Sees(w.Cluster, w.Ref.Namespace) {
		if versions, err = r.Snapshot.History(ctx, r.scope(w.Cluster), w.Ref.ID(), before, limit+1); err != nil {
			return nil, err
		}
		if texts, err = r.Texts(ctx, r.scope(w.Cluster), w.Ref.ID(), before, limit+1); err != nil {
			return nil, err
		}
	}
	if len(versions) == 0 {
		return nil, fault.New(fault.NotFound, "nothing is kept of %s", w.Ref)
	}
	// Of a list that goes on, the last is only there to be compared with.
	var cut topo.Position
	if len(versions) > limit {
		cut = versions[limit].Since
	}
	if len(texts) > limit {
		cut = max(cut, texts[limit].Since)
	}
	t := &timeline{before: before}
	if err := t.date(ctx, r, versions, texts); err != nil {
		return nil, err
	}
	t.join(versions, texts)
	t.cut(cut, limit)
	return t, nil
}

func (t *timeline) date(ctx context.Context, r *reading, versions []store.Version, texts []store.Text) (err error) {
	var all []topo.Position
	for i := range versions {
		all = append(all, versions[i].Since, versions[i].To)
	}
	for _, x := range texts {
		all = append(all, x.Since, x.To)
	}
	slices.Sort(all)
	t.instants, err = r.Instants(ctx, slices.Compact(all))
	return err
}

// join makes the spans: one begins with each version, and with each text that doesn't belong to the beginning of one.
func (t *timeline) join(versions []store.Version, texts []store.Text) {
	for i := range versions {
		t.spans = append(t.spans, span{since: versions[i].Since, to: versions[i].To, version: &versions[i]})
	}
	for i := range texts {
		if v := during(versions, texts[i].Since); v != nil && !t.opens(v, texts, i) {
			t.spans = append(t.spans, span{since: texts[i].Since, to: v.To, version: v})
		}
	}
	slices.SortFunc(t.spans, func(a, b span) int { return cmp.Compare(b.since, a.since) })
	for i := range t.spans {
		s := &t.spans[i]
		next := t.before
		if i > 0 {
			next = t.spans[i-1].since
		}
		if next != 0 && (s.to == 0 || s.to > next) {
			s.to = next
		}
		s.text = textBy(texts, s.to)
	}
}

// during gives the version that held at a position.
func during(versions []store.Version, at topo.Position) *store.Version {
	for i := range versions {
		if v := &versions[i]; v.Since <= at && (v.To == 0 || v.To > at) {
			return v
		}
	}
	return nil
}

// opens tells whether a text belongs to the beginning of a version: the first within it, and soon.
func (t *timeline) opens(v *store.Version, texts []store.Text, i int) bool {
	if texts[i].Since == v.Since {
		return true
	}
	if i+1 < len(texts) && texts[i+1].Since >= v.Since {
		return false
	}
	began, came := t.instants[v.Since].At, t.instants[texts[i].Since].At
	return !began.IsZero() && came.Sub(began) <= settle
}

// textBy gives the text that held just before a position; 0: the newest.
func textBy(texts []store.Text, to topo.Position) topo.ID {
	for _, x := range texts {
		if (to == 0 || x.Since < to) && (x.To == 0 || (to != 0 && x.To >= to)) {
			return x.Hash
		}
	}
	return topo.ID{}
}

// cut leaves what is certain: spans above the end of lists that go on, as many as were asked for, and one more to compare with.
func (t *timeline) cut(end topo.Position, limit int) {
	certain := slices.IndexFunc(t.spans, func(s span) bool { return s.since <= end })
	if certain < 0 {
		certain = len(t.spans)
	}
	certain = min(certain, limit)
	t.more = certain < len(t.spans)
	t.spans = t.spans[:min(certain+1, len(t.spans))]
}

// revisions words the spans; the last is left out where it is only there to be compared with.
func (t *timeline) revisions() []Revision {
	n := len(t.spans)
	if t.more {
		n--
	}
	out := make([]Revision, 0, n)
	for i := range t.spans[:n] {
		out = append(out, t.revision(i))
	}
	return out
}

func (t *timeline) revision(i int) Revision {
	s := &t.spans[i]
	began := t.instants[s.since]
	out := Revision{
		Revision: s.since, Until: s.to, From: instant(began.At), GapSince: instant(began.GapSince), Late: !began.GapSince.IsZero(), Changed: []FieldChange{},
		Manifest: !s.text.IsZero(), Resource: resource(&s.version.Row), node: &s.version.Node, Came: true,
	}
	if s.to != 0 {
		out.To = instant(t.instants[s.to].At)
		next := t.before
		if i > 0 {
			next = t.spans[i-1].since
		}
		out.Went = s.to != next
	}
	if i+1 == len(t.spans) {
		return out
	}
	older := &t.spans[i+1]
	if out.Came = older.to != s.since; !out.Came {
		out.Changed = nodeChanges(&older.version.Node, &s.version.Node)
		if older.text != s.text {
			was, is := older.text.String(), s.text.String()
			out.Changed = append(out.Changed, FieldChange{Field: "manifest", Before: &was, After: &is})
		}
	}
	return out
}
