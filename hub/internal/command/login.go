package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/hub/internal/login"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// asking is how long a person waits for a hub's answer.
const asking = 30 * time.Second

func (a *app) loginCommand() *cobra.Command {
	var from tokenSource
	c := &cobra.Command{
		Use: "login [HUB]", Short: "Log in to a hub, and make it the current one", Args: between(0, 1),
		Long: `Asks for an API token, looks whether the hub takes it, and keeps it in a file that only you can read. An administrator of the hub
makes API tokens; the hub prints the first one when it starts for the first time.

The token is never an argument, since those are there for everybody on the machine to see.`,
		ValidArgsFunction: a.hubs,
		Example:           "  kubilitics login https://hub.example\n  kubilitics login https://hub.example --ca hub-root.pem --token-file token\n  pass hub/token | kubilitics login https://hub.example --token-stdin",
	}
	c.Flags().BoolVar(&from.stdin, "token-stdin", false, "read the token from standard input")
	c.Flags().StringVar(&from.file, "token-file", "", "read the token from this file")
	c.RunE = func(c *cobra.Command, args []string) error { return a.login(c.Context(), args, from) }
	return c
}

// named takes the hub from the arguments, where it may stand as well as behind --hub.
func (a *app) named(args []string) error {
	if len(args) == 0 {
		return nil
	}
	if a.hub != "" && a.hub != args[0] {
		return fault.New(fault.BadRequest, "--hub and the argument name two hubs")
	}
	a.hub = args[0]
	return nil
}

func (a *app) login(ctx context.Context, args []string, from tokenSource) error {
	if err := a.named(args); err != nil {
		return err
	}
	all, err := a.logins()
	if err != nil {
		return err
	}
	address, err := a.address(all)
	if err != nil {
		return err
	}
	if address == "" {
		return fault.New(fault.BadRequest, "which hub? %s login https://…", a.name())
	}
	if inTheClear(address) {
		a.say("warning: what you send to %s, your token too, can be read on its way: use https", address)
	}
	before, _ := all.Find(address)
	hub := login.Hub{Address: address, CA: before.CA}
	if hub.Token, err = a.token(ctx, from, address); err != nil {
		return err
	}
	s, err := a.open(hub, asking)
	if err != nil {
		return err
	}
	defer s.client.Close()
	me, err := s.client.Me(ctx)
	if err != nil {
		return err
	}
	all.Put(s.Hub)
	if err := errors.Join(a.files.Save(all), a.files.Forget(address)); err != nil { // old tickets may be why somebody logs in again
		return err
	}
	_, err = fmt.Fprintf(a.Out, "logged in to %s as %s%s\n", address, me.Name, until(me.Expires))
	return err
}

func until(t *time.Time) string {
	if t == nil {
		return ""
	}
	return ", until " + t.Local().Format(time.DateTime)
}

// inTheClear tells that what is sent there leaves this machine without TLS.
func inTheClear(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())
}

// tokenSource is where a token comes from; the zero value is a person, or the environment.
type tokenSource struct {
	stdin bool
	file  string
}

// maxToken bounds what is read in search of a token, in bytes.
const maxToken = 4 << 10

func (a *app) token(ctx context.Context, from tokenSource, address string) (string, error) {
	switch {
	case from.stdin && from.file != "":
		return "", fault.New(fault.BadRequest, "--token-stdin and --token-file exclude each other")
	case from.file != "":
		text, err := readFile("--token-file", from.file)
		if err != nil {
			return "", err
		}
		return checkToken(string(text))
	case from.stdin:
		text, err := io.ReadAll(io.LimitReader(a.In, maxToken))
		if err != nil {
			return "", fault.Wrap(err, fault.BadRequest, "standard input can't be read")
		}
		return checkToken(string(text))
	}
	if text := os.Getenv(tokenVariable); text != "" {
		return checkToken(text)
	}
	return a.prompt(ctx, address)
}

// prompt asks a person, and doesn't show what they type.
func (a *app) prompt(ctx context.Context, address string) (string, error) {
	terminal, ok := a.In.(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return "", fault.New(fault.BadRequest, "there is nobody to ask for the token: give it by --token-stdin, --token-file or %s", tokenVariable)
	}
	fmt.Fprintf(a.Err, "API token for %s: ", address)
	text, err := readSecret(ctx, int(terminal.Fd()))
	a.say("")
	if err != nil {
		return "", fault.Wrap(err, fault.BadRequest, "no token was read")
	}
	return checkToken(string(text))
}

