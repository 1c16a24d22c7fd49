package httpapi

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// auditing is the record of who did what.
func (a *API) auditing() {
	fresh(a, route(http.MethodGet, "/api/v1/audit", "list-audit", "Who did what, newest first", "audit"), a.listAudit)
	op := route(http.MethodGet, "/api/v1/audit/export", "export-audit", "Who did what, as a file of any size, newest first", "audit")
	op.Responses = map[string]*huma.Response{"200": {Description: "The file", Content: map[string]*huma.MediaType{"application/x-ndjson": {}, "text/csv": {}}}}
	handle(a, op, a.exportAudit)
}

// AuditParams pick records.
type AuditParams struct {
	Who       string `query:"who" doc:"name of who asked"`
	Cluster   string `query:"cluster" doc:"id of the cluster"`
	Namespace string `query:"namespace"`
	Verb      string `query:"verb" doc:"as in Kubernetes" example:"delete"`
	Resource  string `query:"resource" doc:"the plural, with its subresource" example:"pods/exec"`
	Name      string `query:"name"`
	Outcome   string `query:"outcome" enum:"open,done,refused,failed,unknown"`
	Via       string `query:"via" doc:"kubernetes, fleet, api, or the operation that it was done for, such as drain"`
	Request   string `query:"request" doc:"id of the request; what an operation does carries its"`
	Writes    bool   `query:"writes" doc:"leaves out what gets, lists and watches"`
	From      string `query:"from" doc:"not earlier than this: a time in RFC 3339, or how long ago, like -2h or -7d" example:"-2h"`
	To        string `query:"to" doc:"earlier than this"`
}

// AuditRecord is what one request wanted, of whom, and what came of it.
type AuditRecord struct {
	ID        string           `json:"id"`
	At        time.Time        `json:"at"`
	Request   string           `json:"request,omitempty" doc:"id of the request; what an operation does carries its"`
	Who       string           `json:"who"`
	Groups    []string         `json:"groups,omitempty"`
	Token     string           `json:"token,omitempty" doc:"id of the API token"`
	From      string           `json:"from,omitempty" doc:"address"`
	UserAgent string           `json:"userAgent,omitempty"`
	Via       string           `json:"via" doc:"kubernetes, fleet, api, or the operation that it was done for, such as drain"`
	Cluster   *fleet.ClusterID `json:"cluster,omitempty"`
	Verb      string           `json:"verb"`
	Group     string           `json:"group,omitempty"`
	Version   string           `json:"version,omitempty"`
	Resource  string           `json:"resource,omitempty"`
	Namespace string           `json:"namespace,omitempty"`
	Name      string           `json:"name,omitempty"`
	Path      string           `json:"path,omitempty" doc:"of what is no resource"`
	Command   []string         `json:"command,omitempty" doc:"of exec; an ellipsis at the end stands for more"`
	DryRun    bool             `json:"dryRun,omitempty"`
	Outcome   string           `json:"outcome" enum:"open,done,refused,failed,unknown" doc:"unknown: the hub ended before the request did"`
	Status    int              `json:"status,omitempty" doc:"of HTTP"`
	Reason    string           `json:"reason,omitempty"`
	TookMS    float64          `json:"tookMs,omitempty" doc:"milliseconds"`
}

func auditRecordOf(r *store.AuditRecord) AuditRecord {
	out := AuditRecord{
		ID: r.ID, At: r.At.UTC(), Request: r.Request, Who: r.Who, Groups: r.Groups, Token: r.Token, From: r.From, UserAgent: r.Agent, Via: r.Via, Verb: r.Verb,
		Group: r.Group, Version: r.Version, Resource: r.Resource, Namespace: r.Namespace, Name: r.Name, Path: r.Path, Command: r.Command, DryRun: r.DryRun,
		Outcome: string(r.Outcome), Status: r.Status, Reason: r.Reason, TookMS: float64(r.Took.Microseconds()) / 1000,
	}
	if r.Cluster != 0 {
		out.Cluster = &r.Cluster
	}
	return out
}

// AuditList is a page of records.
type AuditList struct {
	Items    []AuditRecord `json:"items" doc:"newest first"`
	Shown    string        `json:"shown" enum:"everything,part,own" doc:"of whose requests: all of the tenant; those to clusters and namespaces that one may administer; one's own"`
	Continue string        `json:"continue,omitempty" doc:"the token of the next page; absent on the last"`
}

type auditInput struct {
	AuditParams
	PageParams
}

