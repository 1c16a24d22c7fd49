// Command kubilitics-hub is the hub: agents of any number of clusters dial in, people and programs ask it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	_ "golang.org/x/crypto/x509roots/fallback" // where the machine knows no roots of TLS: in an image of this program alone

	"github.com/kubilitics/kubilitics/hub"
	"github.com/kubilitics/kubilitics/shared/cli"
	"github.com/kubilitics/kubilitics/shared/obs"
)

func main() {
	cli.Main(cli.Program[hub.Config]{
		Name:     "kubilitics-hub",
		Short:    "The hub of a fleet of Kubernetes clusters",
		Long:     "The hub merges what agents tell of their clusters into one database and serves it.",
		Defaults: hub.DefaultConfig(),
		Commands: []cli.Command[hub.Config]{
			{
				Use: "serve", Short: "Serve until interrupted", Run: serve,
				Long: "Serves the API and the tunnels until SIGINT or SIGTERM. Prints its addresses, and at the first start the administrator's token, once.",
			},
			{
				Use: "migrate", Short: "Bring the database to this program's schema, and end", Run: migrate,
				Long: "Brings the database to this program's schema, as serve does at its start, and ends. A newer schema is refused.",
			},
			{
				Use: "token NAME", Short: "Make an administrator's token straight in the database", With: token,
				Long: "Makes an API token with that name, which may do everything in the tenant, and prints it, for where all tokens that could make one are lost. It goes to the " +
					"database itself, beside a hub that runs, and is on record. Make better ones with it and revoke it.",
			},
			{
				Use: "backup FILE", Short: "Write the SQLite database and the hub's root into a new file", With: backup,
				Long: "Writes the SQLite database as it is at one moment, and the hub's root with its key, into a file that must not exist yet. The hub may run meanwhile. The file is " +
					"as secret as the root's key. For Postgres it says what to do instead.",
			},
			{
				Use: "restore FILE", Short: "Put back what backup wrote, where there is nothing yet", With: restore,
				Long: "Puts the database and the root of a backup where the configuration says that they are. What is there isn't written over. Start the hub afterwards: agents come " +
					"back by themselves, and tell what has changed since.",
			},
		},
		Also: []*cobra.Command{desktopCommand(), debugCommand()},
	})
}

func serve(ctx context.Context, cfg hub.Config, out io.Writer) error {
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
}

func migrate(ctx context.Context, cfg hub.Config, _ io.Writer) error {
	log, err := obs.NewLogger(cfg.Log.Level, cfg.Log.Format)
	if err != nil {
		return err
	}
	return hub.Migrate(ctx, cfg, log)
}
