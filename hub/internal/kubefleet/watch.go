package kubefleet

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/live"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Bounds of watches.
const (
	maxWatches = 256              // of one principal at one hub
	leastWatch = 30 * time.Minute // where the client doesn't say how long; up to twice that, so that many don't end together
	maxKnown   = 100_000          // objects whose being selected is remembered for one watch, 24 bytes each
)

// watcher is one watch.
type watcher struct {
	*teller
	face *Face
	w    *answer
	at   topo.Position // up to here everything was told
	said topo.Position // the newest that the client has heard of
	when time.Time     // it heard of it
	told bool          // a table's columns were
	// known are the objects that the client has, where whether one is selected can change; nil where it can't.
	known  map[place128]struct{}
	forgot bool // there were too many to know them all
}

// place128 is a key of an object among all of a tenant.
type place128 struct {
	cluster fleet.ClusterID
	id      topo.ID
}

// errOver ends a watch in good order.
var errOver = errors.New("the watch is over")

func (f *Face) watch(ctx context.Context, w *answer, a *ask) error {
	end, err := f.begin(a.principal)
	if err != nil {
		return err
	}
	defer end()
	if a.duration == 0 {
		a.duration = leastWatch + rand.N(leastWatch)
	}
	within, cancel := context.WithTimeout(ctx, a.duration)
	defer cancel()
	s := &watcher{face: f, w: w}
	if err := s.prepare(within, a); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	w.begun = true
	s.said, s.when = s.at, time.Now()
	err = s.run(within)
	if within.Err() != nil {
		err = a.ended(context.Cause(within))
	}
	if err == nil || errors.Is(err, errOver) {
		return nil
	}
	_ = s.send(watch.Error, statusOf(err)) // the client may be gone
	return nil
}

// ended is what a client is told of a watch that was ended from outside; nil where its time is over or it has left. When the hub goes, programs just go
// on with another watch; kubectl get --watch, which asks for a table, doesn't, and its reader is told.
func (a *ask) ended(cause error) error {
	var why *fault.Error
	if a.as == asTable && errors.As(cause, &why) {
		return why
	}
	return nil
}

// begin counts a watch of somebody's, unless there are too many.
func (f *Face) begin(p fleet.Principal) (end func(), err error) {
	who := p.Tenant.String() + " " + p.Token + " " + p.Name
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watches[who] >= maxWatches {
		return nil, fault.New(fault.TooManyRequests, "%d watches of the fleet are open for %s; close some", maxWatches, p.Name).After(time.Second)
	}
	f.watches[who]++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.watches[who]--; f.watches[who] == 0 {
			delete(f.watches, who)
		}
	}, nil
}

// prepare looks where things stand, before anything is told: what is wrong now is an answer of its own.
func (s *watcher) prepare(ctx context.Context, a *ask) error {
	now, _, err := s.face.look(ctx, a)
	if err != nil {
		return err
	}
	s.teller = a.teller(now)
	if !a.settled() && !a.kind.events() { // an event is what it is
		s.known = map[place128]struct{}{}
	}
	if s.at = a.version; s.at == 0 || a.initial {
		s.face.warn(s.w, a, now)
	}
	return nil
}

// run tells what there is, where that is asked for, and then what happens.
func (s *watcher) run(ctx context.Context) error {
	if err := s.w.control.Flush(); err != nil {
		return err
	}
	var err error
	switch {
	case s.version != 0 && !s.initial && s.known == nil:
	case s.kind.events():
		err = s.allEvents(ctx)
	case s.version == 0 || s.initial:
		err = s.everything(ctx, nil)
	default:
		err = s.recall(ctx)
	}
	if err != nil {
		return err
	}
	if s.initial {
		if err := s.bookmark(map[string]string{metav1.InitialEventsAnnotationKey: "true"}); err != nil {
			return err
		}
	}
	return s.follow(ctx)
}

// everything tells all there is now, of the whole fleet or of one cluster, as added.
func (s *watcher) everything(ctx context.Context, clusters []fleet.ClusterID) error {
	a := *s.ask
	a.limit, a.goOn, a.version = 0, "", 0
	if clusters != nil {
		// Of the very position: what is told of a later one would let a client go on from there that hasn't heard what lies between.
		a.where.Clusters, a.where.At = clusters, store.When{Position: s.at}
	}
	return s.face.pages(ctx, &a, func(p *query.ObjectList, _ int) error {
		if clusters == nil {
			s.at, s.clusters = p.Position, p.Clusters
		}
		for i := range p.Items {
			s.know(&p.Items[i].Row)
		}
		return s.added(p)
	})
}

