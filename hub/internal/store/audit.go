package store

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
)

// AuditOutcome says how a request ended.
type AuditOutcome string

// The outcomes.
const (
	AuditOpen    AuditOutcome = "open"    // it is under way
	AuditDone    AuditOutcome = "done"    // it was answered with a status below 400, or lasted until one side ended it
	AuditRefused AuditOutcome = "refused" // the hub, the agent or the cluster said no: 401, 403, 429
	AuditFailed  AuditOutcome = "failed"  // any other answer, or none
	AuditUnknown AuditOutcome = "unknown" // the hub ended before it did: whether the cluster did it, only the cluster knows
)

// AuditRecord is what one request wanted, of whom, and what came of it. It never holds a body of either direction.
type AuditRecord struct {
	ID       string // of the record: a UUID of version 7, so that ids sort by time
	Tenant   fleet.TenantID
	At       time.Time
	Hub      string // the boot id of the hub that took it, by which records are found that a dead hub left open
	Request  string // the request's id, which several records may share: an operation's
	Who      string
	Groups   []string
	Token    string // id of the API token
	From     string // address
	Agent    string // the client's User-Agent
	Via      string // "kubernetes", "fleet", or the operation of the product's interface that it was done for, such as "drain"
	Cluster  fleet.ClusterID
	Verb     string
	Group    string
	Version  string
	Resource string // the plural, with "/subresource"
	// Namespace and Name as in the request; the name of what is created may be known at the end only.
	Namespace string
	Name      string
	Path      string   // of what is no resource
	Command   []string // of exec
	DryRun    bool

	Outcome AuditOutcome
	Status  int // of HTTP; 0 while open
	Reason  string
	Took    time.Duration
}

// AuditFilter picks records; zero fields pick all. From is included, To is not.
type AuditFilter struct {
	Who, Verb, Resource, Namespace, Name, Request, Via string
	Cluster                                            fleet.ClusterID
	Outcome                                            AuditOutcome
	Writes                                             bool // leaves out get, list and watch
	From, To                                           time.Time
	View                                               *fleet.View // nil: everything in the tenant
}

// Audit is the append-only record of who did what.
type Audit interface {
	// PutAudit writes records in one transaction, which has committed when it returns. One that is there already is completed: its outcome, status,
	// reason, duration and, if it had none, name are set; what is completed is never opened again. Ids are UUIDs of version 7, made at At.
	PutAudit(ctx context.Context, records []AuditRecord) error
	// Audit gives up to limit records, newest first, that are older than the record before; "" begins with the newest.
	Audit(ctx context.Context, tenant fleet.TenantID, f AuditFilter, before string, limit int) ([]AuditRecord, error)
	// SeeHub notes that a hub lives, by the database's clock.
	SeeHub(ctx context.Context, hub string) error
	// AbandonAudit marks as unknown what hubs left open that were not seen for so long, at most limit records, and tells how many.
	AbandonAudit(ctx context.Context, silent time.Duration, limit int) (int, error)
	// DropAudit forgets what has ended from before a time, in one step of about limit records or of a whole day; more tells that some are left. A body
	// that forgets by days keeps the day of that time.
	DropAudit(ctx context.Context, before time.Time, limit int) (more bool, err error)
}
