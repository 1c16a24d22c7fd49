// Package cli is the frame of our programs: subcommands whose flags are the configuration, signals, exit codes, and what every program can
// say of itself.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kubilitics/kubilitics/shared/conf"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/version"
)

// The exit codes: it failed, or what was asked for can't be right. Errors with a method ExitCode name others.
const (
	exitFailed = 1
	exitUsage  = 2
)

// Program is a program with configuration T.
type Program[T any] struct {
	Name     string // also of its configuration file
	Short    string // in one line
	Long     string // in a sentence or two
	Defaults T
	Commands []Command[T]
	Also     []*cobra.Command // with configurations of their own: see Own
}

// Own makes a command whose configuration isn't its program's: flags, variables, and a file with that name.
func Own[T any](name string, defaults T, c Command[T]) *cobra.Command {
	return Program[T]{Name: name, Defaults: defaults}.configured(c)
}

// Command is one thing that the program does.
type Command[T any] struct {
	Use   string // with the words that it takes besides flags, each of which must be said: "backup FILE"
	Short string
	Long  string
	Run   func(ctx context.Context, cfg T, out io.Writer) error
	// With is Run for a command that takes words.
	With func(ctx context.Context, cfg T, words []string, out io.Writer) error
}

// Main runs the program with the process's arguments and ends the process. SIGINT and SIGTERM end the context of what runs.
func Main[T any](p Program[T]) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := p.run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func (p Program[T]) run(ctx context.Context, args []string, out, complaints io.Writer) int {
	root := p.command()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(complaints)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(complaints, "%s: %s\n", p.Name, worded(err))
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	if fault.Is(err, fault.BadRequest) {
		return exitUsage
	}
	return exitFailed
}

// worded is an error with what it says of fields, where its sentence doesn't.
func worded(err error) string {
	text := err.Error()
	var f *fault.Error
	if !errors.As(err, &f) {
		return text
	}
	for _, field := range f.Fields {
		if !strings.Contains(text, field.Reason) {
			text += "; " + field.Name + ": " + field.Reason
		}
	}
	return text
}

func (p Program[T]) command() *cobra.Command {
	root := &cobra.Command{
		Use:   p.Name,
		Short: p.Short,
		Long: p.Long + "\n\nConfiguration: flags, then " + conf.Prefix + "_* variables, then " + p.Name +
			".yaml in /etc/kubilitics, $HOME/.kubilitics or the current directory.",
		Args:          arguments,
		Version:       version.String(),
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return conf.FlagFault(c.Flags(), err) })
	for _, c := range p.Commands {
		root.AddCommand(p.configured(c))
	}
	show := &cobra.Command{Use: "config", Short: "Show the configuration", Args: arguments, RunE: root.RunE}
	show.AddCommand(p.configured(Command[T]{Use: "print", Short: "Print the effective values, secrets masked", Run: printConfig[T]}))
	version := &cobra.Command{Use: "version", Short: "Print the version", Args: arguments, RunE: func(c *cobra.Command, _ []string) error {
		_, err := fmt.Fprintln(c.OutOrStdout(), version.String())
		return err
	}}
	root.AddCommand(show, version)
	root.AddCommand(p.Also...)
	return root
}

// arguments takes none: everything is a flag, and a word that is no command is named with the nearest that is.
func arguments(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, sub := range c.Commands() {
		known = append(known, sub.Name())
	}
	f := fault.New(fault.BadRequest, "%q is no command of %s", args[0], c.CommandPath())
	if near := fault.Nearest(args[0], known); near != "" {
		f.Message += fmt.Sprintf("; the nearest one is %q", near)
	}
	return f
}

// configured makes a command whose flags are the configuration.
func (p Program[T]) configured(from Command[T]) *cobra.Command {
	c := &cobra.Command{Use: from.Use, Short: from.Short, Long: from.Long, Args: arguments}
	if from.With != nil {
		c.Args = words(strings.Fields(from.Use)[1:])
	}
	conf.Flags(c.Flags(), p.Defaults)
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := conf.Load(conf.Program{Name: p.Name}, c.Flags(), p.Defaults)
		if err != nil {
			return err
		}
		if from.With != nil {
			return from.With(c.Context(), cfg, args, c.OutOrStdout())
		}
		return from.Run(c.Context(), cfg, c.OutOrStdout())
	}
	return c
}

// words takes as many as there are names for, and says which are missing.
func words(names []string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return fault.New(fault.BadRequest, "%s needs %s", c.CommandPath(), strings.Join(names[len(args):], " and "))
		case len(args) > len(names):
			return fault.New(fault.BadRequest, "%s takes %s and no more: what is %q?", c.CommandPath(), strings.Join(names, " and "), args[len(names)])
		}
		return nil
	}
}

func printConfig[T any](_ context.Context, cfg T, out io.Writer) error {
	for _, l := range conf.Lines(cfg) {
		if _, err := fmt.Fprintf(out, "%s: %s\n", l.Key, l.Value); err != nil {
			return err
		}
	}
	return nil
}
