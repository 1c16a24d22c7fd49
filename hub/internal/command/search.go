package command

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubilitics/kubilitics/hub/internal/client"
)

const mostHits = 500 // that a search can give

func (a *app) searchCommand() *cobra.Command {
	var w scope
	var o output
	var r rows
	c := &cobra.Command{
		Use: "search QUERY...", Short: "Look for resources of all clusters, best first", Args: between(1, 100),
		Long: `Looks for words in names, label values, images and addresses, or for what the query language says, in all clusters that you may see:

  kind:Pod ns:prod* image:nginx status!=Running cluster:eu-* label.app=web restarts>3 age<1h "free text"

The best come first. To have all of very many, list them: kubilitics get -q QUERY.`,
		Example: "kubilitics search api\nkubilitics search kind:Pod status!=Running\nkubilitics search 'image:registry.tidewater.example/api*' --cluster tidewater-eu",
	}
	w.where(a, c)
	w.when(c)
	c.Flags().IntVar(&r.limit, "limit", 50, "how many at most, up to 500")
	o.flag(c, "json", "yaml", "name")
	c.ValidArgsFunction = cobra.NoFileCompletions
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := o.check(); err != nil {
			return err
		}
		return a.asks(func(s *session) error { return a.search(c.Context(), s, w, o, r, args) })
	}
	return c
}

func (a *app) search(ctx context.Context, s *session, w scope, o output, r rows, args []string) error {
	words := args
	if len(w.namespaces) > 0 { // a search has no parameter for it; its language has
		words = append(words, "ns="+strings.Join(w.namespaces, ","))
	}
	w.namespaces = nil
	w.query = strings.Join(words, " ")
	query, err := w.values(ctx, s, "selector")
	if err != nil {
		return err
	}
	p := a.wait("looking for " + w.query)
	defer p.stop()
	list, err := client.Listed[client.Resource](ctx, s.client, "/api/v1/search", query, client.Reach{Page: mostHits, Limit: min(max(1, r.limit), mostHits)})
	p.stop()
	if err != nil {
		return err
	}
	if err := a.printResources(ctx, s, w, o, list); err != nil {
		return err
	}
	a.offline(s, list.Meta)
	if list.More {
		a.say("note: the best %s of %s are shown; kubilitics get -q lists them all", number(len(list.Items)), counted(*list.Total))
	}
	return nil
}
