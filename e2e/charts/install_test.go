package charts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// ruleDelay is how long an API server may take to see rules that it has just stored, on a busy machine.
const ruleDelay = 20 * time.Second

func mustUninstall(t *testing.T, name string) {
	t.Helper()
	if _, err := helm(context.WithoutCancel(t.Context()), "uninstall", name, "--namespace", "kubilitics"); err != nil {
		t.Error(err)
	}
}

// left lists what is in the cluster of a release: all that carries its name, and what helm itself remembers.
func left(t *testing.T, release string) (out []string) {
	t.Helper()
	kinds, err := world.cluster.Kubectl(t.Context(), nil, "api-resources", "--verbs=list", "--output=name")
	if err != nil {
		t.Fatal(err)
	}
	// Events tell of what was, and end by themselves.
	asked := slices.DeleteFunc(strings.Fields(string(kinds)), func(k string) bool { return strings.HasPrefix(k, "events") })
	for _, selector := range []string{"app.kubernetes.io/instance=" + release, "owner=helm,name=" + release} {
		got, err := world.cluster.Kubectl(t.Context(), nil, "get", strings.Join(asked, ","), "--all-namespaces", "--selector", selector, "--output=name", "--ignore-not-found")
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.Fields(string(got))...)
	}
	return out
}

// eventuallyLeft waits until nothing but that is left of a release.
func eventuallyLeft(t *testing.T, release string, want ...string) {
	t.Helper()
	eventually(t, release+" is gone", time.Minute, func() error {
		if got := left(t, release); !slices.Equal(got, want) {
			return fmt.Errorf("left is %q", got)
		}
		return nil
	})
}

// answer is what a hub says to a new cluster.
type answer struct{ ID, Helm, HelmCA string }

// startHub starts a hub, by the chart that it carries the agent is installed.
func startHub(t *testing.T, o stack.HubOptions) *stack.Hub {
	t.Helper()
	ctx, cancel := stack.Within(t.Context(), time.Minute)
	defer cancel()
	o.Program, o.Dir = world.programs.Hub, t.TempDir()
	h, err := stack.StartHub(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Stop(); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
		if h.HTTP != nil {
			h.HTTP.CloseIdleConnections()
		}
	})
	return h
}

// invite makes a cluster at a hub.
func invite(t *testing.T, h *stack.Hub, name string) (made answer) {
	t.Helper()
	if err := h.Do(t.Context(), http.MethodPost, "/api/v1/clusters", map[string]any{"name": name}, &made); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(made.Helm, "helm install kubilitics-agent kubilitics-agent --repo https://") || made.HelmCA == "" {
		t.Fatalf("helm: %q", made.Helm)
	}
	return made
}

// shell types the command, and more behind it, in a directory that holds the file which it names.
func (a answer) shell(t *testing.T, more string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "kubilitics-hub.crt"), []byte(a.HelmCA), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := stack.Within(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", a.Helm+more)
	cmd.Dir = dir
	if _, err := command(cmd); err != nil {
		t.Fatal(err)
	}
}

// The command that the hub answers with installs the agent from the hub; with what the chart made, and as the account that it made, an agent enrols, sees the whole
// cluster and keeps its identity where the chart says, through an upgrade. An uninstall leaves nothing.
func TestTheHubsOwnCommand(t *testing.T) {
	h := startHub(t, stack.HubOptions{})
	made := invite(t, h, "by-helm")
	made.shell(t, "")
	awaitDeployment(t, "kubilitics-agent")

	a := startAsPod(t, true)
	ctx, cancel := stack.Within(t.Context(), 2*time.Minute)
	defer cancel()
	if err := h.AwaitLive(ctx, made.ID); err != nil {
		t.Fatalf("%v\n%s", err, a.Log())
	}
	seesAll(t, h, made.ID)
	identity := stateOf(t)
	if len(identity) == 0 {
		t.Fatal("the Secret holds no identity")
	}
	if err := a.Stop(); err != nil {
		t.Error(err)
	}

	mustHelm(t, "upgrade", "kubilitics-agent", folder("kubilitics-agent"), "--namespace", "kubilitics", "--reuse-values", "--set", "log.level=debug,token=")
	if !bytes.Equal(identity, stateOf(t)) {
		t.Error("the upgrade changed the identity")
	}
	if _, err := world.client.CoreV1().Secrets("kubilitics").Get(t.Context(), "kubilitics-agent-join", metav1.GetOptions{}); err == nil {
		t.Error("the join token outlives the value that gave it")
	}
	a = startAsPod(t, false)
	eventually(t, "the agent is back without a token", time.Minute, func() error {
		if strings.Contains(a.Log(), "the hub welcomed this agent") {
			return nil
		}
		return errors.New(a.Log())
	})
	if err := a.Stop(); err != nil {
		t.Error(err)
	}
	mustUninstall(t, "kubilitics-agent")
	eventuallyLeft(t, "kubilitics-agent")
}

