package command

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/shared/fault"
)

const lookEvery = time.Second // at a cluster that is waited for

func (a *app) enrollCommand() *cobra.Command {
	var o output
	var labels map[string]string
	var again, wait, program bool
	var limit time.Duration
	c := &cobra.Command{
		Use: "enroll NAME", Short: "Add a cluster to the hub, and print the command that installs its agent", Args: between(1, 1),
		Long: `Adds a cluster to the hub, and prints the command that installs its agent by Helm, to be run where the cluster can be reached. The token in it works once, and
for an hour. With --again another command is made for a cluster that is there already. With --program it is the one that runs the agent as a program, by a kubeconfig.

With --wait it then waits until the agent has connected and all of the cluster is there.`,
		Example: "kubilitics enroll eu-1 --label region=eu --label env=prod\nkubilitics enroll eu-1 --again --wait",
	}
	flags := c.Flags()
	flags.StringToStringVar(&labels, "label", nil, "labels of the cluster, key=value")
	flags.BoolVar(&again, "again", false, "make another command for a cluster that is there")
	flags.BoolVar(&program, "program", false, "print the command that runs the agent as a program, outside of the cluster")
	flags.BoolVar(&wait, "wait", false, "wait until the cluster is live")
	flags.DurationVar(&limit, "timeout", 10*time.Minute, "how long --wait waits")
	o.flag(c, "json", "yaml")
	c.ValidArgsFunction = a.first(a.clusterNames)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := o.check(); err != nil {
			return err
		}
		return a.asks(func(s *session) error {
			made, err := s.invite(c.Context(), args[0], labels, again)
			if fault.Is(err, fault.Conflict) {
				return fault.New(fault.Conflict, "%v; --again makes another command for a cluster that is there", err)
			}
			if err != nil {
				return err
			}
			if program {
				made.Helm = ""
			}
			if err := a.printInvitation(o, args[0], made); err != nil {
				return err
			}
			if again && made.Helm != "" {
				a.say("Where it is installed still, say helm upgrade --reset-then-reuse-values instead of helm install.")
			}
			if !wait {
				return nil
			}
			return a.await(c.Context(), s, args[0], made.ID, limit)
		})
	}
	return c
}

func (s *session) invite(ctx context.Context, name string, labels map[string]string, again bool) (client.Invited, error) {
	if !again {
		return s.client.Enroll(ctx, name, labels)
	}
	if len(labels) > 0 {
		return client.Invited{}, fault.New(fault.BadRequest, "--label is for a cluster that is new")
	}
	c, err := s.one(ctx, []string{name})
	if err != nil {
		return client.Invited{}, err
	}
	return s.client.Invite(ctx, c.ID)
}

// printInvitation prints the command alone, so that it can be run as it is: sh -c "$(kubilitics enroll eu-1)". Where helm must be told whom to trust, the command
// writes the file for that first.
func (a *app) printInvitation(o output, name string, made client.Invited) error {
	if o.structured() {
		return o.print(a.Out, made)
	}
	a.say("%s is known to the hub as %s. Its agent is installed by this, which works once, until %s:", name, made.ID, clock(made.Expires))
	out := screenOf(a.Out)
	if made.Helm == "" {
		return out.line("%s", made.Command)
	}
	if _, after, named := strings.Cut(made.Helm, " --ca-file "); named {
		file, _, _ := strings.Cut(after, " ")
		if err := out.line("cat > %s <<'END'\n%s\nEND", file, strings.TrimSpace(made.HelmCA)); err != nil {
			return err
		}
	}
	return out.line("%s", made.Helm)
}

// await returns when the agent is connected and its first load complete.
func (a *app) await(ctx context.Context, s *session, name, id string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	p := a.wait("waiting for the agent of " + name)
	defer p.stop()
	began := time.Now()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		var info struct {
			Cluster client.Cluster `json:"cluster"`
			Synced  bool           `json:"synced"`
		}
		err := s.client.Get(ctx, client.Of(id, "info"), &info)
		switch {
		case err != nil && !fault.Retryable(err) && !client.Unreachable(err) && ctx.Err() == nil:
			return err
		case err == nil && info.Cluster.Freshness.State == "live" && info.Synced:
			p.stop()
			a.say("%s is live after %s: %s resources, %s relationships", name, time.Since(began).Round(time.Second), number(info.Cluster.Resources), number(info.Cluster.Edges))
			return nil
		case err == nil && info.Cluster.Freshness.State == "live":
			p.tell("%s is connected and sends what it has: %s resources so far", name, number(info.Cluster.Resources))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fault.New(fault.Unavailable, "%s isn't live after %s; its agent's log says why", name, time.Since(began).Round(time.Second))
		}
	}
}