// added tells a page as added. Rows of a table are told together: to kubectl, the first event of a watch for one name is what it has shown already,
// and that may be in several clusters.
func (s *watcher) added(p *query.ObjectList) error {
	if s.as == asTable && len(p.Items) > 0 {
		rows := make([]metav1.TableRow, len(p.Items))
		for i := range p.Items {
			row, err := s.row(&p.Items[i], p.Items[i].Since)
			if err != nil {
				return err
			}
			rows[i] = *row
		}
		return s.rows(watch.Added, rows, s.at)
	}
	for i := range p.Items {
		if err := s.tell(watch.Added, &p.Items[i], p.Items[i].Since); err != nil {
			return err
		}
	}
	return nil
}

// recall finds out which objects a client has that goes on from a position.
func (s *watcher) recall(ctx context.Context) error {
	a := *s.ask
	a.limit, a.goOn, a.version, a.as, a.include = 0, "", 0, asTable, string(metav1.IncludeNone)
	a.where.At = store.When{Position: s.at}
	err := s.face.pages(ctx, &a, func(p *query.ObjectList, _ int) error {
		for i := range p.Items {
			s.know(&p.Items[i].Row)
		}
		return nil
	})
	switch {
	case fault.Is(err, fault.Gone), fault.Is(err, fault.BadRequest): // a position that isn't kept any more, or not reached
		return expired("the resource version %d is too old, or none of this hub's: list anew", s.at)
	default:
		return err
	}
}

func (s *watcher) know(r *store.Row) {
	switch {
	case s.known == nil:
	case len(s.known) >= maxKnown:
		s.known, s.forgot = map[place128]struct{}{}, true
	case !s.forgot:
		s.known[place128{r.Cluster, r.ID}] = struct{}{}
	}
}

// follow tells what happens from a position on.
func (s *watcher) follow(ctx context.Context) error {
	scope := live.Scope{Kinds: s.where.Kinds, Namespaces: s.where.Namespaces, Clusters: s.where.Clusters}
	if s.kind.events() {
		scope.Kinds = nil // there, those of what events are about
	}
	sub, err := s.face.cfg.Live.Subscribe(ctx, live.Request{Principal: s.principal, Scope: scope, What: s.news(), From: &s.at})
	if err != nil {
		return err
	}
	defer sub.Close()
	for {
		quiet, cancel := context.WithTimeout(ctx, s.face.quiet)
		frame, err := sub.Next(quiet)
		cancel()
		switch {
		case err == nil:
			err = s.frame(ctx, &frame)
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			err = nil
		}
		if err == nil && s.marks && s.at > s.said && time.Since(s.when) >= s.face.quiet {
			err = s.bookmark(nil) // what happened was nothing to tell, but a client can go on from here
		}
		if err != nil {
			return err
		}
	}
}

// news are what of the feed a watch of a kind follows: changes of clusters too, since objects tell their names and freshness.
func (a *ask) news() []live.What {
	switch {
	case a.kind.events():
		return []live.What{live.Events, live.Clusters}
	case a.wholes() || slices.ContainsFunc(a.conditions, func(c condition) bool { return c.text != nil }):
		return []live.What{live.Resources, live.Texts, live.Clusters}
	}
	return []live.What{live.Resources, live.Clusters}
}

func (s *watcher) frame(ctx context.Context, f *live.Frame) error {
	switch f.Kind {
	case live.Bookmark:
		s.at = max(s.at, f.Position)
		return nil
	case live.Lagged:
		return expired("the watch fell too far behind: list anew")
	case live.Reset:
		return expired("the resource version %d is too old, or none of this hub's: list anew", s.at)
	}
	s.now = time.Now()
	s.at = f.Position
	var rows []store.Row
	var ops []live.Op
	var texts []topo.Ref
	for i := range f.Changes {
		switch c := &f.Changes[i]; {
		case c.Node != nil:
			rows = append(rows, store.Row{Cluster: f.Cluster, ID: c.Node.Ref.ID(), Node: *c.Node, Since: f.Position})
			ops = append(ops, c.Op)
		case c.Text != nil:
			texts = append(texts, *c.Text)
		default:
			if err := s.other(ctx, f, c); err != nil {
				return err
			}
		}
	}
	if err := s.changed(ctx, f, rows, ops); err != nil {
		return err
	}
	return s.retold(ctx, f, texts)
}

