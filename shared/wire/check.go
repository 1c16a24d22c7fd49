package wire

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// check words what is wrong with a row; the row's name is shortened and cleared of what made it bad, because it is shown and stored.
func check(table, key, reason string) *Bad {
	if reason == "" {
		return nil
	}
	key = strings.ToValidUTF8(strings.ReplaceAll(key, "\x00", "\uFFFD"), "\uFFFD")
	return &Bad{Table: table, Key: key[:min(len(key), 512)], Reason: reason}
}

func checkNode(n *topo.Node) string {
	switch {
	case n.Presence > topo.Unobserved:
		return fmt.Sprintf("presence %d is unknown", n.Presence)
	case n.Health > topo.Error:
		return fmt.Sprintf("health %d is unknown", n.Health)
	}
	return first(checkRef(&n.Ref), checkText("uid", n.UID), checkText("version", n.Version), checkText("status", n.Status),
		checkPairs("labels", n.Labels), checkPairs("attrs", n.Attrs))
}

func checkEdge(e *topo.Edge) string {
	if !slices.Contains(topo.EdgeTypes, e.Type) {
		return fmt.Sprintf("edge type %q is unknown", e.Type)
	}
	if e.Rule == "" {
		return "the edge names no rule"
	}
	return first(checkRef(&e.Source), checkRef(&e.Target), checkText("rule", e.Rule), checkText("disc", e.Disc), checkText("path", e.Path),
		checkPairs("attrs", e.Attrs))
}

func checkManifest(m *topo.Manifest) string {
	if len(m.Body) == 0 {
		return "the manifest has no body"
	}
	return checkRef(&m.Ref)
}

func checkEvent(e *topo.Event) string {
	if e.UID == "" {
		return "the event has no uid"
	}
	return first(checkText("uid", e.UID), checkText("namespace", e.Namespace), checkText("name", e.Name), checkText("type", e.Type),
		checkText("reason", e.Reason), checkText("message", e.Message), checkText("source", e.Source), checkText("regarding", e.Regarding.String()))
}

func checkRef(r *topo.Ref) string {
	if r.Kind == "" || r.Name == "" {
		return "the row names no kind or no name"
	}
	return first(checkText("group", r.Group), checkText("kind", r.Kind), checkText("namespace", r.Namespace), checkText("name", r.Name))
}

func checkPairs(field string, ps []topo.Pair) string {
	if len(ps) > MaxPairs {
		return fmt.Sprintf("%s has %d entries, more than %d", field, len(ps), MaxPairs)
	}
	for i, p := range ps {
		if i > 0 && ps[i-1].Key >= p.Key {
			return fmt.Sprintf("%s isn't sorted by key, or has a key twice", field)
		}
		if bad := first(checkText(field, p.Key), checkText(field, p.Value)); bad != "" {
			return bad
		}
	}
	return ""
}

// checkText refuses what a store can't hold. Protobuf has refused invalid UTF-8 before.
func checkText(field, s string) string {
	switch {
	case strings.ContainsRune(s, 0):
		return field + " contains the character U+0000"
	case len(s) > MaxText:
		return fmt.Sprintf("%s is %d bytes long, more than %d", field, len(s), MaxText)
	default:
		return ""
	}
}

func first(reasons ...string) string {
	for _, r := range reasons {
		if r != "" {
			return r
		}
	}
	return ""
}
