package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// rights shows who decides what people may do through the hub: the roles of the hub first, with its own words, then those of the cluster, with the
// cluster's, for the name under which it knows them.
func (th *through) rights(t *testing.T) {
	where := func(namespaces ...string) map[string]any {
		return map[string]any{"verbs": []string{"get", "list", "watch", "create"}, "clusters": []string{th.member.id}, "namespaces": namespaces}
	}
	// At the hub bob may read and create in the namespaces "open" and "default"; in the cluster he may read in "open".
	bob := th.person(t, "bob", "guests", where("open", "default"))
	// The hub would let carol do everything. The cluster's agent may not pass for her.
	carol := th.person(t, "carol", "devs", map[string]any{"verbs": []string{"*"}, "clusters": []string{"*"}, "namespaces": []string{"*"}})
	alice := th.person(t, "alice", "devs", map[string]any{"verbs": []string{"*"}, "clusters": []string{"*"}, "namespaces": []string{"*"}})
	for _, c := range []struct {
		who     string
		args    string
		refused string // words of who refuses it, and of why; nobody does if empty
		says    string
	}{
		{who: bob, args: "auth whoami -o jsonpath={.status.userInfo.username},{.status.userInfo.groups}", says: `kubilitics:bob,["kubilitics:guests","system:authenticated"]`},
		{who: bob, args: "get configmap shown -n open -o name", says: "configmap/shown"},
		{who: bob, args: "auth can-i get configmaps -n open", says: "yes"},
		{who: bob, args: "get configmap hidden -n default", refused: `User "kubilitics:bob" cannot get resource "configmaps"`},
		{who: bob, args: "create configmap more -n open", refused: `User "kubilitics:bob" cannot create resource "configmaps"`},
		{who: bob, args: "get configmaps -n kube-system", refused: "the roles that this hub knows don't give the verb list on the namespace kube-system"},
		{who: bob, args: "delete configmap shown -n open", refused: "the roles that this hub knows don't give the verb delete"},
		{who: bob, args: "get secrets -n open", refused: "the roles that this hub knows don't give the verb secrets"},
		{who: bob, args: "get nodes", refused: "the roles that this hub knows don't give the verb list on all namespaces"},
		{who: bob, args: "exec -n open some -- true", refused: "the roles that this hub knows don't give"},
		{who: carol, args: "get --raw /api/v1/nodes", refused: `User "system:serviceaccount:kubilitics:doorkeeper" cannot impersonate`},
		// Whom one passes for is for the hub to say: what a client asks for isn't passed on.
		{who: alice, args: "auth whoami --as=kubilitics:bob -o jsonpath={.status.userInfo.username}", says: "kubilitics:alice"},
		{who: alice, args: "auth whoami --as=admin --as-group=system:masters -o jsonpath={.status.userInfo.groups}", says: `["kubilitics:devs","system:authenticated"]`},
	} {
		t.Run(c.args, func(t *testing.T) {
			ctx, cancel := stack.Within(t.Context(), 30*time.Second)
			defer cancel()
			out, errs, err := th.kubectl(ctx, c.who, strings.Fields(c.args)...)
			switch {
			case c.refused == "" && (err != nil || strings.TrimSpace(out) != c.says):
				t.Errorf("said %q, want %q: %v %s", out, c.says, err, errs)
			case c.refused != "" && (err == nil || !strings.Contains(errs, c.refused)):
				t.Errorf("wasn't refused with %q: %v, %q %q", c.refused, err, out, errs)
			}
			if strings.Contains(c.args, "--as") != strings.Contains(errs, "Warning: impersonation isn't passed on") {
				t.Errorf("a warning, or none: %q", errs)
			}
		})
	}
}

// person writes the kubeconfig that the hub gives somebody.
func (th *through) person(t *testing.T, name, group string, bindings ...any) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, th.hubKubeconfig(t, name, group, bindings...), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (th *through) kubectl(ctx context.Context, kubeconfig string, args ...string) (out, errs string, err error) {
	cmd := exec.CommandContext(ctx, th.KubectlPath(), append([]string{"--kubeconfig", kubeconfig, "--cache-dir", kubeconfig + ".cache"}, args...)...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err = cmd.Run()
	return o.String(), e.String(), err
}
