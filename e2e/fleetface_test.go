package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// fleetFace is a hub with two clusters, and kubectl pointed at the face that all of them share.
type fleetFace struct {
	*rig
	eu, us *member
	home   string
	ca     string // file
}

// startSecure is start with TLS, without which kubectl tells nobody its token.
func startSecure(t *testing.T) *rig {
	t.Helper()
	r := &rig{db: &database{name: "sqlite"}, log: &logbook{}}
	within, cancel := stack.Within(t.Context(), 30*time.Second)
	defer cancel()
	var err error
	if r.hub, err = stack.StartHub(within, stack.HubOptions{Program: world.programs.Hub, Dir: t.TempDir(), Log: r.log, TLS: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.hub.HTTP.CloseIdleConnections()
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the hub's log:\n%s", lastLines(r.log, 60))
		}
	})
	return r
}

func newFleetFace(t *testing.T) *fleetFace {
	t.Helper()
	f := &fleetFace{rig: startSecure(t), home: t.TempDir()}
	f.ca = filepath.Join(f.home, "ca.pem")
	if err := os.WriteFile(f.ca, f.hub.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	f.eu = f.join(t, world.eu, world.eu.agent)
	f.us = f.join(t, world.us, world.us.agent)
	f.live(t, f.eu, f.us)
	return f
}

// command is kubectl at a root below the fleet's: "", or "/clusters/NAME".
func (f *fleetFace) command(ctx context.Context, root string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, world.eu.KubectlPath(), append([]string{"--server", f.hub.URL + "/k8s/fleet" + root, "--token", f.hub.Token, "--certificate-authority", f.ca}, args...)...)
	cmd.Env = []string{"HOME=" + f.home, "PATH=" + os.Getenv("PATH")}
	return cmd
}

// says runs kubectl to its end.
func (f *fleetFace) says(t *testing.T, root string, args ...string) (out, complaints string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := f.command(ctx, root, args...)
	var said, complained bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &complained
	err = cmd.Run()
	return said.String(), complained.String(), err
}

func (f *fleetFace) gets(t *testing.T, root string, args ...string) string {
	t.Helper()
	out, complaints, err := f.says(t, root, args...)
	if err != nil {
		t.Fatalf("kubectl %v: %v: %s", args, err, complaints)
	}
	return out
}

// direct runs kubectl against a cluster itself.
func (f *fleetFace) direct(ctx context.Context, kubeconfig string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, world.eu.KubectlPath(), append([]string{"--kubeconfig", kubeconfig}, args...)...)
	cmd.Env = []string{"HOME=" + filepath.Join(f.home, "direct"), "PATH=" + os.Getenv("PATH")}
	out, err := cmd.Output()
	return string(out), err
}

func TestKubectlReadsTheFleet(t *testing.T) {
	t.Parallel()
	f := newFleetFace(t)
	t.Run("tables", f.tables)
	t.Run("as a cluster tells it", f.likeTheCluster)
	t.Run("watches", f.watches)
	t.Run("one cluster alone", f.alone)
	t.Run("offline", f.offline)
}