// other is news that isn't about an object of the index.
func (s *watcher) other(ctx context.Context, f *live.Frame, c *live.Change) error {
	switch {
	case c.Event != nil:
		return s.happened(f, c.Event)
	case c.Op == live.Deleted:
		if _, known := s.clusters[f.Cluster]; known && s.meant(f.Cluster) {
			return expired("cluster %s was deleted with all that was in it: list anew", s.clusters[f.Cluster].Name)
		}
	case c.About != nil:
		s.clusters[f.Cluster] = *c.About
		if c.Op == live.Loaded && s.meant(f.Cluster) && !s.kind.events() {
			return s.everything(ctx, []fleet.ClusterID{f.Cluster})
		}
	}
	return nil
}

// meant tells whether objects of a cluster are selected.
func (s *watcher) meant(id fleet.ClusterID) bool {
	return s.ask.clusters.fit(id.String(), s.clusters[id].Name)
}

// changed tells the changes of one position.
func (s *watcher) changed(ctx context.Context, f *live.Frame, rows []store.Row, ops []live.Op) error {
	if len(rows) == 0 || !s.meant(f.Cluster) {
		return nil
	}
	objects, err := s.face.cfg.Query.Complete(ctx, s.principal, s.question(), rows)
	if err != nil {
		return err
	}
	for i := range objects {
		if event := s.event(&objects[i], ops[i]); event != "" {
			if err := s.tell(event, &objects[i], f.Position); err != nil {
				return err
			}
		}
	}
	return nil
}

// retold tells objects of which another text has come.
func (s *watcher) retold(ctx context.Context, f *live.Frame, texts []topo.Ref) error {
	if len(texts) == 0 || !s.meant(f.Cluster) {
		return nil
	}
	objects, err := s.face.cfg.Query.Named(ctx, s.principal, s.question(), f.Cluster, texts)
	if err != nil {
		return err
	}
	for i := range objects {
		if event := s.event(&objects[i], live.Update); event != "" {
			if err := s.tell(event, &objects[i], f.Position); err != nil {
				return err
			}
		}
	}
	return nil
}

// event words what happened to an object as the client sees it, for whom what isn't selected isn't there.
func (s *watcher) event(o *query.Object, op live.Op) watch.EventType {
	fits := s.fits(o, true)
	usual := map[live.Op]watch.EventType{live.Add: watch.Added, live.Update: watch.Modified, live.Remove: watch.Deleted}[op]
	if s.known == nil || s.forgot {
		switch {
		case fits:
			return usual
		case s.known != nil && op == live.Update: // it may have been: to hear twice that it is gone does no harm
			return watch.Deleted
		}
		return ""
	}
	key := place128{o.Cluster, o.ID}
	_, had := s.known[key]
	switch {
	case had && (op == live.Remove || !fits):
		delete(s.known, key)
		return watch.Deleted
	case op == live.Remove || !fits:
		return ""
	case had:
		return watch.Modified
	}
	s.know(&o.Row)
	return watch.Added
}

// tell sends an object, or the row of one.
func (s *watcher) tell(event watch.EventType, o *query.Object, version topo.Position) error {
	if s.as != asTable {
		text, err := s.whole(o, version)
		if err != nil {
			return err
		}
		return s.send(event, runtime.RawExtension{Raw: text})
	}
	row, err := s.row(o, version)
	if err != nil {
		return err
	}
	return s.rows(event, []metav1.TableRow{*row}, version)
}

// rows sends a table; its columns are told once.
func (s *watcher) rows(event watch.EventType, rows []metav1.TableRow, version topo.Position) error {
	t := s.table(rows, version)
	if s.told {
		t.ColumnDefinitions = nil
	}
	s.told = true
	return s.send(event, t)
}

// bookmark says that everything was told up to where the watch stands.
func (s *watcher) bookmark(annotations map[string]string) error {
	version := strconv.FormatInt(int64(s.at), 10)
	kind, group := s.kind.Kind, groupVersion(s.Group, s.Version)
	switch s.as {
	case asTable:
		return s.rows(watch.Bookmark, []metav1.TableRow{}, s.at)
	case asMetadata:
		kind, group = asMetadata, s.apiVersion()
	}
	return s.send(watch.Bookmark, metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{Kind: kind, APIVersion: group},
		ObjectMeta: metav1.ObjectMeta{ResourceVersion: version, Annotations: annotations}})
}

// send writes one event. The client gets it now.
func (s *watcher) send(event watch.EventType, object any) error {
	s.said, s.when = s.at, time.Now()
	text, err := json.Marshal(map[string]any{"type": event, "object": object})
	if err != nil {
		return err
	}
	if _, err := s.w.Write(append(text, '\n')); err != nil {
		return errOver // nobody is there any more
	}
	if err := s.w.control.Flush(); err != nil {
		return errOver
	}
	return nil
}
