package httpapi

import (
	"context"
	"math"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/live"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// StreamScope narrows a subscription; what is empty doesn't.
type StreamScope struct {
	Clusters   []string `json:"clusters,omitempty"`
	Namespaces []string `json:"namespaces,omitempty"`
	Kinds      []string `json:"kinds,omitempty"`
	Selector   string   `json:"selector,omitempty" doc:"label selector; it restricts resources, not edges or events"`
	Regarding  string   `json:"regarding,omitempty" doc:"what events are about, as Kind.group/namespace/name or Kind/name; it restricts events alone" example:"Pod/shop/web-1"`
}

// StreamCommand is what a client sends on a WebSocket.
type StreamCommand struct {
	Type  string         `json:"type" enum:"subscribe,unsubscribe"`
	ID    string         `json:"id" doc:"the client's name for the subscription; in every frame of it"`
	Scope StreamScope    `json:"scope,omitzero"`
	What  []string       `json:"what,omitempty" doc:"resources, topology, events, clusters; topology where none is given"`
	From  *topo.Position `json:"from,omitempty" doc:"resume after this position; from now on where none is given"`
}

// StreamFrame is what a client gets. Every change of one position but the last says more: a client that is cut off resumes from the position of the
// last frame without it.
type StreamFrame struct {
	Type     string        `json:"type" enum:"change,bookmark,lagged,reset,error"`
	ID       string        `json:"id,omitempty" doc:"of the subscription"`
	Position topo.Position `json:"position,omitempty"`
	More     bool          `json:"more,omitempty" doc:"more of the same position follows"`
	At       *time.Time    `json:"at,omitempty" doc:"when it was committed"`
	GapSince *time.Time    `json:"gapSince,omitempty" doc:"the change was found late: it happened between then and at"`
	Cluster  string        `json:"cluster,omitempty"`
	Op       string        `json:"op,omitempty" enum:"add,update,remove,loaded,deleted" doc:"update: as it is now, also when it is new to the subscription; loaded: the cluster became visible as a whole, read it anew; deleted: it is gone with all that was in it"`

	Node  *query.Resource `json:"node,omitempty"`
	Edge  *query.Edge     `json:"edge,omitempty"`
	Event *query.Event    `json:"event,omitempty"`
	About *query.Cluster  `json:"about,omitempty" doc:"the cluster, where the change is about it"`

	Reason     string        `json:"reason,omitempty" doc:"of a reset"`
	Code       fault.Code    `json:"code,omitempty" doc:"of an error"`
	Message    string        `json:"message,omitempty"`
	Fields     []fault.Field `json:"fields,omitempty"`
	RetryAfter int           `json:"retryAfter,omitempty" doc:"seconds"`
}

// request reads what a client wants to hear.
func (a *API) request(ctx context.Context, p fleet.Principal, c *StreamCommand) (live.Request, error) {
	r := live.Request{Principal: p, From: c.From, Scope: live.Scope{Namespaces: words(c.Scope.Namespaces)}}
	var err error
	if r.Scope.Clusters, err = clusterIDs(c.Scope.Clusters); err != nil {
		return r, err
	}
	for _, id := range r.Scope.Clusters {
		if _, err := a.visible(ctx, p, fleet.Watch, id); err != nil {
			return r, err
		}
	}
	if r.Scope.Kinds, err = a.kinds(ctx, p, fleet.Watch, r.Scope.Clusters, words(c.Scope.Kinds)); err != nil {
		return r, err
	}
	if r.Scope.Selector, err = query.ParseLabels(c.Scope.Selector); err != nil {
		return r, err
	}
	if c.Scope.Regarding != "" {
		ref, err := a.ref(ctx, p, r.Scope.Clusters, "regarding", c.Scope.Regarding)
		if err != nil {
			return r, err
		}
		r.Scope.Regarding = &ref
	}
	r.What, err = whats(words(c.What))
	return r, err
}

func whats(texts []string) ([]live.What, error) {
	if len(texts) == 0 {
		return []live.What{live.Topology}, nil
	}
	var out []live.What
	for _, t := range texts {
		switch w := live.What(t); w {
		case live.Resources, live.Topology, live.Events, live.Clusters:
			out = append(out, w)
		default:
			return nil, fault.New(fault.BadRequest, "there is no news of %q", t).WithField("what", "must be among resources, topology, events, clusters")
		}
	}
	return out, nil
}

// frames gives a live frame as it goes over the wire: one frame a change.
func (a *API) frames(id string, f live.Frame, send func(*StreamFrame) error) error {
	if f.Kind != live.Changed {
		return a.send(&StreamFrame{Type: string(f.Kind), ID: id, Position: f.Position, Reason: f.Reason}, send)
	}
	for n := range f.Changes {
		c := &f.Changes[n]
		out := &StreamFrame{
			Type: string(f.Kind), ID: id, Position: f.Position, More: n < len(f.Changes)-1, At: instant(f.At), GapSince: instant(f.GapSince),
			Cluster: f.Cluster.String(), Op: string(c.Op),
		}
		out.fill(f, c)
		if err := a.send(out, send); err != nil {
			return err
		}
	}
	return nil
}

func (out *StreamFrame) fill(f live.Frame, c *live.Change) {
	switch {
	case c.Node != nil:
		n := query.ResourceOf(f.Cluster, c.Node, f.Position)
		out.Node = &n
	case c.Edge != nil:
		e := query.EdgeOf(f.Cluster, c.Edge, f.Position)
		out.Edge = &e
	case c.Event != nil:
		e := query.EventOf(f.Cluster, c.Event)
		out.Event = &e
	case c.About != nil:
		about := query.ClusterOf(*c.About)
		out.About = &about
	}
}

func (a *API) send(f *StreamFrame, send func(*StreamFrame) error) error {
	a.metrics.frames.WithLabelValues(f.Type).Inc()
	return send(f)
}

// errorFrame is what a client is told of err.
func (a *API) errorFrame(ctx context.Context, id string, err error) *StreamFrame {
	p := a.problem(ctx, err)
	return &StreamFrame{
		Type: "error", ID: id, Code: p.Code, Message: p.Message, Fields: p.Fields, RetryAfter: int(math.Ceil(p.RetryAfter.Seconds())),
	}
}
