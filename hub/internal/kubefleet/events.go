package kubefleet

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/live"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Events are no objects of the index: they stand in a stream of their own, the newest first.

// aboutEvent is a condition on a field of events.
type aboutEvent struct {
	field string
	want  string
	not   bool
}

// eventFields are what events can be selected by. A uid is looked up, see which.
var eventFields = map[string]func(*query.Event) string{
	"metadata.name":            func(e *query.Event) string { return e.Name },
	"metadata.namespace":       func(e *query.Event) string { return e.Namespace },
	aboutVersion:               func(e *query.Event) string { return e.Regarding.Group },
	"involvedObject.kind":      func(e *query.Event) string { return e.Regarding.Kind },
	"involvedObject.namespace": func(e *query.Event) string { return e.Regarding.Namespace },
	"involvedObject.name":      func(e *query.Event) string { return e.Regarding.Name },
	"involvedObject.uid":       nil,
	"reason":                   func(e *query.Event) string { return e.Reason },
	"reportingComponent":       func(e *query.Event) string { return e.Source },
	"source":                   func(e *query.Event) string { return e.Source },
	"type":                     func(e *query.Event) string { return e.Type },
}

// aboutVersion is compared by the group alone: the hub tells what an event is about by its kind, whatever the version.
const aboutVersion = "involvedObject.apiVersion"

func eventCondition(name, want string, not bool) (aboutEvent, error) {
	if group, _, grouped := strings.Cut(want, "/"); name == aboutVersion {
		if want = ""; grouped {
			want = group
		}
	}
	if _, ok := eventFields[name]; !ok {
		known := slices.Sorted(maps.Keys(eventFields))
		return aboutEvent{}, badRequest("fieldSelector: events can't be selected by %q here, only by %s, %s", name, clusterField, strings.Join(known, ", "))
	}
	return aboutEvent{name, want, not}, nil
}

func (c aboutEvent) fits(e *query.Event) bool {
	get := eventFields[c.field]
	return get == nil || (get(e) == c.want) != c.not
}

func (a *ask) fitsEvent(e *query.Event) bool {
	if a.labels != nil && !a.labels.Matches(labelsOf(nil)) {
		return false
	}
	return !slices.ContainsFunc(a.about, func(c aboutEvent) bool { return !c.fits(e) })
}

// which narrows by what the index has events ordered by.
func (f *Face) which(ctx context.Context, a *ask, who fleet.Principal) (query.WhichEvents, error) {
	w := query.WhichEvents{Clusters: a.where.Clusters, Namespaces: a.where.Namespaces}
	said := map[string]string{}
	for _, c := range a.about {
		if !c.not {
			said[c.field] = c.want
		}
	}
	if t := said["type"]; t != "" {
		w.Types = []string{t}
	}
	uid, name, space := said["involvedObject.uid"], said["involvedObject.name"], said["involvedObject.namespace"]
	if uid == "" || name == "" {
		return w, nil
	}
	// Events name what they are about, and not by its uid: of several of that name in the fleet, the uid tells which is meant.
	it := query.Where{Clusters: w.Clusters, Names: []string{name}, Fields: "uid=" + fields.EscapeValue(uid)}
	if space != "" {
		it.Namespaces = []string{space}
	}
	found, err := f.cfg.Query.Objects(ctx, who, query.ObjectsQuestion{Where: it, Verb: a.verb}, query.Page{Limit: 1})
	if err == nil && len(found.Items) == 1 {
		w.Clusters, w.Regarding = []fleet.ClusterID{found.Items[0].Cluster}, &found.Items[0].Node.Ref
	}
	return w, err
}

