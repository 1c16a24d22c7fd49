package httpapi

import (
	"context"
	"maps"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kubilitics/kubilitics/hub/internal/enroll"
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

const clusterRoot = "/api/v1/clusters/{cluster}"

func (a *API) clusters() {
	post := route(http.MethodPost, "/api/v1/clusters", "create-cluster", "Create a cluster and the command that enrols it", "clusters")
	post.DefaultStatus = http.StatusCreated
	handle(a, post, a.createCluster)
	again := route(http.MethodPost, clusterRoot+"/join-tokens", "create-join-token", "Make another join token for a cluster", "clusters")
	again.DefaultStatus = http.StatusCreated
	handle(a, again, a.inviteAgain)

	read(a, route(http.MethodGet, "/api/v1/clusters", "list-clusters", "List clusters", "clusters"),
		func(ctx context.Context, p fleet.Principal, _ *struct{}) (*query.ClusterList, error) {
			return a.listClusters(ctx, p)
		})
	read(a, route(http.MethodGet, "/api/v1/clusters/summary", "summarize-clusters", "Every cluster in numbers", "clusters"),
		func(ctx context.Context, p fleet.Principal, in *AtParam) (*query.FleetSummary, error) {
			at, err := in.when()
			if err != nil {
				return nil, err
			}
			return a.cfg.Query.Summary(ctx, p, at)
		})
	read(a, route(http.MethodGet, clusterRoot, "get-cluster", "Get a cluster", "clusters"), ofCluster(a.oneCluster))
	fresh(a, route(http.MethodGet, clusterRoot+"/info", "get-cluster-info", "A cluster in numbers, by kind", "clusters"),
		func(ctx context.Context, p fleet.Principal, in *infoInput) (*query.Info, error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			at, err := in.when()
			if err != nil {
				return nil, err
			}
			return a.cfg.Query.Info(ctx, p, id, at)
		})
	fresh(a, route(http.MethodGet, clusterRoot+"/api-resources", "list-api-resources", "The kinds of a cluster", "clusters"), ofCluster(a.cfg.Query.APIResources))
	handle(a, route(http.MethodGet, clusterRoot+"/ping", "ping-cluster", "Ask the agent for a sign of life through its tunnel", "clusters"), a.pingCluster)
	handle(a, route(http.MethodGet, clusterRoot+"/quarantine", "list-quarantine", "Rows of a cluster that were refused, and why", "clusters"), a.quarantine)

	handle(a, route(http.MethodPost, clusterRoot+"/verify", "verify-cluster", "Recompute a cluster's digests from its stored rows, and have its agent compare", "clusters"), a.verify)

	handle(a, route(http.MethodPost, clusterRoot+"/check", "check-cluster", "Look whether what must always hold of a cluster's rows does", "clusters"), a.check)

	handle(a, route(http.MethodPatch, clusterRoot, "update-cluster", "Rename or label a cluster", "clusters"), a.updateCluster)
	a.alsoPlainJSON(clusterRoot)
	remove := route(http.MethodDelete, clusterRoot, "delete-cluster", "Revoke a cluster, cut its tunnel and purge its rows in the background", "clusters")
	remove.DefaultStatus = http.StatusAccepted
	handle(a, remove, a.deleteCluster)
}

type infoInput struct {
	ClusterPath
	AtParam
}

// alsoPlainJSON documents that a merge patch may be sent as plain JSON as well.
func (a *API) alsoPlainJSON(path string) {
	content := a.huma.OpenAPI().Paths[path].Patch.RequestBody.Content
	content["application/json"] = content["application/merge-patch+json"]
}

func ofCluster[O any](fn func(context.Context, fleet.Principal, fleet.ClusterID) (O, error)) func(context.Context, fleet.Principal, *ClusterPath) (O, error) {
	return func(ctx context.Context, p fleet.Principal, in *ClusterPath) (O, error) {
		id, err := in.id()
		if err != nil {
			var none O
			return none, err
		}
		return fn(ctx, p, id)
	}
}

// fresh registers a reading operation whose answer isn't determined by the position alone, so it has no tag.
func fresh[I, O any](a *API, op huma.Operation, fn func(context.Context, fleet.Principal, *I) (O, error)) {
	handle(a, op, func(ctx context.Context, in *I) (*body[O], error) {
		out, err := fn(ctx, principalOf(ctx), in)
		return &body[O]{out}, err
	})
}

type body[T any] struct{ Body T }

type newCluster struct {
	Body struct {
		Name   string            `json:"name" doc:"unique among the tenant's clusters" minLength:"1" maxLength:"253"`
		Labels map[string]string `json:"labels,omitempty"`
	}
	Replayable
	Reached
}

// Replayable documents the header of requests that may be repeated.
type Replayable struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"128" doc:"repeated within ten minutes, the request is answered as before, by the same hub process"`
}

// Invited is what a new agent needs.
type Invited struct {
	ID      string        `json:"id"`
	Cluster query.Cluster `json:"cluster"`
	Token   string        `json:"token" doc:"the join token: usable once, shown once"`
	Expires time.Time     `json:"expires" doc:"when the token does"`
	Pin     string        `json:"pin" doc:"of the hub's root certificate"`
	Command string        `json:"command" doc:"runs the agent as a program, by a kubeconfig"`
	Helm    string        `json:"helm,omitempty" doc:"installs the agent into the cluster that helm points at, from this hub"`
	HelmCA  string        `json:"helmCA,omitempty" doc:"certificates, PEM, for the file that helm's --ca-file names; not needed where the command has none"`
}

type invited struct {
	Location string `header:"Location"`
	Body     Invited
}

func (a *API) invited(i enroll.Invitation, from serverAddress) *invited {
	id := i.Cluster.ID.String()
	out := Invited{ID: id, Cluster: query.ClusterOf(i.Cluster), Token: i.Token, Expires: i.Expires.UTC(), Pin: a.cfg.Pin}
	if a.cfg.Install != nil {
		out.Command = a.cfg.Install(i)
	}
	a.helm(i, from, &out)
	return &invited{Location: "/api/v1/clusters/" + id, Body: out}
}

func (a *API) createCluster(ctx context.Context, in *newCluster) (*invited, error) {
	p := principalOf(ctx)
	if !fleet.Can(p, fleet.Enroll, fleet.Scope{Tenant: p.Tenant}) {
		return nil, fault.New(fault.Forbidden, "this needs the verb %q on all clusters and namespaces", fleet.Enroll)
	}
	if err := a.ofKubeconfig(0); err != nil {
		return nil, err
	}
	made, err := a.cfg.Enroller.Mint(ctx, p, in.Body.Name, in.Body.Labels)
	if err != nil {
		return nil, err
	}
	named(ctx, made.Cluster.ID.String())
	return a.invited(made, in.server), nil
}

type inviteInput struct {
	ClusterPath
	Replayable
	Reached
}

func (a *API) inviteAgain(ctx context.Context, in *inviteInput) (*invited, error) {
	p := principalOf(ctx)
	at, err := a.permitted(ctx, p, fleet.Enroll, in.ClusterPath)
	if err != nil {
		return nil, err
	}
	if err := a.ofKubeconfig(0); err != nil {
		return nil, err
	}
	made, err := a.cfg.Enroller.Invite(ctx, p, at.Cluster)
	if err != nil {
		return nil, err
	}
	return a.invited(made, in.server), nil
}

type clusterPatch struct {
	ClusterPath
	Body struct {
		Name   *string            `json:"name,omitempty" minLength:"1" maxLength:"253"`
		Labels map[string]*string `json:"labels,omitempty" doc:"a label that is null is removed"`
	} `contentType:"application/merge-patch+json"`
}

func (a *API) updateCluster(ctx context.Context, in *clusterPatch) (*body[query.Cluster], error) {
	at, err := a.permitted(ctx, principalOf(ctx), fleet.Enroll, in.ClusterPath)
	if err != nil {
		return nil, err
	}
	now, err := a.cfg.Store.Cluster(ctx, at)
	if err != nil {
		return nil, err
	}
	patch := store.ClusterPatch{Name: in.Body.Name}
	if len(in.Body.Labels) > 0 {
		merged := merge(now.Labels, in.Body.Labels)
		patch.Labels = &merged
		now.Labels = merged
	}
	if patch.Name != nil {
		now.Name = *patch.Name
	}
	if err := enroll.CheckCluster(now.Name, now.Labels); err != nil {
		return nil, err
	}
	now, err = a.cfg.Store.UpdateCluster(ctx, at, patch)
	return &body[query.Cluster]{query.ClusterOf(now)}, err
}

func merge(labels map[string]string, patch map[string]*string) map[string]string {
	out := maps.Clone(labels)
	if out == nil {
		out = map[string]string{}
	}
	for k, v := range patch {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = *v
		}
	}
	return out
}

// Deletion says what is happening to a deleted cluster.
type Deletion struct {
	ID    string `json:"id"`
	State string `json:"state" enum:"purging" doc:"it is gone for every reader; its rows are being removed"`
}

func (a *API) deleteCluster(ctx context.Context, in *ClusterPath) (*body[Deletion], error) {
	at, err := a.permitted(ctx, principalOf(ctx), fleet.Enroll, *in)
	if err != nil {
		return nil, err
	}
	if err := a.ofKubeconfig(at.Cluster); err != nil {
		return nil, err
	}
	if err := a.cfg.Store.DeleteCluster(ctx, at); err != nil {
		return nil, err
	}
	a.cfg.Tunnels.Cut(at, fault.New(fault.Gone, "the cluster was deleted"))
	return &body[Deletion]{Deletion{ID: at.Cluster.String(), State: "purging"}}, nil
}

// Ping is an agent's sign of life.
type Ping struct {
	Cluster     string  `json:"cluster"`
	Agent       string  `json:"agent" doc:"version of the agent"`
	Version     string  `json:"version" doc:"of the cluster's Kubernetes"`
	RoundTripMS float64 `json:"roundTripMs"`
}

func (a *API) pingCluster(ctx context.Context, in *ClusterPath) (*body[Ping], error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	p := principalOf(ctx)
	c, err := a.visible(ctx, p, fleet.Get, id)
	if err != nil {
		return nil, err
	}
	pong, err := a.cfg.Tunnels.Ping(ctx, store.Scope{Tenant: p.Tenant, Cluster: id})
	if fault.Is(err, fault.Unavailable) {
		return nil, fault.Wrap(err, fault.Unavailable, "the cluster's agent can't be reached; %s", lastHeard(c.Freshness)).After(fault.RetryAfter(err))
	}
	if err != nil {
		return nil, err
	}
	ms := float64(pong.RoundTrip.Microseconds()) / 1000
	return &body[Ping]{Ping{Cluster: id.String(), Agent: pong.Agent, Version: pong.Version, RoundTripMS: ms}}, nil
}

func lastHeard(f fleet.Freshness) string {
	if f.LastHeard.IsZero() {
		return "it has never been heard"
	}
	return "it was last heard at " + f.LastHeard.UTC().Format(time.RFC3339)
}

// QuarantineList is rows that were refused, newest first.
type QuarantineList struct {
	Items []Quarantined `json:"items"`
}

// Quarantined is a row that could not be stored.
type Quarantined struct {
	Table  string    `json:"table"`
	Key    string    `json:"key"`
	Reason string    `json:"reason"`
	Count  int64     `json:"count" doc:"how often"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

type quarantineInput struct {
	ClusterPath
	Limit int `query:"limit" minimum:"1" maximum:"1000" doc:"rows at most; 100 where it isn't given"`
}

func (a *API) quarantine(ctx context.Context, in *quarantineInput) (*body[QuarantineList], error) {
	at, err := a.permitted(ctx, principalOf(ctx), fleet.Admin, in.ClusterPath)
	if err != nil {
		return nil, err
	}
	rows, err := a.cfg.Store.Quarantined(ctx, at, or(in.Limit, query.DefaultLimit))
	out := QuarantineList{Items: make([]Quarantined, 0, len(rows))}
	for _, q := range rows {
		out.Items = append(out.Items, Quarantined{Table: q.Table, Key: q.Key, Reason: q.Reason, Count: q.Count, First: q.First.UTC(), Last: q.Last.UTC()})
	}
	return &body[QuarantineList]{out}, err
}

// Verified is what came of recomputing a cluster's digests.
type Verified struct {
	Corrected int  `json:"corrected" doc:"rows whose stored hash did not tell what their columns say"`
	Compared  bool `json:"compared" doc:"the agent was asked to compare, and sends again what was damaged; false where it can't be reached now"`
}

type verifyInput struct{ ClusterPath }

func (a *API) verify(ctx context.Context, in *verifyInput) (*body[Verified], error) {
	at, err := a.permitted(ctx, principalOf(ctx), fleet.Admin, in.ClusterPath)
	if err != nil {
		return nil, err
	}
	corrected, compared, err := a.cfg.Verifier.Verify(ctx, at)
	return &body[Verified]{Verified{corrected, compared}}, err
}

// Checked is what is wrong with a cluster's rows.
type Checked struct {
	Violations []Violation `json:"violations" doc:"empty where everything holds"`
	More       bool        `json:"more,omitempty" doc:"there are others"`
}

// Violation is something that must not be.
type Violation struct {
	Rule   string `json:"rule" doc:"what must hold: edge-ends, edge-type, labels, counts, digest …"`
	Key    string `json:"key" doc:"the row"`
	Detail string `json:"detail"`
}

const maxViolations = 1000

func (a *API) check(ctx context.Context, in *verifyInput) (*body[Checked], error) {
	at, err := a.permitted(ctx, principalOf(ctx), fleet.Admin, in.ClusterPath)
	if err != nil {
		return nil, err
	}
	found, err := a.cfg.Store.Check(ctx, at, maxViolations+1)
	if err != nil {
		return nil, err
	}
	out := Checked{Violations: []Violation{}, More: len(found) > maxViolations}
	for _, v := range found[:min(len(found), maxViolations)] {
		out.Violations = append(out.Violations, Violation{v.Rule, v.Key, v.Detail})
	}
	return &body[Checked]{out}, nil
}
