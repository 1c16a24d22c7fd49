package config

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubilitics/kubilitics/e2e/stack"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// TestAgentKeys gives an agent of a real cluster each key in turn and looks at what it does.
func TestAgentKeys(t *testing.T) {
	tries := agentTries()
	maps.Copy(tries, agentTraces())
	complete(t, AgentKeys(), tries)
	needsCluster(t)
	furnish(t)
	for key, try := range tries {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			try(t)
		})
	}
}

// furnish puts what the tries look for into the cluster.
func furnish(t *testing.T) {
	t.Helper()
	err := cluster.Apply(t.Context(), []byte(`
apiVersion: v1
kind: Namespace
metadata: {name: shown}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: note, namespace: shown}
data: {secret: sealed}
---
apiVersion: v1
kind: Secret
metadata: {name: sealed, namespace: shown}
`))
	if err != nil {
		t.Fatal(err)
	}
}

func agentTries() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"hub": func(t *testing.T) { joined(t) },
		"hub-ca": func(t *testing.T) {
			ca, chain, key := certificate(t)
			r := serve(t, t.TempDir(), "", "--tls-cert="+chain, "--tls-key="+key)
			r.HTTP = trusting(t, ca)
			at := "--hub=wss" + strings.TrimPrefix(r.URL, "https") + "/tunnel/v1"
			_, logs, stop := r.real(t, "", at)
			eventually(t, "the hub's certificate isn't believed", func() error { return says(logs, "certificate") })
			stop()
			other, _, _ := certificate(t)
			right, err := os.ReadFile(ca)
			if err != nil {
				t.Fatal(err)
			}
			made := create(t, r)
			logs, _ = r.join(t, "", at, "--token="+made.Token, "--hub-ca="+other)
			eventually(t, "nor by another root", func() error { return says(logs, "certificate") })
			write(t, other, string(right)) // which is read at each dial
			r.live(t, made.ID)
		},
		"token": func(t *testing.T) {
			joined(t)
			a, _, err := agentOf(t, "", "--hub=tls://127.0.0.1:1")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := stack.Within(t.Context(), 20*time.Second)
			defer cancel()
			if err := a.Run(ctx); !fault.Is(err, fault.BadRequest) || !strings.Contains(err.Error(), "join token") {
				t.Errorf("without a token it ended with %v", err)
			}
		},
		"proxy": func(t *testing.T) {
			var through atomic.Int64
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { through.Add(1); connect(w, r) }))
			t.Cleanup(proxy.Close)
			joined(t, "--proxy="+proxy.URL)
			if through.Load() == 0 {
				t.Error("nothing went through the proxy")
			}
		},
		"state-dir": func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "made")
			joined(t, "--state-dir="+dir)
			if files, _ := os.ReadDir(dir); len(files) == 0 {
				t.Error("nothing is in the directory")
			}
		},
		"state-secret": func(t *testing.T) {
			joined(t, "--state-secret=shown/agent")
			if kept, err := cluster.Kubectl(t.Context(), nil, "get", "secret", "agent", "-n", "shown", "-o", "jsonpath={.data}"); err != nil || !bytes.Contains(kept, []byte("identity.json")) {
				t.Errorf("the Secret is %s, %v", kept, err)
			}
		},
		"kubeconfig": func(t *testing.T) { joined(t, "--kubeconfig="+cluster.KubeconfigPath()) },
		"context": func(t *testing.T) {
			cfg, err := clientcmd.LoadFromFile(cluster.KubeconfigPath())
			if err != nil {
				t.Fatal(err)
			}
			right := cfg.CurrentContext
			cfg.CurrentContext = "nowhere"
			file := filepath.Join(t.TempDir(), "kubeconfig")
			if err := clientcmd.WriteToFile(*cfg, file); err != nil {
				t.Fatal(err)
			}
			joined(t, "--kubeconfig="+file, "--context="+right)
		},
		"share": func(t *testing.T) {
			for _, share := range []string{"manifests", "topology"} {
				r, id := joined(t, "--share="+share)
				eventually(t, "the text is there, or isn't: "+share, func() error {
					got := ask(t, r, "GET", "/api/v1/clusters/"+id+"/resources/-/-/configmaps/shown/note?manifest=true", "")
					text, _ := io.ReadAll(got.Body)
					return want(got.StatusCode == 200 && strings.Contains(string(text), `"sealed"`) == (share == "manifests"), string(text))
				})
			}
		},
		"namespaces": func(t *testing.T) {
			r, _ := joined(t, "--namespaces=shown")
			if got := names(t, r, "ConfigMap"); !strings.Contains(got, "shown/note") || strings.Contains(got, "kube-system/") {
				t.Errorf("it sees %s", got)
			}
		},
		"exclude-namespaces": func(t *testing.T) {
			r, _ := joined(t, "--exclude-namespaces=kube-system,kube-public")
			if got := names(t, r, "ConfigMap"); !strings.Contains(got, "shown/note") || strings.Contains(got, "kube-system/") {
				t.Errorf("it sees %s", got)
			}
			text, _ := io.ReadAll(ask(t, r, "GET", "/api/v1/topology/findings?limit=500", "").Body)
			if strings.Contains(string(text), `"namespace":"kube-system"`) {
				t.Errorf("what nobody looks for is missing: %s", text)
			}
		},
		"exclude": func(t *testing.T) {
			r, _ := joined(t, "--exclude=ConfigMap,Deployment.apps")
			if got := names(t, r, "ConfigMap"); strings.Contains(got, "shown/note") || !strings.Contains(names(t, r, "ServiceAccount"), "shown/default") {
				t.Errorf("it sees %s", got)
			}
		},
		"access": func(t *testing.T) {
			for access, code := range map[string][2]int{"none": {403, 403}, "read": {200, 403}, "operate": {200, 201}, "impersonate": {403, 403}} {
				r, id := joined(t, "--access="+access)
				at := "/k8s/clusters/" + id + "/api/v1/namespaces/shown/configmaps"
				read, made := ask(t, r, "GET", at, ""), ask(t, r, "POST", at, `{"metadata":{"generateName":"made-"}}`)
				if got := [2]int{read.StatusCode, made.StatusCode}; got != code {
					t.Errorf("%s: who reads and who writes is answered %v, want %v", access, got, code)
				}
			}
		},
		"user-prefix": func(t *testing.T) {
			r, id := joined(t, "--access=impersonate", "--user-prefix=people/")
			got := ask(t, r, "POST", "/k8s/clusters/"+id+"/apis/authentication.k8s.io/v1/selfsubjectreviews", `{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`)
			if text, _ := io.ReadAll(got.Body); !strings.Contains(string(text), `"people/bootstrap-admin"`) {
				t.Errorf("the cluster knows the user as %s", text)
			}
		},
		"rules": func(t *testing.T) {
			file := write(t, filepath.Join(t.TempDir(), "rules.yaml"), "- {name: note-secret, type: references, from: [ConfigMap], ref: {to: Secret, name: data.secret}}\n")
			r, id := joined(t, "--rules="+file)
			got := ask(t, r, "GET", "/api/v1/clusters/"+id+"/topology?focus=ConfigMap/shown/note&depth=1", "")
			if text, _ := io.ReadAll(got.Body); !strings.Contains(string(text), `"note-secret"`) {
				t.Errorf("what is around it: %s", text)
			}
		},
		"listen": func(t *testing.T) {
			at := freePort(t)
			joined(t, "--listen="+at)
			for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
				resp, err := http.Get("http://" + at + path)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("%s is answered %s", path, resp.Status)
				}
			}
		},
		"log.level":  func(t *testing.T) { agentLogged(t, "", "INFO", "--log-level=warn") },
		"log.format": func(t *testing.T) { agentLogged(t, `{"level":"info"`, "\tINFO\t", "--log-format=json") },
	}
}