// eachEvent gives the events that are selected, page by page.
func (f *Face) eachEvent(ctx context.Context, a *ask, who fleet.Principal, give func(*query.Event) error) (goOn string, err error) {
	which, err := f.which(ctx, a, who)
	if err != nil {
		return "", err
	}
	page := query.Page{Limit: query.MaxLimit, Continue: a.goOn}
	for read := 0; ; {
		if a.limit > 0 {
			page.Limit = min(query.MaxLimit, a.limit-read)
		}
		p, err := f.cfg.Query.Events(ctx, who, which, page)
		if err != nil {
			return "", err
		}
		read += len(p.Items)
		for i := range p.Items {
			if a.fitsEvent(&p.Items[i]) {
				if err := give(&p.Items[i]); err != nil {
					return "", err
				}
			}
		}
		if page.Continue = p.Continue; page.Continue == "" || a.limit > 0 && read >= a.limit {
			return page.Continue, nil
		}
	}
}

func (f *Face) listEvents(ctx context.Context, w *answer, a *ask) error {
	if !a.where.At.Now() {
		return badRequest("events are told as of now only")
	}
	now, who, err := f.look(ctx, a)
	if err != nil {
		return err
	}
	f.warn(w, a, now)
	out := newListing(w, a.teller(now))
	if err := out.open(); err != nil {
		return err
	}
	goOn, err := f.eachEvent(ctx, a, who, func(e *query.Event) error {
		text, err := out.eventItem(e, now.Position)
		if err != nil {
			return err
		}
		return out.put(text)
	})
	if err != nil {
		return err
	}
	return out.close(metav1.ListMeta{ResourceVersion: strconv.FormatInt(int64(now.Position), 10), Continue: goOn})
}

// event answers with the one of that name.
func (f *Face) event(ctx context.Context, w *answer, a *ask) error {
	now, who, err := f.look(ctx, a)
	if err != nil {
		return err
	}
	a.about = append(a.about, aboutEvent{field: "metadata.name", want: a.Name})
	var found *query.Event
	if _, err := f.eachEvent(ctx, a, who, func(e *query.Event) error { found = e; return nil }); err != nil {
		return err
	}
	if found == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: a.Resource}, a.Name)
	}
	t := a.teller(now)
	if a.as == asTable {
		return w.json(t.eventTable(found, now.Position))
	}
	text, err := t.eventWhole(found, now.Position)
	if err != nil {
		return err
	}
	return w.json(runtime.RawExtension{Raw: text})
}

// allEvents tells those there are as added.
func (s *watcher) allEvents(ctx context.Context) error {
	now, who, err := s.face.look(ctx, s.ask)
	if err != nil {
		return err
	}
	s.at, s.clusters = now.Position, now.Clusters
	a := *s.ask
	a.limit, a.goOn = 0, ""
	_, err = s.face.eachEvent(ctx, &a, who, func(e *query.Event) error { return s.tellEvent(watch.Added, e) })
	return err
}

// happened tells an event of the feed.
func (s *watcher) happened(f *live.Frame, e *topo.Event) error {
	told := query.EventOf(f.Cluster, e)
	if !s.meant(f.Cluster) || !s.fitsEvent(&told) {
		return nil
	}
	if told.Count > 1 {
		return s.tellEvent(watch.Modified, &told)
	}
	return s.tellEvent(watch.Added, &told)
}

func (s *watcher) tellEvent(kind watch.EventType, e *query.Event) error {
	if s.as == asTable {
		t := s.eventTable(e, s.at)
		if s.told {
			t.ColumnDefinitions = nil
		}
		s.told = true
		return s.send(kind, t)
	}
	text, err := s.eventWhole(e, s.at)
	if err != nil {
		return err
	}
	return s.send(kind, runtime.RawExtension{Raw: text})
}

// eventColumn is a column of a table of events.
type eventColumn struct {
	metav1.TableColumnDefinition
	cell func(*teller, *query.Event) any
}

func eventText(name string, priority int32, cell func(*teller, *query.Event) any) eventColumn {
	return eventColumn{metav1.TableColumnDefinition{Name: name, Type: "string", Priority: priority}, cell}
}

