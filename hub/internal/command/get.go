package command

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/shared/fault"
)

const (
	usualRows = 500  // of a table that nobody gave another limit
	pageRows  = 1000 // that are asked for at once
)

// rows is how many lines are wanted.
type rows struct{ limit int }

func (r *rows) flag(c *cobra.Command, usual int) {
	c.Flags().IntVar(&r.limit, "limit", usual, "how many at most; 0 is all")
}

func (r *rows) reach(page int, told func(int, *client.Total)) client.Reach {
	return client.Reach{Page: page, Limit: max(0, r.limit), Told: told}
}

// told says on a person's side what is not in the answer.
func (a *app) told(what string, shown int, total *client.Total, token string) {
	switch {
	case total != nil && (shown < total.Count || token != ""):
		a.say("note: %s of %s %s are shown; --limit 0 shows all", number(shown), counted(*total), what)
	case token != "":
		a.say("note: the first %s %s are shown; --limit 0 shows all", number(shown), what)
	}
}

// number writes one as people read it, with commas.
func number(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func counted(t client.Total) string {
	if t.Exact {
		return number(t.Count)
	}
	return "at least " + number(t.Count)
}

func (a *app) getCommand() *cobra.Command {
	var w scope
	var o output
	var r rows
	var follow bool
	c := &cobra.Command{
		Use: "get KIND [NAME...]", Short: "List resources of all clusters", Args: between(0, 100),
		Long: `Lists resources as the hub knows them: of all clusters and namespaces that you may see, unless --cluster and -n say otherwise. A cluster that is offline
answers too, with what was last known, and is marked. Kinds go by any of their names, several with commas between them; with -q and without a kind it
is all kinds.

With -w it goes on until Ctrl-C, and prints a line for each that changes; over a break it misses nothing that the hub still knows.

With -o manifest the objects themselves are printed, of clusters that share them.`,
		Example: `kubilitics get pods -n shop
kubilitics get deploy,sts --cluster 'tidewater-*'
kubilitics get pods -q 'status!=Running age<1h'
kubilitics get pods -n payments -w
kubilitics get deploy/api -n shop --cluster tidewater-eu -o manifest
kubilitics get pods --at -5m -o json`,
	}
	w.where(a, c)
	w.which(a, c, false)
	w.when(c)
	r.flag(c, usualRows)
	c.Flags().BoolVarP(&follow, "watch", "w", false, "go on, and print what changes")
	o.flag(c, "wide", "json", "yaml", "name", "manifest")
	c.ValidArgsFunction = a.offers(a.objectNames)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := o.check(); err != nil {
			return err
		}
		if follow {
			if err := watched(w, o, r); err != nil {
				return err
			}
			return a.asks(func(s *session) error { return a.watch(c.Context(), s, w, o, args) })
		}
		return a.asks(func(s *session) error { return a.get(c.Context(), s, w, o, r, args) })
	}
	return c
}

// wanted reads "pods", "pods web api", and "pod/web".
func wanted(args []string, query url.Values) (named bool, err error) {
	if len(args) == 0 {
		if query.Get("q") == "" {
			return false, fault.New(fault.BadRequest, "of which kind? Name one, such as pods, or say with -q what you look for")
		}
		return false, nil
	}
	kind, names := args[0], args[1:]
	if strings.Contains(kind, "/") {
		n, err := readNaming(args[:1])
		if err != nil {
			return false, err
		}
		if len(names) > 0 {
			return false, fault.New(fault.BadRequest, "several objects are named like pods web api")
		}
		if n.namespace != "" {
			query.Set("namespace", n.namespace)
		}
		kind, names = n.kind, []string{n.name}
	}
	query["kind"] = kindsOf([]string{kind})
	if len(names) > 0 {
		query["name"] = names
	}
	return len(names) > 0, nil
}

func (a *app) get(ctx context.Context, s *session, w scope, o output, r rows, args []string) error {
	query, err := w.values(ctx, s, "labelSelector")
	if err != nil {
		return err
	}
	named, err := wanted(args, query)
	if err != nil {
		return err
	}
	p := a.wait("asking " + s.Address)
	defer p.stop()
	kind, names := strings.Join(query["kind"], ","), query["name"]
	list, err := client.Listed[client.Resource](ctx, s.client, "/api/v1/resources", query, r.reach(pageRows, func(n int, total *client.Total) {
		if total != nil {
			p.tell("%s of %s", number(n), counted(*total))
		}
	}))
	p.stop()
	if err != nil {
		return s.nearestKind(ctx, kind, err)
	}
	if named && len(list.Items) == 0 {
		return s.nothing(ctx, w, naming{kind: kind, namespace: query.Get("namespace"), name: names[0]})
	}
	if err := a.printResources(ctx, s, w, o, list); err != nil {
		return err
	}
	a.offline(s, list.Meta)
	a.told("resources", len(list.Items), list.Total, list.Continue)
	return nil
}

