package command

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubilitics/kubilitics/hub/internal/client"
)

// kindsOfFindings are those that there are.
var kindsOfFindings = []string{
	"missing-target", "dangling-binding", "nothing-to-scale", "missing-owner", "ungranted-reference", "selects-nothing", "protects-nothing", "owner-cycle", "plugin", "unused",
}

func (a *app) findingsCommand() *cobra.Command {
	var w scope
	var o output
	var r rows
	var severities, findings []string
	var found bool
	c := &cobra.Command{
		Use: "findings", Short: "Tell what is wrong that nobody complains about", Args: between(0, 0),
		Long: `Tells what is wrong with the topology: references to what isn't there, bindings to nobody, selectors that pick nothing, circles of owners, what
nothing uses; with how sure that is. With --exit-code it ends with 6 where anything was found, for pipelines.`,
		Example: "kubilitics findings --severity error,warning\nkubilitics findings --cluster tidewater-eu --finding missing-target -o json\nkubilitics findings -n shop --severity error --exit-code",
	}
	w.where(a, c)
	w.which(a, c, true)
	w.when(c)
	flags := c.Flags()
	flags.StringSliceVar(&severities, "severity", nil, "error, warning, info; all where none is given")
	flags.StringSliceVar(&findings, "finding", nil, "kinds of findings, such as missing-target; all where none is given")
	flags.BoolVar(&found, "exit-code", false, "end with 6 where anything was found")
	_ = c.RegisterFlagCompletionFunc("severity", cobra.FixedCompletions([]string{"error", "warning", "info"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("finding", cobra.FixedCompletions(kindsOfFindings, cobra.ShellCompDirectiveNoFileComp))
	r.flag(c, usualRows)
	o.flag(c, "json", "yaml", "name")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.check(); err != nil {
			return err
		}
		return a.asks(func(s *session) error {
			n, err := a.findings(c.Context(), s, w, o, r, map[string][]string{"severity": severities, "finding": findings})
			if err == nil && found && n > 0 {
				err = &ended{exitFound}
			}
			return err
		})
	}
	return c
}

func (a *app) findings(ctx context.Context, s *session, w scope, o output, r rows, picked map[string][]string) (int, error) {
	query, err := w.values(ctx, s, "selector")
	if err != nil {
		return 0, err
	}
	for key, list := range picked {
		if len(list) > 0 {
			query[key] = list
		}
	}
	p := a.wait("looking for what is wrong")
	defer p.stop()
	list, err := client.Listed[client.Finding](ctx, s.client, "/api/v1/topology/findings", query, r.reach(500, func(n int, _ *client.Total) { p.tell("%s findings", number(n)) }))
	p.stop()
	if err != nil {
		return 0, err
	}
	if err := a.printFindings(s, w, o, list); err != nil {
		return 0, err
	}
	a.offline(s, list.Meta)
	a.told("findings", len(list.Items), nil, list.Continue)
	return len(list.Items), nil
}

func (a *app) printFindings(s *session, w scope, o output, list *client.List[client.Finding]) error {
	to := screenOf(a.Out)
	switch {
	case o.structured():
		return o.print(a.Out, list)
	case o.form == "name":
		for _, item := range list.Items {
			if err := to.line("%s", typed(item.Value.Object)); err != nil {
				return err
			}
		}
		return nil
	case len(list.Items) == 0:
		a.say("nothing was found")
		return nil
	}
	return s.findingTable(to, list, a.now(w, list.Meta)).print(to)
}

func (s *session) findingTable(to screen, list *client.List[client.Finding], now time.Time) *table {
	t := columns("SEVERITY", "CLUSTER", "NAMESPACE", "FINDING", "SINCE", "SURE", "WHAT")
	for _, item := range list.Items {
		v := item.Value
		t.row(to.health(v.Severity), s.clusterCell(v.Cluster, list.Meta), v.Object.Namespace, v.Kind, age(v.SinceAt, now), v.Confidence, v.Sentence)
	}
	return t
}
