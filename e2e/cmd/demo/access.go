package main

import _ "embed"

// The account of the demo's agents: it may read everything, change nothing, and pass for the hub's first user.
const (
	agentNamespace = "kubilitics"
	agentAccount   = "kubilitics-agent"
)

//go:embed access.yaml
var agentAccess []byte
