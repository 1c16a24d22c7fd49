// Command kubilitics-agent watches one cluster and keeps a hub informed of it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kubilitics/kubilitics/agent"
	"github.com/kubilitics/kubilitics/shared/conf"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// Exit codes: what was asked for can't be right, or it failed.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubilitics-agent:", err)
		if fault.Is(err, fault.BadRequest) {
			os.Exit(exitUsage)
		}
		os.Exit(exitFailed)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "kubilitics-agent",
		Short:         "The agent of one Kubernetes cluster",
		Long:          "The agent watches its cluster, computes the topology and its changes, and dials out to the hub.\nConfiguration: flags, then KUBILITICS_* variables, then kubilitics-agent.yaml in /etc/kubilitics, $HOME/.kubilitics or here.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return conf.FlagFault(c.Flags(), err) })
	show := &cobra.Command{Use: "config", Short: "Show the configuration"}
	show.AddCommand(configured(&cobra.Command{Use: "print", Short: "Print the effective values, secrets masked"}, printConfig))
	root.AddCommand(configured(&cobra.Command{
		Use: "run", Short: "Watch the cluster and keep the hub informed until interrupted",
		Long: "Watches the cluster and keeps the hub informed until SIGINT or SIGTERM. A join token is needed the first time; pass it as KUBILITICS_TOKEN or in the file.",
	}, run), show, version())
	return root
}

// configured makes a command whose flags are the configuration.
func configured(c *cobra.Command, run func(ctx context.Context, cfg agent.Config, out io.Writer) error) *cobra.Command {
	conf.Flags(c.Flags(), agent.DefaultConfig())
	c.Args = cobra.NoArgs
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := conf.Load(conf.Program{Name: "kubilitics-agent"}, c.Flags(), agent.DefaultConfig())
		if err != nil {
			return err
		}
		return run(c.Context(), cfg, c.OutOrStdout())
	}
	return c
}

func run(ctx context.Context, cfg agent.Config, _ io.Writer) error {
	log, err := obs.NewLogger(cfg.Log.Level, cfg.Log.Format)
	if err != nil {
		return err
	}
	a, err := agent.New(cfg, log)
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

func printConfig(_ context.Context, cfg agent.Config, out io.Writer) error {
	for _, l := range conf.Lines(cfg) {
		if _, err := fmt.Fprintf(out, "%s: %s\n", l.Key, l.Value); err != nil {
			return err
		}
	}
	return nil
}

func version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), obs.Version())
			return err
		},
	}
}
