package main

import (
	"context"
	"fmt"
	"net/url"
	"text/tabwriter"

	"github.com/kubilitics/kubilitics/e2e/demo/app"
)

// summary is what the table shows, as the API gives it.
type summary struct {
	Clusters []struct {
		ID        string `json:"id"`
		Name      string `json:"name"`
		Version   string `json:"version"`
		Provider  string `json:"provider"`
		Resources int    `json:"resources"`
		Edges     int    `json:"edges"`
		Freshness struct {
			State string `json:"state"`
		} `json:"freshness"`
		Health struct {
			OK          int `json:"ok"`
			Progressing int `json:"progressing"`
			Warning     int `json:"warning"`
			Error       int `json:"error"`
			Unknown     int `json:"unknown"`
		} `json:"health"`
	} `json:"clusters"`
}

// show prints the addresses, the token, a table of the clusters, and lines to paste.
func (d *demo) show(ctx context.Context) error {
	var s summary
	if err := d.hub.Get(ctx, "/api/v1/clusters/summary", &s); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\n  API      %s\n  Tunnels  %s\n  Token    %s\n\n", d.hub.URL, d.hub.Tunnels, d.hub.Token)
	w := tabwriter.NewWriter(d.out, 2, 8, 3, ' ', 0)
	fmt.Fprintln(w, "  CLUSTER\tID\tVERSION\tPROVIDER\tFRESHNESS\tRESOURCES\tEDGES\tOK\tPROGRESSING\tWARNING\tERROR\tUNKNOWN")
	for _, c := range s.Clusters {
		h := c.Health
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", c.Name, c.ID, c.Version, or(c.Provider, "-"), c.Freshness.State,
			c.Resources, c.Edges, h.OK, h.Progressing, h.Warning, h.Error, h.Unknown)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	d.curls()
	return nil
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// curls prints lines that work as they are.
func (d *demo) curls() {
	m := d.members[0]
	root := "/api/v1/clusters/" + m.id
	lines := []struct{ what, path, more string }{
		{"the fleet in numbers", "/api/v1/clusters/summary", ""},
		{"Pods of every cluster that aren't well", "/api/v1/resources?q=" + url.QueryEscape("kind:Pod -health:ok"), ""},
		{"the graph of one cluster's namespace", root + "/topology?namespace=default", ""},
	}
	if m.cluster != nil {
		lines = append(lines[:2], []struct{ what, path, more string }{
			{"what is wrong in the fleet that nobody complains about", "/api/v1/topology/findings", ""},
			{"what hangs together with the deliberate mistake, as a picture", root + "/topology/export?format=png&depth=2&focus=Deployment/" + app.MistakeNamespace + "/" + app.MistakeDeployment, " -o mistake.png"},
			{"what stops working without the storefront's settings", root + "/topology/impact?focus=ConfigMap/shop/storefront-config", ""},
			{"what ties the two clusters together", "/api/v1/topology/shared?kind=Host", ""},
			{"what changed in the last two minutes", "/api/v1/topology/diff?from=-2m", ""},
		}...)
	}
	lines = append(lines, []struct{ what, path, more string }{
		{"kubectl through the hub: a kubeconfig that lasts some hours", "/api/v1/kubeconfig", " > hub.kubeconfig"},
		{"who did what", "/api/v1/audit?limit=20", ""},
	}...)
	fmt.Fprintln(d.out)
	for _, l := range lines {
		fmt.Fprintf(d.out, "  # %s\n  curl -s -H 'Authorization: Bearer %s' '%s%s'%s\n\n", l.what, d.hub.Token, d.hub.URL, l.path, l.more)
	}
	d.kubectls(m)
}

// kubectls prints lines that work once the kubeconfig is there.
func (d *demo) kubectls(m *member) {
	const kubectl = "kubectl --kubeconfig hub.kubeconfig --context "
	fmt.Fprintf(d.out, "  %sfleet get pods -A        # all clusters in one table, those that are offline too\n", kubectl)
	if m.cluster != nil {
		fmt.Fprintf(d.out, "  %s%s auth whoami\n  %s%s exec -n shop deploy/api -- date\n", kubectl, m.name, kubectl, m.name)
	}
	fmt.Fprintln(d.out)
}
