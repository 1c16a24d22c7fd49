package node

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// story is what the steps of the test hand on.
type story struct {
	hub     hub
	before  []string // objects that were there before
	cluster string   // its id at the hub
	ca      string   // file that helm knows the hub by
}

// From nothing to nothing: the charts are installed as the documentation and the hub say, used, upgraded, survive the node, change keys, and are uninstalled.
func TestTheChartsOnARealNode(t *testing.T) {
	if place.kubeconfig == "" {
		t.Skip("NOT RUN: " + place.lacks)
	}
	s := &story{before: objects(t)}
	t.Cleanup(s.hub.close)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"the hub is installed", s.installHub}, {"its own command installs the agent", s.installAgent}, {"the agent sees its own pod", s.ownPod},
		{"the agent is upgraded", s.upgradeAgent}, {"logs, exec, cp and port-forward", s.streams}, {"the hub is upgraded", s.upgradeHub},
		{"the node restarts", s.restartNode}, {"access is rescued", s.rescue}, {"token and certificate change", s.rotate}, {"an uninstall leaves nothing", s.uninstall},
	} {
		if !t.Run(step.name, step.run) {
			s.explain(t)
			break // each stands on those before
		}
	}
}

// explain shows what somebody would look at first.
func (s *story) explain(t *testing.T) {
	for _, args := range [][]string{{"get", "all,pvc,pv", "--all-namespaces", "-o", "wide"}, {"--namespace", "kubilitics", "get", "events"}, {"--namespace", "kubilitics", "logs", "kubilitics-hub-0", "--tail", "20"}} {
		out, err := do(t.Context(), place.kubeconfig, nil, append([]string{"kubectl"}, args...)...)
		t.Logf("%s %v", out, err)
	}
	t.Log(agentLog(t))
}

func chart(name string) string {
	at, err := filepath.Abs(filepath.Join("..", "..", "charts", name))
	if err != nil {
		panic(err) // the working directory is gone
	}
	return at
}

// ours is where the cluster finds our image of a program: what the charts say isn't published here.
func ours(name string) string {
	return "image.repository=" + place.images + "/" + name + ",image.tag=dev"
}

func (s *story) installHub(t *testing.T) {
	volume := "persistence.size=1Gi"
	if place.own != nil {
		if err := place.own.Volume(t.Context(), strings.ToLower("hub-"+rand.Text()), volumeClass, "1Gi"); err != nil {
			t.Fatal(err)
		}
		volume += ",persistence.storageClass=" + volumeClass
	}
	must(t, "helm", "install", "kubilitics-hub", chart("kubilitics-hub"), "--namespace", "kubilitics", "--create-namespace", "--wait", "--timeout", "2m", "--set", ours("kubilitics-hub"), "--set", volume)
	s.hub.Token = tokenOf(t, "kubilitics")
	s.hub.visit(t)
	s.enter(t)
}

// tokenOf is the administrator's, which a hub prints when it starts for the first time.
func tokenOf(t *testing.T, namespace string) string {
	t.Helper()
	log := must(t, "kubectl", "--namespace", namespace, "logs", "kubilitics-hub-0")
	_, rest, _ := strings.Cut("\n"+log, "\ntoken ")
	token, _, _ := strings.Cut(rest, "\n")
	if token == "" {
		t.Fatalf("the hub prints no token:\n%s", log)
	}
	return token
}

// enter asks the hub by the way that the chart's notes give.
func (s *story) enter(t *testing.T) {
	ctx, cancel := stack.Within(t.Context(), 30*time.Second)
	defer cancel()
	d := door{kubeconfig: place.kubeconfig, namespace: "kubilitics", to: "service/kubilitics-hub", inside: "80"}
	if err := d.open(ctx); err != nil {
		t.Fatal(err)
	}
	defer d.close()
	guest := stack.Client{URL: "http://127.0.0.1:" + d.port, Token: s.hub.Token, HTTP: s.hub.HTTP}
	if clusters, err := guest.Text(ctx, "/api/v1/clusters"); err != nil || !strings.Contains(clusters, `"items":[]`) {
		t.Errorf("behind the door there is %s (%v)", clusters, err)
	}
}