// tables: what people type, and what must stand in the answer.
func (f *fleetFace) tables(t *testing.T) {
	// Short names of custom kinds are in their definitions, whose texts come after the first load; what is served is worked out now and then.
	eventually(t, "the short name of a custom kind is known", 45*time.Second, func() error {
		for line := range strings.Lines(f.gets(t, "", "api-resources", "--no-headers")) {
			if words := strings.Fields(line); len(words) > 1 && words[1] == "promo" {
				return nil
			}
		}
		return errors.New("it isn't")
	})
	for _, c := range []struct {
		args string
		want []string
	}{
		{"get pods -A", []string{"NAMESPACE", "CLUSTER", "READY", "RESTARTS", f.eu.name, f.us.name, "1/1", "Running"}},
		{"get po -n payments -o wide", []string{"NODE", "IP", "HEALTH", "IMAGES"}},
		{"get deploy,svc -n shop -l kubilitics.io/cluster=" + f.eu.name, []string{"deployment.apps/", "service/", f.eu.name, "UP-TO-DATE", "CLUSTER-IP"}},
		{"get all -A --chunk-size=7", []string{"pod/", "service/", "deployment.apps/", "statefulset.apps/"}},
		{"get no", []string{"Ready", "VERSION", "v1.", "eu-", "us-"}},
		{"get ns -o name", []string{"namespace/shop", "namespace/payments"}},
		{"get cm -n bulk -l bulk=3,kubilitics.io/cluster-name=" + f.us.name + " --chunk-size=20 -o name", []string{"configmap/bulk-3\n", "configmap/bulk-1493\n"}},
		{"api-resources", []string{"customresourcedefinitions", "crd,crds", "deploy", "promo", "endpointslices"}},
		{"api-versions", []string{"apps/v1", "batch/v1"}},
		{"get promo -A", []string{"CLUSTER", f.eu.name, "AGE"}},
		{"get crd", []string{"CREATED AT"}},
		{"get events -A", []string{"LAST SEEN", "OBJECT", "pod/"}},
		{"get pods -A --field-selector status.phase=Running,spec.nodeName=eu-node-1 -o jsonpath={.items[*].spec.nodeName}", []string{"eu-node-1 eu-node-1"}},
		{"get pods -A --show-labels --sort-by=.metadata.name", []string{"LABELS", "app.kubernetes.io/name="}},
		{"describe no -l kubernetes.io/hostname=eu-node-1", []string{"Non-terminated Pods:", "Allocated resources:", "eu-node-1"}},
		{"version", []string{"Server Version: v1.37"}},
		{"get --raw /readyz", []string{"ok"}},
		{"auth can-i list pods -A", []string{"yes"}},
		{"auth whoami", []string{"Username", "bootstrap-admin"}},
	} {
		out := f.gets(t, "", strings.Fields(c.args)...)
		for _, w := range c.want {
			if !strings.Contains(out, w) {
				t.Errorf("kubectl %s: %q isn't in\n%s", c.args, w, head(out))
			}
		}
	}
	for args, want := range map[string]string{
		"delete ns shop": "Error from server (MethodNotAllowed): delete of namespaces isn't possible here",
		"get pods -A --field-selector spec.what=1":      `pods can't be selected by "spec.what" here`,
		"get pod -n shop there-is-none":                 `Error from server (NotFound): pods "there-is-none" not found`,
		"get ns shop -o json":                           "/k8s/fleet/clusters/" + f.eu.name,
		"get unicorns":                                  `the server doesn't have a resource type "unicorns"`,
		"logs -n shop pod/some":                         `pods "some" not found`,
		"get pods -A -l kubilitics.io/cluster>3":        "can't be compared",
		"auth can-i delete pods -n shop -q":             "",
		"create configmap -n shop x --from-literal=a=b": "isn't possible here",
	} {
		if out, complaints, err := f.says(t, "", strings.Fields(args)...); err == nil || !strings.Contains(complaints, want) {
			t.Errorf("kubectl %s: %v, saying %s%s, want %q", args, err, head(out), complaints, want)
		}
	}
}

func head(text string) string { return text[:min(len(text), 1500)] }

