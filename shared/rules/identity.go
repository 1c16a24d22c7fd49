package rules

import "github.com/kubilitics/kubilitics/shared/topo"

var bindings = []string{"RoleBinding." + rbacGroup, "ClusterRoleBinding." + rbacGroup}

const admissionGroup = "admissionregistration.k8s.io"

var webhooks = []string{"ValidatingWebhookConfiguration." + admissionGroup, "MutatingWebhookConfiguration." + admissionGroup}

// params is what a binding says of its parameters. Their kind stands in the policy, so that no rule of one object can name them.
var params = []Keep{
	{Attr: "paramName", Path: "$.spec.paramRef.name"}, {Attr: "paramNamespace", Path: "$.spec.paramRef.namespace"},
	{Attr: "paramSelector", Path: "$.spec.paramRef.selector"}, {Attr: "paramNotFound", Path: "$.spec.paramRef.parameterNotFoundAction"},
}

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
	{
		Name: "clusterrole-clusterrole", Type: topo.Selects, From: []string{"ClusterRole." + rbacGroup},
		At:     []string{"aggregationRule.clusterRoleSelectors[*]"},
		Select: &Select{To: "ClusterRole." + rbacGroup, Form: LabelSelector, Empty: All, Absent: None},
		Doc:    "The role allows what the other allows, too.",
	},
	{
		Name: "serviceaccount-secret", Type: topo.References, From: []string{"ServiceAccount"},
		At: []string{"secrets[*].name"}, Ref: &Ref{To: "Secret"},
		Doc: "Pods of the account may mount the Secret; or it holds a token of the account.",
	},
	{
		Name: "serviceaccount-secret-imagepull", Type: topo.References, From: []string{"ServiceAccount"},
		At: []string{"imagePullSecrets[*].name"}, Ref: &Ref{To: "Secret"},
		Doc: "The images of the account's Pods are pulled with the Secret.",
	},
	{
		Name: "secret-serviceaccount", Type: topo.References, From: []string{"Secret"},
		At: []string{"metadata.annotations['kubernetes.io/service-account.name']"}, Ref: &Ref{To: "ServiceAccount"},
		Where: []Where{{Path: "$.type", Is: []string{"kubernetes.io/service-account-token"}}},
		Doc:   "The Secret holds a token of the account.",
	},
	{
		Name: "quota-namespace", Type: topo.References, From: []string{"ResourceQuota", "LimitRange"},
		At: []string{"metadata.namespace"}, Ref: &Ref{To: "Namespace", Cluster: true},
		Doc: "It bounds what the Namespace may use.",
	},
	{
		Name: "webhook-service", Type: topo.Routes, From: webhooks,
		At: []string{"webhooks[*]"}, Ref: &Ref{To: "Service", Name: "clientConfig.service.name", Namespace: "clientConfig.service.namespace"},
		Keep: []Keep{{Attr: "failurePolicy", Path: "failurePolicy"}},
		Doc:  "The Service is asked before objects are written.",
	},
	{
		Name: "webhook-namespace", Type: topo.Intercepts, From: webhooks,
		At: []string{"webhooks[*]"}, Func: "namespaces", Fields: []string{"namespaceSelector", "name"},
		Keep: []Keep{{Attr: "failurePolicy", Path: "failurePolicy"}},
		Doc:  "Somebody is asked before objects of the Namespace are written.",
	},
	{
		Name: "admissionpolicybinding-policy", Type: topo.References, From: []string{"ValidatingAdmissionPolicyBinding." + admissionGroup},
		At: []string{"spec.policyName"}, Ref: &Ref{To: "ValidatingAdmissionPolicy." + admissionGroup, Cluster: true},
		Keep: params,
		Doc:  "The binding puts the policy in force, with the parameters it names.",
	},
	{
		Name: "admissionpolicybinding-policy-mutating", Type: topo.References, From: []string{"MutatingAdmissionPolicyBinding." + admissionGroup},
		At: []string{"spec.policyName"}, Ref: &Ref{To: "MutatingAdmissionPolicy." + admissionGroup, Cluster: true},
		Keep: params,
		Doc:  "The binding puts the policy in force, with the parameters it names.",
	},
	{
		Name: "admissionpolicy-kind", Type: topo.References,
		From: []string{"ValidatingAdmissionPolicy." + admissionGroup, "MutatingAdmissionPolicy." + admissionGroup},
		At:   []string{"spec.paramKind"}, Func: "kind", Fields: []string{"kind", "apiVersion"},
		Doc: "The policy takes its parameters from objects of this kind.",
	},
	{
		Name: "certificatesigningrequest-requester", Type: topo.References, From: []string{"CertificateSigningRequest.certificates.k8s.io"},
		At: []string{"spec.username"}, Func: "user", Fields: []string{""},
		Doc: "The certificate was asked for by this user, account or Node.",
	},
	{
		Name: "lease-node", Type: topo.References, From: []string{"Lease.coordination.k8s.io"},
		At: []string{"metadata.name"}, Ref: &Ref{To: "Node", Cluster: true},
		Where: []Where{{Path: "$.metadata.namespace", Is: []string{"kube-node-lease"}}},
		Doc:   "The Node shows by the lease that it is alive.",
	},
	{
		Name: "lease-holder", Type: topo.References, From: []string{"Lease.coordination.k8s.io"},
		At: []string{"spec.holderIdentity"}, Func: "holder", Fields: []string{""},
		Where: []Where{{Path: "$.metadata.namespace", Not: []string{"kube-node-lease"}}},
		Doc:   "The holder of the lease leads the others.",
	},
}
