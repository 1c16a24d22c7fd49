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

// Revision is an object as it was from one position up to another: what the hub knows of it, and its text. A text that comes within seconds of another
// change belongs to that; otherwise it makes a revision of its own.
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
	err = q.read(ctx, "history", scope{p, fleet.Get, []fleet.ClusterID{w.Cluster}, at}, func(ctx context.Context, r *reading) error {
		t, err := r.timeline(ctx, w, place.Before, limit)
		if err != nil {
			return err
		}
		out = &History{Meta: r.meta(nil), Items: t.revisions()}
		if t.more {
			last := out.Items[len(out.Items)-1].Revision
			out.Continue = seal(p.Tenant, question, historyPlace{pinned{r.Position()}, last})
		}
		return nil
	})
	return out, late(page.Continue, err)
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
	err := q.read(ctx, "revision", scope{p, fleet.Get, []fleet.ClusterID{w.Cluster}, w.At}, func(ctx context.Context, r *reading) error {
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
	v, err := r.versionAt(ctx, w, at)
	if err != nil {
		return nil, err
	}
	for before := v.To; ; {
		t, err := r.timeline(ctx, w, before, maxRevisions)
		if err != nil {
			return nil, err
		}
		for i := range t.revisions() {
			if s := &t.spans[i]; s.since <= at && (s.to == 0 || s.to > at) {
				out := t.revision(i)
				if out.Until != 0 && out.Until == v.To {
					next, err := r.Snapshot.History(ctx, r.scope(w.Cluster), w.Ref.ID(), v.To+1, 1)
					out.Went = len(next) > 0 && next[0].Since != v.To
					return &out, err
				}
				return &out, nil
			}
		}
		if !t.more {
			return nil, noRevision(w, at)
		}
		before = t.spans[len(t.spans)-1].since + 1
	}
}

// versionAt finds the version of the node that held at a position.
func (r *reading) versionAt(ctx context.Context, w Which, at topo.Position) (*store.Version, error) {
	if !r.view.Sees(w.Cluster, w.Ref.Namespace) {
		return nil, noRevision(w, at)
	}
	versions, err := r.Snapshot.History(ctx, r.scope(w.Cluster), w.Ref.ID(), at+1, 1)
	if err != nil {
		return nil, err
	}
	if v := during(versions, at); v != nil {
		return v, nil
	}
	return nil, noRevision(w, at)
}

func noRevision(w Which, at topo.Position) error {
	return fault.New(fault.NotFound, "there was no %s at position %d, as far as is kept", w.Ref, at)
}

// textOf gives the manifest of a revision; nil where none is kept.
func (r *reading) textOf(ctx context.Context, w Which, rev *Revision) (json.RawMessage, error) {
	if !rev.Manifest {
		return nil, nil
	}
	end := r.Position()
	if rev.Until != 0 {
		end = rev.Until - 1
	}
	m, err := r.TextAt(ctx, r.scope(w.Cluster), w.Ref.ID(), end)
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
