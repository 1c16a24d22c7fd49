package command

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubilitics/kubilitics/hub/internal/client"
)

func (a *app) impactCommand() *cobra.Command {
	var w scope
	var o output
	var depth int
	var r rows
	c := &cobra.Command{
		Use: "impact KIND/NAME", Short: "Tell what stops working if a resource goes", Args: between(1, 2),
		Long: `Tells what stops working if a resource goes, step by step, each with the reason. What deserves to be looked at first stands first: workloads that lose
their only replica, Services that lose their last ready Pod, disruption budgets that refuse an eviction. ✖ breaks, ▲ degrades, ■ is blocked.`,
		Example: "kubilitics impact configmap/api-config -n shop --cluster tidewater-eu\nkubilitics impact node/tidewater-eu-node-1\nkubilitics impact svc/api -n shop --cluster tidewater-eu -o json",
	}
	w.where(a, c)
	w.when(c)
	c.Flags().IntVar(&depth, "depth", 20, "steps from the resource, up to 20")
	c.Flags().IntVar(&r.limit, "limit", 1000, "affected resources at most, up to 10000")
	o.flag(c, "json", "yaml", "name")
	c.ValidArgsFunction = a.offers(a.objectNames)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := o.check(); err != nil {
			return err
		}
		query := url.Values{"depth": {strconv.Itoa(depth)}, "limit": {strconv.Itoa(r.limit)}}
		return a.asks(func(s *session) error { return a.impact(c.Context(), s, w, o, query, args) })
	}
	return c
}

func (a *app) impact(ctx context.Context, s *session, w scope, o output, query url.Values, args []string) error {
	p := a.wait("working out what depends on " + strings.Join(args, " "))
	defer p.stop()
	t, err := s.find(ctx, w, args)
	if err != nil {
		return err
	}
	query.Set("focus", t.ID)
	if w.at != "" {
		query.Set("at", w.at)
	}
	var i client.Kept[client.Impact]
	err = s.client.Get(ctx, client.Of(t.cluster.ID, "topology", "impact")+"?"+query.Encode(), &i)
	p.stop()
	switch {
	case err != nil:
		return err
	case o.structured():
		return o.print(a.Out, i)
	case o.form == "name":
		for _, x := range i.Value.Affected {
			if err := screenOf(a.Out).line("%s", typed(x.Ref)); err != nil {
				return err
			}
		}
	default:
		if err := printImpact(screenOf(a.Out), &i.Value, t.cluster.Name); err != nil {
			return err
		}
	}
	a.offline(s, i.Value.Meta)
	a.cut(i.Value.Truncated)
	return nil
}

// printImpact is the verdict, what to look at first, and then each that is affected, below the step that it is at.
func printImpact(to screen, i *client.Impact, cluster string) error {
	name := called(i.Focus.Ref, "")
	if len(i.Affected) == 0 {
		return to.line("nothing that is known stops working if %s in %s goes", name, cluster)
	}
	var b strings.Builder
	b.WriteString("If " + to.in(bold, name) + " in " + cluster + " goes: " + verdict(to, i) + "\n")
	if len(i.Hits) > 0 {
		b.WriteString("\nfirst of all\n")
	}
	for _, h := range i.Hits {
		b.WriteString("  " + to.in(red, "!") + " " + plainly(h.Sentence) + "\n")
	}
	for n, x := range i.Affected {
		if n == 0 || x.Depth != i.Affected[n-1].Depth {
			b.WriteString("\n" + to.in(faint, "step "+strconv.Itoa(x.Depth)) + "\n")
		}
		b.WriteString("  " + affected(to, x, i.Focus.Namespace) + "\n")
	}
	_, err := to.Write([]byte(b.String()))
	return err
}

func verdict(to screen, i *client.Impact) string {
	var parts []string
	for _, c := range []struct {
		n    int
		sign string
		word string
	}{{i.Counts.Breaks, "breaks", "break"}, {i.Counts.Degrades, "degrades", "degrade"}, {i.Counts.Blocked, "blocked", "blocked"}} {
		if c.n > 0 {
			parts = append(parts, to.in(signs[c.sign].paint, number(c.n)+" "+c.word))
		}
	}
	text := strings.Join(parts, ", ")
	if i.Truncated != nil {
		text = "at least " + text
	}
	return text
}

func affected(to screen, x client.Affected, usual string) string {
	of := signs[x.Severity]
	text := to.in(of.paint, of.mark) + " " + to.in(bold, plainly(called(x.Ref, usual))) + " " + plainly(x.Reason)
	switch {
	case x.Gone:
		text += to.in(red, " (goes too)")
	case x.Causes > 1:
		text += to.in(faint, " (and "+strconv.Itoa(x.Causes-1)+" more)")
	}
	if x.More {
		text += to.in(faint, " …")
	}
	return text
}
