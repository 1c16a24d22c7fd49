package rules

import "github.com/kubilitics/kubilitics/shared/topo"

// ecosystemRows is what Kubilitics knows of kinds that Kubernetes doesn't have by itself. Each list names its section.
var ecosystemRows []Row

// ecosystemLinkers are the functions that ecosystemRows name.
var ecosystemLinkers = map[string]linker{}

// ecosystemScoped are the kinds without a namespace that ecosystemRows lead to.
var ecosystemScoped []topo.GroupKind
