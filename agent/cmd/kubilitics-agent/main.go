// Command kubilitics-agent watches one cluster and keeps a hub informed of it.
package main

import (
	"context"
	"io"

	_ "golang.org/x/crypto/x509roots/fallback" // where the machine knows no roots of TLS: in an image of this program alone

	"github.com/kubilitics/kubilitics/agent"
	"github.com/kubilitics/kubilitics/shared/cli"
	"github.com/kubilitics/kubilitics/shared/obs"
)

func main() {
	cli.Main(cli.Program[agent.Config]{
		Name:     "kubilitics-agent",
		Short:    "The agent of one Kubernetes cluster",
		Long:     "The agent watches its cluster, computes the topology and its changes, and dials out to the hub.",
		Defaults: agent.DefaultConfig(),
		Commands: []cli.Command[agent.Config]{{
			Use: "run", Short: "Watch the cluster and keep the hub informed until interrupted", Run: run,
			Long: "Watches the cluster and keeps the hub informed until SIGINT or SIGTERM. A join token is needed the first time: pass it as KUBILITICS_TOKEN or in the file.",
		}},
	})
}

func run(ctx context.Context, cfg agent.Config, _ io.Writer) error {
	settle()
	collect()
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