// likeTheCluster: through its own root, a cluster's objects are what the cluster says they are, but for what never leaves it.
func (f *fleetFace) likeTheCluster(t *testing.T) {
	config := filepath.Join(f.home, "eu.kubeconfig")
	if err := os.WriteFile(config, world.eu.Kubeconfig(), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := []string{"get", "deploy,rs,svc,cm,sa,sts,ing,pvc,netpol,cj,role,rolebinding,promo", "-n", "shop", "-o", "json"}
	eventually(t, "both say the same", 30*time.Second, func() error {
		theirs, err := f.direct(t.Context(), config, ask...)
		if err != nil {
			return err
		}
		want, got := objectsIn(t, theirs), objectsIn(t, f.gets(t, "/clusters/"+f.eu.name, ask...))
		if len(want) < 15 {
			return fmt.Errorf("only %d objects", len(want))
		}
		for name, w := range want {
			if !reflect.DeepEqual(w, got[name]) {
				return fmt.Errorf("%s is\n%v, want\n%v", name, got[name], w)
			}
		}
		if len(got) != len(want) {
			return fmt.Errorf("%d objects, want %d", len(got), len(want))
		}
		return nil
	})
	if out := f.gets(t, "", "get", "secrets", "-n", "payments", "-o", "json"); strings.Contains(out, planted) || strings.Contains(out, plantedEncoded()) || !strings.Contains(out, `"planted"`) {
		t.Error("a Secret shows what is in it, or isn't there")
	}
}

// objectsIn reads a list, without what each server says for itself.
func objectsIn(t *testing.T, list string) map[string]any {
	t.Helper()
	var all struct{ Items []map[string]any }
	if err := json.Unmarshal([]byte(list), &all); err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	for _, o := range all.Items {
		meta := o["metadata"].(map[string]any)
		delete(meta, "resourceVersion")
		delete(meta, "managedFields")
		if notes, ok := meta["annotations"].(map[string]any); ok {
			for key, v := range notes {
				text, _ := v.(string)
				if strings.HasPrefix(key, "kubilitics.io/cluster") || strings.HasPrefix(text, "{") && strings.Contains(text, `"kind"`) {
					delete(notes, key)
				}
			}
			if len(notes) == 0 {
				delete(meta, "annotations")
			}
		}
		out[fmt.Sprint(o["kind"], "/", meta["name"])] = o
	}
	return out
}

// watches: what happens in a cluster comes out of a kubectl that watches the fleet, with the object as it is then.
func (f *fleetFace) watches(t *testing.T) {
	space := tag("fleetwatch")
	maps := world.eu.client.CoreV1().ConfigMaps(space)
	if _, err := world.eu.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: space}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	next := f.following(t, ctx, "get", "cm", "-n", space, "-l", "seen=yes", "-w", "--output-watch-events", "-o",
		`jsonpath={.type}{" "}{.object.metadata.name}{" "}{.object.data.color}{"\n"}`)
	make := func(name string, labels map[string]string) {
		if _, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Data: map[string]string{"color": "red"}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	patch := func(text string) {
		if _, err := maps.Patch(ctx, "mine", types.MergePatchType, []byte(text), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	make("other", nil)
	make("mine", map[string]string{"seen": "yes"})
	next(`(ADDED|MODIFIED) mine red`)
	patch(`{"data":{"color":"blue"}}`) // of which the row in the index shows nothing
	next(`MODIFIED mine blue`)
	patch(`{"metadata":{"labels":{"seen":"no"}}}`)
	next(`DELETED mine`)
	patch(`{"metadata":{"labels":{"seen":"yes"}}}`)
	next(`ADDED mine`)
	if err := maps.Delete(ctx, "mine", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	next(`DELETED mine`)
}

// following starts a kubectl that goes on, and gives what waits for a line that fits; lines before it are passed over.
func (f *fleetFace) following(t *testing.T, ctx context.Context, args ...string) (next func(pattern string)) {
	t.Helper()
	within, cancel := context.WithCancel(ctx)
	cmd := f.command(within, "", args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	return func(pattern string) {
		t.Helper()
		wanted := regexp.MustCompile("^" + pattern)
		var seen []string
		for lines.Scan() {
			seen = append(seen, lines.Text())
			if wanted.MatchString(lines.Text()) {
				return
			}
		}
		t.Fatalf("no %q came, but %q", pattern, seen)
	}
}

// alone: a cluster's own root is like a cluster.
func (f *fleetFace) alone(t *testing.T) {
	for _, root := range []string{"/clusters/" + f.us.name, "/clusters/" + f.us.id} {
		out := f.gets(t, root, "get", "pods", "-n", "shop")
		if strings.Contains(out, "CLUSTER") || !strings.HasPrefix(out, "NAME ") || strings.Contains(out, "recommendations") {
			t.Errorf("%s: %s", root, head(out))
		}
		name := strings.TrimSpace(f.gets(t, root, "get", "deploy", "-n", "shop", "-o", "name"))
		name, _, _ = strings.Cut(name, "\n")
		if out := f.gets(t, root, "describe", "-n", "shop", name); !strings.Contains(out, "Selector:") || !strings.Contains(out, "NewReplicaSet:") {
			t.Errorf("%s: %s", root, head(out))
		}
		pod := strings.TrimSpace(f.gets(t, root, "get", "pods", "-n", "payments", "-o", "jsonpath={.items[0].metadata.name}"))
		if out := f.gets(t, root, "describe", "pod", "-n", "payments", pod); !strings.Contains(out, "Containers:") || !strings.Contains(out, "Events:") {
			t.Errorf("%s: %s", root, head(out))
		}
	}
	if _, complaints, err := f.says(t, "/clusters/nowhere", "get", "--raw", "/api/v1/pods"); err == nil || !strings.Contains(complaints, "there is no cluster") {
		t.Errorf("a cluster that isn't there: %v %s", err, complaints)
	}
}

// offline: of a cluster whose agent is gone everything is told as it was, and that it is so.
func (f *fleetFace) offline(t *testing.T) {
	before := strings.Fields(f.gets(t, "", "get", "pods", "-A", "-l", "kubilitics.io/cluster="+f.us.name, "-o", "name"))
	if err := f.us.agent.Stop(); err != nil {
		t.Fatal(err)
	}
	var out, complaints string
	eventually(t, "the cluster shows as offline", 30*time.Second, func() (err error) {
		if out, complaints, err = f.says(t, "", "get", "pods", "-A"); err == nil && !strings.Contains(out, f.us.name+" (offline ") {
			err = fmt.Errorf("%s", head(out))
		}
		return err
	})
	if !strings.Contains(complaints, "Warning: cluster "+f.us.name+" is offline since ") || strings.Contains(out, f.eu.name+" (offline") {
		t.Errorf("saying %s, of\n%s", complaints, head(out))
	}
	if after := strings.Fields(f.gets(t, "", "get", "pods", "-A", "-l", "kubilitics.io/cluster="+f.us.name, "-o", "name")); !slices.Equal(before, after) {
		t.Errorf("%d pods, before there were %d", len(after), len(before))
	}
	since := f.gets(t, "/clusters/"+f.us.name, "get", "ns", "shop", "-o", `jsonpath={.metadata.annotations.kubilitics\.io/stale-since}`)
	if _, err := time.Parse(time.RFC3339, since); err != nil {
		t.Errorf("stale since %q", since)
	}
}
