// Package command is the command kubilitics, by which people and kubectl come to a hub: what it does is here, so that its main is a line.
package command

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/hub/internal/login"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// The exit codes.
const (
	exitFailed       = 1
	exitUsage        = 2
	exitUnauthorized = 3
	exitNotFound     = 4
	exitUnreachable  = 5
	exitFound        = 6
)

// ended is the end of a command that has said all it had to say.
type ended struct{ code int }

func (e *ended) Error() string { return "it ended with " + strconv.Itoa(e.code) }

const long = `kubilitics shows a fleet of Kubernetes clusters through its hub, and lets kubectl and its like reach each of them there.

Which hub is meant: --hub, then KUBILITICS_HUB, then the one logged in to last. By which token: KUBILITICS_TOKEN, then that of the login.

Without a cluster and a namespace, every question is about all of them, as far as you may see. A cluster that is offline answers too, from what was
last known, and is marked. What is printed goes to standard output; notes about it, such as that there is more, to standard error.

Exit codes: 0 it is done, 1 it failed, 2 what was asked for can't be right, 3 not logged in or not let in, 4 there is no such thing,
5 no hub answered, 6 something was found and --exit-code asks to tell.`

const examples = `  kubilitics login https://hub.example
  kubilitics clusters
  kubilitics get pods -q 'status!=Running'
  kubilitics tree deploy/web -n shop
  kubilitics impact node/n1 --cluster eu-1
  kubilitics diff --from -2h -n shop
  kubilitics kubeconfig eu-1 --write
  kubectl --context eu-1 get pods -A`

// Process is what a process has of its system.
type Process struct {
	Args     []string // with the program's name
	In       io.Reader
	Out, Err io.Writer
	Version  string
}

// app is one run of the command.
type app struct {
	Process
	files login.Files
	hub   string // --hub
	ca    string // --ca
}

// Run does what the arguments say and gives the exit code.
func Run(ctx context.Context, p Process) int {
	a := &app{Process: p}
	name, root := a.name(), a.root()
	root.SetArgs(p.Args[1:])
	if strings.HasPrefix(filepath.Base(p.Args[0]), "kubectl_complete-") { // by this name kubectl asks what words a plugin's may be
		root.SetArgs(append([]string{cobra.ShellCompRequestCmd}, p.Args[1:]...))
	}
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	err := root.ExecuteContext(ctx)
	var said *ended
	switch {
	case err == nil || errors.Is(err, syscall.EPIPE): // who reads has seen enough
		return 0
	case errors.As(err, &said):
		return said.code
	}
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	fmt.Fprintf(p.Err, "%s: %v%s\n", name, err, helps(err))
	return exitCode(err)
}

// helps is what to do about an error that doesn't say so itself.
func helps(err error) string {
	var stranger x509.UnknownAuthorityError
	if errors.As(err, &stranger) {
		return "; --ca names a file with the root of its certificate"
	}
	return ""
}

func exitCode(err error) int {
	switch code := fault.CodeOf(err); {
	case client.Unreachable(err):
		return exitUnreachable
	case code == fault.BadRequest:
		return exitUsage
	case code == fault.Unauthorized:
		return exitUnauthorized
	case code == fault.NotFound:
		return exitNotFound
	default:
		return exitFailed
	}
}

// name is what people typed: kubectl finds the command as its plugin by the name kubectl-kubilitics.
func (a *app) name() string {
	base := strings.TrimSuffix(filepath.Base(a.Args[0]), ".exe")
	if strings.HasPrefix(base, "kubectl") {
		return "kubectl kubilitics"
	}
	return "kubilitics"
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use: "kubilitics", Short: "A fleet of Kubernetes clusters, through its hub", Long: long,
		Example:       a.examples(examples),
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: a.name()},
		Args:          between(0, 0),
		Version:       a.Version,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&a.hub, "hub", "", "address of the hub (KUBILITICS_HUB)")
	root.PersistentFlags().StringVar(&a.ca, "ca", "", "PEM file of whom to trust to be the hub, instead of those whom the system trusts; a login keeps it")
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return wrongFlag(c.Flags(), err) })
	for _, g := range a.groups() {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title + ":"})
		for _, c := range g.commands {
			c.GroupID = g.title
			c.Example = a.examples(c.Example)
			root.AddCommand(c)
		}
	}
	root.InitDefaultCompletionCmd()
	if c, _, err := root.Find([]string{"completion"}); err == nil { // its own takes any word, and does nothing
		c.Args, c.RunE = between(0, 0), root.RunE
	}
	return root
}

// examples indents lines to paste, in which the command is called as people call it.
func (a *app) examples(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "kubilitics "); ok {
			line = a.name() + " " + rest
		}
		out = append(out, "  "+line)
	}
	return strings.Join(out, "\n")
}

// group is commands that stand together in the help.
type group struct {
	title    string
	commands []*cobra.Command
}

func (a *app) groups() []group {
	return []group{
		{"See what is there", []*cobra.Command{a.clustersCommand(), a.getCommand(), a.searchCommand(), a.healthCommand(), a.findingsCommand(), a.eventsCommand(), a.logsCommand()}},
		{"See how it hangs together", []*cobra.Command{a.treeCommand(), a.impactCommand(), a.pathsCommand(), a.exportCommand()}},
		{"See what happened", []*cobra.Command{a.diffCommand(), a.historyCommand(), a.auditCommand()}},
		{"Change something", []*cobra.Command{a.applyCommand(), a.enrollCommand()}},
		{"Come to a hub", []*cobra.Command{
			a.loginCommand(), a.logoutCommand(), a.useCommand(), a.whoamiCommand(), a.kubeconfigCommand(), a.credentialCommand(), a.versionCommand(),
		}},
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: between(0, 0), RunE: func(*cobra.Command, []string) error {
		_, err := fmt.Fprintln(a.Out, a.Version)
		return err
	}}
}

// between takes so many arguments. A word that is no command is named with the nearest that is.
func between(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) > most && c.HasSubCommands():
			f := fault.New(fault.BadRequest, "%q is no command of %s", args[0], c.CommandPath())
			var known []string
			for _, sub := range c.Commands() {
				known = append(known, sub.Name())
			}
			if near := fault.Nearest(args[0], known); near != "" {
				f.Message += fmt.Sprintf("; the nearest one is %q", near)
			}
			return f
		case len(args) > most && most == 0:
			return fault.New(fault.BadRequest, "%s takes no arguments: what is %q?", c.CommandPath(), args[0])
		case len(args) < least || len(args) > most:
			return fault.New(fault.BadRequest, "%s takes %s; see %s --help", c.CommandPath(), strings.TrimPrefix(c.UseLine(), c.CommandPath()+" "), c.CommandPath())
		}
		return nil
	}
}

// wrongFlag names the nearest flag that there is.
func wrongFlag(set *pflag.FlagSet, err error) error {
	f := fault.New(fault.BadRequest, "%v", err)
	name, unknown := strings.CutPrefix(err.Error(), "unknown flag: ")
	if !unknown {
		return f
	}
	var known []string
	set.VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
	if near := fault.Nearest(name, known); near != "" {
		f.Message += fmt.Sprintf("; the nearest one is %q", near)
	}
	return f
}

// readFile reads a file that a flag named.
func readFile(flag, path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "what %s names can't be read", flag)
	}
	return text, nil
}

// say writes a line to people, beside what is printed for programs.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.Err, format+"\n", args...) }
