package e2e

import (
	_ "embed"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

//go:embed testdata/through/cluster.yaml
var throughCluster []byte

// through is a cluster that people reach in two ways: directly, and through a hub whose agent there impersonates them.
type through struct {
	*cluster
	rig    *rig
	member *member
	dir    string
	ways   [2]way // directly, through the hub
}

// way is one of them: what the user alice, who may do everything, has in her kubeconfig. Both know her by the same name.
type way struct {
	letter     string
	kubeconfig []byte
}

func reachInTwoWays(t *testing.T) *through {
	th := &through{dir: t.TempDir()}
	within, cancel := stack.Within(t.Context(), 10*time.Minute) // the first run on a machine builds helm
	defer cancel()
	started := kube.ForTest(t, kube.Options{Name: "through", Dir: th.dir, Exec: true, Metrics: true})
	th.cluster = &cluster{Cluster: started, name: "through"}
	if err := th.connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(th.hangUp)
	if err := th.Apply(within, append(append(access, "\n---\n"...), throughCluster...)); err != nil {
		t.Fatal(err)
	}
	account, err := th.ServiceAccountKubeconfig(within, "kubilitics", "doorkeeper")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(th.dir, "doorkeeper.kubeconfig")
	if err := os.WriteFile(file, account, 0o600); err != nil {
		t.Fatal(err)
	}
	th.rig = start(t, &database{name: "sqlite"})
	th.member = th.rig.join(t, th.cluster, file, func(o *stack.AgentOptions) { o.Args = append(o.Args, "--access", "impersonate") })
	th.rig.live(t, th.member)
	direct, err := th.UserKubeconfig("kubilitics:alice", "kubilitics:devs")
	if err != nil {
		t.Fatal(err)
	}
	everything := map[string]any{"verbs": []string{"*"}, "clusters": []string{"*"}, "namespaces": []string{"*"}}
	th.ways = [2]way{{"a", direct}, {"b", th.hubKubeconfig(t, "alice", "devs", everything)}}
	return th
}

// hubKubeconfig makes a user at the hub and returns the kubeconfig that the hub gives him.
func (th *through) hubKubeconfig(t *testing.T, user, group string, bindings ...any) []byte {
	t.Helper()
	var token struct{ Secret string }
	err := th.rig.hub.Do(t.Context(), http.MethodPost, "/api/v1/tokens", map[string]any{"name": user, "groups": []string{group}, "bindings": bindings}, &token)
	if err != nil {
		t.Fatal(err)
	}
	his := stack.Client{URL: th.rig.hub.URL, Token: token.Secret}
	text, err := his.Text(t.Context(), "/api/v1/clusters/"+th.member.id+"/kubeconfig")
	if err != nil {
		t.Fatal(err)
	}
	return []byte(text)
}

// side makes a place where commands run: a namespace, a directory with the scenarios' files, and the kubeconfig of a way.
func (th *through) side(t *testing.T, w way, scenario string) *side {
	t.Helper()
	s := &side{name: w.letter, namespace: scenario + "-" + w.letter, dir: filepath.Join(t.TempDir(), w.letter)}
	for from, to := range map[string]string{"testdata/through/files": ".", "testdata/chart": "chart"} {
		if err := os.CopyFS(filepath.Join(s.dir, to), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	lib, err := os.ReadFile("testdata/through/lib.sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "lib.sh"), lib, 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := writeKubeconfig(filepath.Join(s.dir, "kubeconfig"), w.kubeconfig, s.namespace)
	if err != nil {
		t.Fatal(err)
	}
	bin := th.programs(t, filepath.Join(s.dir, "bin"))
	s.env = []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + s.dir, "KUBECONFIG=" + filepath.Join(s.dir, "kubeconfig"), "KUBECACHEDIR=" + filepath.Join(s.dir, "cache"),
		"NS=" + s.namespace, "SIDE=" + s.name, "LC_ALL=C", "TERM=xterm", "TMPDIR=" + s.dir, "TALKER=" + th.TalkerLog(),
	}
	s.normal = newNormalizer(map[string]string{
		server: "SERVER", strings.TrimPrefix(server, "https://"): "SERVER", s.dir: "DIR", s.namespace: scenario + "-N",
		"spare-" + s.name: "spare-N", "spare=" + s.name: "spare=N", "through-" + s.name: "through-N",
		"value: " + s.name: "value: N", "spare: " + s.name: "spare: N",
	})
	th.namespace(t, s.namespace)
	return s
}

func (th *through) programs(t *testing.T, dir string) string {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]string{"kubectl": th.KubectlPath(), "helm": th.Programs().Helm} {
		if err := os.Symlink(at, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// namespace makes one and waits until Pods can be made in it.
func (th *through) namespace(t *testing.T, name string) {
	t.Helper()
	if _, err := th.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace has its account", 30*time.Second, func() error {
		if _, err := th.client.CoreV1().ConfigMaps(name).Get(t.Context(), "kube-root-ca.crt", metav1.GetOptions{}); err != nil {
			return err
		}
		_, err := th.client.CoreV1().ServiceAccounts(name).Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
}

// writeKubeconfig writes one that begins in a namespace, and tells its server.
func writeKubeconfig(path string, text []byte, namespace string) (server string, err error) {
	cfg, err := clientcmd.Load(text)
	if err != nil {
		return "", err
	}
	at := cfg.Contexts[cfg.CurrentContext]
	at.Namespace = namespace
	return cfg.Clusters[at.Cluster].Server, clientcmd.WriteToFile(*cfg, path)
}

// What people do with kubectl and helm is the same directly and through the hub: what is printed, how it ends, and what comes of it.
func TestKubectlAndHelmThroughTheHub(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/through/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []scenario
	commands := 0
	for _, f := range files {
		s, err := readScenario(f)
		if err != nil {
			t.Fatal(err)
		}
		all, commands = append(all, s), commands+len(s.steps)
	}
	if commands < 60 {
		t.Fatalf("only %d commands: the scenarios aren't all here", commands)
	}
	th := reachInTwoWays(t)
	defer th.tellBroken(t)
	began := time.Now()
	t.Run("clients", th.clients)
	t.Run("rights", th.rights)
	t.Run("scenarios", func(t *testing.T) {
		for _, s := range all {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				s.play(t, th.side(t, th.ways[0], s.name), th.side(t, th.ways[1], s.name))
			})
		}
	})
	t.Logf("%d commands, each directly and through the hub, took %s", commands, time.Since(began).Round(time.Second))
}

// tellBroken says of a failed run which answers were cut off, as the hub's record has them.
func (th *through) tellBroken(t *testing.T) {
	if !t.Failed() {
		return
	}
	var list struct {
		Items []struct {
			At                                            time.Time
			Verb, Resource, Name, Path, UserAgent, Reason string
			Status                                        int
			TookMs                                        float64
		}
	}
	if err := th.rig.hub.Get(t.Context(), "/api/v1/audit?outcome=failed&limit=1000", &list); err != nil {
		t.Log(err)
	}
	for _, r := range list.Items {
		if r.Status < 400 {
			t.Logf("cut off: %+v", r)
		}
	}
}
