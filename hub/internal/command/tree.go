package command

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// treeRequest is how far a tree goes.
type treeRequest struct {
	depth     int
	direction string
	types     []string
	fan       int
	siblings  int
	repeat    bool
}

func (a *app) treeCommand() *cobra.Command {
	var w scope
	var o output
	var want treeRequest
	c := &cobra.Command{
		Use: "tree KIND/NAME", Short: "Draw what is around a resource as a tree", Args: between(1, 2),
		Long: `Draws the topology around a resource: what it owns, selects, mounts, routes to, runs on, and what does so to it. An arrow to the right leads to what
the resource above refers to, one to the left to what refers to it. Each resource is drawn once, where it is nearest to the first; other
relationships of it are told by reference to what stands above it (↑). What a Deployment refers to isn't told again of its Pods, unless --repeat, and many
of one sort are folded into a line, unless --siblings 0.

The shapes are those of health: ● ok, ◐ progressing, ▲ warning, ✖ error, ○ unknown; ∅ is missing, ◌ is there or not, which can't be seen.`,
		Example: "kubilitics tree deploy/api -n shop --cluster tidewater-eu\nkubilitics tree svc/api -n shop --cluster tidewater-eu --depth 3 --direction out\nkubilitics tree deploy/fraud-scorer -n payments",
	}
	w.where(a, c)
	w.when(c)
	flags := c.Flags()
	flags.IntVar(&want.depth, "depth", 2, "steps from the resource, up to 10")
	flags.StringVar(&want.direction, "direction", "both", "out: what it refers to; in: what refers to it; both")
	flags.StringSliceVar(&want.types, "type", nil, "types of relationships: owns, selects, mounts, references, routes, runs-on, …")
	flags.IntVar(&want.fan, "fan", 0, "relationships into one resource that are followed; the hub's usual number where it isn't given")
	flags.BoolVar(&want.repeat, "repeat", false, "tell of what is owned what its owner tells already, such as the mounts of a Deployment's Pods")
	flags.IntVar(&want.siblings, "siblings", 8, "of one sort beside each other that are drawn, the worst first; 0 is all")
	_ = c.RegisterFlagCompletionFunc("direction", cobra.FixedCompletions([]string{"out", "in", "both"}, cobra.ShellCompDirectiveNoFileComp))
	o.flag(c, "json", "yaml")
	c.ValidArgsFunction = a.offers(a.objectNames)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := o.check(); err != nil {
			return err
		}
		return a.asks(func(s *session) error { return a.tree(c.Context(), s, w, o, want, args) })
	}
	return c
}

func (want treeRequest) query(focus, at string) url.Values {
	out := url.Values{"focus": {focus}, "depth": {strconv.Itoa(want.depth)}, "direction": {want.direction}}
	if len(want.types) > 0 {
		out["type"] = want.types
	}
	if want.fan > 0 {
		out.Set("fan", strconv.Itoa(want.fan))
	}
	if at != "" {
		out.Set("at", at)
	}
	return out
}

func (a *app) tree(ctx context.Context, s *session, w scope, o output, want treeRequest, args []string) error {
	p := a.wait("looking around " + strings.Join(args, " "))
	defer p.stop()
	t, err := s.find(ctx, w, args)
	if err != nil {
		return err
	}
	var g client.Kept[client.Graph]
	err = s.client.Get(ctx, client.Of(t.cluster.ID, "topology")+"?"+want.query(t.ID, w.at).Encode(), &g)
	p.stop()
	switch {
	case err != nil:
		return err
	case o.structured():
		return o.print(a.Out, g)
	}
	d := newDrawing(screenOf(a.Out), &g.Value, t.Ref, want.siblings, want.repeat)
	if d == nil {
		return fault.New(fault.Internal, "%s isn't in the graph around itself", t)
	}
	if err := d.print(t.cluster.Name); err != nil {
		return err
	}
	a.offline(s, g.Value.Meta)
	if t := g.Value.Truncated; t != nil {
		a.say("note: %s; --fan follows more", strings.ReplaceAll(t.Reason, `"more"`, `"…"`))
	}
	if d.folded {
		a.say("note: some are folded; --siblings 0 draws them all")
	}
	return nil
}

// cut tells what an answer leaves out.
func (a *app) cut(t *client.Truncation) {
	if t != nil {
		a.say("note: %s: %s", t.Reason, t.Hint)
	}
}
