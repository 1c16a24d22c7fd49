package command

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubilitics/kubilitics/hub/internal/client"
)

func (a *app) clustersCommand() *cobra.Command {
	var o output
	c := &cobra.Command{
		Use: "clusters", Aliases: []string{"cluster"}, Short: "List the clusters you may see", Args: between(0, 0),
		Long: "Lists the clusters you may see, as the hub knows them: one that is stale isn't connected now, and is shown as it was when it was last heard.",
	}
	o.flag(c, "json", "yaml", "name")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.check(); err != nil {
			return err
		}
		s, err := a.session(asking)
		if err != nil {
			return err
		}
		defer s.client.Close()
		list, err := s.client.Clusters(c.Context())
		switch {
		case err != nil:
			return a.again(s, err)
		case o.structured():
			return o.print(a.Out, map[string]any{"clusters": list})
		case o.form == "name":
			return printNames(a.Out, list)
		case len(list) == 0:
			a.say("%s shows you no clusters", s.Address)
			return nil
		}
		return printClusters(a.Out, list, time.Now())
	}
	return c
}

func printNames(out io.Writer, list []client.Cluster) error {
	for _, c := range list {
		if _, err := fmt.Fprintln(out, c.Name); err != nil {
			return err
		}
	}
	return nil
}

func printClusters(out io.Writer, list []client.Cluster, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tID\tSTATE\tVERSION\tRESOURCES\tLAST HEARD")
	for _, c := range list {
		heard := "never"
		if at := c.Freshness.LastHeard; !at.IsZero() {
			heard = duration.HumanDuration(max(0, now.Sub(at))) + " ago"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", c.Name, c.ID, c.Freshness.State, or(c.Version, "-"), c.Resources, heard)
	}
	return w.Flush()
}
