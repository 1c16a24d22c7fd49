package kube

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubilitics/kubilitics/e2e/demo/app"
)

// Two clusters side by side carry the demo application, each its region's part of it.
func TestDemoApplicationRuns(t *testing.T) {
	for _, region := range app.Regions() {
		t.Run(region, func(t *testing.T) {
			t.Parallel()
			c := ForTest(t, Options{Name: region, Region: region})
			client := clientOf(t, c.Kubeconfig())
			manifests, err := app.Manifests(region)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // applying again changes nothing and fails nothing
				if err := c.Apply(t.Context(), manifests); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "the application runs", 30*time.Second, func() error { return appRuns(t.Context(), client) })
			if region == "eu" {
				eventually(t, "the mistake shows", 10*time.Second, func() error { return mistakeShows(t.Context(), client) })
			}
			checkVolumes(t, client)
			checkKubectl(t, c)
			checkLeastPrivilege(t, c)
			checkRestart(t, c, client)
			group, dir := c.guard.group(), c.dir
			if err := c.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			assertGone(t, group, dir)
		})
	}
}

func clientOf(t *testing.T, kubeconfig []byte) *kubernetes.Clientset {
	t.Helper()
	cfg, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	cfg.QPS = -1
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIdle(client.CoreV1().RESTClient()) })
	return client
}

// appRuns: workloads are available, Jobs complete, claims bound; all but the mistake.
func appRuns(ctx context.Context, client kubernetes.Interface) error {
	deployments, err := client.AppsV1().Deployments("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, d := range deployments.Items {
		if d.Name != app.MistakeDeployment && !available(d) {
			return fmt.Errorf("Deployment %s isn't available", d.Name)
		}
	}
	sets, err := client.AppsV1().StatefulSets("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, s := range sets.Items {
		if s.Status.ReadyReplicas != *s.Spec.Replicas {
			return fmt.Errorf("StatefulSet %s has %d ready", s.Name, s.Status.ReadyReplicas)
		}
	}
	ds, err := client.AppsV1().DaemonSets("platform").Get(ctx, "node-watcher", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if ds.Status.NumberAvailable != 3 {
		return fmt.Errorf("DaemonSet on %d nodes", ds.Status.NumberAvailable)
	}
	job, err := client.BatchV1().Jobs("payments").Get(ctx, "ledger-schema-12", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if job.Status.Succeeded != 1 || job.Status.CompletionTime == nil {
		return errors.New("the Job hasn't completed")
	}
	return claimsBound(ctx, client)
}

func available(d appsv1.Deployment) bool {
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentAvailable {
			return c.Status == corev1.ConditionTrue && d.Status.AvailableReplicas == *d.Spec.Replicas
		}
	}
	return false
}

func claimsBound(ctx context.Context, client kubernetes.Interface) error {
	claims, err := client.CoreV1().PersistentVolumeClaims("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	if len(claims.Items) < 5 {
		return fmt.Errorf("%d claims", len(claims.Items))
	}
	for _, c := range claims.Items {
		if c.Status.Phase != corev1.ClaimBound {
			return fmt.Errorf("claim %s is %s", c.Name, c.Status.Phase)
		}
	}
	return nil
}

func mistakeShows(ctx context.Context, client kubernetes.Interface) error {
	if _, err := client.CoreV1().ConfigMaps(app.MistakeNamespace).Get(ctx, app.MissingConfigMap, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		return fmt.Errorf("the ConfigMap should be missing: %v", err)
	}
	pods, err := client.CoreV1().Pods(app.MistakeNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + app.MistakeDeployment})
	if err != nil {
		return err
	}
	if len(pods.Items) != 1 || len(pods.Items[0].Status.ContainerStatuses) != 1 {
		return fmt.Errorf("pods: %v", pods.Items)
	}
	w := pods.Items[0].Status.ContainerStatuses[0].State.Waiting
	if w == nil || w.Reason != "CreateContainerConfigError" || !strings.Contains(w.Message, app.MissingConfigMap) {
		return fmt.Errorf("waits for %v", w)
	}
	return nil
}

// A claim that goes takes its volume with it, as the class says.
func checkVolumes(t *testing.T, client kubernetes.Interface) {
	claims := client.CoreV1().PersistentVolumeClaims("default")
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "short-lived"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			},
		},
	}
	if _, err := claims.Create(t.Context(), claim, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	volume := ""
	eventually(t, "the claim is bound", 10*time.Second, func() error {
		got, err := claims.Get(t.Context(), claim.Name, metav1.GetOptions{})
		if err == nil && got.Status.Phase != corev1.ClaimBound {
			err = errors.New(string(got.Status.Phase))
		}
		if err == nil {
			volume = got.Spec.VolumeName
		}
		return err
	})
	if err := claims.Delete(t.Context(), claim.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its volume is gone", 10*time.Second, func() error {
		_, err := client.CoreV1().PersistentVolumes().Get(t.Context(), volume, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("get: %v", err)
	})
}

