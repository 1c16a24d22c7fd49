package desktop

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// Every context is a cluster at once, two of one control plane too; the dead ones delay nothing and say why. kubectl goes through to the living, with the
// rights that the kubeconfig gives.
func TestEveryContextIsACluster(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"one", "two", "arn:aws:eks:eu-west-1:123456789012:cluster/three"} {
		r.must(r.Living(name, plane))
	}
	want, err := r.Dead(plane)
	r.must(err)
	r.write()
	began := time.Now()
	d := r.start()
	all, err := d.Clusters(t.Context())
	if err != nil || len(all) != len(r.Config.Contexts) {
		t.Fatalf("at the first look there are %d clusters of %d contexts; %v", len(all), len(r.Config.Contexts), err)
	}
	living := map[string]string{"one": "live", "two": "live", "arn:aws:eks:eu-west-1:123456789012:cluster/three": "live"}
	all = r.awaits(d, living)
	t.Logf("ready after %s, the living live after %s", d.Took, time.Since(began))
	maps.Copy(living, want)
	r.awaits(d, living)

	kubeconfig := filepath.Join(r.dir, "through")
	text, err := d.Text(t.Context(), "/api/v1/kubeconfig")
	r.must(err)
	r.must(os.WriteFile(kubeconfig, []byte(text), 0o600))
	kubectl := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(r.within(30*time.Second), plane.KubectlPath(), append([]string{"--kubeconfig", kubeconfig, "--cache-dir", filepath.Join(r.dir, "cache")}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	name := "through-" + all["one"].ID
	kubectl("--context", "one", "create", "configmap", name, "--from-literal=a=b")
	if out := kubectl("--context", "two", "get", "configmap", name, "-o", "jsonpath={.data.a}"); out != "b" {
		t.Errorf("the other context shows %q", out)
	}
	r.must(d.Await(r.within(20*time.Second), "the change is in the index, once for each context", func(map[string]stack.Contacted) error {
		var found struct{ Items []stack.Resource }
		err := d.Get(t.Context(), "/api/v1/search?q=kind:ConfigMap%20name:"+name, &found)
		if err == nil && len(found.Items) != 3 {
			err = fmt.Errorf("it is there %d times", len(found.Items))
		}
		return err
	}))
	kubectl("--context", "two", "delete", "configmap", name)
}

// Who may read one namespace alone is connected all the same, and sees what may be seen: through the hub as without it.
func TestFewRightsAreEnough(t *testing.T) {
	r := newRig(t)
	ctx := r.within(time.Minute)
	for _, args := range [][]string{
		{"create", "namespace", "few"}, {"create", "serviceaccount", "reader", "-n", "few"},
		{"create", "rolebinding", "reader", "-n", "few", "--clusterrole=view", "--serviceaccount=few:reader"},
	} {
		_, err := plane.Kubectl(ctx, nil, args...)
		r.must(err)
	}
	token, err := plane.Kubectl(ctx, nil, "create", "token", "reader", "-n", "few")
	r.must(err)
	r.must(r.Living("few", plane))
	r.AuthInfos["few"] = &api.AuthInfo{Token: strings.TrimSpace(string(token))}
	r.write()
	d := r.start()
	id := r.awaits(d, map[string]string{"few": "live"})["few"].ID
	if _, err := d.Text(ctx, "/k8s/clusters/"+id+"/api/v1/namespaces/few/configmaps"); err != nil {
		t.Error(err)
	}
	var problem *stack.Problem
	if _, err := d.Text(ctx, "/k8s/clusters/"+id+"/api/v1/namespaces/kube-system/configmaps"); !errors.As(err, &problem) || problem.Status != http.StatusForbidden {
		t.Errorf("another namespace: %v", err)
	}
}

// An edit of the kubeconfig is followed: contexts come, go, change; a file that is half written takes nothing away.
func TestKubeconfigIsFollowed(t *testing.T) {
	r := newRig(t)
	r.must(r.Living("stays", plane))
	r.must(r.Refused("changes"))
	r.write()
	second := New()
	t.Cleanup(second.Close)
	r.must(second.Living("goes", plane))
	other := filepath.Join(r.dir, "other")
	r.must(second.Write(other))
	options := r.options()
	options.Kubeconfig += string(os.PathListSeparator) + other
	d, err := stack.StartDesktop(r.within(30*time.Second), options)
	r.must(err)
	defer func() { r.must(d.Stop()) }()
	before := r.awaits(d, map[string]string{"stays": "live", "goes": "live", "changes": "refused"})

	r.must(r.Living("changes", plane))
	r.must(r.Living("comes", plane))
	r.write()
	r.must(os.Remove(other))
	r.awaits(d, map[string]string{"stays": "live", "goes": "removed", "changes": "live", "comes": "live"})

	r.must(os.WriteFile(r.file, []byte("contexts: ["), 0o600))
	r.must(d.Await(r.within(10*time.Second), "the file's fault is told", func(map[string]stack.Contacted) error {
		var status struct{ Problem string }
		if err := d.Get(t.Context(), "/desktop/v1/kubeconfig", &status); err != nil || status.Problem == "" {
			return fmt.Errorf("it isn't: %w", err)
		}
		return nil
	}))
	r.awaits(d, map[string]string{"stays": "live", "changes": "live", "comes": "live"})
	r.Remove("comes")
	r.write()
	r.must(second.Write(other))
	after := r.awaits(d, map[string]string{"stays": "live", "comes": "removed", "goes": "live"})
	for _, name := range []string{"stays", "goes", "changes"} {
		if before[name].ID != after[name].ID {
			t.Errorf("%s is another cluster than before: %s, %s", name, before[name].ID, after[name].ID)
		}
	}
	// What the kubeconfig names isn't made or deleted here; what it names no more may be forgotten.
	for path, method := range map[string]string{"/api/v1/clusters": http.MethodPost, "/api/v1/clusters/" + after["stays"].ID: http.MethodDelete} {
		var problem *stack.Problem
		if err := d.Do(t.Context(), method, path, map[string]string{"name": "x"}, nil); !errors.As(err, &problem) || problem.Status != http.StatusConflict {
			t.Errorf("%s %s: %v", method, path, err)
		}
	}
	r.must(d.Do(t.Context(), http.MethodDelete, "/api/v1/clusters/"+after["comes"].ID, nil, nil))
}

// What a credential plugin gives, and the token of the launch, are nowhere on the disk; a plugin's credentials work.
func TestCredentialsAreNotStored(t *testing.T) {
	r := newRig(t)
	calls := filepath.Join(r.dir, "calls")
	secret, err := r.Plugin("plugin", plane, filepath.Join(r.dir, "credential"), calls)
	r.must(err)
	r.must(r.Living("plain", plane))
	r.write()
	var log bytes.Buffer
	options := r.options("--log-level", "debug")
	options.Log = &log
	d, err := stack.StartDesktop(r.within(30*time.Second), options)
	r.must(err)
	defer d.Kill()
	r.awaits(d, map[string]string{"plugin": "live", "plain": "live"})
	if said, err := os.ReadFile(calls); err != nil || len(said) == 0 {
		t.Errorf("the plugin was not called: %v", err)
	}
	line := strings.Split(secret, "\n")[1]
	token := d.Token[strings.LastIndex(d.Token, ".")+1:]
	_, code, _ := strings.Cut(d.Told.Open, "#open=")
	grep(t, r.state, map[string]bool{line: true, code: true, token: false}) // the note of a running desktop has its token
	d.Kill()
	r.must(removeNote(r.state)) // as the next start does
	grep(t, r.state, map[string]bool{line: true, code: true, token: true})
	for _, s := range []string{line, token, code} {
		if bytes.Contains(log.Bytes(), []byte(s)) {
			t.Errorf("the log has %.6s… in it", s)
		}
	}
	// The token dies with its process.
	next := r.start()
	next.Token = d.Token
	var problem *stack.Problem
	if err := next.Get(t.Context(), "/api/v1/clusters", nil); !errors.As(err, &problem) || problem.Status != http.StatusUnauthorized {
		t.Errorf("the token of the launch before: %v", err)
	}
}

func removeNote(dir string) error { return os.Remove(filepath.Join(dir, "desktop.json")) }

// grep looks for texts in every file below a directory; those that are false may be there.
func grep(t *testing.T, dir string, texts map[string]bool) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files++
		body, err := os.ReadFile(path)
		for text, absent := range texts {
			if absent && bytes.Contains(body, []byte(text)) {
				t.Errorf("%s has %.6s… in it", path, text)
			}
		}
		return err
	})
	if err != nil || files < 3 {
		t.Errorf("%d files were looked at: %v", files, err)
	}
}

// A cluster that is made anew under the same context is learned anew.
func TestPersistsAndReplaces(t *testing.T) {
	r := newRig(t)
	r.must(r.Living("dev", plane))
	r.write()
	d := r.start()
	first := r.awaits(d, map[string]string{"dev": "live"})["dev"].ID
	r.must(d.Stop())
	d = r.start()
	if again := r.awaits(d, map[string]string{"dev": "live"})["dev"].ID; again != first {
		t.Errorf("after a restart the context is the cluster %s, not %s", again, first)
	}
	other, stop := secondPlane(t)
	defer stop()
	r.must(r.Living("dev", other))
	r.write()
	r.must(d.Await(r.within(30*time.Second), "the other cluster is learned", func(all map[string]stack.Contacted) error {
		if c := all["dev"]; stateOf(c) != "live" || c.ID == first {
			return fmt.Errorf("%s is %s", c.ID, stateOf(c))
		}
		return nil
	}))
}
