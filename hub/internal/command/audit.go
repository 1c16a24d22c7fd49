package command

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubilitics/kubilitics/hub/internal/client"
)

func (a *app) auditCommand() *cobra.Command {
	var o output
	var r rows
	var cluster string
	var writes bool
	c := &cobra.Command{
		Use: "audit", Short: "Tell who did what, newest first", Args: between(0, 0),
		Long: `Tells who did what through the hub, newest first: each request to a cluster, and each that changed something in the hub itself. Whoever isn't an
administrator sees their own.`,
		Example: "kubilitics audit --writes --from -2h\nkubilitics audit --cluster tidewater-eu --resource pods/exec\nkubilitics audit --outcome refused -o json",
	}
	flags := c.Flags()
	filters := map[string]*string{}
	for _, f := range [][2]string{
		{"who", "name of who asked"}, {"verb", "as in Kubernetes: get, list, create, patch, delete …"}, {"resource", "the plural, with its subresource: deployments, pods/exec"},
		{"name", "name of the object"}, {"outcome", "open, done, refused, failed or unknown"}, {"via", "kubernetes, fleet, api, or the operation that it was done for, such as drain"},
		{"request", "id of the request"}, {"from", "not earlier than this: -2h, -7d, or a time"}, {"to", "earlier than this"},
	} {
		filters[f[0]] = flags.String(f[0], "", f[1])
	}
	filters["namespace"] = flags.StringP("namespace", "n", "", "namespace")
	flags.StringVar(&cluster, "cluster", "", "name or id of the cluster")
	flags.BoolVar(&writes, "writes", false, "leave out what only reads")
	_ = c.RegisterFlagCompletionFunc("outcome", cobra.FixedCompletions([]string{"open", "done", "refused", "failed", "unknown"}, cobra.ShellCompDirectiveNoFileComp))
	a.completes(c, "cluster", a.clusterNames)
	a.completes(c, "namespace", a.namespaceNames)
	r.flag(c, 100)
	o.flag(c, "json", "yaml")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.check(); err != nil {
			return err
		}
		query := url.Values{}
		for key, text := range filters {
			if *text != "" {
				query.Set(key, *text)
			}
		}
		if writes {
			query.Set("writes", "true")
		}
		return a.asks(func(s *session) error { return a.audit(c.Context(), s, o, r, cluster, query) })
	}
	return c
}

func (a *app) audit(ctx context.Context, s *session, o output, r rows, cluster string, query url.Values) error {
	if _, err := s.fleet(ctx); err != nil {
		return err
	}
	if cluster != "" {
		c, err := s.one(ctx, []string{cluster})
		if err != nil {
			return err
		}
		query.Set("cluster", c.ID)
	}
	p := a.wait("asking " + s.Address)
	defer p.stop()
	list, err := client.Listed[client.AuditRecord](ctx, s.client, "/api/v1/audit", query, r.reach(pageRows, func(n int, _ *client.Total) { p.tell("%s records", number(n)) }))
	p.stop()
	switch {
	case err != nil:
		return err
	case o.structured():
		return o.print(a.Out, list)
	case len(list.Items) == 0:
		a.say("there are none")
	default:
		if err := s.auditTable(list).print(screenOf(a.Out)); err != nil {
			return err
		}
	}
	if list.Shown != "everything" {
		a.say("note: %s", map[string]string{"part": "these are those to what you may administer", "own": "these are your own"}[list.Shown])
	}
	a.told("records", len(list.Items), nil, list.Continue)
	return nil
}

func (s *session) auditTable(list *client.List[client.AuditRecord]) *table {
	t := columns("AT", "WHO", "CLUSTER", "VERB", "WHAT", "OUTCOME", "STATUS", "TOOK", "VIA", "REQUEST")
	for _, item := range list.Items {
		v := item.Value
		outcome := cell{text: v.Outcome}
		switch v.Outcome {
		case "refused", "unknown":
			outcome.paint = yellow
		case "failed":
			outcome.paint = red
		}
		status := ""
		if v.Status != 0 {
			status = strconv.Itoa(v.Status)
		}
		took := time.Duration(v.TookMS * float64(time.Millisecond))
		cluster := ""
		if v.Cluster != "" {
			cluster = s.nameOf(v.Cluster)
		}
		t.row(clock(v.At), v.Who, cluster, v.Verb, acted(v), outcome, status, took.Round(time.Millisecond/10).String(), v.Via, v.Request)
	}
	return t
}

// acted says on what a request was.
func acted(v client.AuditRecord) string {
	text := v.Resource
	switch name := strings.TrimPrefix(v.Namespace+"/"+v.Name, "/"); {
	case text == "":
		text = v.Path
	case strings.TrimSuffix(name, "/") != "":
		text += " " + name
	}
	if len(v.Command) > 0 {
		text += " -- " + strings.Join(v.Command, " ")
	}
	if v.DryRun {
		text += " (dry run)"
	}
	return text
}
