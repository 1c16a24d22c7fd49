package charts

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// person makes a token of somebody's, whom the hub itself lets do everything: what is refused then, agent and cluster refuse.
func person(t *testing.T, h *stack.Hub, name string, groups ...string) *stack.Client {
	t.Helper()
	all := []string{"*"}
	var made struct{ Secret string }
	err := h.Do(t.Context(), http.MethodPost, "/api/v1/tokens", map[string]any{
		"name": name, "groups": groups, "bindings": []any{map[string]any{"verbs": all, "clusters": all, "namespaces": all}},
	}, &made)
	if err != nil {
		t.Fatal(err)
	}
	return &stack.Client{URL: h.URL, Token: made.Secret}
}

// try does one of the things that people do with a cluster, through the hub, and gives the words that refuse it, "" if none do.
func try(t *testing.T, who *stack.Client, cluster, what string) string {
	t.Helper()
	method, path, body := http.MethodGet, what, any(nil)
	if kind, ok := strings.CutPrefix(what, "make "); ok {
		method, path = http.MethodPost, strings.ToLower(kind)+"s"
		body = map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"generateName": "made-"}}
	}
	ctx, cancel := stack.Within(t.Context(), 30*time.Second)
	defer cancel()
	err := who.Do(ctx, method, "/k8s/clusters/"+cluster+"/api/v1/namespaces/shop/"+path, body, nil)
	var no *stack.Problem
	switch {
	case err == nil:
		return ""
	case errors.As(err, &no):
		return no.Body
	default:
		t.Fatalf("%s: %v", what, err)
		return ""
	}
}

// Step by step: what the chart's access and rights let people do from the hub.
func TestAccessThroughTheHub(t *testing.T) {
	h := startHub(t, stack.HubOptions{})
	made := invite(t, h, "steps")
	ann, bob := person(t, h, "ann", "devs"), person(t, h, "bob", "devs")
	viewers := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "devs-view"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "kubilitics:devs"}},
	}
	if _, err := world.client.RbacV1().RoleBindings("shop").Create(t.Context(), viewers, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := errors.Join(world.client.RbacV1().RoleBindings("shop").Delete(ctx, "devs-view", metav1.DeleteOptions{}),
			world.client.CoreV1().ConfigMaps("shop").DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "metadata.name!=kube-root-ca.crt"})); err != nil {
			t.Error(err)
		}
	})
	made.shell(t, " --set replicas=0")
	type attempt struct {
		who           *stack.Client
		what, refused string
	}
	for _, step := range []struct {
		set      string
		attempts []attempt
	}{
		{"access=none", []attempt{{ann, "pods", "the owner of this cluster lets nobody in"}}},
		{"access=read", []attempt{{ann, "pods", ""}, {ann, "secrets", "lets the hub only read, and no Secrets"}, {ann, "make ConfigMap", "lets the hub only read"}}},
		{"access=operate", []attempt{{ann, "make ConfigMap", ""}, {ann, "secrets", ""}, {ann, "make ServiceAccount", `cannot create resource \"serviceaccounts\"`}}},
		{"access=impersonate,impersonate.users={ann}", []attempt{{ann, "pods", "cannot impersonate"}}},
		{"access=impersonate,impersonate.users={ann},impersonate.groups={devs}", []attempt{{ann, "pods", ""}, {ann, "secrets", `User \"kubilitics:ann\" cannot list resource \"secrets\"`},
			{ann, "make ConfigMap", `User \"kubilitics:ann\" cannot create`}, {bob, "pods", "cannot impersonate"}}},
	} {
		mustHelm(t, "upgrade", "kubilitics-agent", folder("kubilitics-agent"), "--namespace", "kubilitics", "--reuse-values", "--set", step.set)
		a := startAsPod(t, true)
		ctx, cancel := stack.Within(t.Context(), time.Minute)
		if err := h.AwaitLive(ctx, made.ID); err != nil {
			t.Fatalf("%v\n%s", err, a.Log())
		}
		cancel()
		for _, c := range step.attempts {
			eventually(t, step.set+": "+c.what, ruleDelay, func() error {
				got := try(t, c.who, made.ID, c.what)
				if (got == "") != (c.refused == "") || !strings.Contains(got, c.refused) {
					return errors.New("refused: " + got)
				}
				return nil
			})
		}
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
	}
	mustUninstall(t, "kubilitics-agent")
	eventuallyLeft(t, "kubilitics-agent")
}
