package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kubilitics/kubilitics/hub/internal/pods"
	"github.com/kubilitics/kubilitics/shared/fault"
)

type logsInput struct {
	PodPath
	Pod           string   `query:"pod" doc:"one of pod, selector and owner says whose logs"`
	Selector      string   `query:"selector" doc:"of pods' labels" example:"app=web"`
	Owner         string   `query:"owner" doc:"a workload, a Service or whatever else selects pods, as Kind/name; the kind by any of its names" example:"Deployment/web"`
	Container     []string `query:"container,explode" doc:"the one that the pod says people mean, or all that are neither run before the others nor added for debugging, where none is given"`
	AllContainers bool     `query:"allContainers" doc:"also those that run before the others or were added for debugging"`
	Follow        bool     `query:"follow" doc:"go on as lines come; by selector or owner, also with pods that begin later"`
	Previous      bool     `query:"previous" doc:"of the run before the last restart"`
	Tail          int64    `query:"tail" default:"-1" minimum:"-1" doc:"lines of each container at the end of what there is; -1 is all"`
	Since         string   `query:"since" doc:"a duration, or an instant of RFC 3339" example:"5m"`
	LimitBytes    int64    `query:"limitBytes" minimum:"0" doc:"of each container, with the times that Kubernetes puts before lines"`
	Timestamps    bool     `query:"timestamps" doc:"times in text; the other formats always have them"`
	Prefix        bool     `query:"prefix" default:"true" doc:"pod and container before each line of text"`
	Format        string   `query:"format" enum:"text,ndjson,sse" doc:"what Accept asks for where none is given, else text"`
	Accept        string   `header:"Accept"`
	LastEventID   string   `header:"Last-Event-ID" doc:"the instant up to which a client that comes back has had everything"`
}

const logsDoc = "Several containers are merged by the times of their lines: of what isn't followed, wholly; of what is followed, lines that come in within a quarter of a " +
	"second are put in order. A log that breaks off is opened again where it was. Up to 50 containers are read at once; where more are meant, the stream says so " +
	"at its beginning, and how to ask for the others. Server-sent events carry a sign of life while nothing is said; where something on the way cuts what is idle, they " +
	"are the form to ask for. Text has \"pod container line\", and remarks in lines that begin with #. Newline-delimited JSON and the " +
	"data of server-sent events have objects {time, pod, container, line}; a very long line comes in pieces, all but the last with partial; remarks are {time, pod, " +
	"container, note, message}, where note is joined, interrupted, resumed, restarted, failed, ended, limited or waiting. The events are line, note and end."

// logFormats are those of the answer, by the name of the parameter.
var logFormats = map[string]string{"text": "text/plain", "ndjson": "application/x-ndjson", "sse": "text/event-stream"}

func (a *API) logs() {
	op := route(http.MethodGet, clusterRoot+"/logs", "logs", "Logs of one pod or of many, merged", "pods")
	op.Description = logsDoc
	media := map[string]*huma.MediaType{}
	for _, name := range logFormats {
		media[name] = &huma.MediaType{}
	}
	streaming(a, op, map[string]*huma.Response{"200": {Description: "The lines", Content: media}}, a.serveLogs)
}

// format is the one that is asked for.
func (in *logsInput) format() string {
	if in.Format != "" {
		return in.Format
	}
	for part := range strings.SplitSeq(in.Accept, ",") {
		media, _, _ := mime.ParseMediaType(part)
		for name, of := range logFormats {
			if media == of || name == "ndjson" && media == "application/jsonl" {
				return name
			}
		}
	}
	return "text"
}

func (a *API) logQuery(ctx context.Context, at pods.At, in *logsInput) (q pods.LogQuery, err error) {
	q = pods.LogQuery{
		Namespace: in.Namespace, Pod: in.Pod, Selector: in.Selector, Containers: words(in.Container), AllContainers: in.AllContainers,
		Follow: in.Follow, Previous: in.Previous, LimitBytes: in.LimitBytes,
	}
	if in.Tail >= 0 {
		q.Tail = &in.Tail
	}
	if in.Owner != "" {
		if q.Owner, err = a.owner(ctx, at, in.Owner); err != nil {
			return q, err
		}
	}
	return q, in.times(&q)
}

