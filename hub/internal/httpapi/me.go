package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/fault"
)

func (a *API) me() {
	handle(a, route(http.MethodGet, "/api/v1/me", "get-me", "Who asks, and what they may do", "people"), a.whoAsks)
	handle(a, route(http.MethodPost, "/api/v1/me/ticket", "create-ticket", "Make a ticket: a token for a short while, that may do no more than who asks", "people"), a.createTicket)
}

// Me is who asks.
type Me struct {
	Name     string          `json:"name"`
	Groups   []string        `json:"groups"`
	Tenant   string          `json:"tenant" doc:"slug of the tenant"`
	Bindings []fleet.Binding `json:"bindings" doc:"what may be done"`
	Kind     string          `json:"kind" enum:"token,ticket" doc:"what was sent to say who it is"`
	Token    string          `json:"token" doc:"id of the API token; that of a ticket is the one it was made from"`
	Ticket   string          `json:"ticket,omitempty" doc:"id of the ticket"`
	Cluster  string          `json:"cluster,omitempty" doc:"the one cluster that a ticket is for; absent: all"`
	Expires  *time.Time      `json:"expires,omitempty" doc:"absent: never"`
}

func (a *API) whoAsks(ctx context.Context, _ *struct{}) (*body[Me], error) {
	p := principalOf(ctx)
	out := Me{Name: p.Name, Groups: p.Groups, Bindings: p.Bindings, Kind: "token", Token: p.Token, Ticket: p.Ticket, Expires: instant(p.Expires)}
	if out.Groups == nil {
		out.Groups = []string{}
	}
	if out.Bindings == nil {
		out.Bindings = []fleet.Binding{}
	}
	if p.Ticket != "" {
		out.Kind = "ticket"
	}
	if p.Only != 0 {
		out.Cluster = p.Only.String()
	}
	tenants, err := a.cfg.Store.Tenants(ctx)
	for _, t := range tenants {
		if t.ID == p.Tenant {
			out.Tenant = t.Slug
		}
	}
	return &body[Me]{out}, err
}

// Ticket is a token for a short while.
type Ticket struct {
	Token   string    `json:"token" doc:"what goes into Authorization: Bearer …"`
	Expires time.Time `json:"expires"`
}

type ticketInput struct {
	Body struct {
		Lifetime string `json:"lifetime,omitempty" doc:"how long, such as 15m, which is what it is where it isn't given; never longer than the token or ticket of who asks"`
		Cluster  string `json:"cluster,omitempty" doc:"id of the one cluster that it is for; all where it isn't given"`
	}
}

func (a *API) createTicket(ctx context.Context, in *ticketInput) (*body[Ticket], error) {
	lasts, err := lifetime(in.Body.Lifetime, 0)
	if err != nil {
		return nil, err
	}
	p, only := principalOf(ctx), fleet.ClusterID(0)
	if in.Body.Cluster != "" {
		if only, err = (&ClusterPath{Cluster: in.Body.Cluster}).id(); err != nil {
			return nil, err
		}
		if _, err := a.reachable(ctx, p, only); err != nil {
			return nil, err
		}
	}
	text, expires, err := a.cfg.Tokens.Ticket(ctx, p, lasts, only)
	return &body[Ticket]{Ticket{Token: text, Expires: expires.UTC()}}, err
}

// lifetime reads how long a ticket is to last.
func lifetime(text string, usual time.Duration) (time.Duration, error) {
	if text == "" {
		return usual, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fault.New(fault.BadRequest, "the lifetime can't be read").WithField("lifetime", "must be a time such as 15m or 8h")
	}
	return d, nil
}

// reachable is the cluster, if who asks may read anything in it at all; otherwise it isn't there.
func (a *API) reachable(ctx context.Context, p fleet.Principal, id fleet.ClusterID) (fleet.Cluster, error) {
	for _, verb := range []fleet.Verb{fleet.Get, fleet.List, fleet.Watch} {
		if c, err := a.visible(ctx, p, verb, id); !fault.Is(err, fault.NotFound) {
			return c, err
		}
	}
	return fleet.Cluster{}, fault.New(fault.NotFound, "there is no cluster %s", id)
}
