package query

import (
	"slices"
	"strconv"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// FieldChange is a field of a node or an edge that differs. One that came has no before, one that went no after.
type FieldChange struct {
	Field  string  `json:"field" doc:"health, status, uid, version, presence, created, labels.KEY, attrs.KEY, manifest; type and path of edges"`
	Before *string `json:"before,omitempty"`
	After  *string `json:"after,omitempty"`
}

// nodeChanges lists what differs between two states of a node.
func nodeChanges(before, after *topo.Node) []FieldChange {
	out := fieldChanges([]FieldChange{}, "", []topo.Pair{
		{Key: "health", Value: before.Health.String()}, {Key: "presence", Value: before.Presence.String()}, {Key: "status", Value: before.Status},
		{Key: "uid", Value: before.UID}, {Key: "version", Value: before.Version}, {Key: "created", Value: instantWord(before.Created)},
	}, []topo.Pair{
		{Key: "health", Value: after.Health.String()}, {Key: "presence", Value: after.Presence.String()}, {Key: "status", Value: after.Status},
		{Key: "uid", Value: after.UID}, {Key: "version", Value: after.Version}, {Key: "created", Value: instantWord(after.Created)},
	})
	out = fieldChanges(out, "attrs.", before.Attrs, after.Attrs)
	return fieldChanges(out, "labels.", before.Labels, after.Labels)
}

// edgeChanges lists what differs between two states of an edge.
func edgeChanges(before, after *topo.Edge) []FieldChange {
	out := fieldChanges([]FieldChange{}, "", []topo.Pair{{Key: "type", Value: string(before.Type)}, {Key: "path", Value: before.Path}},
		[]topo.Pair{{Key: "type", Value: string(after.Type)}, {Key: "path", Value: after.Path}})
	return fieldChanges(out, "attrs.", before.Attrs, after.Attrs)
}

func instantWord(unix int64) string {
	if unix == 0 {
		return ""
	}
	return time.Unix(unix, 0).UTC().Format(time.RFC3339)
}

// fieldChanges appends the pairs that differ, by key; of the fields without a prefix, an empty one is none.
func fieldChanges(out []FieldChange, prefix string, before, after []topo.Pair) []FieldChange {
	var keys []string
	for _, p := range before {
		keys = append(keys, p.Key)
	}
	for _, p := range after {
		keys = append(keys, p.Key)
	}
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		was, had := topo.Value(before, key)
		is, has := topo.Value(after, key)
		if prefix == "" {
			had, has = was != "", is != ""
		}
		if had == has && was == is {
			continue
		}
		c := FieldChange{Field: prefix + key}
		if had {
			c.Before = &was
		}
		if has {
			c.After = &is
		}
		out = append(out, c)
	}
	return out
}

// revisionName is what a revision is called: the position at which it began.
func revisionName(p topo.Position) string { return strconv.FormatInt(int64(p), 10) }

// ParseRevision reads the name of a revision.
func ParseRevision(field, text string) (topo.Position, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, fault.New(fault.BadRequest, "a revision can't be read").WithField(field, "%q is no revision: it is the number that the history gives", text)
	}
	return topo.Position(n), nil
}