// watch lists, and goes on.
func (a *app) watch(ctx context.Context, s *session, w scope, o output, args []string) error {
	query, err := w.values(ctx, s, "labelSelector")
	if err != nil {
		return err
	}
	if _, err := wanted(args, query); err != nil {
		return err
	}
	x := &watcher{app: a, s: s, o: o, query: query, rows: &flow{to: screenOf(a.Out)}}
	return x.run(ctx)
}

func (a *app) printResources(ctx context.Context, s *session, w scope, o output, list *client.List[client.Resource]) error {
	switch {
	case o.structured():
		return o.print(a.Out, list)
	case o.form == "name":
		for _, item := range list.Items {
			if _, err := fmt.Fprintln(a.Out, typed(item.Value.Ref)); err != nil {
				return err
			}
		}
		return nil
	case o.form == "manifest":
		return a.manifests(ctx, s, w, list.Items)
	case len(list.Items) == 0:
		a.say("there are none")
		return nil
	}
	return s.resourceTable(screenOf(a.Out), list, o.form == "wide", a.now(w, list.Meta)).print(screenOf(a.Out))
}

// resourceTable shows resources; wide adds what is known of each beside that.
func (s *session) resourceTable(to screen, list *client.List[client.Resource], wide bool, now time.Time) *table {
	t := columns("CLUSTER", "NAMESPACE", "KIND", "NAME", "HEALTH", "STATUS", "AGE")
	if wide {
		t.head = append(t.head, "ATTRIBUTES")
	}
	for _, item := range list.Items {
		v := item.Value
		line := []any{s.clusterCell(v.Cluster, list.Meta), v.Namespace, v.Kind, v.Name, to.health(fares(v.Presence, v.Health)), v.Status, age(v.Created, now)}
		if wide {
			line = append(line, pairs(v.Attrs))
		}
		t.row(line...)
	}
	return t
}

func pairs(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+m[k])
	}
	return strings.Join(out, " ")
}

// manifests prints the objects themselves.
func (a *app) manifests(ctx context.Context, s *session, w scope, items []client.Kept[client.Resource]) error {
	for i, item := range items {
		v := item.Value
		var detail struct {
			Manifest json.RawMessage `json:"manifest"`
			Absent   string          `json:"manifestAbsent"`
		}
		if err := s.client.Get(ctx, resourcePath(v.Cluster, v.Ref)+"?"+manifestOf(w), &detail); err != nil {
			return err
		}
		if len(detail.Manifest) == 0 {
			return fault.New(fault.NotFound, "the text of %s in %s isn't here: %s", called(v.Ref, ""), s.nameOf(v.Cluster), detail.Absent)
		}
		text, err := yaml.JSONToYAML(detail.Manifest)
		if err != nil {
			return fault.Wrap(err, fault.Internal, "the object can't be read")
		}
		if i > 0 {
			text = append([]byte("---\n"), text...)
		}
		if _, err := a.Out.Write(text); err != nil {
			return err
		}
	}
	return nil
}

func manifestOf(w scope) string {
	query := url.Values{"manifest": {"true"}}
	if w.at != "" {
		query.Set("at", w.at)
	}
	return query.Encode()
}

// now is when ages are counted from: the moment that is shown, where that is a past one.
func (a *app) now(w scope, m client.Meta) time.Time {
	now := time.Now()
	if w.at == "" {
		return now
	}
	if t, err := time.Parse(time.RFC3339Nano, w.at); err == nil {
		return t
	}
	ago := strings.TrimPrefix(w.at, "-")
	if days, ok := strings.CutSuffix(ago, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil {
			return now.AddDate(0, 0, -n)
		}
	}
	if d, err := time.ParseDuration(ago); err == nil {
		return now.Add(-d)
	}
	if !m.At.IsZero() { // a position, which has an instant
		return m.At
	}
	return now
}

// resourcePath is where a resource is in the hub's interface.
func resourcePath(cluster string, r client.Ref, below ...string) string {
	return client.Of(cluster, append([]string{"resources", or(r.Group, "-"), "-", strings.ToLower(r.Kind), or(r.Namespace, "-"), r.Name}, below...)...)
}