// invited is what a hub says to a new cluster.
type invited struct{ ID, Token, Helm, HelmCA string }

func (s *story) installAgent(t *testing.T) {
	var made invited
	if err := s.hub.Do(t.Context(), http.MethodPost, "/api/v1/clusters", map[string]any{"name": "here"}, &made); err != nil {
		t.Fatal(err)
	}
	s.cluster, s.ca = made.ID, filepath.Join(place.dir, "kubilitics-hub.crt")
	if err := os.WriteFile(s.ca, []byte(made.HelmCA), 0o600); err != nil {
		t.Fatal(err)
	}
	// The answer's command as it stands, in a shell, and behind it nothing but where the image is.
	must(t, "sh", "-c", made.Helm+" --set "+ours("kubilitics-agent"))
	s.hub.awaitAgent(t, s.cluster)
}

// pod is what is asked of one.
type pod struct {
	Metadata struct{ Name, UID string }
	Spec     struct{ ServiceAccountName, NodeName string }
	Status   struct {
		Phase             string
		ContainerStatuses []struct {
			RestartCount int
			Ready        bool
		}
	}
}

func podsOf(t *testing.T, app string) []pod {
	t.Helper()
	var list struct{ Items []pod }
	out := must(t, "kubectl", "--namespace", "kubilitics", "get", "pods", "--selector", "app.kubernetes.io/name="+app, "-o", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func onlyPod(t *testing.T, app string) (p pod) {
	t.Helper()
	eventually(t, "there is one pod of "+app, time.Minute, func() error {
		all := podsOf(t, app)
		if len(all) != 1 || all[0].Status.Phase != "Running" {
			return fmt.Errorf("%+v", all)
		}
		p = all[0]
		return nil
	})
	return p
}

// graph is a topology's answer, as far as it is looked at.
type graph struct {
	Nodes []stack.Resource
	Edges []struct {
		Source, Target stack.Resource
		Type           string
	}
}

// ownPod: what the agent tells of the cluster it tells of itself too, by the rights of its own account.
func (s *story) ownPod(t *testing.T) {
	p := onlyPod(t, "kubilitics-agent")
	if got := must(t, "kubectl", "--namespace", "kubilitics", "get", "networkpolicies", "-o", "jsonpath={.items[*].metadata.name}"); got != "kubilitics-agent kubilitics-hub" {
		t.Errorf("network policies: %q", got)
	}
	if p.Spec.ServiceAccountName != "kubilitics-agent" {
		t.Errorf("the pod's account is %q", p.Spec.ServiceAccountName)
	}
	eventually(t, "the agent's pod and what it stands on are in the topology", 20*time.Second, func() error {
		var g graph
		if err := s.hub.Get(t.Context(), "/api/v1/clusters/"+s.cluster+"/topology?focus=Pod/kubilitics/"+p.Metadata.Name+"&depth=1", &g); err != nil {
			return err
		}
		if !slices.ContainsFunc(g.Nodes, func(r stack.Resource) bool { return r.UID == p.Metadata.UID && r.Health == "ok" }) {
			return fmt.Errorf("the pod isn't among %+v", g.Nodes)
		}
		for kind, name := range map[string]string{"ServiceAccount": "kubilitics-agent", "Node": p.Spec.NodeName, "ConfigMap": "kubilitics-agent"} {
			if !g.leads(p.Metadata.Name, kind, name) {
				return fmt.Errorf("no edge leads from the pod to %s %s: %+v", kind, name, g.Edges)
			}
		}
		return nil
	})
}

// leads: there is an edge from the pod to what is there.
func (g graph) leads(pod, kind, name string) bool {
	for _, e := range g.Edges {
		if e.Source.Kind == "Pod" && e.Source.Name == pod && e.Target.Kind == kind && e.Target.Name == name {
			return slices.ContainsFunc(g.Nodes, func(r stack.Resource) bool { return r.ID == e.Target.ID && r.Presence == "present" })
		}
	}
	return false
}

// identity is what the agent keeps in its Secret.
type identity struct{ Cluster, TokenID, IdentityKey, Certificate string }

func identityNow(t *testing.T) (i identity) {
	t.Helper()
	text := must(t, "kubectl", "--namespace", "kubilitics", "get", "secret", "kubilitics-agent-state", "-o", `go-template={{index .data "identity.json" | base64decode}}`)
	if err := json.Unmarshal([]byte(text), &i); err != nil || i.Certificate == "" {
		t.Fatalf("the Secret holds no identity: %v", err)
	}
	return i
}

// upgrade is the documentation's `helm upgrade` of an agent, with the chart from the hub.
func (s *story) upgrade(t *testing.T, set string) {
	t.Helper()
	old := onlyPod(t, "kubilitics-agent")
	must(t, "helm", "upgrade", "kubilitics-agent", "kubilitics-agent", "--repo", "https://"+s.hub.listener.Addr().String()+"/charts", "--ca-file", s.ca, "--namespace", "kubilitics",
		"--reset-then-reuse-values", "--wait", "--timeout", "2m", "--set", set)
	if now := onlyPod(t, "kubilitics-agent"); now.Metadata.UID == old.Metadata.UID {
		t.Error("the upgrade replaced no pod")
	}
	s.hub.awaitAgent(t, s.cluster)
}

func (s *story) upgradeAgent(t *testing.T) {
	before := identityNow(t)
	s.upgrade(t, "access=operate,token=")
	if now := identityNow(t); now != before {
		t.Error("the upgrade changed the identity")
	}
	if out := must(t, "kubectl", "--namespace", "kubilitics", "get", "secret", "kubilitics-agent-join", "--ignore-not-found"); out != "" {
		t.Error("the join token outlives the value that gave it")
	}
}

func (s *story) upgradeHub(t *testing.T) {
	before, old := identityNow(t), onlyPod(t, "kubilitics-hub")
	s.setHub(t, "config.log.level=debug")
	if onlyPod(t, "kubilitics-hub").Metadata.UID == old.Metadata.UID {
		t.Error("the upgrade replaced no pod")
	}
	s.hub.awaitAgent(t, s.cluster) // also: token and cluster are still known
	if identityNow(t) != before {
		t.Error("the upgrade of the hub changed the agent's identity")
	}
}

func (s *story) setHub(t *testing.T, set string) {
	t.Helper()
	must(t, "helm", "upgrade", "kubilitics-hub", chart("kubilitics-hub"), "--namespace", "kubilitics", "--reuse-values", "--wait", "--timeout", "2m", "--set", set)
	s.hub.visit(t)
}

// restartNode: as after a power cut. All pods come back, and the agent is who it was.
func (s *story) restartNode(t *testing.T) {
	if place.own == nil {
		t.Skip("NOT RUN: the given cluster's nodes are not ours to restart")
	}
	before := identityNow(t)
	if err := errors.Join(place.own.StopNode(t.Context()), place.own.StartNode(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, app := range []string{"kubilitics-hub", "kubilitics-agent"} {
		eventually(t, app+" runs again", 2*time.Minute, func() error {
			for _, p := range podsOf(t, app) {
				if len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].Ready && p.Status.ContainerStatuses[0].RestartCount > 0 {
					return nil
				}
			}
			return fmt.Errorf("%+v", podsOf(t, app))
		})
	}
	s.hub.visit(t)
	s.hub.awaitAgent(t, s.cluster)
	if identityNow(t) != before {
		t.Error("the restart changed the identity")
	}
}

// rescue: whoever may exec into the hub's pod makes a token as docs/operations.md says, and goes on with it.
func (s *story) rescue(t *testing.T) {
	out := must(t, "kubectl", "--namespace", "kubilitics", "exec", "kubilitics-hub-0", "--", "/kubilitics-hub", "token", "rescue")
	rescued := strings.TrimSpace(out)
	if !strings.HasPrefix(rescued, "kbt1.") || rescued == s.hub.Token {
		t.Fatalf("it prints %q", out)
	}
	s.hub.Token = rescued
	if text, err := s.hub.Text(t.Context(), "/api/v1/clusters/"+s.cluster); err != nil || !strings.Contains(text, s.cluster) {
		t.Errorf("the token opens nothing: %s %v", text, err)
	}
}

// rotate: a new join token makes the agent enrol anew, with the key that it is known by; its certificate, which lives shortly now, it renews by itself.
func (s *story) rotate(t *testing.T) {
	before := identityNow(t)
	s.setHub(t, "config.ca.lifetime=30s")
	var made invited
	if err := s.hub.Do(t.Context(), http.MethodPost, "/api/v1/clusters/"+s.cluster+"/join-tokens", map[string]any{}, &made); err != nil {
		t.Fatal(err)
	}
	s.upgrade(t, "token="+made.Token)
	enrolled := identityNow(t)
	if enrolled.TokenID == before.TokenID || enrolled.Certificate == before.Certificate {
		t.Error("the agent didn't enrol with the new token")
	}
	if enrolled.Cluster != s.cluster || enrolled.IdentityKey != before.IdentityKey {
		t.Error("the agent became another")
	}
	eventually(t, "the certificate is renewed", time.Minute, func() error {
		if identityNow(t).Certificate == enrolled.Certificate {
			return errors.New("it is the first one still")
		}
		return nil
	})
	s.hub.awaitAgent(t, s.cluster)
}

// uninstall: what stays is what is meant to, the hub's volume, and the namespace that helm never removes.
func (s *story) uninstall(t *testing.T) {
	for _, release := range []string{"kubilitics-agent", "kubilitics-hub"} {
		must(t, "helm", "uninstall", release, "--namespace", "kubilitics", "--wait", "--timeout", "1m")
	}
	kept := []string{"persistentvolumeclaim/kubilitics-hub-data", "namespace/kubilitics", "serviceaccount/default", "configmap/kube-root-ca.crt"}
	eventually(t, "nothing is left", time.Minute, func() error {
		var left []string
		for _, o := range objects(t) {
			if !slices.Contains(s.before, o) && !slices.Contains(kept, o) {
				left = append(left, o)
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("left are %q", left)
		}
		return nil
	})
	if out := must(t, "kubectl", "--namespace", "kubilitics", "get", "persistentvolumeclaim", "-o", "name"); strings.TrimSpace(out) != kept[0] {
		t.Errorf("of claims there are %q", out)
	}
	must(t, "kubectl", "delete", "namespace", "kubilitics")
}

// passing are kinds whose objects come and go whoever is there.
var passing = []string{"events", "leases", "nodes", "componentstatuses", "persistentvolumes"}

// objects lists the objects of the whole cluster, and of the namespace that is ours.
func objects(t *testing.T) (all []string) {
	t.Helper()
	for _, of := range [][]string{{"--namespaced=false"}, {"--namespaced=true", "kubilitics"}} {
		kinds := slices.DeleteFunc(strings.Fields(must(t, "kubectl", "api-resources", "--verbs=list", "--output=name", of[0])), func(k string) bool {
			plural, _, _ := strings.Cut(k, ".")
			return slices.Contains(passing, plural)
		})
		args := []string{"kubectl", "get", strings.Join(kinds, ","), "--output=name", "--ignore-not-found"}
		if len(of) > 1 {
			args = append(args, "--namespace", of[1])
		}
		all = append(all, strings.Fields(must(t, args...))...)
	}
	return all
}
