package query

import (
	"context"
	"encoding/json"

	"github.com/aymanbagabas/go-udiff"
	"github.com/wI2L/jsondiff"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// CompareQuestion asks what differs between two revisions of an object.
type CompareQuestion struct {
	Which
	From, To topo.Position // each means the revision that held then
	Context  int           // lines of the unified diff around a change; 0: 3
}

const maxContext = 1000

// Comparison is what differs between two revisions of an object.
type Comparison struct {
	Meta
	From    Revision        `json:"from"`
	To      Revision        `json:"to"`
	Mode    string          `json:"mode" enum:"manifest,attributes" doc:"what was compared: the object's own text, or, where one of the two isn't kept, what the hub knows of it"`
	Changed []FieldChange   `json:"changed" doc:"what differs of what the hub knows"`
	Unified string          `json:"unified" doc:"unified diff of the texts as YAML; empty where they are the same"`
	Patch   json.RawMessage `json:"patch" doc:"JSON patch (RFC 6902) that makes the first text the second"`
}

// Compare answers a CompareQuestion. NotFound where there was no such object at one of the positions.
func (q *Querier) Compare(ctx context.Context, p fleet.Principal, c CompareQuestion) (*Comparison, error) {
	if c.Context == 0 {
		c.Context = udiff.DefaultContextLines
	}
	if c.Context < 0 || c.Context > maxContext {
		return nil, fault.New(fault.BadRequest, "the number of lines is out of range").WithField("context", "must be from 1 to %d", maxContext)
	}
	var out *Comparison
	err := q.read(ctx, "compare", scope{p, fleet.Get, []fleet.ClusterID{c.Cluster}, c.At}, func(ctx context.Context, r *reading) (err error) {
		out, err = r.compare(ctx, c)
		return err
	})
	return out, err
}

func (r *reading) compare(ctx context.Context, c CompareQuestion) (*Comparison, error) {
	from, err := r.revisionAt(ctx, c.Which, c.From)
	if err != nil {
		return nil, err
	}
	to, err := r.revisionAt(ctx, c.Which, c.To)
	if err != nil {
		return nil, err
	}
	out := &Comparison{Meta: r.meta(nil), From: *from, To: *to, Mode: ModeManifest, Changed: nodeChanges(from.node, to.node)}
	before, err := r.textOf(ctx, c.Which, from)
	if err != nil {
		return nil, err
	}
	after, err := r.textOf(ctx, c.Which, to)
	if err != nil {
		return nil, err
	}
	if before == nil || after == nil {
		out.Mode = ModeAttributes
		if before, err = attributes(from); err != nil {
			return nil, err
		}
		if after, err = attributes(to); err != nil {
			return nil, err
		}
	}
	if out.Patch, err = patch(before, after); err != nil {
		return nil, err
	}
	out.Unified, err = unified(out, before, after, c.Context)
	return out, err
}

// patch gives the JSON patch that makes one text another.
func patch(before, after json.RawMessage) (json.RawMessage, error) {
	ops, err := jsondiff.CompareJSON(before, after)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "two revisions can't be compared")
	}
	if len(ops) == 0 {
		return json.RawMessage("[]"), nil
	}
	text, err := json.Marshal(ops)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "two revisions can't be compared")
	}
	return text, nil
}

// unified gives the unified diff of two texts as YAML, in which each field has its line.
func unified(c *Comparison, before, after json.RawMessage, lines int) (string, error) {
	old, err := asYAML(before)
	if err != nil {
		return "", err
	}
	now, err := asYAML(after)
	if err != nil {
		return "", err
	}
	name := func(r Revision) string {
		return r.Resource.Kind + "/" + r.Resource.Name + "@" + revisionName(r.Revision)
	}
	text, err := udiff.ToUnified(name(c.From), name(c.To), old, udiff.Strings(old, now), lines)
	if err != nil {
		return "", fault.Wrap(err, fault.Internal, "two revisions can't be compared")
	}
	return text, nil
}