// readSecret reads a line that isn't shown. When ctx ends, which is Ctrl-C, the terminal shows again what is typed; the reading goroutine can't be woken
// then, and ends with the process, which is at once.
func readSecret(ctx context.Context, terminal int) ([]byte, error) {
	before, err := term.GetState(terminal)
	if err != nil {
		return nil, err
	}
	type line struct {
		text []byte
		err  error
	}
	read := make(chan line, 1)
	go func() {
		text, err := term.ReadPassword(terminal)
		read <- line{text, err}
	}()
	select {
	case l := <-read:
		return l.text, l.err
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), term.Restore(terminal, before))
	}
}

func (a *app) logoutCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "logout [HUB]", Short: "Forget the token of a hub, and the tickets got with it", Args: between(0, 1),
		ValidArgsFunction: a.hubs,
		Long:              "Forgets the token of a hub, the current one where none is named, and the tickets got with it. The token itself goes on; an administrator can revoke it.",
	}
	c.Flags().BoolVar(&all, "all", false, "of every hub")
	c.RunE = func(_ *cobra.Command, args []string) error {
		if err := a.named(args); err != nil {
			return err
		}
		return a.logout(all)
	}
	return c
}

func (a *app) logout(every bool) error {
	all, err := a.logins()
	if err != nil {
		return err
	}
	var gone []string
	if every {
		for _, h := range all.Hubs {
			gone = append(gone, h.Address)
		}
	} else {
		address, err := a.address(all)
		if err != nil {
			return err
		}
		if _, known := all.Find(address); !known {
			return fault.New(fault.Unauthorized, "not logged in to %s", or(address, "any hub"))
		}
		gone = append(gone, address)
	}
	for _, address := range gone {
		all.Remove(address)
		if err := a.files.Forget(address); err != nil {
			return err
		}
	}
	if err := a.files.Save(all); err != nil {
		return err
	}
	for _, address := range gone {
		fmt.Fprintln(a.Out, "logged out of", address)
	}
	return nil
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func (a *app) useCommand() *cobra.Command {
	return &cobra.Command{
		Use: "use [HUB]", Short: "Make another hub the current one, or list those logged in to", Args: between(0, 1), ValidArgsFunction: a.hubs,
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := a.logins()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return a.use(all, args[0])
			}
			for _, h := range all.Hubs {
				mark := " "
				if h.Address == all.Current {
					mark = "*"
				}
				fmt.Fprintln(a.Out, mark, h.Address)
			}
			return nil
		},
	}
}

func (a *app) use(all login.Logins, named string) error {
	address, err := client.Address(named)
	if err != nil {
		return err
	}
	if _, known := all.Find(address); !known {
		return fault.New(fault.Unauthorized, "not logged in to %s: run %s login %[1]s", address, a.name())
	}
	all.Current = address
	return a.files.Save(all)
}

func (a *app) whoamiCommand() *cobra.Command {
	var o output
	c := &cobra.Command{Use: "whoami", Short: "Tell who you are to the hub, and what you may do", Args: between(0, 0)}
	o.flag(c, "json", "yaml")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.check(); err != nil {
			return err
		}
		s, err := a.session(asking)
		if err != nil {
			return err
		}
		defer s.client.Close()
		me, err := s.client.Me(c.Context())
		if err != nil {
			return a.again(s, err)
		}
		if o.structured() {
			return o.print(a.Out, me)
		}
		return describe(a.Out, s.Address, me)
	}
	return c
}

func describe(out io.Writer, hub string, me client.Me) error {
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	ends := "never"
	if me.Expires != nil {
		ends = me.Expires.Local().Format(time.DateTime)
	}
	for _, line := range [][2]string{
		{"hub", hub}, {"name", me.Name}, {"groups", or(strings.Join(me.Groups, ", "), "-")}, {"tenant", me.Tenant}, {me.Kind, or(me.Ticket, me.Token)}, {"ends", ends},
	} {
		fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
	}
	for _, b := range me.Bindings {
		fmt.Fprintf(w, "may\t%s on clusters %s, namespaces %s\n", words(b.Verbs), words(b.Clusters), words(b.Namespaces))
	}
	return w.Flush()
}

func words(list []string) string { return strings.ReplaceAll(strings.Join(list, ","), "*", "all") }
