// Package config writes the page that tells each key of both programs' configuration, and its tests try each of them.
package config

import (
	"fmt"
	"os"
	"strings"

	"github.com/kubilitics/kubilitics/agent"
	"github.com/kubilitics/kubilitics/hub"
	"github.com/kubilitics/kubilitics/hub/desktop"
	"github.com/kubilitics/kubilitics/shared/conf"
)

// userDir stands on the page for the directory that depends on the machine and on who starts the program.
const userDir = "USER-CONFIG"

// HubKeys and AgentKeys are the keys of the programs.
func HubKeys() []conf.Key { return keys(hub.DefaultConfig()) }

// AgentKeys are the agent's.
func AgentKeys() []conf.Key { return keys(agent.DefaultConfig()) }

// DesktopKeys are those of kubilitics-hub desktop.
func DesktopKeys() []conf.Key { return keys(desktop.DefaultConfig()) }

func keys[T any](defaults T) []conf.Key {
	all := conf.Keys(defaults)
	dir, err := os.UserConfigDir()
	for i := range all {
		if rest, ok := strings.CutPrefix(all[i].Default, dir); ok && err == nil {
			all[i].Default = userDir + rest
		}
	}
	return all
}

// Page is docs/configuration.md.
func Page() string {
	var b strings.Builder
	b.WriteString(head)
	for _, p := range []struct {
		program, about string
		keys           []conf.Key
	}{{"kubilitics-hub", hubAbout, HubKeys()}, {"kubilitics-agent", agentAbout, AgentKeys()}, {"kubilitics-hub desktop", desktopAbout, DesktopKeys()}} {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", p.program, p.about)
		settable(&b, p.keys)
		parts(&b, p.keys)
	}
	return b.String()
}

// settable writes what flags and variables can say too.
func settable(b *strings.Builder, all []conf.Key) {
	b.WriteString("\n| key | flag | variable | type | default | meaning |\n|---|---|---|---|---|---|\n")
	for _, k := range all {
		if k.Flag != "" {
			fmt.Fprintf(b, "| `%s` | `%s` | `%s` | %s | %s | %s |\n", k.Name, k.Flag, k.Variable, k.Type, code(k.Default), meaning(k))
		}
	}
}

// parts writes a table for each list of parts, which only the file can say.
func parts(b *strings.Builder, all []conf.Key) {
	for _, k := range all {
		switch {
		case k.Flag != "":
		case k.Type == "parts":
			fmt.Fprintf(b, "\n### `%s`\n\nA list, in the file alone: %s. Of each:\n\n| key | type | meaning |\n|---|---|---|\n", k.Name, k.Usage)
		default:
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", k.Name, k.Type, meaning(k))
		}
	}
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

func meaning(k conf.Key) string {
	text := strings.NewReplacer("|", `\|`, "*", `\*`, "<", "&lt;").Replace(k.Usage)
	if k.Secret {
		text += " (secret)"
	}
	return text
}

const head = `# Configuration

Both programs take their configuration from four places. What stands further up wins:

1. flags, such as ` + "`--tunnel-listen`" + `
2. variables of the environment, such as ` + "`KUBILITICS_TUNNEL_LISTEN`" + `
3. a file, ` + "`kubilitics-hub.yaml` or `kubilitics-agent.yaml`: the first that is there in `/etc/kubilitics`, `$HOME/.kubilitics` and the current directory, or the one that `--config` names" + `
4. the defaults

The key ` + "`tunnel.listen`" + ` stands in the file as ` + "`listen`" + ` below ` + "`tunnel`" + `:

` + "```yaml" + `
listen: 0.0.0.0:8400
tunnel:
  listen: 0.0.0.0:8443
  address: tls://hub.example:8443
keep:
  history: 720h
` + "```" + `

Whatever can't be right is refused at the start, all of it at once, with exit code 2. A key that doesn't exist, wherever it stands, is an error that names the nearest one that does. Nothing is
read again while a program runs, save the files of ` + "`tls-cert`, `tls-key`, `public-ca` and `hub-ca`" + `, and what the meaning of a key says.

` + "`kubilitics-hub config print` and `kubilitics-agent config print`" + ` show what is in effect, with everything secret masked. Secrets are better given by the environment or the file, which
should be readable by the program alone, than by flags, which every process of the machine can see.

Types: a duration is a number with its unit, such as ` + "`90s`, `1h30m`" + `; there is no unit above hours. A list has commas between its items in flags and variables, and is a YAML list in the file.
` + "`" + userDir + "`" + ` is ` + "`$XDG_CONFIG_HOME` or `$HOME/.config` on Linux, `$HOME/Library/Application Support` on macOS, `%AppData%`" + ` on Windows.

This page is made from the programs themselves: ` + "`go test ./e2e/config -run TestPage -update`" + `. Each key is tried by a test beside it.
`

const hubAbout = `[install.md](install.md) tells which of these a hub for others than oneself needs, [plugins.md](plugins.md) what plugins and notifications are, [audit.md](audit.md) how the record is kept.`

const agentAbout = `An agent needs to know its ` + "`hub`" + ` and, the first time, a ` + "`token`" + `. The variables are meant for the agent's own process: ` + "`KUBILITICS_TOKEN`" + ` is also what the command ` + "`kubilitics`" + ` takes
for its API token, and ` + "`KUBILITICS_HUB`" + ` for its hub's address.`

const desktopAbout = `Nothing of this must be said: see [desktop.md](desktop.md). The file is ` + "`kubilitics-desktop.yaml`" + `; the keys of a hub that is served mean nothing here.`
