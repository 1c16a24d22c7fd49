package kubefleet

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// question is what the index is asked.
func (a *ask) question() query.ObjectsQuestion {
	wants := a.wants()
	return query.ObjectsQuestion{Where: a.where, Verb: a.verb, Owners: a.as != asTable, Texts: func(r *store.Row) bool { return wants(&r.Node) }}
}

// pages gives what is asked for, page by page, all of one position; read is how many objects were looked at.
func (f *Face) pages(ctx context.Context, a *ask, give func(p *query.ObjectList, read int) error) error {
	who, err := f.narrow(ctx, a)
	if err != nil {
		return err
	}
	o := a.question()
	page := query.Page{Limit: query.MaxLimit, Continue: a.goOn}
	for read := 0; ; {
		if a.limit > 0 {
			page.Limit = min(query.MaxLimit, a.limit-read)
		}
		p, err := f.cfg.Query.Objects(ctx, who, o, page)
		if err != nil {
			return err
		}
		if a.version > p.Position {
			return ahead(a.version, p.Position)
		}
		read += len(p.Items)
		p.Items = a.sift(p.Items)
		byName(p)
		if err := give(p, read); err != nil {
			return err
		}
		if page.Continue = p.Continue; page.Continue == "" || a.limit > 0 && read >= a.limit {
			return nil
		}
	}
}

// look gives where things stand: the position, the clusters that are meant, and who asks, with nothing to do outside them.
func (f *Face) look(ctx context.Context, a *ask) (*query.ObjectList, fleet.Principal, error) {
	who, err := f.narrow(ctx, a)
	if err != nil {
		return nil, who, err
	}
	w := query.Where{Clusters: a.where.Clusters, Kinds: a.where.Kinds, Namespaces: a.where.Namespaces, Names: []string{""}} // nothing is called that
	now, err := f.cfg.Query.Objects(ctx, who, query.ObjectsQuestion{Where: w, Verb: a.verb}, query.Page{Limit: 1})
	return now, who, err
}

// sift leaves what the index wasn't asked to leave out.
func (a *ask) sift(items []query.Object) []query.Object {
	kept := items[:0]
	for i := range items {
		if a.fits(&items[i], false) {
			kept = append(kept, items[i])
		}
	}
	return kept
}

// byName puts what is called the same in the order of its clusters' names. The index has it in that of their ids, which nobody knows by heart.
func byName(p *query.ObjectList) {
	for from := 0; from < len(p.Items); {
		to := from + 1
		for to < len(p.Items) && p.Items[to].Node.Ref == p.Items[from].Node.Ref {
			to++
		}
		slices.SortFunc(p.Items[from:to], func(a, b query.Object) int {
			return cmp.Compare(p.Clusters[a.Cluster].Name, p.Clusters[b.Cluster].Name)
		})
		from = to
	}
}

