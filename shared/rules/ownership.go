package rules

import "github.com/kubilitics/kubilitics/shared/topo"

// ownershipRows is what goes with what.
var ownershipRows = []Row{
	{
		Name: "owner-dependent", Type: topo.Owns, From: []string{"*"}, At: []string{"metadata.ownerReferences[*]"},
		Func: "owners", Reverse: true,
		Doc: "The dependent goes when its owner goes.",
	},
}