func checkKubectl(t *testing.T, c *Cluster) {
	out, err := c.Kubectl(t.Context(), strings.NewReader("kind: ConfigMap\napiVersion: v1\nmetadata: {name: typed}\n"), "create", "-o", "json", "-f", "-")
	if err != nil {
		t.Fatal(err)
	}
	var cm corev1.ConfigMap
	if err := json.Unmarshal(out, &cm); err != nil || cm.Name != "typed" {
		t.Fatalf("kubectl said %s (%v)", out, err)
	}
	if _, err := c.Kubectl(t.Context(), nil, "get", "nonsense"); err == nil || !strings.Contains(err.Error(), `doesn't have a resource type "nonsense"`) {
		t.Errorf("want kubectl's own words, got %v", err)
	}
	out, err = c.Kubectl(t.Context(), nil, "logs", "--namespace", "shop", "deployment/api")
	if err != nil || !strings.Contains(string(out), "simulated") {
		t.Errorf("logs: %q, %v", out, err)
	}
}

// The api's ServiceAccount may read promotions and nothing beside them.
func checkLeastPrivilege(t *testing.T, c *Cluster) {
	kubeconfig, err := c.ServiceAccountKubeconfig(t.Context(), "shop", "api")
	if err != nil {
		t.Fatal(err)
	}
	client := clientOf(t, kubeconfig)
	if _, err := client.CoreV1().ConfigMaps("shop").Get(t.Context(), "banner-autumn", metav1.GetOptions{}); err != nil {
		t.Errorf("may read the banner: %v", err)
	}
	if _, err := client.CoreV1().Secrets("shop").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("list Secrets: want forbidden, got %v", err)
	}
	if _, err := c.ServiceAccountKubeconfig(t.Context(), "shop", "nobody"); !apierrors.IsNotFound(err) {
		t.Errorf("a ServiceAccount that isn't there: want not found, got %v", err)
	}
}

// Without its API server a cluster refuses connections; with a new one, at the same address, all is as before.
func checkRestart(t *testing.T, c *Cluster, client kubernetes.Interface) {
	before, err := client.CoreV1().Namespaces().Get(t.Context(), "shop", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.StopAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Namespaces().Get(t.Context(), "shop", metav1.GetOptions{}); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("want a refused connection, got %v", err)
	}
	if err := c.StopAPIServer(t.Context()); err == nil {
		t.Error("stopped an API server that doesn't run")
	}
	if err := c.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.StartAPIServer(t.Context()); err == nil {
		t.Error("started a second API server")
	}
	after, err := client.CoreV1().Namespaces().Get(t.Context(), "shop", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if before.UID != after.UID {
		t.Error("the data changed")
	}
	eventually(t, "the others have come back", 20*time.Second, func() error { return appRuns(t.Context(), client) })
}

// A parent that is killed can't clean up; the guard does.
func TestKilledParentLeavesNothing(t *testing.T) {
	t.Parallel()
	if _, err := Programs(t.Context(), os.Stderr); err != nil {
		t.Fatal(err)
	}
	cmd, group, dir, _ := parent(t, "1")
	if n := members(t, group); n != 6 { // five components and the anchor
		t.Errorf("%d processes in the group, want 6", n)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
	assertGone(t, group, dir)
}

// parent is this program once more, with a cluster of its own.
func parent(t *testing.T, kind string) (cmd *exec.Cmd, group int, dir, link string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+kind)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(line, &group, &dir, &link); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return cmd, group, dir, link
}

func TestStartTellsWhatDied(t *testing.T) {
	t.Parallel()
	bin, err := Programs(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bin.Scheduler = filepath.Join(dir, "broken")
	if err := os.WriteFile(bin.Scheduler, []byte("#!/bin/sh\necho no such luck >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Options{Name: "broken", Dir: dir, Bin: &bin})
	if err == nil {
		t.Fatal("started")
	}
	for _, want := range []string{"cluster broken", "kube-scheduler", "exit status 3", "no such luck"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error doesn't say %q: %v", want, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "kube-*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestStartCanBeInterrupted(t *testing.T) {
	t.Parallel()
	bin, err := Programs(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	why := errors.New("changed my mind")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, why)
	defer cancel()
	if _, err := Start(ctx, Options{Dir: dir, Bin: &bin}); !errors.Is(err, why) {
		t.Errorf("want the cause, got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// A component that dies while the cluster runs is told of by Wait.
func TestWaitTellsWhatDied(t *testing.T) {
	t.Parallel()
	c := ForTest(t, Options{Name: "wounded", Nodes: -1})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Wait(over); err != nil {
		t.Errorf("a wait that was called off: %v", err)
	}
	c.mu.Lock()
	p := c.find(etcd.name)
	c.mu.Unlock()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "etcd ended by itself (signal: killed)") {
		t.Errorf("got %v", err)
	}
}

func TestNamesAreChecked(t *testing.T) {
	for _, name := range []string{"Big", "-a", "a_b", "../x", strings.Repeat("a", 41)} {
		if _, err := Start(t.Context(), Options{Name: name}); err == nil || !strings.Contains(err.Error(), "cluster name") {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

type runs func() int

func (r runs) Run() int { return r() }

func TestMainSharesACluster(t *testing.T) {
	t.Parallel()
	var c *Cluster
	code := Main(runs(func() int {
		if err := c.ready(t.Context()); err != nil {
			t.Error(err)
		}
		return 7
	}), Options{Name: "shared", Nodes: -1}, func(started *Cluster) { c = started })
	if code != 7 {
		t.Errorf("exit code %d, want the tests' own", code)
	}
	assertGone(t, c.guard.group(), c.dir)
}
