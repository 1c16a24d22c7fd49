// Command kubilitics-hub is the hub: agents of any number of clusters dial in, people and programs ask it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kubilitics/kubilitics/hub"
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
		fmt.Fprintln(os.Stderr, "kubilitics-hub:", err)
		if fault.Is(err, fault.BadRequest) {
			os.Exit(exitUsage)
		}
		os.Exit(exitFailed)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "kubilitics-hub",
		Short:         "The hub of a fleet of Kubernetes clusters",
		Long:          "The hub merges what agents tell of their clusters into one database and serves it.\nConfiguration: flags, then KUBILITICS_* variables, then kubilitics-hub.yaml in /etc/kubilitics, $HOME/.kubilitics or here.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return conf.FlagFault(c.Flags(), err) })
	root.AddCommand(serve(), migrate(), config(), version())
	return root
}

// configured makes a command whose flags are the configuration.
func configured(c *cobra.Command, run func(ctx context.Context, cfg hub.Config, out io.Writer) error) *cobra.Command {
	conf.Flags(c.Flags(), hub.DefaultConfig())
	c.Args = cobra.NoArgs
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := load(c.Flags())
		if err != nil {
			return err
		}
		return run(c.Context(), cfg, c.OutOrStdout())
	}
	return c
}

func load(flags *pflag.FlagSet) (hub.Config, error) {
	return conf.Load(conf.Program{Name: "kubilitics-hub"}, flags, hub.DefaultConfig())
}

func serve() *cobra.Command {
	return configured(&cobra.Command{
		Use:   "serve",
		Short: "Serve until interrupted",
		Long:  "Serves the API and the tunnels until SIGINT or SIGTERM. Prints its addresses, and at the first start the administrator's token, once.",
	}, func(ctx context.Context, cfg hub.Config, out io.Writer) error {
		log, err := obs.NewLogger(cfg.Log.Level, cfg.Log.Format)
		if err != nil {
			return err
		}
		h, err := hub.New(ctx, cfg, log)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "api %s\ntunnels %s\n", h.APIURL(), h.TunnelAddress())
		if token := h.BootstrapToken(); token != "" && err == nil {
			_, err = fmt.Fprintf(out, "token %s\n", token)
		}
		if err != nil { // nobody would ever see the token
			return errors.Join(err, h.Close())
		}
		return h.Run(ctx)
	})
}

func migrate() *cobra.Command {
	return configured(&cobra.Command{
		Use:   "migrate",
		Short: "Bring the database to this program's schema, and end",
		Long:  "Brings the database to this program's schema, as serve does at its start, and ends. A newer schema is refused.",
	}, func(ctx context.Context, cfg hub.Config, _ io.Writer) error {
		log, err := obs.NewLogger(cfg.Log.Level, cfg.Log.Format)
		if err != nil {
			return err
		}
		return hub.Migrate(ctx, cfg, log)
	})
}

func config() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Show the configuration"}
	c.AddCommand(configured(&cobra.Command{Use: "print", Short: "Print the effective values, secrets masked"},
		func(_ context.Context, cfg hub.Config, out io.Writer) error {
			for _, l := range conf.Lines(cfg) {
				if _, err := fmt.Fprintf(out, "%s: %s\n", l.Key, l.Value); err != nil {
					return err
				}
			}
			return nil
		}))
	return c
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
