package command

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/kubilitics/kubilitics/hub/internal/client"
)

var levels = []string{"tenant", "cluster", "namespace", "application", "workload"}

func (a *app) healthCommand() *cobra.Command {
	var w scope
	var o output
	var r rows
	var level string
	var bad int
	c := &cobra.Command{
		Use: "health", Short: "Tell how everything fares, rolled up", Args: between(0, 0),
		Long: `Tells how resources fare, rolled up to clusters, or with --level to tenant, namespace, application or workload, and of each which fare worst and why. What is
unknown is never green, and what is known of a cluster that is offline is marked as such.`,
		Example: "kubilitics health\nkubilitics health --level application --cluster tidewater-eu\nkubilitics health --level workload -n payments",
	}
	w.where(a, c)
	w.which(a, c, true)
	w.when(c)
	c.Flags().StringVar(&level, "level", "cluster", "tenant, cluster, namespace, application or workload")
	c.Flags().IntVar(&bad, "bad", 3, "objects told of each, those that fare worst; -1 is none")
	_ = c.RegisterFlagCompletionFunc("level", cobra.FixedCompletions(levels, cobra.ShellCompDirectiveNoFileComp))
	r.flag(c, usualRows)
	o.flag(c, "json", "yaml")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.check(); err != nil {
			return err
		}
		return a.asks(func(s *session) error { return a.health(c.Context(), s, w, o, r, level, bad) })
	}
	return c
}

func (a *app) health(ctx context.Context, s *session, w scope, o output, r rows, level string, bad int) error {
	query, err := w.values(ctx, s, "selector")
	if err != nil {
		return err
	}
	query.Set("level", level)
	query.Set("bad", strconv.Itoa(bad))
	p := a.wait("asking " + s.Address)
	defer p.stop()
	page := 5000 // groups have no pages
	if level == "workload" {
		page = 500
	}
	h, err := s.client.Health(ctx, query, r.reach(page, nil))
	p.stop()
	switch {
	case err != nil:
		return err
	case o.structured():
		return o.print(a.Out, h)
	}
	to := screenOf(a.Out)
	t := s.groupTable(to, h)
	if level == "workload" {
		t = s.workloadTable(to, h)
	}
	if len(t.rows) == 0 {
		a.say("there is nothing")
	}
	if err := t.print(to); err != nil {
		return err
	}
	a.offline(s, h.Meta)
	a.told("workloads", len(h.Workloads), nil, h.Continue)
	a.cut(h.Truncated)
	return nil
}

// groupTable has the columns of the level, and below each group those that fare worst.
func (s *session) groupTable(to screen, h *client.Health) *table {
	var head []string
	switch h.Level {
	case "tenant":
	case "cluster":
		head = []string{"CLUSTER"}
	case "namespace":
		head = []string{"CLUSTER", "NAMESPACE"}
	default:
		head = []string{"CLUSTER", "NAMESPACE", "APPLICATION"}
	}
	slices.SortStableFunc(h.Groups, func(x, y client.HealthGroup) int {
		return cmp.Or(cmp.Compare(s.nameOf(x.Cluster), s.nameOf(y.Cluster)), cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Application, y.Application))
	})
	t := columns(append(head, "HEALTH", "ERROR", "WARNING", "PROGRESSING", "UNKNOWN", "OK", "MISSING", "WORST")...)
	for _, g := range h.Groups {
		line := []any{s.groupCluster(g, h.Meta), g.Namespace, g.Application}[:len(head)]
		line = append(line, to.health(g.Worst))
		for _, n := range []struct {
			count int
			paint
		}{{g.Health.Error, red}, {g.Health.Warning, yellow}, {g.Health.Progressing, cyan}, {g.Health.Unknown, plain}, {g.Health.OK, plain}, {g.Missing, red}} {
			c := cell{text: strconv.Itoa(n.count), paint: n.paint}
			if n.count == 0 {
				c.paint = faint
			}
			line = append(line, c)
		}
		first := ""
		if len(g.Bad) > 0 {
			first = s.because(h.Level, g.Bad[0])
		}
		t.row(append(line, first)...)
		for _, b := range g.Bad[min(1, len(g.Bad)):] {
			rest := make([]any, len(head)+7)
			for i := range rest {
				rest[i] = cell{text: " "}
			}
			t.row(append(rest, s.because(h.Level, b))...)
		}
	}
	return t
}

func (s *session) groupCluster(g client.HealthGroup, m client.Meta) cell {
	c := s.clusterCell(g.Cluster, m)
	if g.Stale && c.paint == plain && c.text != "" {
		return cell{c.text + " (offline)", yellow}
	}
	return c
}

// because names an object that fares badly, and why.
func (s *session) because(level string, b client.BadObject) string {
	text := called(b.Ref, "") + ": " + b.Why
	if level == "tenant" {
		text = s.nameOf(b.Cluster) + " " + text
	}
	return text
}

func (s *session) workloadTable(to screen, h *client.Health) *table {
	t := columns("CLUSTER", "NAMESPACE", "KIND", "NAME", "HEALTH", "STATUS", "OWNS", "WORST")
	for _, item := range h.Workloads {
		v := item.Value
		n := v.Rollup.Owned
		why := ""
		if len(v.Rollup.Bad) > 0 {
			why = s.because(h.Level, v.Rollup.Bad[0])
		}
		t.row(s.clusterCell(v.Cluster, h.Meta), v.Namespace, v.Kind, v.Name, to.health(v.Rollup.Worst), v.Status, strconv.Itoa(n.Error+n.Warning+n.Progressing+n.Unknown+n.OK), why)
	}
	return t
}