// list answers with all that is asked for, as it is read: the whole of it is never in memory.
func (f *Face) list(ctx context.Context, w *answer, a *ask) error {
	var out *listing
	var meta metav1.ListMeta
	err := f.pages(ctx, a, func(p *query.ObjectList, read int) error {
		if out == nil {
			f.warn(w, a, p)
			out = newListing(w, a.teller(p))
			if err := out.open(); err != nil {
				return err
			}
		}
		meta = metav1.ListMeta{ResourceVersion: strconv.FormatInt(int64(p.Position), 10), Continue: p.Continue}
		if rest := int64(p.Total.Count - read); p.Continue != "" && a.goOn == "" && p.Total.Exact && rest > 0 {
			meta.RemainingItemCount = &rest
		}
		for i := range p.Items {
			if err := out.add(&p.Items[i], p.Items[i].Since); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return out.close(meta)
}

// listing is a list on its way out.
type listing struct {
	*teller
	w    *answer
	buf  []byte
	some bool
}

// listingChunk is how much of a list is sent at once, in bytes.
const listingChunk = 64 << 10

func newListing(w *answer, t *teller) *listing { return &listing{teller: t, w: w} }

// open begins the document. The metadata stand at its end, where they are known.
func (l *listing) open() error {
	l.w.Header().Set("Content-Type", "application/json")
	kind, version, items := l.kind.Kind+"List", groupVersion(l.Group, l.Version), "items"
	switch l.as {
	case asTable:
		kind, version, items = asTable, l.apiVersion(), "rows"
	case asMetadata:
		kind, version = asMetadata+"List", l.apiVersion()
	}
	head, err := json.Marshal(metav1.TypeMeta{Kind: kind, APIVersion: version})
	if err != nil {
		return err
	}
	l.buf = append(l.buf, head[:len(head)-1]...)
	if l.as == asTable {
		columns, err := json.Marshal(l.definitions())
		if err != nil {
			return err
		}
		l.buf = append(append(l.buf, `,"columnDefinitions":`...), columns...)
	}
	l.buf = append(l.buf, `,"`+items+`":[`...)
	return nil
}

func (l *listing) add(o *query.Object, version topo.Position) error {
	text, err := l.item(o, version)
	if err != nil {
		return err
	}
	return l.put(text)
}

func (l *listing) put(text []byte) error {
	if l.some {
		l.buf = append(l.buf, ',')
	}
	l.some = true
	if l.buf = append(l.buf, text...); len(l.buf) >= listingChunk {
		return l.send()
	}
	return nil
}

func (l *listing) send() error {
	_, err := l.w.Write(l.buf)
	l.buf = l.buf[:0]
	return err
}

func (l *listing) close(meta metav1.ListMeta) error {
	text, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	l.buf = append(append(append(l.buf, `],"metadata":`...), text...), '}', '\n')
	return l.send()
}

// item is one object, or the row of one, in the form that is asked for.
func (t *teller) item(o *query.Object, version topo.Position) ([]byte, error) {
	if t.as != asTable {
		return t.whole(o, version)
	}
	row, err := t.row(o, version)
	if err != nil {
		return nil, err
	}
	return json.Marshal(row)
}

func (t *teller) row(o *query.Object, version topo.Position) (*metav1.TableRow, error) {
	row := &metav1.TableRow{Cells: make([]any, len(t.columns))}
	for i := range t.columns {
		row.Cells[i] = t.columns[i].cell(t, o)
	}
	var err error
	switch t.include {
	case string(metav1.IncludeNone):
	case string(metav1.IncludeObject):
		row.Object.Raw, err = t.whole(o, version)
	default:
		row.Object.Raw, err = t.slim(o, version)
	}
	return row, err
}

func (t *teller) definitions() []metav1.TableColumnDefinition {
	if t.kind.events() {
		var out []metav1.TableColumnDefinition
		for _, c := range t.eventColumns() {
			out = append(out, c.TableColumnDefinition)
		}
		return out
	}
	out := make([]metav1.TableColumnDefinition, len(t.columns))
	for i := range t.columns {
		out[i] = t.columns[i].TableColumnDefinition
	}
	return out
}

// table is a whole Table of those rows.
func (t *teller) table(rows []metav1.TableRow, version topo.Position) *metav1.Table {
	return &metav1.Table{TypeMeta: metav1.TypeMeta{Kind: asTable, APIVersion: t.apiVersion()}, ColumnDefinitions: t.definitions(), Rows: rows,
		ListMeta: metav1.ListMeta{ResourceVersion: strconv.FormatInt(int64(version), 10)}}
}

// get answers with the object of that name, if it is one; a table may show several clusters' own.
func (f *Face) get(ctx context.Context, w *answer, a *ask) error {
	var found *query.ObjectList
	a.limit = query.MaxLimit
	err := f.pages(ctx, a, func(p *query.ObjectList, _ int) error {
		found = p
		return nil
	})
	if err != nil {
		return err
	}
	switch {
	case len(found.Items) == 0:
		return apierrors.NewNotFound(schema.GroupResource{Group: a.Group, Resource: a.Resource}, a.Name)
	case len(found.Items) > 1 && a.as != asTable:
		return several(a, found)
	}
	f.warn(w, a, found)
	t := a.teller(found)
	if a.as == asTable {
		var rows []metav1.TableRow
		for i := range found.Items {
			row, err := t.row(&found.Items[i], found.Items[i].Since)
			if err != nil {
				return err
			}
			rows = append(rows, *row)
		}
		return w.json(t.table(rows, found.Position))
	}
	text, err := t.whole(&found.Items[0], found.Items[0].Since)
	if err != nil {
		return err
	}
	return w.json(runtime.RawExtension{Raw: text})
}

// named bounds the clusters whose names stand in a sentence.
const named = 10

// several says how to choose among objects of the same name.
func several(a *ask, found *query.ObjectList) error {
	names := make([]string, 0, len(found.Items))
	for i := range found.Items {
		names = append(names, found.Clusters[found.Items[i].Cluster].Name)
	}
	return failure(http.StatusConflict, metav1.StatusReasonConflict,
		"%s %q is in %d clusters: %s; name the one that is meant by its own root, /k8s/fleet/clusters/%s, or list with --field-selector metadata.name=%s",
		a.Resource, a.Name, len(names), listOf(names), names[0], a.Name)
}
