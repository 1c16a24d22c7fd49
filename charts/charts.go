// Package charts holds the Helm chart of the agent, so that a hub can serve it where no other repository is in reach.
package charts

import "embed"

// Agent is the folder kubilitics-agent.
//
//go:embed all:kubilitics-agent
var Agent embed.FS
