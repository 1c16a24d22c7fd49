package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/notify"
	"github.com/kubilitics/kubilitics/hub/internal/plugin"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Plugins tells how the plugins fare that a tenant has.
type Plugins interface {
	Status(ctx context.Context, tenant fleet.Tenant) ([]plugin.Status, error)
}

// Notify tells how the rules fare that are about a tenant, and delivers: NotFound when there is no such target or notification.
type Notify interface {
	Status(ctx context.Context, tenant fleet.Tenant) ([]notify.Status, error)
	Try(ctx context.Context, tenant fleet.Tenant, target string) error
	Retry(ctx context.Context, tenant fleet.Tenant, id string) error
}

func (a *API) plugins() {
	fresh(a, route(http.MethodGet, "/api/v1/plugins", "list-plugins", "How the plugins fare, as this replica of the hub runs them", "plugins"), a.listPlugins)
	fresh(a, route(http.MethodGet, resourceRoot+"/added", "get-added", "What plugins add to a resource: attributes, edges and findings", "plugins"), a.added)
}

func (a *API) notifications() {
	const letters = "/api/v1/notify/dead-letters"
	fresh(a, route(http.MethodGet, "/api/v1/notify", "get-notify", "The rules of notifications, whom they tell, and how far they are", "notifications"), a.notifyStatus)
	try := route(http.MethodPost, "/api/v1/notify/targets/{target}/try", "try-target", "Send a target a notification without changes, in one attempt", "notifications")
	try.DefaultStatus = http.StatusNoContent
	handle(a, try, a.tryTarget)
	fresh(a, route(http.MethodGet, letters, "list-dead-letters", "Notifications that could not be delivered, newest first", "notifications"), a.deadLetters)
	fresh(a, route(http.MethodGet, letters+"/{id}", "get-dead-letter", "A notification that could not be delivered", "notifications"), a.deadLetter)
	handle(a, route(http.MethodDelete, letters+"/{id}", "delete-dead-letter", "Give a notification up", "notifications"), a.deleteDeadLetter)
	retry := route(http.MethodPost, letters+"/{id}/retry", "retry-dead-letter", "Deliver a notification now, in one attempt; it leaves the list when that succeeds", "notifications")
	retry.DefaultStatus = http.StatusNoContent
	handle(a, retry, a.retryDeadLetter)
}

// tenant is that of an administrator of it.
func (a *API) tenant(ctx context.Context) (fleet.Tenant, error) {
	p, err := administrator(ctx)
	if err != nil {
		return fleet.Tenant{}, err
	}
	all, err := a.cfg.Store.Tenants(ctx)
	if err != nil {
		return fleet.Tenant{}, err
	}
	at := slices.IndexFunc(all, func(t fleet.Tenant) bool { return t.ID == p.Tenant })
	if at < 0 {
		return fleet.Tenant{}, fault.New(fault.NotFound, "the tenant is no longer there")
	}
	return all[at], nil
}

// PluginStatus is how a plugin fares.
type PluginStatus plugin.Status

// PluginList is the plugins that a tenant has.
type PluginList struct {
	Items []PluginStatus `json:"items" doc:"in the order of the configuration"`
}

func (a *API) listPlugins(ctx context.Context, _ fleet.Principal, _ *struct{}) (*PluginList, error) {
	tenant, err := a.tenant(ctx)
	if err != nil {
		return nil, err
	}
	list, err := a.cfg.Plugins.Status(ctx, tenant)
	out := &PluginList{Items: make([]PluginStatus, 0, len(list))}
	for _, s := range list {
		out.Items = append(out.Items, PluginStatus(s))
	}
	return out, err
}

type addedInput struct{ ResourcePath }

func (a *API) added(ctx context.Context, p fleet.Principal, in *addedInput) (*query.Added, error) {
	which, err := a.which(ctx, p, in.ResourcePath, AtParam{})
	if err != nil {
		return nil, err
	}
	return a.cfg.Query.Added(ctx, p, which)
}

// NotifyStatus is whom rules tell what, and how far they are.
type NotifyStatus struct {
	Rules   []NotifyRule   `json:"rules" doc:"in the order of the configuration, each once for each of its targets"`
	Targets []NotifyTarget `json:"targets" doc:"those that these rules tell"`
}

// NotifyRule is a rule and one whom it tells.
type NotifyRule struct {
	Rule   string        `json:"rule"`
	Target string        `json:"target"`
	Behind topo.Position `json:"behind" doc:"positions of the feed that aren't dealt with yet"`
}

// NotifyTarget is somebody who can be told.
type NotifyTarget struct {
	Name string `json:"name"`
	As   string `json:"as" enum:"webhook,slack,plugin"`
}

