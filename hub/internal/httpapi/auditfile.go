package httpapi

import (
	"encoding/csv"
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kubilitics/kubilitics/hub/internal/export"
	"github.com/kubilitics/kubilitics/hub/internal/store"
)

// auditFile writes records into an answer, in one of two formats. What is written is sent page by page.
type auditFile struct {
	rows  *csv.Writer // nil: lines of JSON
	lines *json.Encoder
	sent  interface{ FlushError() error }
	cells []string
}

func newAuditFile(out huma.Context, format string) *auditFile {
	name, kind := "audit-"+time.Now().UTC().Format("20060102-150405")+"."+format, "application/x-ndjson"
	f := &auditFile{}
	if w, ok := out.BodyWriter().(http.ResponseWriter); ok {
		f.sent = flusher{http.NewResponseController(w)}
	}
	if format == "csv" {
		kind = "text/csv; charset=utf-8; header=present"
		f.rows = csv.NewWriter(out.BodyWriter())
	} else {
		f.lines = json.NewEncoder(out.BodyWriter())
		f.lines.SetEscapeHTML(false)
	}
	out.SetHeader("Content-Type", kind)
	out.SetHeader("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	return f
}

type flusher struct{ *http.ResponseController }

// FlushError sends what was written so far.
func (f flusher) FlushError() error { return f.Flush() }

var auditColumns = []string{
	"id", "at", "request", "who", "groups", "token", "from", "user_agent", "via", "cluster", "verb", "group", "version", "resource", "namespace", "name", "path",
	"command", "dry_run", "outcome", "status", "reason", "took_ms",
}

func (f *auditFile) begin() error {
	if f.rows != nil {
		return f.rows.Write(auditColumns)
	}
	return nil
}

func (f *auditFile) page(list []store.AuditRecord) error {
	for i := range list {
		if err := f.record(&list[i]); err != nil {
			return err
		}
	}
	if f.rows != nil {
		if f.rows.Flush(); f.rows.Error() != nil {
			return f.rows.Error()
		}
	}
	if f.sent == nil {
		return nil
	}
	return f.sent.FlushError()
}

func (f *auditFile) record(r *store.AuditRecord) error {
	if f.rows == nil {
		return f.lines.Encode(auditRecordOf(r))
	}
	cluster, status, command := "", "", ""
	if r.Cluster != 0 {
		cluster = r.Cluster.String()
	}
	if r.Status != 0 {
		status = strconv.Itoa(r.Status)
	}
	if len(r.Command) > 0 {
		text, _ := json.Marshal(r.Command) // texts always have a JSON form
		command = string(text)
	}
	f.cells = append(f.cells[:0],
		r.ID, r.At.UTC().Format(time.RFC3339Nano), r.Request, r.Who, strings.Join(r.Groups, " "), r.Token, r.From, r.Agent, r.Via, cluster, r.Verb, r.Group, r.Version,
		r.Resource, r.Namespace, r.Name, r.Path, command, strconv.FormatBool(r.DryRun), string(r.Outcome), status, r.Reason,
		strconv.FormatFloat(float64(r.Took.Microseconds())/1000, 'f', -1, 64))
	for i, cell := range f.cells {
		f.cells[i] = export.Cell(cell)
	}
	return f.rows.Write(f.cells)
}
