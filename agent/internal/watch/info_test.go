package watch

import (
	"encoding/json"
	"testing"
)

func TestGuess(t *testing.T) {
	for _, c := range []struct{ version, node, want string }{
		{"v1.31.2-eks-7f9249a", `{"spec":{"providerID":"aws:///eu-west-1a/i-0"}}`, "eks"},
		{"v1.31.2", `{"spec":{"providerID":"aws:///eu-west-1a/i-0"}}`, "aws"},
		{"v1.31.2-gke.1", `{}`, "gke"},
		{"v1.31.2", `{"metadata":{"labels":{"kubernetes.azure.com/cluster":"x"}},"spec":{"providerID":"azure:///x"}}`, "aks"},
		{"v1.31.2", `{"spec":{"providerID":"kind://docker/kind/kind-control-plane"}}`, "kind"},
		{"v1.31.2+k3s1", `{"spec":{"providerID":"aws:///x"}}`, "k3s"},
		{"v1.37.2", `{"metadata":{"annotations":{"kwok.x-k8s.io/node":"fake"}}}`, "kwok"},
		{"v1.31.2", `{"metadata":{"labels":{"node.openshift.io/os_id":"rhcos"}},"spec":{"providerID":"aws:///x"}}`, "openshift"},
		{"v1.31.2", `{}`, ""},
	} {
		var node nodeDoc
		if err := json.Unmarshal([]byte(c.node), &node); err != nil {
			t.Fatal(err)
		}
		if got := guess(c.version, node); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.version, c.node, got, c.want)
		}
	}
}