// Agents come by an ingress whose certificate only the company knows: the command tells them that too. This one may see a single namespace, and no Secrets.
func TestTheHubsOwnCommandByAnIngress(t *testing.T) {
	h := startHub(t, stack.HubOptions{TLS: true, Args: []string{"--tunnel-address", "wss://hub.example/tunnel/v1"}})
	made := invite(t, h, "by-ingress")
	made.shell(t, " --set 'namespaces={shop},secrets=false,share=topology'")
	awaitDeployment(t, "kubilitics-agent")
	told, err := world.client.CoreV1().ConfigMaps("kubilitics").Get(t.Context(), "kubilitics-agent", metav1.GetOptions{})
	if err != nil || told.Data["hub-ca.crt"] != made.HelmCA || !strings.Contains(told.Data["kubilitics-agent.yaml"], "wss://hub.example/tunnel/v1") {
		t.Fatalf("told: %v (%v)", told.Data, err)
	}
	ca := filepath.Join(t.TempDir(), "hub-ca.crt")
	if err := os.WriteFile(ca, []byte(told.Data["hub-ca.crt"]), 0o600); err != nil {
		t.Fatal(err)
	}
	a := startAsPod(t, true, "--hub", "wss"+strings.TrimPrefix(h.URL, "https")+"/tunnel/v1", "--hub-ca", ca)
	ctx, cancel := stack.Within(t.Context(), 2*time.Minute)
	defer cancel()
	if err := h.AwaitLive(ctx, made.ID); err != nil {
		t.Fatalf("%v\n%s", err, a.Log())
	}
	observed := map[string]bool{}
	for _, k := range kindsOf(t, h, made.ID) {
		observed[k.Kind] = k.Observed
	}
	if !observed["Pod"] || !observed["Deployment"] || observed["Node"] || observed["Secret"] || observed["ClusterRole"] {
		t.Errorf("observed: %v", observed)
	}
	if err := a.Stop(); err != nil {
		t.Error(err)
	}
	mustUninstall(t, "kubilitics-agent")
	eventuallyLeft(t, "kubilitics-agent")
}

func awaitDeployment(t *testing.T, name string) {
	t.Helper()
	eventually(t, "the Deployment is available", time.Minute, func() error {
		d, err := world.client.AppsV1().Deployments("kubilitics").Get(t.Context(), name, metav1.GetOptions{})
		if err == nil && d.Status.AvailableReplicas != 1 {
			err = fmt.Errorf("%+v", d.Status)
		}
		return err
	})
}

