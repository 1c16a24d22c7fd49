package rules

import "github.com/kubilitics/kubilitics/shared/topo"

var bindings = []string{"RoleBinding." + rbacGroup, "ClusterRoleBinding." + rbacGroup}

// identityRows is who may do what, and who has a say in it.
var identityRows = []Row{
	{
		Name: "binding-role", Type: topo.References, From: bindings,
		At: []string{"roleRef"}, Ref: &Ref{Kind: "kind", Group: "apiGroup", Name: "name"},
		Doc: "The binding gives what the role allows.",
	},
	{
		Name: "binding-subject", Type: topo.Grants, From: bindings,
		At: []string{"subjects[*]"}, Ref: &Ref{Kind: "kind", Group: "apiGroup", Name: "name", Namespace: "namespace"},
		Doc: "The binding gives it to the subject.",
	},
}