func (a *API) notifyStatus(ctx context.Context, _ fleet.Principal, _ *struct{}) (*NotifyStatus, error) {
	tenant, err := a.tenant(ctx)
	if err != nil {
		return nil, err
	}
	list, err := a.cfg.Notify.Status(ctx, tenant)
	out := &NotifyStatus{Rules: make([]NotifyRule, 0, len(list)), Targets: []NotifyTarget{}}
	for _, s := range list {
		out.Rules = append(out.Rules, NotifyRule{Rule: s.Rule, Target: s.Target, Behind: s.Behind})
		if to := (NotifyTarget{Name: s.Target, As: s.As}); !slices.Contains(out.Targets, to) {
			out.Targets = append(out.Targets, to)
		}
	}
	return out, err
}

type targetPath struct {
	Target string `path:"target" doc:"name of the target"`
}

func (a *API) tryTarget(ctx context.Context, in *targetPath) (*struct{}, error) {
	tenant, err := a.tenant(ctx)
	if err != nil {
		return nil, err
	}
	err = a.cfg.Notify.Try(ctx, tenant, in.Target)
	if err != nil && !fault.Is(err, fault.NotFound) { // whatever the target answers, the request was in order
		err = fault.Wrap(err, fault.Unavailable, "it did not arrive: %s", fault.Public(err).Message)
	}
	return nil, err
}

// DeadLetter is a notification that could not be delivered.
type DeadLetter struct {
	ID       string    `json:"id"`
	Target   string    `json:"target"`
	Rule     string    `json:"rule"`
	Key      string    `json:"key" doc:"of the notification: its receiver knows it again by this"`
	Created  time.Time `json:"created" doc:"when it was put on the list"`
	Tried    time.Time `json:"tried" doc:"the last attempt"`
	Attempts int       `json:"attempts"`
	Reason   string    `json:"reason" doc:"why the last attempt failed"`
}

// DeadLetterDetail is one with what it says.
type DeadLetterDetail struct {
	DeadLetter
	Notification json.RawMessage `json:"notification" doc:"as webhooks get it"`
}

// DeadLetterList is a page of them.
type DeadLetterList struct {
	Items    []DeadLetter `json:"items" doc:"newest first"`
	Continue string       `json:"continue,omitempty" doc:"the token of the next page; absent on the last"`
}

func deadLetterOf(d store.DeadLetter) DeadLetter {
	return DeadLetter{
		ID: d.ID, Target: d.Notifier, Rule: d.Rule, Key: d.Key, Created: d.Created.UTC(), Tried: d.Tried.UTC(), Attempts: d.Attempts, Reason: d.Reason,
	}
}

func (a *API) deadLetters(ctx context.Context, _ fleet.Principal, in *PageParams) (*DeadLetterList, error) {
	p, err := administrator(ctx)
	if err != nil {
		return nil, err
	}
	if in.Continue != "" && uuid.Validate(in.Continue) != nil {
		return nil, fault.New(fault.BadRequest, "the page can't be continued").WithField("continue", "is no token of a page of this list")
	}
	limit := or(in.Limit, query.DefaultLimit)
	list, err := a.cfg.Store.DeadLetters(ctx, p.Tenant, in.Continue, limit+1)
	out := &DeadLetterList{Items: make([]DeadLetter, 0, len(list))}
	for _, d := range list[:min(len(list), limit)] {
		out.Items = append(out.Items, deadLetterOf(d))
	}
	if len(list) > limit {
		out.Continue = list[limit-1].ID
	}
	return out, err
}

type deadLetterPath struct {
	ID string `path:"id" doc:"of the undelivered notification"`
}

// check tells what is no id as what isn't there.
func (d *deadLetterPath) check() error {
	if uuid.Validate(d.ID) != nil {
		return fault.New(fault.NotFound, "there is no undelivered notification %q", d.ID)
	}
	return nil
}

func (a *API) deadLetter(ctx context.Context, _ fleet.Principal, in *deadLetterPath) (*DeadLetterDetail, error) {
	p, err := administrator(ctx)
	if err == nil {
		err = in.check()
	}
	if err != nil {
		return nil, err
	}
	d, err := a.cfg.Store.DeadLetter(ctx, p.Tenant, in.ID)
	if err != nil {
		return nil, err
	}
	return &DeadLetterDetail{DeadLetter: deadLetterOf(d), Notification: d.Body}, nil
}

func (a *API) deleteDeadLetter(ctx context.Context, in *deadLetterPath) (*struct{}, error) {
	p, err := administrator(ctx)
	if err == nil {
		err = in.check()
	}
	if err != nil {
		return nil, err
	}
	return nil, a.cfg.Store.DeleteDeadLetter(ctx, p.Tenant, in.ID)
}

func (a *API) retryDeadLetter(ctx context.Context, in *deadLetterPath) (*struct{}, error) {
	tenant, err := a.tenant(ctx)
	if err == nil {
		err = in.check()
	}
	if err != nil {
		return nil, err
	}
	return nil, a.cfg.Notify.Retry(ctx, tenant, in.ID)
}