// startAsPod starts an agent on this machine as the pod would: the nodes are simulated, and run nothing. Its file and its token are those that the pod
// gets, and its account is the pod's.
func startAsPod(t *testing.T, withToken bool, more ...string) *stack.Agent {
	t.Helper()
	told, err := world.client.CoreV1().ConfigMaps("kubilitics").Get(t.Context(), "kubilitics-agent", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := world.cluster.ServiceAccountKubeconfig(t.Context(), "kubilitics", "kubilitics-agent")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, access := filepath.Join(dir, "kubilitics-agent.yaml"), filepath.Join(dir, "kubeconfig")
	if err := errors.Join(os.WriteFile(file, []byte(told.Data["kubilitics-agent.yaml"]), 0o600), os.WriteFile(access, kubeconfig, 0o600)); err != nil {
		t.Fatal(err)
	}
	var text struct{ Hub string }
	if err := yaml.Unmarshal([]byte(told.Data["kubilitics-agent.yaml"]), &text); err != nil {
		t.Fatal(err)
	}
	token := ""
	if withToken {
		s, err := world.client.CoreV1().Secrets("kubilitics").Get(t.Context(), "kubilitics-agent-join", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		token = string(s.Data["token"])
	}
	a, err := stack.StartAgent(stack.AgentOptions{Program: world.programs.Agent, Dir: dir, Hub: text.Hub, Kubeconfig: access, Token: token, Args: append([]string{"--config", file, "--listen", "127.0.0.1:0"}, more...)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Kill)
	return a
}

func stateOf(t *testing.T) []byte {
	t.Helper()
	s, err := world.client.CoreV1().Secrets("kubilitics").Get(t.Context(), "kubilitics-agent-state", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Data["identity.json"]
}

// kind is how a hub shows one.
type kind struct {
	Kind, Group, Reason string
	Observed            bool
}

func kindsOf(t *testing.T, h *stack.Hub, id string) []kind {
	t.Helper()
	var list struct{ Items []kind }
	if err := h.Get(t.Context(), "/api/v1/clusters/"+id+"/api-resources", &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// seesAll: with the chart's rights there is no kind in the cluster that the agent may not watch.
func seesAll(t *testing.T, h *stack.Hub, id string) {
	t.Helper()
	eventually(t, "every kind is observed", time.Minute, func() error {
		kinds := kindsOf(t, h, id)
		if len(kinds) < 50 {
			return fmt.Errorf("%d kinds", len(kinds))
		}
		var without []string
		for _, k := range kinds {
			if !k.Observed {
				without = append(without, k.Kind+"."+k.Group+": "+k.Reason)
			}
		}
		if len(without) > 0 {
			return fmt.Errorf("not observed: %q", without)
		}
		return nil
	})
}

// Helm reads the hub's repository as any other, and what it pulls is the chart in the source.
func TestTheHubIsARepository(t *testing.T) {
	h := startHub(t, stack.HubOptions{})
	dir := t.TempDir()
	mustHelm(t, "pull", "kubilitics-agent", "--repo", h.URL+"/charts", "--untar", "--destination", dir)
	err := filepath.WalkDir(folder("kubilitics-agent"), func(at string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		rel, _ := filepath.Rel(folder("kubilitics-agent"), at)
		want, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		got, err := os.ReadFile(filepath.Join(dir, "kubilitics-agent", rel))
		if err == nil && !bytes.Equal(got, want) {
			err = fmt.Errorf("%s differs", rel)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	resp, err := http.Get(h.URL + "/charts/index.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(text, []byte("kubilitics-agent-")) {
		t.Errorf("%s %s %v", resp.Status, text, err)
	}
}

// The hub's chart, with the database on a volume: what stays at an uninstall is the volume, and nothing where that isn't wanted.
func TestTheHubOnAVolume(t *testing.T) {
	for _, keep := range []bool{true, false} {
		name := fmt.Sprintf("hub-%t", keep)
		mustHelm(t, "install", name, folder("kubilitics-hub"), "--namespace", "kubilitics", "--wait", "--set", fmt.Sprintf("persistence.keep=%t,fullnameOverride=%s", keep, name))
		mustHelm(t, "upgrade", name, folder("kubilitics-hub"), "--namespace", "kubilitics", "--wait", "--reuse-values", "--set", "config.log.level=debug")
		mustUninstall(t, name)
		if keep {
			eventuallyLeft(t, name, "persistentvolumeclaim/"+name+"-data")
			if _, err := world.cluster.Kubectl(t.Context(), nil, "delete", "persistentvolumeclaim", name+"-data", "--namespace", "kubilitics"); err != nil {
				t.Error(err)
			}
		} else {
			eventuallyLeft(t, name)
		}
	}
}

// With Postgres the root is made once: upgrades and another install after an uninstall find it, and a hub takes it. Before an upgrade a Job migrates.
func TestTheHubOnPostgres(t *testing.T) {
	name := "hub-postgres"
	set := []string{"--namespace", "kubilitics", "--wait", "--set", "postgres.existingSecret.name=database,fullnameOverride=" + name}
	if _, err := world.cluster.Kubectl(t.Context(), nil, "create", "secret", "generic", "database", "--namespace", "kubilitics", "--from-literal=dsn=postgres://hub:x@database/hub"); err != nil {
		t.Fatal(err)
	}
	root := func() string {
		s, err := world.client.CoreV1().Secrets("kubilitics").Get(t.Context(), name+"-ca", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return string(s.Data["ca.pem"])
	}
	mustHelm(t, append([]string{"install", name, folder("kubilitics-hub")}, set...)...)
	first := root()
	mustHelm(t, append([]string{"upgrade", name, folder("kubilitics-hub")}, set...)...)
	if root() != first {
		t.Error("an upgrade made another root")
	}
	events, err := world.client.EventsV1().Events("kubilitics").List(t.Context(), metav1.ListOptions{FieldSelector: "regarding.name=" + name + "-migrate,regarding.kind=Job,reason=Completed"})
	if err != nil || len(events.Items) != 1 {
		t.Errorf("%d Jobs have migrated (%v)", len(events.Items), err)
	}
	mustUninstall(t, name)
	eventuallyLeft(t, name, "secret/"+name+"-ca")
	mustHelm(t, append([]string{"install", name, folder("kubilitics-hub")}, set...)...)
	if root() != first {
		t.Error("another install made another root")
	}
	mustUninstall(t, name)
	if _, err := world.cluster.Kubectl(t.Context(), nil, "delete", "secret", name+"-ca", "database", "--namespace", "kubilitics"); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	startHub(t, stack.HubOptions{Args: []string{"--ca-file", file}})
}
