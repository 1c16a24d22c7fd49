package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub"
	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/shared/cli"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/version"
)

// The variables of the command for people, which mean the same here.
const (
	hubVariable   = "KUBILITICS_HUB"
	tokenVariable = "KUBILITICS_TOKEN"
)

// asking says whom to ask for a bundle, and where it goes.
type asking struct {
	out, hub, ca string
	token        string
}

func debugCommand() *cobra.Command {
	a := &asking{}
	c := cli.Own("kubilitics-hub", hub.DefaultConfig(), cli.Command[hub.Config]{
		Use: "bundle", Short: "Pack what the hub tells of itself, without secrets, into one file for those who help", Run: a.bundle,
		Long: `Asks a running hub for a debug bundle, a gzipped tar: versions, the configuration with secrets masked, sizes of the database, clusters and sessions, plugins, metrics,
goroutines, the heap's profile and the newest lines of the log. Nothing of what clusters hold is in it, and no secret.

Which hub: --hub, then KUBILITICS_HUB, then the one that this configuration starts. The API token, of an administrator, is KUBILITICS_TOKEN. Without a token, and
where no hub answers, the bundle has what the configuration and the database tell.`,
	})
	c.Flags().StringVar(&a.out, "out", "", "the file to write, - for standard output; kubilitics-debug-TIME.tar.gz in the current directory if empty")
	c.Flags().StringVar(&a.hub, "hub", "", "address of the hub ("+hubVariable+")")
	c.Flags().StringVar(&a.ca, "ca", "", "PEM file of whom to trust to be the hub, instead of those whom the system trusts")
	parent := &cobra.Command{Use: "debug", Short: "What helps those who help", RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	parent.AddCommand(c)
	return parent
}

func (a *asking) bundle(ctx context.Context, cfg hub.Config, out io.Writer) error {
	name := "kubilitics-debug-" + time.Now().UTC().Format("20060102-150405")
	write, err := a.source(ctx, cfg, name)
	if err != nil || a.out == "-" {
		if err == nil {
			err = write(out)
		}
		return err
	}
	if a.out == "" {
		a.out = name + ".tar.gz"
	}
	file, err := os.OpenFile(a.out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fault.Wrap(err, fault.BadRequest, "the file %s can't be made", a.out)
	}
	if err := errors.Join(write(file), file.Close()); err != nil {
		return errors.Join(err, os.Remove(a.out)) // a half of one would be taken for a whole
	}
	_, err = fmt.Fprintln(out, a.out)
	return err
}

// source finds out who makes the bundle: the running hub, or this program from what lies there.
func (a *asking) source(ctx context.Context, cfg hub.Config, name string) (write func(io.Writer) error, err error) {
	why := tokenVariable + " holds no API token"
	if a.token = os.Getenv(tokenVariable); a.token != "" {
		body, err := a.ask(ctx, cfg)
		if err == nil {
			return func(w io.Writer) error {
				_, err := io.Copy(w, body)
				return errors.Join(err, body.Close())
			}, nil
		}
		if !client.Unreachable(err) {
			return nil, err
		}
		why = err.Error()
	}
	fmt.Fprintf(os.Stderr, "no running hub was asked (%s): the bundle has what the configuration and the database tell\n", why)
	log, err := obs.NewLogger("error", cfg.Log.Format)
	if err != nil {
		log = zap.NewNop() // what is wrong with the format is no reason to help nobody
	}
	return func(w io.Writer) error { return hub.BundleOffline(ctx, cfg, w, name, log) }, nil
}

func (a *asking) ask(ctx context.Context, cfg hub.Config) (io.ReadCloser, error) {
	at := a.hub
	if at == "" {
		at = os.Getenv(hubVariable)
	}
	if at == "" {
		at = addressOf(cfg)
	}
	at, err := client.Address(at)
	if err != nil {
		return nil, err
	}
	ask := client.Config{Hub: at, Token: a.token, Agent: "kubilitics-hub/" + version.String()}
	if a.ca != "" {
		if ask.CA, err = os.ReadFile(a.ca); err != nil {
			return nil, fault.Wrap(err, fault.BadRequest, "the file of --ca can't be read")
		}
	}
	c, err := client.New(ask)
	if err != nil {
		return nil, err
	}
	return c.Open(ctx, http.MethodGet, "/api/v1/debug/bundle", "application/gzip", nil)
}

// addressOf is where the hub of a configuration is asked from the same machine.
func addressOf(cfg hub.Config) string {
	if cfg.PublicURL != "" {
		return cfg.PublicURL
	}
	scheme := "http://"
	if cfg.TLSCert != "" {
		scheme = "https://"
	}
	host, port, _ := net.SplitHostPort(cfg.Listen)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + net.JoinHostPort(host, port)
}