// joined gives a hub that the agent, told so, keeps informed.
func joined(t *testing.T, args ...string) (*running, string) {
	t.Helper()
	r := serve(t, t.TempDir(), "")
	id, _, _ := r.real(t, "", args...)
	r.live(t, id)
	return r, id
}

// names lists what the hub knows of a kind, "namespace/name".
func names(t *testing.T, r *running, kind string) string {
	var out []string
	for _, n := range get[page[struct{ Namespace, Name string }]](t, r, "/api/v1/resources?limit=500&kind="+kind).Items {
		out = append(out, n.Namespace+"/"+n.Name)
	}
	return strings.Join(out, " ")
}

// connect does what a proxy does when it is asked to CONNECT.
func connect(w http.ResponseWriter, r *http.Request) {
	to, err := net.Dial("tcp", r.Host)
	if r.Method != http.MethodConnect || err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	from, buffered, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_, err = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
	}
	if err != nil {
		_ = to.Close()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(to, buffered); _ = to.Close() })
	both.Go(func() { _, _ = io.Copy(from, to); _ = from.Close() })
	both.Wait()
}

// programs are built once.
var programs = sync.OnceValues(func() (stack.Programs, error) {
	return stack.Build(context.Background(), filepath.Join(scratch, "bin"), os.Stderr)
})

// logged runs the hub's program for a moment: its log has one text, if it isn't empty, and not the other.
func logged(t *testing.T, has, not string, args ...string) {
	t.Helper()
	built, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), built.Hub, append([]string{"migrate", "--data-dir=" + t.TempDir()}, args...)...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), has) || strings.Contains(string(out), not) {
		t.Errorf("it said (%v) %s", err, out)
	}
}

// agentLogged runs the agent's program until the hub is informed: its log has one text, if it isn't empty, and not the other.
func agentLogged(t *testing.T, has, not string, args ...string) {
	t.Helper()
	built, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	r := serve(t, t.TempDir(), "")
	made := create(t, r)
	a, err := stack.StartAgent(stack.AgentOptions{
		Program: built.Agent, Dir: t.TempDir(), Hub: r.hub.TunnelAddress(), Kubeconfig: cluster.KubeconfigPath(), Token: made.Token, Args: args,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.live(t, made.ID)
	if err := a.Stop(); err != nil {
		t.Error(err)
	}
	if log := a.Log(); !strings.Contains(log, has) || strings.Contains(log, not) {
		t.Errorf("it said %s", log)
	}
}
