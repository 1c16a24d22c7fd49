package command

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const page = `# The command kubilitics

%s

%s

Without a command it prints its help; ` + "`kubilitics COMMAND --help`" + ` tells of one what stands here. As ` + "`kubectl-kubilitics`" + `, on the path, it is a plugin of kubectl, and
is called as ` + "`kubectl kubilitics`" + `. The names in the examples are those of ` + "`make demo`" + `.

| variable | means |
|---|---|
| ` + "`KUBILITICS_HUB`" + ` | address of the hub, where ` + "`--hub`" + ` doesn't say it |
| ` + "`KUBILITICS_TOKEN`" + ` | API token, instead of that of the login |
| ` + "`NO_COLOR`" + ` | no colours, if it isn't empty; there are none either where output is no terminal |

Every command has ` + "`--hub`, `--ca`" + ` and ` + "`--help`" + `.

Words are completed by the shell: commands and flags, and clusters, kinds, namespaces and names as the hub has them. bash needs its package bash-completion for that,
and zsh ` + "`compinit`" + `.

%ssh
source <(kubilitics completion bash)     # or zsh; fish: kubilitics completion fish | source
%[3]s

kubectl completes those of its plugin where the command is on the path as ` + "`kubectl_complete-kubilitics`" + ` too.

This page is made from the command itself: ` + "`go test ./hub/internal/command -run TestReference -rewrite`." + `
`

// The page about the command says what the command says of itself.
func TestReference(t *testing.T) {
	a := &app{Process: Process{Args: []string{"kubilitics"}}}
	root := a.root()
	about, codes, _ := strings.Cut(root.Long, "Exit codes: ")
	var b strings.Builder
	fmt.Fprintf(&b, page, strings.TrimSpace(about), "Exit codes: "+codes, "```")
	for _, g := range a.groups() {
		fmt.Fprintf(&b, "\n## %s\n", g.title)
		for _, of := range g.commands {
			if c, _, err := root.Find([]string{of.Name()}); err == nil {
				describeCommand(&b, c)
			}
		}
	}
	const path = "../../../docs/command.md"
	if *rewrite {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil { //nolint:gosec // it is for everybody
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != b.String() {
		t.Errorf("docs/command.md isn't what the command says of itself (%v); -rewrite makes it so", err)
	}
}

func describeCommand(b *strings.Builder, c *cobra.Command) {
	fmt.Fprintf(b, "\n### %s\n\n%s.\n", c.Name(), c.Short)
	fmt.Fprintf(b, "\n    kubilitics %s\n", c.Use)
	if c.Long != "" {
		fmt.Fprintf(b, "\n%s\n", c.Long)
	}
	if c.LocalNonPersistentFlags().HasAvailableFlags() {
		b.WriteString("\n| flag | means |\n|---|---|\n")
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" {
				return
			}
			name := "--" + f.Name
			if f.Shorthand != "" {
				name = "-" + f.Shorthand + ", " + name
			}
			fmt.Fprintf(b, "| `%s` | %s%s |\n", name, strings.ReplaceAll(f.Usage, "|", `\|`), usually(f))
		})
	}
	if c.Example != "" {
		fmt.Fprintf(b, "\n```sh\n%s\n```\n", strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n"))
	}
}

// usually is what a flag is where it isn't given, if that says something.
func usually(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "false", "[]", "0", "0s":
		return ""
	}
	return "; " + f.DefValue + " where it isn't given"
}