// owner reads "Kind/name", where the kind may be any name by which the cluster knows it, and may have its group behind it.
func (a *API) owner(ctx context.Context, at pods.At, text string) (*pods.Owner, error) {
	kind, name, ok := strings.Cut(text, "/")
	if !ok || kind == "" || name == "" {
		return nil, fault.New(fault.BadRequest, "the owner can't be read").WithField("owner", "must be Kind/name, such as Deployment/web")
	}
	target, err := a.cfg.Ops.On(at.By, at.Cluster)
	if err != nil {
		return nil, err
	}
	kind, group, _ := strings.Cut(kind, ".")
	k, err := target.Resolve(ctx, group, "", kind)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, fault.Wrap(err, fault.BadRequest, "%s", fault.Public(err).Message).WithField("owner", "must be of a kind that the cluster has")
	case err != nil:
		return nil, err
	}
	return &pods.Owner{Group: k.Group, Version: k.Version, Plural: k.Plural, Kind: k.Kind, Name: name}, nil
}

func (in *logsInput) times(q *pods.LogQuery) (err error) {
	if in.LastEventID != "" {
		if q.After, err = time.Parse(time.RFC3339Nano, in.LastEventID); err != nil {
			return fault.New(fault.BadRequest, "the instant can't be read").WithField("Last-Event-ID", "must be the id of an event")
		}
	}
	if in.Since == "" {
		return nil
	}
	if q.Since, err = time.ParseDuration(in.Since); err == nil {
		return nil
	}
	if q.SinceTime, err = time.Parse(time.RFC3339Nano, in.Since); err != nil {
		return fault.New(fault.BadRequest, "the time can't be read").WithField("since", "must be a duration such as 5m, or an instant such as 2006-01-02T15:04:05Z")
	}
	return nil
}

func (a *API) serveLogs(w http.ResponseWriter, r *http.Request, in *logsInput) {
	over, err := a.begin(principalOf(r.Context()))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	defer over()
	ctx, end := a.guarded(r.Context())
	defer end()
	l, err := a.openLogs(ctx, in)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		a.fail(w, r, err)
		return
	}
	defer l.Close()
	out := &logWriter{api: a, w: w, control: http.NewResponseController(w), format: in.format(), prefix: in.Prefix, times: in.Timestamps}
	out.run(ctx, l)
}

func (a *API) openLogs(ctx context.Context, in *logsInput) (*pods.Logs, error) {
	at, err := a.at(ctx, in.ClusterPath, "logs")
	if err != nil {
		return nil, err
	}
	q, err := a.logQuery(ctx, at, in)
	if err != nil {
		return nil, err
	}
	return a.cfg.Pods.Logs(ctx, at, q)
}

// logWriter gives a stream of logs its form.
type logWriter struct {
	api     *API
	w       http.ResponseWriter
	control *http.ResponseController
	format  string
	prefix  bool
	times   bool

	buffer bytes.Buffer
	newest time.Time  // of the lines that were written
	inside pods.Entry // of the line that isn't whole yet
}

func (o *logWriter) run(ctx context.Context, l *pods.Logs) {
	h := o.w.Header()
	h.Set("Content-Type", logFormats[o.format]+"; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // proxies that buffer would hold lines back
	if o.format == "sse" {
		o.buffer.WriteString("retry: 2000\n\n")
	}
	for o.flush() == nil {
		batch, err := o.next(ctx, l)
		switch {
		case err == io.EOF: //nolint:errorlint // it comes bare
			o.finish()
			return
		case err != nil:
			o.entry(pods.Entry{Kind: pods.Failed, Time: time.Now(), Text: o.why(ctx)})
			_ = o.flush() // the client may be what is gone
			return
		case len(batch) == 0 && o.format == "sse":
			o.buffer.WriteString(": still here\n\n")
		}
		for i := range batch {
			o.entry(batch[i])
		}
	}
}

// next waits for lines, but not for ever: none are the time for a sign of life.
func (o *logWriter) next(ctx context.Context, l *pods.Logs) ([]pods.Entry, error) {
	short, cancel := context.WithTimeout(ctx, o.api.cfg.PingEvery)
	defer cancel()
	batch, err := l.Next(short)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil, nil
	}
	return batch, err
}

