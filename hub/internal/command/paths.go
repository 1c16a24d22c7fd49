package command

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// pathsRequest is between what, and which, paths are looked for.
type pathsRequest struct {
	from, to  string
	direction string
	types     []string
	length    int
	limit     int
}

func (a *app) pathsCommand() *cobra.Command {
	var w scope
	var o output
	var want pathsRequest
	c := &cobra.Command{
		Use: "paths --from KIND/NAME --to KIND/NAME", Short: "Tell how two resources of a cluster are connected", Args: between(0, 0),
		Long:    "Tells all the shortest ways from one resource of a cluster to another, along relationships of any kind and in either direction, unless --direction says otherwise.",
		Example: "kubilitics paths --from ingress/storefront --to secret/catalogue-db -n shop --cluster tidewater-eu\nkubilitics paths --from deploy/api --to node/tidewater-eu-node-1 -n shop --cluster tidewater-eu",
	}
	w.where(a, c)
	w.when(c)
	flags := c.Flags()
	flags.StringVar(&want.from, "from", "", "one end, as kind/name or kind/namespace/name")
	flags.StringVar(&want.to, "to", "", "the other end")
	flags.StringVar(&want.direction, "direction", "both", "out: along relationships; in: against them; both")
	flags.StringSliceVar(&want.types, "type", nil, "types of relationships: owns, selects, mounts, references, routes, runs-on, …")
	flags.IntVar(&want.length, "length", 8, "relationships of a path at most, up to 12")
	flags.IntVar(&want.limit, "limit", 20, "paths at most, up to 200")
	_ = c.RegisterFlagCompletionFunc("direction", cobra.FixedCompletions([]string{"out", "in", "both"}, cobra.ShellCompDirectiveNoFileComp))
	for _, end := range []string{"from", "to"} {
		a.completes(c, end, func(ctx context.Context, s *session, line *cobra.Command, _ []string, begun string) ([]string, error) {
			return a.objectNames(ctx, s, line, nil, begun)
		})
	}
	o.flag(c, "json", "yaml")
	c.ValidArgsFunction = cobra.NoFileCompletions
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.check(); err != nil {
			return err
		}
		return a.asks(func(s *session) error { return a.paths(c.Context(), s, w, o, want) })
	}
	return c
}

func (a *app) paths(ctx context.Context, s *session, w scope, o output, want pathsRequest) error {
	if want.from == "" || want.to == "" {
		return fault.New(fault.BadRequest, "--from and --to say between which two resources")
	}
	p := a.wait("looking for ways from " + want.from + " to " + want.to)
	defer p.stop()
	from, to, err := s.ends(ctx, w, want)
	if err != nil {
		return err
	}
	query := url.Values{"from": {from.ID}, "to": {to.ID}, "direction": {want.direction}, "maxLength": {strconv.Itoa(want.length)}, "limit": {strconv.Itoa(want.limit)}}
	if len(want.types) > 0 {
		query["type"] = want.types
	}
	if w.at != "" {
		query.Set("at", w.at)
	}
	var found client.Kept[client.Paths]
	err = s.client.Get(ctx, client.Of(from.cluster.ID, "topology", "paths")+"?"+query.Encode(), &found)
	p.stop()
	switch {
	case err != nil:
		return err
	case o.structured():
		return o.print(a.Out, found)
	}
	if err := printPaths(screenOf(a.Out), &found.Value, from, to); err != nil {
		return err
	}
	a.offline(s, found.Value.Meta)
	a.cut(found.Value.Truncated)
	return nil
}

// ends finds both resources: the second in the cluster of the first.
func (s *session) ends(ctx context.Context, w scope, want pathsRequest) (from, to target, err error) {
	if from, err = s.find(ctx, w, []string{want.from}); err != nil {
		return from, to, err
	}
	within := w
	within.clusters = []string{from.cluster.ID}
	if to, err = s.find(ctx, within, []string{want.to}); fault.Is(err, fault.NotFound) && len(w.namespaces) > 0 {
		within.namespaces = nil // what has no namespace isn't in the one that was named
		to, err = s.find(ctx, within, []string{want.to})
	}
	return from, to, err
}

func printPaths(to screen, p *client.Paths, from, end target) error {
	switch p.Outcome {
	case "none":
		return to.line("nothing leads from %s to %s", from, end)
	case "too-long":
		return to.line("%s and %s are further apart than --length", from, end)
	case "gave-up":
		return to.line("whether %s and %s are connected wasn't found out: too much is between them; --type or --direction narrows it", from, end)
	}
	d := &drawing{to: to, root: from.Ref, nodes: map[string]client.Node{}}
	for _, n := range p.Nodes {
		d.nodes[n.ID] = n
	}
	d.lines = append(d.lines, d.label(d.nodes[from.ID]))
	d.ways(p.Edges, from.ID, p.Paths, 1, "")
	if p.Total.Count > len(p.Paths) {
		d.lines = append(d.lines, number(len(p.Paths))+" of "+counted(p.Total)+" ways")
	}
	return to.line("%s", strings.Join(d.lines, "\n"))
}

// ways draws paths that are the same up to a step: what they have in common once.
func (d *drawing) ways(edges []client.Edge, at string, paths [][]string, step int, indent string) {
	var next []string
	by := map[string][][]string{}
	for _, p := range paths {
		if step >= len(p) {
			continue
		}
		if by[p[step]] == nil {
			next = append(next, p[step])
		}
		by[p[step]] = append(by[p[step]], p)
	}
	for i, id := range next {
		branch, deeper := "├─ ", "│  "
		if i == len(next)-1 {
			branch, deeper = "└─ ", "   "
		}
		d.lines = append(d.lines, d.to.in(faint, indent+branch+stepOf(edges, at, id)+" ")+d.label(d.nodes[id]))
		d.ways(edges, id, by[id], step+1, indent+deeper)
	}
}

// stepOf tells the relationships of two neighbours on a path.
func stepOf(edges []client.Edge, a, b string) string {
	var there, back tie
	there.out = true
	for _, e := range edges {
		switch {
		case e.Source.ID == a && e.Target.ID == b:
			there.add(e.Type)
		case e.Source.ID == b && e.Target.ID == a:
			back.add(e.Type)
		}
	}
	slices.Sort(there.types)
	slices.Sort(back.types)
	var parts []string
	if len(there.types) > 0 {
		parts = append(parts, there.words()+" →")
	}
	if len(back.types) > 0 {
		parts = append(parts, "← "+back.words())
	}
	return strings.Join(parts, ", ")
}
