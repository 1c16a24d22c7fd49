package query

import (
	"context"
	"encoding/json"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// History is the revisions of an object, newest first.
type History struct {
	Meta
	Items    []Revision `json:"items"`
	Continue string     `json:"continue,omitempty" doc:"gives older revisions; absent on the last page"`
}

// Revision is an object as it was from one position up to another. What the hub keeps of objects makes revisions; a manifest belongs to the revision in
// which it was changed last.
type Revision struct {
	Revision topo.Position `json:"revision" doc:"the position at which it began, which is its name"`
	From     *time.Time    `json:"from,omitempty" doc:"when it began; absent where that isn't kept any more"`
	Until    topo.Position `json:"until,omitempty" doc:"the position at which it ended; absent where it is so still"`
	To       *time.Time    `json:"to,omitempty" doc:"when it ended"`
	Late     bool          `json:"late,omitempty" doc:"the change that began it was found late, after a gap in what was known"`
	GapSince *time.Time    `json:"gapSince,omitempty" doc:"where it was found late: when the gap began in which it happened"`
	Came     bool          `json:"came,omitempty" doc:"before it there was no such object, as far as is kept"`
	Went     bool          `json:"went,omitempty" doc:"after it there was no such object"`
	Changed  []FieldChange `json:"changed" doc:"what it changed of the revision before"`
	Manifest bool          `json:"manifest" doc:"the object's text is kept"`
	Resource Resource      `json:"resource"`

	node *topo.Node
}

type historyPlace struct {
	pinned
	Before topo.Position
}

const (
	defaultRevisions = 50
	maxRevisions     = 500
)

// History gives a page of an object's revisions, also of one that isn't there any more. NotFound when nothing is kept of it.
func (q *Querier) History(ctx context.Context, p fleet.Principal, w Which, page Page) (*History, error) {
	limit, err := page.limit(defaultRevisions, maxRevisions)
	if err != nil {
		return nil, err
	}
	var place historyPlace
	question := []any{w.Cluster, w.Ref, "history"}
	at, err := pin(p.Tenant, question, page.Continue, w.At, &place)
	if err != nil {
		return nil, err
	}
	var out *History
	err = q.read(ctx, scope{p, fleet.Get, []fleet.ClusterID{w.Cluster}, at}, func(ctx context.Context, r *reading) error {
		revisions, more, err := r.revisions(ctx, w, place.Before, limit)
		if err != nil {
			return err
		}
		out = &History{Meta: r.meta(nil), Items: revisions}
		if more {
			last := revisions[len(revisions)-1].Revision
			out.Continue = seal(p.Tenant, question, historyPlace{pinned{r.Position()}, last})
		}
		return nil
	})
	return out, late(page.Continue, err)
}

// revisions reads those that began before a position; 0: all.
func (r *reading) revisions(ctx context.Context, w Which, before topo.Position, limit int) ([]Revision, bool, error) {
	versions, err := r.versions(ctx, w, before, limit+1)
	if err != nil {
		return nil, false, err
	}
	var out []Revision
	for i := range versions[:min(limit, len(versions))] {
		var older, newer *store.Version
		if i+1 < len(versions) {
			older = &versions[i+1]
		}
		if i > 0 {
			newer = &versions[i-1]
		}
		out = append(out, revision(&versions[i], older, newer, before))
	}
	return out, len(versions) > limit, nil
}

// versions reads what may be seen of an object's past; NotFound where there is nothing.
func (r *reading) versions(ctx context.Context, w Which, before topo.Position, limit int) ([]store.Version, error) {
	var versions []store.Version
	var err error
	if r.view.Sees(w.Cluster, w.Ref.Namespace) {
		versions, err = r.Snapshot.History(ctx, r.scope(w.Cluster), w.Ref.ID(), before, limit)
	}
	if err == nil && len(versions) == 0 {
		err = fault.New(fault.NotFound, "nothing is kept of %s", w.Ref)
	}
	return versions, err
}

// revision words a version, given those before and after it, where they are known. next is where the newest of a page's versions may have ended.
func revision(v, older, newer *store.Version, next topo.Position) Revision {
	out := Revision{
		Revision: v.Since, Until: v.To, From: instant(v.Began), To: instant(v.Ended), GapSince: instant(v.GapSince), Late: !v.GapSince.IsZero(),
		Came: older == nil || older.To != v.Since, Changed: []FieldChange{}, Manifest: !v.Manifest.IsZero(), Resource: resource(&v.Row), node: &v.Node,
	}
	if !out.Came {
		out.Changed = nodeChanges(&older.Node, &v.Node)
		if older.Manifest != v.Manifest {
			was, is := older.Manifest.String(), v.Manifest.String()
			out.Changed = append(out.Changed, FieldChange{Field: "manifest", Before: &was, After: &is})
		}
	}
	switch {
	case v.To == 0:
	case newer != nil:
		out.Went = newer.Since != v.To
	default:
		out.Went = v.To != next
	}
	return out
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// RevisionText is one revision of an object, with its text.
type RevisionText struct {
	Meta
	Revision Revision        `json:"revision"`
	JSON     json.RawMessage `json:"json" doc:"the object's text; where none is kept, what the hub knows of it"`
	YAML     string          `json:"yaml" doc:"the same as YAML"`
	Mode     string          `json:"mode" enum:"manifest,attributes" doc:"manifest: the object's own text, as its cluster shares it; attributes: what the hub knows of it"`
}

// The modes of texts.
const (
	ModeManifest   = "manifest"
	ModeAttributes = "attributes"
)

// Revision gives the revision that an object had at a position. NotFound where it wasn't there then.
func (q *Querier) Revision(ctx context.Context, p fleet.Principal, w Which, at topo.Position) (*RevisionText, error) {
	var out *RevisionText
	err := q.read(ctx, scope{p, fleet.Get, []fleet.ClusterID{w.Cluster}, w.At}, func(ctx context.Context, r *reading) error {
		rev, err := r.revisionAt(ctx, w, at)
		if err != nil {
			return err
		}
		out = &RevisionText{Meta: r.meta(nil), Revision: *rev, Mode: ModeManifest}
		text, err := r.textOf(ctx, w, rev)
		if err == nil && text == nil {
			out.Mode = ModeAttributes
			text, err = attributes(rev)
		}
		if err != nil {
			return err
		}
		out.JSON = text
		out.YAML, err = asYAML(text)
		return err
	})
	return out, err
}

// revisionAt finds the revision that held at a position.
func (r *reading) revisionAt(ctx context.Context, w Which, at topo.Position) (*Revision, error) {
	versions, err := r.versions(ctx, w, at+1, 2)
	if err != nil {
		return nil, err
	}
	v := &versions[0]
	if v.To != 0 && v.To <= at {
		return nil, fault.New(fault.NotFound, "there was no %s at position %d", w.Ref, at)
	}
	var older *store.Version
	if len(versions) > 1 {
		older = &versions[1]
	}
	out := revision(v, older, nil, v.To)
	return &out, nil
}

// textOf gives the manifest of a revision; nil where none is kept.
func (r *reading) textOf(ctx context.Context, w Which, rev *Revision) (json.RawMessage, error) {
	m, err := r.ManifestAt(ctx, r.scope(w.Cluster), w.Ref.ID(), rev.Revision)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return unpack(m.Body)
}

// attributes is what the hub knows of an object, as a text.
func attributes(rev *Revision) (json.RawMessage, error) {
	known := rev.Resource
	known.Since = 0 // the same object known for longer is no other
	text, err := json.Marshal(known)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "a resource can't be worded")
	}
	return text, nil
}

func asYAML(text json.RawMessage) (string, error) {
	out, err := yaml.JSONToYAML(text)
	if err != nil {
		return "", fault.Wrap(err, fault.Internal, "a stored manifest can't be worded as YAML")
	}
	return string(out), nil
}
