package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// page is a page of a list of anything.
type page[T any] struct {
	Items    []T
	Continue string
	Position int64
	Total    struct {
		Count int
		Exact bool
	}
}

// graph is an answer about topology.
type graph struct {
	Nodes     []stack.Resource
	Edges     []edge
	Truncated *struct{ Reason string }
}

type edge struct {
	ID             string
	Source, Target stack.Resource
	Rule, Type     string
	Path           string
	Attrs          map[string]string
}

type event struct {
	Namespace, Name, Type, Reason, Message string
	Regarding                              stack.Resource
}

type detail struct {
	Resource       stack.Resource
	Edges          []edge
	Manifest       json.RawMessage
	ManifestAbsent string
}

type info struct {
	Cluster struct {
		stack.Cluster
		Resources, Edges int
	}
	Unobserved []struct{ Group, Kind, Reason string }
	Synced     bool
}

// get asks for what must be there.
func get[T any](t *testing.T, c *stack.Client, path string) (out T) {
	t.Helper()
	if err := c.Get(t.Context(), path, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// all reads a list to its end.
func all[T any](ctx context.Context, c *stack.Client, path string, query url.Values) (out []T, err error) {
	query = maps.Clone(query)
	for {
		var p page[T]
		if err := c.Get(ctx, path+"?"+query.Encode(), &p); err != nil {
			return nil, err
		}
		out = append(out, p.Items...)
		if p.Continue == "" {
			return out, nil
		}
		query.Set("continue", p.Continue)
	}
}

// refused asks for what must be refused, and gives the problem.
func refused(t *testing.T, c *stack.Client, method, path string, body any) *stack.Problem {
	t.Helper()
	err := c.Do(t.Context(), method, path, body, nil)
	var p *stack.Problem
	if !errors.As(err, &p) {
		t.Fatalf("%s %s: want a refusal, got %v", method, path, err)
	}
	return p
}

func nameOf(r stack.Resource) string {
	kind := r.Kind
	if r.Group != "" {
		kind += "." + r.Group
	}
	return strings.TrimPrefix(kind+" "+r.Namespace+"/"+r.Name, " ")
}

// rows is all that a hub knows of a cluster's graph, each row under its name as text, without what is the hub's own.
func rows(ctx context.Context, c *stack.Client, id string) (map[string]string, error) {
	var g graph
	if err := c.Get(ctx, "/api/v1/clusters/"+id+"/topology?limit=20000", &g); err != nil {
		return nil, err
	}
	if g.Truncated != nil {
		return nil, fmt.Errorf("the graph is truncated: %s", g.Truncated.Reason)
	}
	out := map[string]string{}
	put := func(key string, row any) error {
		text, err := json.Marshal(row)
		if _, twice := out[key]; twice && err == nil {
			err = fmt.Errorf("%s is there twice", key)
		}
		out[key] = string(text)
		return err
	}
	var errs []error
	for _, n := range g.Nodes {
		n.Cluster = ""
		errs = append(errs, put("node "+nameOf(n), n))
	}
	for _, e := range g.Edges {
		errs = append(errs, put(fmt.Sprintf("edge %s -> %s %s %s", nameOf(e.Source), nameOf(e.Target), e.Rule, e.ID), e))
	}
	return out, errors.Join(errs...)
}

// differences tells the rows in which two answers differ, if any.
func differences(want, got map[string]string) error {
	var out []string
	for key, w := range want {
		if g, ok := got[key]; !ok {
			out = append(out, "missing: "+key)
		} else if g != w {
			out = append(out, fmt.Sprintf("differs: %s\n   want %s\n   got  %s", key, w, g))
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			out = append(out, "too much: "+key)
		}
	}
	if len(out) == 0 {
		return nil
	}
	slices.Sort(out)
	return fmt.Errorf("%d rows differ:\n%s", len(out), strings.Join(out[:min(len(out), 12)], "\n"))
}

// agrees waits until a hub knows of a cluster what the hub that nobody abused knows.
func (r *rig) agrees(t *testing.T, m *member, c *cluster) {
	t.Helper()
	eventually(t, "hub and reference know the same of "+c.name, 30*time.Second, func() error {
		want, err := rows(t.Context(), &world.reference.hub.Client, c.reference.id)
		if err != nil {
			return err
		}
		got, err := rows(t.Context(), &r.hub.Client, m.id)
		if err != nil {
			return err
		}
		return differences(want, got)
	})
}

// verify has the hub recompute a cluster's digests from its stored columns, and gives how many rows were wrong.
func (r *rig) verify(t *testing.T, m *member) int {
	t.Helper()
	var out struct {
		Corrected int
		Compared  bool
	}
	if err := r.hub.Do(t.Context(), http.MethodPost, "/api/v1/clusters/"+m.id+"/verify", nil, &out); err != nil {
		t.Fatal(err)
	}
	if !out.Compared {
		t.Error("the agent was not asked to compare")
	}
	return out.Corrected
}

// listener collects what a stream tells.
type listener struct {
	mu     sync.Mutex
	frames []stack.Frame
	raw    strings.Builder
	err    error
}

// listen opens a stream for the rest of the test.
func listen(t *testing.T, c *stack.Client, command map[string]any) *listener {
	t.Helper()
	s, err := c.Stream(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for l.take(s.Next(context.WithoutCancel(t.Context()))) {
		}
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return l
}

func (l *listener) take(f stack.Frame, err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.err = err
		return false
	}
	l.frames = append(l.frames, f)
	l.raw.Write(f.Raw)
	return true
}

func (l *listener) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.raw.String()
}

// find gives the first frame that fits.
func (l *listener) find(fits func(*stack.Frame) bool) (*stack.Frame, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.frames {
		if fits(&l.frames[i]) {
			return &l.frames[i], nil
		}
	}
	return nil, fmt.Errorf("none among %d frames (%v)", len(l.frames), l.err)
}

// hears waits for a change of a node.
func (l *listener) hears(t *testing.T, op, name string, more ...func(*stack.Frame) bool) *stack.Frame {
	t.Helper()
	var found *stack.Frame
	eventually(t, "the stream tells "+op+" "+name, 15*time.Second, func() (err error) {
		found, err = l.find(func(f *stack.Frame) bool {
			return f.Op == op && f.Node != nil && nameOf(*f.Node) == name && !slices.ContainsFunc(more, func(also func(*stack.Frame) bool) bool { return !also(f) })
		})
		return err
	})
	return found
}
