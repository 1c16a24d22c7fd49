// Command demo shows the whole of Kubilitics on one machine: two real Kubernetes control planes with an application in them, a hub, and
// an agent for each; or, with --kubeconfig, a hub and an agent for a cluster that is there already. It ends with Ctrl-C and leaves nothing behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `Usage: demo [--kubeconfig FILE] [--listen HOST:PORT] [--log] [--once]

Starts two real control planes with simulated nodes, an application in each, a hub on SQLite and two agents, then tells
what changes until Ctrl-C. The first run builds the Kubernetes programs, which takes some minutes.
With --kubeconfig it watches that cluster instead, and changes nothing in it.

Flags:
`

type settings struct {
	kubeconfig string
	listen     string
	log        bool
	once       bool
}

func main() {
	var s settings
	flag.StringVar(&s.kubeconfig, "kubeconfig", "", "watch the cluster of this file")
	flag.StringVar(&s.listen, "listen", "127.0.0.1:8400", "address of the hub's API; another port if this one is taken")
	flag.BoolVar(&s.log, "log", false, "show the log of the hub and the agents")
	flag.BoolVar(&s.once, "once", false, "end after the first changes were told, instead of at Ctrl-C")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s, os.Stdout)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}