func (a *API) listAudit(ctx context.Context, p fleet.Principal, in *auditInput) (*AuditList, error) {
	q, err := a.asked(p, &in.AuditParams)
	if err != nil {
		return nil, err
	}
	if in.Continue != "" && uuid.Validate(in.Continue) != nil {
		return nil, fault.New(fault.BadRequest, "the page can't be continued").WithField("continue", "is no token of a page of this list")
	}
	limit := or(in.Limit, query.DefaultLimit)
	list, err := q.page(ctx, in.Continue, limit+1)
	out := &AuditList{Items: make([]AuditRecord, 0, len(list)), Shown: q.shown}
	for i := range list[:min(len(list), limit)] {
		out.Items = append(out.Items, auditRecordOf(&list[i]))
	}
	if len(list) > limit {
		out.Continue = list[limit-1].ID
	}
	return out, err
}

// auditQuestion is what somebody asks of the record, within what they may know of it.
type auditQuestion struct {
	store  Store
	tenant fleet.TenantID
	filter store.AuditFilter
	shown  string
	none   bool // nothing can be both asked for and shown
}

func (a *API) asked(p fleet.Principal, in *AuditParams) (*auditQuestion, error) {
	q := &auditQuestion{store: a.cfg.Store, tenant: p.Tenant, filter: store.AuditFilter{
		Who: in.Who, Verb: in.Verb, Resource: in.Resource, Namespace: in.Namespace, Name: in.Name, Request: in.Request, Via: in.Via,
		Outcome: store.AuditOutcome(in.Outcome), Writes: in.Writes,
	}}
	var err error
	if in.Cluster != "" {
		if q.filter.Cluster, err = fleet.ParseClusterID(in.Cluster); err != nil {
			return nil, fault.New(fault.BadRequest, "a cluster id can't be read").WithField("cluster", "%v", err)
		}
	}
	if q.filter.From, err = instantOf("from", in.From); err != nil {
		return nil, err
	}
	if q.filter.To, err = instantOf("to", in.To); err != nil {
		return nil, err
	}
	q.within(p)
	return q, nil
}

// instantOf reads a moment that is no position: the record has none.
func instantOf(field, text string) (time.Time, error) {
	when, err := moment(field, text)
	if err == nil && when.Position != 0 {
		err = fault.New(fault.BadRequest, "the moment can't be read").WithField(field, "%q is neither a time like 2026-01-02T15:04:05Z, nor a time ago like -2h or -7d", text)
	}
	return when.Time, err
}

// within keeps to what the principal administers, or, where that is nothing, to the principal's own requests.
func (q *auditQuestion) within(p fleet.Principal) {
	view := fleet.ViewOf(p, fleet.Admin)
	if view.Everything {
		q.shown = "everything"
		return
	}
	for id := range view.Clusters {
		if _, _, ok := view.Namespaces(id); ok {
			q.shown, q.filter.View = "part", &view
			return
		}
	}
	q.shown = "own"
	q.none = q.filter.Who != "" && q.filter.Who != p.Name
	q.filter.Who = p.Name
	if p.Only != 0 { // a ticket for one cluster tells nothing of others
		q.none = q.none || q.filter.Cluster != 0 && q.filter.Cluster != p.Only
		q.filter.Cluster = p.Only
	}
}

func (q *auditQuestion) page(ctx context.Context, before string, limit int) ([]store.AuditRecord, error) {
	if q.none {
		return nil, nil
	}
	return q.store.Audit(ctx, q.tenant, q.filter, before, limit)
}

// exportPage is how many records are in memory at a time, of each export.
const exportPage = 1000

// pages gives everything, page by page; the first error is the last.
func (q *auditQuestion) pages(ctx context.Context) iter.Seq2[[]store.AuditRecord, error] {
	return func(yield func([]store.AuditRecord, error) bool) {
		for before := ""; ; {
			list, err := q.page(ctx, before, exportPage)
			if !yield(list, err) || err != nil || len(list) < exportPage {
				return
			}
			before = list[len(list)-1].ID
		}
	}
}

type exportAuditInput struct {
	AuditParams
	Format string `query:"format" required:"true" enum:"ndjson,csv"`
}

// exportAudit answers with a file. What is wrong with the question becomes a problem, so the first page is read before the answer begins; what fails
// later breaks the file off, and its connection, so that nobody takes it for whole.
func (a *API) exportAudit(ctx context.Context, in *exportAuditInput) (*huma.StreamResponse, error) {
	q, err := a.asked(principalOf(ctx), &in.AuditParams)
	if err != nil {
		return nil, err
	}
	next, stop := iter.Pull2(q.pages(ctx))
	first, err, _ := next()
	if err != nil {
		stop()
		return nil, err
	}
	return &huma.StreamResponse{Body: func(out huma.Context) {
		defer stop()
		file := newAuditFile(out, in.Format)
		err := file.begin()
		for page, ok := first, true; err == nil && ok; {
			if err = file.page(page); err == nil {
				page, err, ok = next()
			}
		}
		if err != nil {
			a.cfg.Log.Info("an export was broken off", obs.About(ctx), zap.Error(err))
			panic(http.ErrAbortHandler)
		}
	}}, nil
}
