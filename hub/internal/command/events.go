package command

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubilitics/kubilitics/hub/internal/client"
)

func (a *app) eventsCommand() *cobra.Command {
	var w scope
	var o output
	var r rows
	var types []string
	var about string
	c := &cobra.Command{
		Use: "events", Short: "List Kubernetes Events of all clusters, newest first", Args: between(0, 0),
		Long:    "Lists Kubernetes Events of all clusters that you may see, newest first; with --for those about one object.",
		Example: "kubilitics events --type Warning\nkubilitics events -n payments --cluster tidewater-eu\nkubilitics events --for deploy/fraud-scorer -n payments --cluster tidewater-eu",
	}
	w.where(a, c)
	c.Flags().StringSliceVar(&types, "type", nil, "Normal, Warning; all where none is given")
	c.Flags().StringVar(&about, "for", "", "what they are about, as kind/name")
	_ = c.RegisterFlagCompletionFunc("type", cobra.FixedCompletions([]string{"Normal", "Warning"}, cobra.ShellCompDirectiveNoFileComp))
	a.completes(c, "for", func(ctx context.Context, s *session, line *cobra.Command, _ []string, begun string) ([]string, error) {
		return a.objectNames(ctx, s, line, nil, begun)
	})
	r.flag(c, 100)
	o.flag(c, "json", "yaml")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.check(); err != nil {
			return err
		}
		return a.asks(func(s *session) error { return a.events(c.Context(), s, w, o, r, types, about) })
	}
	return c
}

func (a *app) events(ctx context.Context, s *session, w scope, o output, r rows, types []string, about string) error {
	query, err := w.values(ctx, s, "")
	if err != nil {
		return err
	}
	if len(types) > 0 {
		query["type"] = types
	}
	if about != "" {
		t, err := s.find(ctx, w, []string{about})
		if err != nil {
			return err
		}
		query.Set("regarding", t.focus())
		query["cluster"] = []string{t.cluster.ID}
	}
	p := a.wait("asking " + s.Address)
	defer p.stop()
	list, err := client.Listed[client.Event](ctx, s.client, "/api/v1/events", query, r.reach(pageRows, func(n int, _ *client.Total) { p.tell("%s events", number(n)) }))
	p.stop()
	switch {
	case err != nil:
		return err
	case o.structured():
		return o.print(a.Out, list)
	case len(list.Items) == 0:
		a.say("there are none")
	default:
		if err := s.eventTable(screenOf(a.Out), list, time.Now()).print(screenOf(a.Out)); err != nil {
			return err
		}
	}
	a.offline(s, list.Meta)
	a.told("events", len(list.Items), nil, list.Continue)
	return nil
}

func (s *session) eventTable(to screen, list *client.List[client.Event], now time.Time) *table {
	t := columns("LAST", "CLUSTER", "NAMESPACE", "TYPE", "REASON", "OBJECT", "COUNT", "MESSAGE")
	for _, item := range list.Items {
		v := item.Value
		kind := cell{text: v.Type}
		if v.Type != "Normal" {
			kind.paint = yellow
		}
		t.row(age(&v.Last, now), s.clusterCell(v.Cluster, list.Meta), v.Namespace, kind, v.Reason, typed(v.Regarding), strconv.FormatInt(v.Count, 10), v.Message)
	}
	return t
}
