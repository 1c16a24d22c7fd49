package watch

import (
	"context"
	"encoding/pem"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/kubilitics/kubilitics/shared/topo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func pemOf(srv *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
}

var (
	pods    = Kind{GroupKind: topo.GroupKind{Kind: "Pod"}, Version: "v1", Plural: "pods", Namespaced: true}
	nodes   = Kind{GroupKind: topo.GroupKind{Kind: "Node"}, Version: "v1", Plural: "nodes"}
	events  = Kind{GroupKind: eventKind, Version: "v1", Plural: "events", Namespaced: true}
	crds    = Kind{GroupKind: topo.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}, Version: "v1", Plural: "customresourcedefinitions"}
	widgets = Kind{GroupKind: topo.GroupKind{Group: "example.com", Kind: "Widget"}, Version: "v1", Plural: "widgets", Namespaced: true}
)

// view is what one who takes all batches knows in the end, as the agent's engine would.
type view struct {
	t       *testing.T
	src     *Source
	ctx     context.Context
	objects map[topo.Ref]Change
	kinds   map[topo.GroupKind]KindStatus
	events  []topo.Event
	lost    int
	bad     []Problem
	down    bool
	synced  bool
}

// watchFake runs a Source on a fake API until the test ends, and checks then that it stops.
func watchFake(t *testing.T, f *fakeAPI, change func(*Config), paces ...func(*pace)) *view {
	t.Helper()
	cfg := Config{RESTConfig: f.config(), Decoder: plainDecoder{}, Log: zaptest.NewLogger(t)}
	if change != nil {
		change(&cfg)
	}
	src, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	src.pace = pace{
		refusedFirst: 20 * time.Millisecond, refused: 40 * time.Millisecond, failed: 5 * time.Millisecond, failedMax: 20 * time.Millisecond,
		healthy: time.Minute, turn: time.Second, silence: 200 * time.Millisecond, settle: 5 * time.Millisecond, rediscover: time.Hour,
	}
	for _, set := range paces {
		set(&src.pace)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- src.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return &view{t: t, src: src, ctx: ctx, objects: map[topo.Ref]Change{}, kinds: map[topo.GroupKind]KindStatus{}}
}

// until takes batches until something holds.
func (v *view) until(what string, holds func() bool) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, 10*time.Second)
	defer cancel()
	for !holds() {
		b, err := v.src.Next(ctx)
		if err != nil {
			v.t.Fatalf("never: %s; kinds %+v, objects %v", what, v.kinds, v.names())
		}
		v.apply(b)
	}
}

func (v *view) apply(b Batch) {
	v.t.Helper()
	for _, k := range b.Kinds {
		v.kinds[k.GroupKind] = k
		for ref := range v.objects {
			if k.Gone && ref.GroupKind() == k.GroupKind {
				delete(v.objects, ref)
			}
		}
	}
	for _, c := range b.Changes {
		if _, told := v.kinds[c.Ref.GroupKind()]; !told {
			v.t.Errorf("%s was handed out before its kind", c.Ref)
		}
		if c.Resource == nil {
			delete(v.objects, c.Ref)
		} else {
			v.objects[c.Ref] = c
		}
	}
	v.events = append(v.events, b.Events...)
	v.lost += b.EventsLost
	v.bad = append(v.bad, b.Problems...)
	if b.Reach != nil {
		v.down = b.Reach.Down
	}
	if v.synced && !b.Synced {
		v.t.Error("Synced was taken back")
	}
	v.synced = b.Synced
}

func (v *view) sync() {
	v.t.Helper()
	v.until("synced", func() bool { return v.synced })
}

func (v *view) names() []string {
	out := []string{}
	for ref := range v.objects {
		out = append(out, ref.String())
	}
	slices.Sort(out)
	return out
}

// wants waits until exactly these objects are known.
func (v *view) wants(names ...string) {
	v.t.Helper()
	names = append([]string{}, names...)
	slices.Sort(names)
	v.until("objects", func() bool { return slices.Equal(v.names(), names) })
}

func watcherOf(s *Source, gk topo.GroupKind) *watcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watchers[gk]
}
