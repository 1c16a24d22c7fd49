package command

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/shared/fault"
)

func (a *app) diffCommand() *cobra.Command {
	var w scope
	var o output
	var r rows
	var from, to string
	var differs bool
	var edges string
	c := &cobra.Command{
		Use: "diff --from -2h [KIND [NAME...]]", Short: "Tell what differs between two moments", Args: between(0, 100),
		Long: `Tells which resources and relationships came (+), went (-) or changed (~) between two moments, with the fields that did, of all clusters that you may see
or as far as the flags and arguments say. Moments are how long ago (-2h, -7d), times (2026-01-02T15:04:05Z), or positions, as answers and "history" tell them.

With --exit-code it ends with 6 where something differs.`,
		Example: "kubilitics diff --from -10m\nkubilitics diff --from -10m --to -1m -n shop --cluster tidewater-eu\nkubilitics diff --from -10m deploy fraud-scorer -n payments",
	}
	w.where(a, c)
	w.which(a, c, false)
	flags := c.Flags()
	flags.StringVar(&from, "from", "", "the earlier moment")
	flags.StringVar(&to, "to", "", "the later moment; now where it isn't given")
	flags.BoolVar(&differs, "exit-code", false, "end with 6 where something differs")
	flags.StringVar(&edges, "relationships", "kept", "kept: those of resources that are there at both moments; all; none")
	_ = c.RegisterFlagCompletionFunc("relationships", cobra.FixedCompletions([]string{"kept", "all", "none"}, cobra.ShellCompDirectiveNoFileComp))
	r.flag(c, usualRows)
	o.flag(c, "json", "yaml")
	c.ValidArgsFunction = a.offers(a.objectNames)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := o.check(); err != nil {
			return err
		}
		if !slices.Contains([]string{"kept", "all", "none"}, edges) {
			return fault.New(fault.BadRequest, "--relationships can be kept, all or none, and not %q", edges)
		}
		if from == "" {
			return fault.New(fault.BadRequest, "--from says since when, such as -2h")
		}
		return a.asks(func(s *session) error {
			d, err := a.diff(c.Context(), s, w, r, [2]string{from, to}, args)
			if err != nil {
				return err
			}
			found := len(d.Nodes)+len(d.Edges) > 0
			if o.form == "table" {
				a.leaveOut(d, edges)
			}
			if err := a.printDiff(s, o, d); err != nil {
				return err
			}
			if differs && found {
				return &ended{exitFound}
			}
			return nil
		})
	}
	return c
}

func (a *app) diff(ctx context.Context, s *session, w scope, r rows, moments [2]string, args []string) (*client.Diff, error) {
	query, err := w.values(ctx, s, "selector")
	if err != nil {
		return nil, err
	}
	if len(args) > 0 {
		if _, err := wanted(args, query); err != nil {
			return nil, err
		}
	}
	query.Set("from", moments[0])
	if moments[1] != "" && moments[1] != "now" {
		query.Set("to", moments[1])
	}
	p := a.wait("comparing")
	defer p.stop()
	d, err := s.client.Diff(ctx, query, r.reach(500, nil))
	if err != nil {
		return nil, s.nearestKind(ctx, strings.Join(query["kind"], ","), err)
	}
	return d, nil
}

// leaveOut drops the relationships that nobody asked to see. What came has come with its relationships: to tell them too says nothing.
func (a *app) leaveOut(d *client.Diff, which string) {
	moved := map[[2]string]bool{} // cluster and id
	for _, n := range d.Nodes {
		for _, r := range []*client.Resource{n.Value.Before, n.Value.After} {
			if r != nil && n.Value.Op != "changed" {
				moved[[2]string{r.Cluster, r.ID}] = true
			}
		}
	}
	before := len(d.Edges)
	d.Edges = slices.DeleteFunc(d.Edges, func(e client.Kept[client.Change[client.Edge]]) bool {
		x := e.Value.After
		if x == nil {
			x = e.Value.Before
		}
		return which == "none" || which == "kept" && x != nil && (moved[[2]string{x.Cluster, x.Source.ID}] || moved[[2]string{x.Cluster, x.Target.ID}])
	})
	if n := before - len(d.Edges); n > 0 {
		a.say("note: %s relationships are left out; --relationships all shows them", number(n))
	}
}

func (a *app) printDiff(s *session, o output, d *client.Diff) error {
	if o.structured() {
		return o.print(a.Out, d)
	}
	to := screenOf(a.Out)
	if err := s.writeDiff(to, d); err != nil {
		return err
	}
	a.offline(s, d.Meta)
	if d.Continue != "" {
		a.say("note: %s changes are shown; --limit 0 shows all", number(len(d.Nodes)+len(d.Edges)))
	}
	a.cut(d.Truncated)
	return nil
}

// writeDiff tells the counts, then resources, then relationships.
func (s *session) writeDiff(to screen, d *client.Diff) error {
	var b strings.Builder
	c := d.Counts
	least := ""
	if !c.Exact {
		least = "at least "
	}
	b.WriteString(clock(d.From.At) + " → " + clock(d.At) + ": " + least + "resources " + counts(to, c.Added, c.Removed, c.Changed) +
		", relationships " + counts(to, c.EdgesAdded, c.EdgesRemoved, c.EdgesChanged) + "\n")
	for _, n := range d.Nodes {
		v := n.Value
		r := v.After
		if r == nil {
			r = v.Before
		}
		if r == nil {
			continue
		}
		b.WriteString(s.changed(to, v.Op, r.Cluster, called(r.Ref, ""), remark(v.Changed, v.Late)))
		fields(&b, to, v.Changed)
	}
	for _, e := range d.Edges {
		v := e.Value
		r := v.After
		if r == nil {
			r = v.Before
		}
		if r == nil {
			continue
		}
		b.WriteString(s.changed(to, v.Op, r.Cluster, called(r.Source, "")+" "+r.Type+" "+called(r.Target, r.Source.Namespace), remark(v.Changed, v.Late)))
		fields(&b, to, v.Changed)
	}
	_, err := to.Write([]byte(b.String()))
	return err
}

// remark is what there is to say of a change besides its fields.
func remark(changed []client.FieldChange, late bool) (text string) {
	if slices.ContainsFunc(changed, func(f client.FieldChange) bool { return f.Field == "manifest" }) {
		text = "  its text"
	}
	if late {
		text += "  found late, after an outage"
	}
	return text
}

func counts(to screen, added, removed, changed int) string {
	return to.in(green, "+"+number(added)) + " " + to.in(red, "-"+number(removed)) + " " + to.in(yellow, "~"+number(changed))
}

func (s *session) changed(to screen, op, cluster, what, remark string) string {
	of := signs[op]
	return to.in(of.paint, or(of.mark, "?")+" "+s.nameOf(cluster)+"  "+plainly(what)) + to.in(faint, remark) + "\n"
}

// fields tells them one below the other, without the text, of which only that it changed can be told.
func fields(b *strings.Builder, to screen, list []client.FieldChange) {
	widest := 0
	list = slices.DeleteFunc(list, func(f client.FieldChange) bool { return f.Field == "manifest" })
	for _, f := range list {
		widest = max(widest, len(f.Field))
	}
	for _, f := range list {
		what := value(f.Before) + " → " + value(f.After)
		b.WriteString("      " + to.in(faint, f.Field+strings.Repeat(" ", widest-len(f.Field))) + "  " + what + "\n")
	}
}

func value(text *string) string {
	switch {
	case text == nil:
		return "(none)"
	case *text == "":
		return `""`
	}
	return plainly(*text)
}