var eventColumns = []eventColumn{
	eventText("Cluster", 0, func(t *teller, e *query.Event) any { return t.clusterWord(clusterOf(e)) }),
	eventText("Last Seen", 0, func(t *teller, e *query.Event) any { return t.ago(e.Last) }),
	eventText("Type", 0, func(_ *teller, e *query.Event) any { return e.Type }),
	eventText("Reason", 0, func(_ *teller, e *query.Event) any { return e.Reason }),
	eventText("Object", 0, func(_ *teller, e *query.Event) any { return strings.ToLower(e.Regarding.Kind) + "/" + e.Regarding.Name }),
	eventText("Source", 1, func(_ *teller, e *query.Event) any { return e.Source }),
	eventText("Message", 0, func(_ *teller, e *query.Event) any { return strings.TrimSpace(e.Message) }),
	eventText("First Seen", 1, func(t *teller, e *query.Event) any { return t.ago(e.First) }),
	{metav1.TableColumnDefinition{Name: "Count", Type: "integer", Priority: 1}, func(_ *teller, e *query.Event) any { return e.Count }},
	{metav1.TableColumnDefinition{Name: "Name", Type: "string", Format: "name", Priority: 1}, func(_ *teller, e *query.Event) any { return e.Name }},
}

func (t *teller) eventColumns() []eventColumn {
	if t.only != nil {
		return eventColumns[1:]
	}
	return eventColumns
}

func (t *teller) ago(at time.Time) string { return duration.HumanDuration(t.now.Sub(at)) }

func clusterOf(e *query.Event) fleet.ClusterID {
	id, err := fleet.ParseClusterID(e.Cluster)
	if err != nil {
		return 0 // never: the text was made from an id
	}
	return id
}

func (t *teller) eventItem(e *query.Event, version topo.Position) ([]byte, error) {
	if t.as == asTable {
		row, err := t.eventRow(e, version)
		if err != nil {
			return nil, err
		}
		return json.Marshal(row)
	}
	return t.eventWhole(e, version)
}

func (t *teller) eventRow(e *query.Event, version topo.Position) (metav1.TableRow, error) {
	var row metav1.TableRow
	for _, c := range t.eventColumns() {
		row.Cells = append(row.Cells, c.cell(t, e))
	}
	if t.include == string(metav1.IncludeNone) {
		return row, nil
	}
	text, err := t.eventWhole(e, version)
	row.Object.Raw = text
	return row, err
}

func (t *teller) eventTable(e *query.Event, version topo.Position) *metav1.Table {
	rows := []metav1.TableRow{}
	if row, err := t.eventRow(e, version); err == nil { // words and plain structs always have a text
		rows = append(rows, row)
	}
	return t.table(rows, version)
}

// eventWhole is an event as an API server tells it.
func (t *teller) eventWhole(e *query.Event, version topo.Position) (json.RawMessage, error) {
	meta := map[string]any{"name": e.Name, "namespace": e.Namespace, "uid": e.UID, "resourceVersion": strconv.FormatInt(int64(version), 10),
		"creationTimestamp": e.First.Format(time.RFC3339), "annotations": t.origin(clusterOf(e))}
	if t.as == asMetadata || t.as == asTable && t.include != string(metav1.IncludeObject) {
		return json.Marshal(map[string]any{"kind": asMetadata, "apiVersion": t.apiVersion(), "metadata": meta})
	}
	return json.Marshal(map[string]any{
		"kind": "Event", "apiVersion": "v1", "metadata": meta, "type": e.Type, "reason": e.Reason, "message": e.Message, "count": e.Count,
		"firstTimestamp": e.First.Format(time.RFC3339), "lastTimestamp": e.Last.Format(time.RFC3339), "source": map[string]string{"component": e.Source},
		"reportingComponent": e.Source, "reportingInstance": "", "eventTime": nil,
		"involvedObject": words("kind", e.Regarding.Kind, "namespace", e.Regarding.Namespace, "name", e.Regarding.Name),
	})
}