func (o *logWriter) why(ctx context.Context) string {
	return fault.Public(context.Cause(ctx)).Message
}

func (o *logWriter) entry(e pods.Entry) {
	if e.Kind == "" && e.Time.After(o.newest) && !e.Partial {
		o.newest = e.Time
	}
	switch o.format {
	case "text":
		o.text(e)
	case "ndjson":
		o.json(e)
	default:
		o.event(e)
	}
}

// text writes a line with what is before it. The pieces of a long one are put together again, unless another's come between.
func (o *logWriter) text(e pods.Entry) {
	goesOn := o.inside.Partial && e.Kind == "" && o.inside.Pod == e.Pod && o.inside.Container == e.Container && o.inside.Time.Equal(e.Time)
	if o.inside.Partial && !goesOn {
		o.buffer.WriteByte('\n')
	}
	o.inside = pods.Entry{Pod: e.Pod, Container: e.Container, Time: e.Time, Partial: e.Partial}
	switch {
	case e.Kind != "":
		fmt.Fprintf(&o.buffer, "# %s: %s", strings.TrimSpace(e.Pod+" "+e.Container+" "+string(e.Kind)), strings.ReplaceAll(e.Text, "\n", " "))
	case goesOn:
		o.buffer.WriteString(e.Text)
	default:
		o.before(e)
		o.buffer.WriteString(e.Text)
	}
	if !e.Partial {
		o.buffer.WriteByte('\n')
	}
}

func (o *logWriter) before(e pods.Entry) {
	if o.prefix {
		o.buffer.WriteString(e.Pod + " " + e.Container + " ")
	}
	if o.times {
		o.buffer.WriteString(stamp(e.Time) + " ")
	}
}

// LogLine is a line, or a piece of one.
type LogLine struct {
	Time      string `json:"time"`
	Pod       string `json:"pod"`
	Container string `json:"container"`
	Line      string `json:"line"`
	Partial   bool   `json:"partial,omitempty"`
}

// LogNote is a remark.
type LogNote struct {
	Time      string    `json:"time"`
	Pod       string    `json:"pod,omitempty"`
	Container string    `json:"container,omitempty"`
	Note      pods.Kind `json:"note"`
	Message   string    `json:"message"`
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z") }

func (o *logWriter) json(e pods.Entry) {
	var v any = LogLine{Time: stamp(e.Time), Pod: e.Pod, Container: e.Container, Line: e.Text, Partial: e.Partial}
	if e.Kind != "" {
		v = LogNote{Time: stamp(e.Time), Pod: e.Pod, Container: e.Container, Note: e.Kind, Message: e.Text}
	}
	enc := json.NewEncoder(&o.buffer)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // a buffer takes everything; ends with a newline
}

func (o *logWriter) event(e pods.Entry) {
	name := "line"
	switch {
	case e.Kind != "":
		name = "note"
	case !e.Partial && !o.newest.IsZero():
		fmt.Fprintf(&o.buffer, "id: %s\n", stamp(o.newest))
	}
	fmt.Fprintf(&o.buffer, "event: %s\ndata: ", name)
	o.json(e)
	o.buffer.WriteByte('\n')
}

// finish tells who would come back after an end that there is no more.
func (o *logWriter) finish() {
	switch {
	case o.format == "sse":
		o.buffer.WriteString("event: end\ndata: {}\n\n")
	case o.inside.Partial:
		o.buffer.WriteByte('\n')
	}
	_ = o.flush() // the client may be gone
}

func (o *logWriter) flush() error {
	_ = o.control.SetWriteDeadline(time.Now().Add(slowest)) // a writer without deadlines has none to obey
	_, err := o.w.Write(o.buffer.Bytes())
	o.buffer.Reset()
	if err != nil {
		return err
	}
	return o.control.Flush()
}
