package charts

import (
	"fmt"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/shared/rules"
)

// may asks the API server whether an account may do a thing: "VERB RESOURCE[.GROUP][/SUBRESOURCE] [in NAMESPACE] [named NAME]".
func may(t *testing.T, account, what string) bool {
	t.Helper()
	words := strings.Fields(what)
	about := &authorizationv1.ResourceAttributes{Verb: words[0]}
	resource, sub, _ := strings.Cut(words[1], "/")
	about.Subresource = sub
	about.Resource, about.Group, _ = strings.Cut(resource, ".")
	for i := 2; i+1 < len(words); i += 2 {
		switch words[i] {
		case "in":
			about.Namespace = words[i+1]
		case "named":
			about.Name = words[i+1]
		default:
			t.Fatalf("%q", what)
		}
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: "system:serviceaccount:kubilitics:" + account, Groups: []string{"system:serviceaccounts", "system:authenticated"}, ResourceAttributes: about,
	}}
	review, err := world.client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

// What the agent's account may and may not at each step of access, asked of a real API server.
func TestRights(t *testing.T) {
	never := []string{ // whatever the step, unless all of it is wanted by name
		"get nodes/proxy", "create serviceaccounts/token in shop", "create secrets in kubilitics", "delete secrets in kubilitics named NAME-state", "create clusterrolebindings.rbac.authorization.k8s.io",
		"impersonate groups named system:masters", "create serviceaccounts in shop", "delete nodes",
	}
	reading := []string{
		"list pods in shop", "watch deployments.apps", "get pods/log in shop", "list nodes", "list secrets", "get namespaces in kube-system named kube-system", "list gateways.gateway.networking.k8s.io",
		"list customresourcedefinitions.apiextensions.k8s.io", "watch gizmos.unheard.example", "get secrets in kubilitics named NAME-state", "update secrets in kubilitics named NAME-state", "list pods.metrics.k8s.io",
	}
	notReading := []string{"get pods/exec in shop", "get pods/proxy in shop", "get services/proxy in shop", "get pods/portforward in shop", "get pods/attach in shop", "create pods in shop", "patch deployments.apps in shop", "create pods/eviction in shop", "patch nodes", "update secrets in kubilitics named other", "impersonate users named kubilitics:ann@example.com"}
	for _, step := range []struct {
		name    string
		set     string
		may     [][]string
		mustNot [][]string
	}{
		{"read", "", [][]string{reading}, [][]string{never, notReading}},
		{"none", "access=none", [][]string{reading}, [][]string{never, notReading}},
		{"narrow", "namespaces={shop},secrets=false,excludeKinds={ConfigMap,Lease.coordination.k8s.io}",
			[][]string{{"list pods in shop", "get namespaces in kube-system named kube-system", "list deployments.apps in shop", "update secrets in kubilitics named NAME-state", "list leasecandidates.coordination.k8s.io in shop"}},
			[][]string{never, notReading, {"list pods in payments", "list pods", "list nodes", "list secrets in shop", "get secrets in shop", "list configmaps in shop", "list leases.coordination.k8s.io in shop", "list namespaces", "get namespaces in payments named payments", "list pods in kube-system"}}},
		{"less", "secrets=false,excludeKinds={Event}", [][]string{{"list pods", "list configmaps", "get secrets in kubilitics named NAME-state"}}, [][]string{never, notReading, {"list secrets in shop", "get secrets in shop named any", "list events in shop", "list events.events.k8s.io in shop"}}},
		{"unlooked", "discoverCustomGroups=false", [][]string{{"list gateways.gateway.networking.k8s.io"}}, [][]string{{"watch gizmos.unheard.example"}}},
		{"custom", "discoverCustomGroups=false,customGroups={unheard.example}", [][]string{{"watch gizmos.unheard.example"}}, [][]string{never, notReading}},
		{"everything", "everything=true", [][]string{reading, {"get nodes/proxy", "list anything.of.anyone"}}, [][]string{{"create pods in shop", "impersonate groups named system:masters"}}},
		{"operate", "access=operate", [][]string{reading, {"create pods in shop", "create pods/exec in shop", "patch deployments.apps in shop", "patch deployments.apps/scale in shop", "create pods/eviction in payments", "update secrets in shop", "delete jobs.batch in shop"}},
			[][]string{{"get nodes/proxy", "patch nodes", "create serviceaccounts/token in shop", "create rolebindings.rbac.authorization.k8s.io in shop", "impersonate users named ann", "create namespaces", "impersonate groups named system:masters"}}},
		{"operate-less", "access=operate,operate.exec=false,operate.nodes=true,namespaces={shop},secrets=false", [][]string{{"patch nodes", "create pods in shop"}},
			[][]string{{"create pods/exec in shop", "get pods/exec in shop", "patch pods/ephemeralcontainers in shop", "create pods in payments", "create secrets in shop", "delete nodes"}}},
		{"operate-view", "access=operate,operate.clusterRole=view", [][]string{reading}, [][]string{never, notReading}},
		{"impersonate", "access=impersonate,impersonate.users={ann@example.com},impersonate.groups={operators}", [][]string{reading, {"impersonate users named kubilitics:ann@example.com", "impersonate groups named kubilitics:operators"}},
			[][]string{never, {"impersonate users named kubilitics:bob@example.com", "impersonate users named ann@example.com", "impersonate groups named kubilitics:ann@example.com", "impersonate serviceaccounts in kube-system named any", "create pods in shop", "impersonate users"}}},
		{"anyone", "access=impersonate,impersonate.anyone=true", [][]string{reading, {"impersonate users named whoever", "impersonate groups named kubilitics:x"}}, [][]string{{"impersonate serviceaccounts in kube-system named any", "create pods in shop"}}},
	} {
		t.Run(step.name, func(t *testing.T) {
			t.Parallel()
			name := "rights-" + step.name
			args := []string{"install", name, folder("kubilitics-agent"), "--namespace", "kubilitics", "--set", "replicas=0,hub.address=tls://hub:8443,fullnameOverride=" + name}
			if step.set != "" {
				args = append(args, "--set", step.set)
			}
			mustHelm(t, args...)
			t.Cleanup(func() { mustUninstall(t, name) })
			for want, lists := range map[bool][][]string{true: step.may, false: step.mustNot} {
				for _, list := range lists {
					for _, what := range list {
						what = strings.ReplaceAll(what, "NAME", name)
						eventuallySame(t, name, what, want)
					}
				}
			}
		})
	}
}

// eventuallySame asks until the API server has taken in what was made a moment ago.
func eventuallySame(t *testing.T, account, what string, want bool) {
	t.Helper()
	if !want {
		if may(t, account, what) {
			t.Errorf("%s may %s", account, what)
		}
		return
	}
	eventually(t, account+" should be let "+what, ruleDelay, func() error {
		if !may(t, account, what) {
			return fmt.Errorf("it may not")
		}
		return nil
	})
}

// Every kind that a relationship starts from or leads to by name can be read.
func TestEveryRelatedGroupCanBeRead(t *testing.T) {
	table, err := rules.Default()
	if err != nil {
		t.Fatal(err)
	}
	text := mustHelm(t, "template", "x", folder("kubilitics-agent"), "--set", "hub.address=tls://hub:8443", "--show-only", "templates/rbac-read.yaml")
	for _, row := range table.Rows() {
		for _, kind := range row.From {
			_, group, _ := strings.Cut(kind, ".")
			if group != "" && group != "*" && group != "kubilitics.io" && !strings.Contains(text, "- "+group+"\n") {
				t.Errorf("%s reads %s, which the agent may not", row.Name, kind)
			}
		}
	}
}
