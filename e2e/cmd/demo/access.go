package main

import _ "embed"

// The account of the demo's agents: it may read everything and change nothing.
const (
	agentNamespace = "kubilitics"
	agentAccount   = "kubilitics-agent"
)

//go:embed access.yaml
var agentAccess []byte
