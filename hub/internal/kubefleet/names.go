package kubefleet

import "slices"

// alias is what else Kubernetes calls a kind of its own.
type alias struct{ short, categories []string }

var all = []string{"all"}

// names are those of Kubernetes' own kinds, by group and plural.
var names = map[string]alias{
	"/configmaps": {short: []string{"cm"}}, "/endpoints": {short: []string{"ep"}}, "/events": {short: []string{"ev"}}, "/limitranges": {short: []string{"limits"}},
	"/namespaces": {short: []string{"ns"}}, "/nodes": {short: []string{"no"}}, "/persistentvolumeclaims": {short: []string{"pvc"}},
	"/persistentvolumes": {short: []string{"pv"}}, "/pods": {short: []string{"po"}, categories: all}, "/replicationcontrollers": {short: []string{"rc"}, categories: all},
	"/resourcequotas": {short: []string{"quota"}}, "/serviceaccounts": {short: []string{"sa"}}, "/services": {short: []string{"svc"}, categories: all},

	"apps/daemonsets": {short: []string{"ds"}, categories: all}, "apps/deployments": {short: []string{"deploy"}, categories: all},
	"apps/replicasets": {short: []string{"rs"}, categories: all}, "apps/statefulsets": {short: []string{"sts"}, categories: all},
	"autoscaling/horizontalpodautoscalers": {short: []string{"hpa"}, categories: all},
	"batch/cronjobs":                       {short: []string{"cj"}, categories: all}, "batch/jobs": {categories: all},
	"networking.k8s.io/ingresses": {short: []string{"ing"}}, "networking.k8s.io/networkpolicies": {short: []string{"netpol"}}, "networking.k8s.io/ipaddresses": {short: []string{"ip"}},
	"policy/poddisruptionbudgets":                                  {short: []string{"pdb"}},
	"storage.k8s.io/storageclasses":                                {short: []string{"sc"}},
	"storage.k8s.io/volumeattributesclasses":                       {short: []string{"vac"}},
	"scheduling.k8s.io/priorityclasses":                            {short: []string{"pc"}},
	"certificates.k8s.io/certificatesigningrequests":               {short: []string{"csr"}},
	"apiextensions.k8s.io/customresourcedefinitions":               {short: []string{"crd", "crds"}, categories: []string{"api-extensions"}},
	"apiregistration.k8s.io/apiservices":                           {categories: []string{"api-extensions"}},
	"admissionregistration.k8s.io/mutatingwebhookconfigurations":   {categories: []string{"api-extensions"}},
	"admissionregistration.k8s.io/validatingwebhookconfigurations": {categories: []string{"api-extensions"}},
}

// firstGroups come before the others in discovery, by which kubectl decides what a plain name means.
var firstGroups = []string{"", "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch",
	"certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io",
	"scheduling.k8s.io", "coordination.k8s.io", "node.k8s.io", "discovery.k8s.io", "flowcontrol.apiserver.k8s.io", "resource.k8s.io"}

func groupRank(group string) int {
	if i := slices.Index(firstGroups, group); i >= 0 {
		return i
	}
	return len(firstGroups)
}
