package command

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// resumeAfter is the pause before a stream that broke off is opened again.
const resumeAfter = 2 * time.Second

// watcher prints what becomes of a list, from the moment at which it was read, until somebody has seen enough.
type watcher struct {
	app   *app
	s     *session
	o     output
	query url.Values // of the list
	rows  *flow
	from  int64 // up to here everything was printed
}

// watched tells whether a list of that sort can be followed.
func watched(w scope, o output, r rows) error {
	switch {
	case w.at != "":
		return fault.New(fault.BadRequest, "--at shows the past, in which nothing changes any more: -w doesn't go with it")
	case w.query != "":
		return fault.New(fault.BadRequest, "-w follows kinds, names and labels, and not -q")
	case r.limit != usualRows && r.limit != 0:
		return fault.New(fault.BadRequest, "-w follows all that there is: it doesn't go with --limit")
	case !slices.Contains([]string{"table", "wide", "json", "name"}, o.form):
		return fault.New(fault.BadRequest, "-w prints table, wide, json (a line for each change, as the hub's streams have them) or name")
	}
	return nil
}

// frame is what the stream tells, as far as it is used here.
type frame struct {
	Type     string          `json:"type"`
	Op       string          `json:"op,omitempty"`
	Position int64           `json:"position,omitempty"`
	More     bool            `json:"more,omitempty"`
	Node     json.RawMessage `json:"node,omitempty"`
	Message  string          `json:"message,omitempty"`
	Code     fault.Code      `json:"code,omitempty"`
}

// run prints the list and what follows.
func (x *watcher) run(ctx context.Context) error {
	anew := true
	for ctx.Err() == nil {
		var err error
		if anew {
			err = x.list(ctx)
		}
		if err == nil {
			anew, err = x.follow(ctx)
		}
		switch {
		case ctx.Err() != nil: // Ctrl-C is how this ends
		case client.Unreachable(err) || fault.Retryable(err):
			x.app.say("note: %v; it is tried again", err)
			x.pause(ctx)
		case err != nil:
			return err
		}
	}
	return nil
}

func (x *watcher) pause(ctx context.Context) {
	t := time.NewTimer(resumeAfter)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (x *watcher) list(ctx context.Context) error {
	list, err := client.Listed[client.Resource](ctx, x.s.client, "/api/v1/resources", x.query, client.Reach{Page: pageRows})
	if err != nil {
		return x.s.nearestKind(ctx, strings.Join(x.query["kind"], ","), err)
	}
	x.from = list.Position
	var found []client.Resource
	for _, item := range list.Items {
		found = append(found, item.Value)
		if x.o.form == "json" {
			text, err := json.Marshal(item)
			if err == nil {
				err = x.line(frame{Type: "change", Op: "add", Position: x.from, Node: text})
			}
			if err != nil {
				return err
			}
		}
	}
	if err := x.show("add", found...); err != nil {
		return err
	}
	x.app.offline(x.s, list.Meta)
	return nil
}

// follow prints changes until the stream ends; anew tells that the list has to be read again.
func (x *watcher) follow(ctx context.Context) (anew bool, err error) {
	q := url.Values{"what": {"resources"}, "from": {strconv.FormatInt(x.from, 10)}}
	for _, key := range []string{"cluster", "namespace", "kind", "labelSelector"} {
		if list := x.query[key]; len(list) > 0 {
			q[key] = list
		}
	}
	answer, err := x.s.client.Open(ctx, http.MethodGet, "/api/v1/stream?"+q.Encode(), "text/event-stream", nil)
	if err != nil {
		return false, err
	}
	defer answer.Close()
	in := bufio.NewReaderSize(answer, 64<<10)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return false, fault.Wrap(err, fault.Unavailable, "the hub's stream has ended")
		}
		data, ok := bytes.CutPrefix(line, []byte("data: "))
		if !ok {
			continue
		}
		var f frame
		if err := json.Unmarshal(data, &f); err != nil {
			return false, fault.Wrap(err, fault.Internal, "the hub's stream can't be read")
		}
		if end, anew, err := x.take(f); end || err != nil {
			return anew, err
		}
	}
}

// take prints a frame; end tells that the stream is over.
func (x *watcher) take(f frame) (end, anew bool, err error) {
	switch f.Type {
	case "error":
		return true, false, fault.New(f.Code, "%s", f.Message)
	case "reset":
		x.app.say("note: what happened meanwhile is no longer known; this is what there is now")
		return true, true, nil
	case "lagged":
		return true, false, nil
	case "change":
		if f.Op == "loaded" || f.Op == "deleted" {
			return true, true, nil
		}
		if err := x.change(f); err != nil {
			return true, false, err
		}
	}
	if !f.More && f.Position > x.from {
		x.from = f.Position
	}
	return false, false, nil
}

func (x *watcher) change(f frame) error {
	var r client.Resource
	if len(f.Node) == 0 {
		return nil
	}
	if err := json.Unmarshal(f.Node, &r); err != nil {
		return fault.Wrap(err, fault.Internal, "the hub's stream can't be read")
	}
	// What is missing isn't in lists either.
	if names := x.query["name"]; r.Presence != "present" || len(names) > 0 && !slices.Contains(names, r.Name) {
		return nil
	}
	if x.o.form == "json" {
		return x.line(f)
	}
	return x.show(f.Op, r)
}

func (x *watcher) line(f frame) error {
	text, err := json.Marshal(f)
	if err == nil {
		_, err = fmt.Fprintln(x.app.Out, string(text))
	}
	return err
}

// show prints resources for people: what went is marked as deleted.
func (x *watcher) show(op string, found ...client.Resource) error {
	switch x.o.form {
	case "json":
		return nil
	case "name":
		for _, r := range found {
			if _, err := fmt.Fprintln(x.app.Out, typed(r.Ref)); err != nil {
				return err
			}
		}
		return nil
	}
	list := &client.List[client.Resource]{}
	for _, r := range found {
		if op == "remove" {
			r.Health, r.Status = "", "deleted"
		}
		list.Items = append(list.Items, client.Kept[client.Resource]{Value: r})
	}
	return x.rows.print(x.s.resourceTable(x.rows.to, list, x.o.form == "wide", time.Now()))
}

// flow is a table whose rows come one after the other. Columns grow as they must, and never shrink.
type flow struct {
	to     screen
	widths []int
}

func (f *flow) print(t *table) error {
	var b strings.Builder
	rows := t.rows
	if f.widths == nil {
		f.widths = make([]int, len(t.head))
		head := make([]cell, len(t.head))
		for i, h := range t.head {
			head[i] = cell{h, faint}
		}
		rows = append([][]cell{head}, rows...)
	}
	for _, r := range rows {
		for i, c := range r {
			f.widths[i] = max(f.widths[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, r := range rows {
		writeRow(&b, f.to, r, f.widths)
	}
	_, err := f.to.Write([]byte(b.String()))
	return err
}
