package query

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// MembersQuestion asks what a set node stands for: the Pods of a PodSet, the Namespaces of a NamespaceSet, whatever has an address in an IPBlock, and
// for AnyPeer every Pod.
type MembersQuestion struct {
	Cluster fleet.ClusterID
	Set     topo.ID
	At      store.When
	Page
}

const (
	maxSetSpaces  = 2000 // namespaces that a set selects
	memberBatch   = 1000 // rows looked at together, where members are picked out by address
	memberBatches = 20
)

// Members answers a MembersQuestion with a page of what may be seen. NotFound when the set isn't there, BadRequest when the node is no set.
func (q *Querier) Members(ctx context.Context, p fleet.Principal, m MembersQuestion) (*ResourceList, error) {
	limit, err := m.limit(DefaultLimit, MaxLimit)
	if err != nil {
		return nil, err
	}
	var place listPlace
	question := []any{m.Cluster, m.Set, "members"}
	at, err := pin(p.Tenant, question, m.Continue, m.At, &place)
	if err != nil {
		return nil, err
	}
	var out *ResourceList
	err = q.read(ctx, "members", scope{p, fleet.List, []fleet.ClusterID{m.Cluster}, at}, func(ctx context.Context, r *reading) error {
		row, err := r.one(ctx, r.scope(m.Cluster), m.Set)
		if err != nil {
			return err
		}
		if row == nil {
			return fault.New(fault.NotFound, "the set isn't in the graph")
		}
		out, err = r.members(ctx, row, place, question, limit)
		return err
	})
	return out, late(m.Continue, err)
}

func (r *reading) members(ctx context.Context, set *store.Row, place listPlace, question any, limit int) (*ResourceList, error) {
	f := store.Filter{View: r.view, Clusters: []fleet.ClusterID{set.Cluster}}
	ref := set.Node.Ref
	switch {
	case ref.Group == rules.OwnGroup && ref.Kind == "PodSet":
		some, err := r.podSet(ctx, set, &f)
		if err != nil || !some {
			return &ResourceList{Meta: r.meta(nil), Items: []Resource{}, Total: Total{Exact: true}}, err
		}
		return r.list(ctx, f, place, question, limit)
	case ref.Group == rules.OwnGroup && ref.Kind == "AnyPeer":
		f.Kinds = []topo.GroupKind{{Kind: "Pod"}}
		return r.list(ctx, f, place, question, limit)
	case ref.Group == rules.OwnGroup && ref.Kind == "NamespaceSet":
		selector, _ := topo.Value(set.Node.Attrs, "namespaceSelector")
		f.Kinds = []topo.GroupKind{{Kind: "Namespace"}}
		var err error
		if f.Labels, err = labelRequirements(selector); err != nil {
			return nil, err
		}
		return r.list(ctx, f, place, question, limit)
	case ref.Group == rules.OwnGroup && ref.Kind == "IPBlock":
		block, err := netip.ParsePrefix(ref.Name)
		if err != nil {
			return nil, fault.Wrap(err, fault.BadRequest, "the block's addresses can't be read").WithField("set", "%q is no block of addresses", ref.Name)
		}
		return r.inBlock(ctx, f, block.Masked(), place, question, limit)
	}
	return nil, fault.New(fault.BadRequest, "the node stands for itself, not for a set").WithField("set", "must name a PodSet, a NamespaceSet, an IPBlock or AnyPeer, not a %s", ref.GroupKind())
}

// podSet makes the filter mean a set's Pods; some is false where no namespace is selected. Which namespaces have which labels isn't told by the answer, so
// all of them are looked at, whoever asks: the Pods are only those that may be seen.
func (r *reading) podSet(ctx context.Context, set *store.Row, f *store.Filter) (some bool, err error) {
	f.Kinds = []topo.GroupKind{{Kind: "Pod"}}
	pods, _ := topo.Value(set.Node.Attrs, "podSelector")
	if f.Labels, err = labelRequirements(pods); err != nil {
		return false, err
	}
	if set.Node.Ref.Namespace != "" {
		f.Namespaces = []string{set.Node.Ref.Namespace}
		return true, nil
	}
	selector, _ := topo.Value(set.Node.Attrs, "namespaceSelector")
	if selector == "" {
		return true, nil
	}
	spaces := store.Filter{View: fleet.View{Tenant: r.view.Tenant, Everything: true}, Clusters: f.Clusters, Kinds: []topo.GroupKind{{Kind: "Namespace"}}}
	if spaces.Labels, err = labelRequirements(selector); err != nil {
		return false, err
	}
	rows, err := r.Resources(ctx, spaces, nil, maxSetSpaces)
	for i := range rows {
		f.Namespaces = append(f.Namespaces, rows[i].Node.Ref.Name)
	}
	return len(rows) > 0, err
}

// inBlock picks out what has an address in a block. The store narrows by the address's text; a page may end early, with a token to go on.
func (r *reading) inBlock(ctx context.Context, f store.Filter, block netip.Prefix, place listPlace, question any, limit int) (*ResourceList, error) {
	f.Terms = []store.Term{{Key: store.IPKey, Op: store.Like, Values: []string{blockPattern(block)}}}
	after := &place.After
	if place.Position == 0 {
		after = nil
	}
	out := &ResourceList{Items: []Resource{}, Meta: r.meta(nil)}
	for range memberBatches {
		rows, err := r.Resources(ctx, f, after, memberBatch)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			if len(out.Items) == limit {
				out.Continue = seal(r.view.Tenant, question, listPlace{pinned: pinned{r.Position()}, After: *after})
				out.Total = Total{Count: limit}
				return out, nil
			}
			after = new(keyOf(&rows[i]))
			if hasAddress(&rows[i].Node, block) {
				out.Items = append(out.Items, resource(&rows[i]))
			}
		}
		if len(rows) < memberBatch {
			out.Total = Total{Count: len(out.Items), Exact: place.Position == 0}
			return out, nil
		}
	}
	out.Continue = seal(r.view.Tenant, question, listPlace{pinned: pinned{r.Position()}, After: *after})
	out.Total = Total{Count: len(out.Items)}
	return out, nil
}

func hasAddress(n *topo.Node, block netip.Prefix) bool {
	text, _ := topo.Value(n.Attrs, "ip")
	return slices.ContainsFunc(strings.Fields(text), func(word string) bool {
		a, err := netip.ParseAddr(word)
		return err == nil && block.Contains(a.Unmap())
	})
}

// blockPattern is what the text of every address in a block begins with.
func blockPattern(block netip.Prefix) string {
	a := block.Addr().Unmap()
	if !a.Is4() {
		whole := block.Bits() / 16
		bytes := a.As16()
		text := ""
		for i := range whole {
			part := int(bytes[2*i])<<8 | int(bytes[2*i+1])
			if part == 0 { // may be written as "::"
				break
			}
			text += strconv.FormatInt(int64(part), 16) + ":"
		}
		return text + "*"
	}
	bytes := a.As4()
	text := ""
	for i := range block.Bits() / 8 {
		text += strconv.Itoa(int(bytes[i]))
		if i < 3 {
			text += "."
		}
	}
	if block.Bits() == 32 {
		return text
	}
	return text + "*"
}
