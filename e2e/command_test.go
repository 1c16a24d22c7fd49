package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/e2e/kube"
)

// person works at a machine of their own, with the commands kubilitics and kubectl.
type person struct {
	t       *testing.T
	home    string
	kubectl string
}

// newPerson installs the commands for somebody new: kubilitics is kubectl's plugin too.
func newPerson(t *testing.T, c *kube.Cluster) *person {
	t.Helper()
	p := &person{t: t, home: t.TempDir(), kubectl: c.KubectlPath()}
	bin := filepath.Join(p.home, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]string{"kubilitics": world.programs.Command, "kubectl-kubilitics": world.programs.Command, "kubectl": p.kubectl} {
		if err := os.Symlink(at, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// types runs a line, and gives what it printed.
func (p *person) types(in string, line ...string) (out, complaints string, err error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(p.home, "bin", line[0]), line[1:]...)
	cmd.Env = []string{"HOME=" + p.home, "PATH=" + filepath.Join(p.home, "bin"), "XDG_CONFIG_HOME=" + p.home + "/.config", "XDG_CACHE_HOME=" + p.home + "/.cache"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

func (p *person) gets(line ...string) string {
	p.t.Helper()
	out, complaints, err := p.types("", line...)
	if err != nil {
		p.t.Fatalf("%q: %v\n%s%s", line, err, out, complaints)
	}
	return out
}

func (p *person) logsIn(hub, token string) {
	p.t.Helper()
	if out, complaints, err := p.types(token, "kubilitics", "login", hub, "--token-stdin"); err != nil {
		p.t.Fatalf("login: %v\n%s%s", err, out, complaints)
	}
}

// Somebody logs in, has kubeconfigs made, and works with kubectl as with the clusters themselves, with whichever of the two ways to be known.
func TestKubectlThroughTheCommand(t *testing.T) {
	t.Parallel()
	hub, eu := world.reference.hub, world.reference.members[0]
	p := newPerson(t, world.eu.Cluster)
	p.logsIn(hub.URL, hub.Token)
	if names := p.gets("kubilitics", "clusters", "-o", "name"); !strings.Contains(names, eu.name+"\n") {
		t.Errorf("clusters: %q", names)
	}
	if version, err := world.eu.Kubectl(t.Context(), nil, "version", "-o", "json"); err == nil {
		table := p.gets("kubectl", "kubilitics", "clusters")
		if !strings.Contains(table, "live") || !strings.Contains(string(version), strings.Fields(strings.Split(table, "\n")[1])[3]) {
			t.Errorf("the table is\n%s", table)
		}
	}
	p.gets("kubilitics", "kubeconfig", "--all", "--write")
	ticket := filepath.Join(p.home, "ticket.yaml")
	p.gets("kubilitics", "kubeconfig", eu.name, "--auth", "ticket", "--lifetime", "10m", "--write="+ticket)
	for name, flags := range map[string][]string{"exec": {"--context", eu.name}, "ticket": {"--kubeconfig", ticket}} {
		for _, ask := range [][]string{{"get", "--raw", "/version"}, {"get", "namespaces", "shop", "payments", "-o", "name"}, {"get", "deployments", "-n", "shop", "-o", "jsonpath={.items[*].metadata.uid}"}} {
			direct, err := world.eu.Kubectl(t.Context(), nil, ask...)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.gets(append(append([]string{"kubectl"}, flags...), ask...)...); got != string(direct) {
				t.Errorf("%s: kubectl %q through the hub:\n%s\ndirectly:\n%s", name, ask, got, direct)
			}
		}
	}
	if out, complaints, err := p.types("", "kubectl", "--kubeconfig", ticket, "--server", hub.URL[:4]+"s"+hub.URL[4:]+"/k8s/clusters/"+world.reference.members[1].id, "get", "--raw", "/version"); err == nil {
		t.Errorf("a ticket for one cluster let into another: %s%s", out, complaints)
	}
	if text := p.everything(); strings.Count(text, hub.Token) != 1 {
		t.Errorf("the token is in %d files; its place is the login", strings.Count(text, hub.Token))
	}
}

// everything is what is in the person's files, one after another.
func (p *person) everything() string {
	p.t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(p.home, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return all.String()
}

// Who may see one cluster gets a kubeconfig for that one alone; revoking the token ends the tickets made from it within seconds, with a sentence.
func TestRevokingATokenEndsItsTickets(t *testing.T) {
	t.Parallel()
	hub, eu := world.reference.hub, world.reference.members[0]
	var made struct{ ID, Secret string }
	rights := map[string]any{"verbs": []string{"get", "list", "watch"}, "clusters": []string{eu.id}, "namespaces": []string{"*"}}
	if err := hub.Do(t.Context(), http.MethodPost, "/api/v1/tokens", map[string]any{"name": "guest", "bindings": []any{rights}}, &made); err != nil {
		t.Fatal(err)
	}
	p := newPerson(t, world.eu.Cluster)
	p.logsIn(hub.URL, made.Secret)
	if names := p.gets("kubilitics", "clusters", "-o", "name"); names != eu.name+"\n" {
		t.Errorf("clusters: %q", names)
	}
	_, complaints, err := p.types("", "kubilitics", "kubeconfig", world.reference.members[1].name)
	if code := exitCode(err); code != 4 {
		t.Errorf("a kubeconfig for what isn't visible ended with %d: %s", code, complaints)
	}
	p.gets("kubilitics", "kubeconfig", eu.name, "--write")
	p.gets("kubectl", "get", "--raw", "/version")
	if err := hub.Do(t.Context(), http.MethodDelete, "/api/v1/tokens/"+made.ID, nil, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the ticket has ended", 10*time.Second, func() error {
		out, complaints, err := p.types("", "kubectl", "get", "--raw", "/version")
		if err == nil {
			return fmt.Errorf("kubectl still gets %s", out)
		}
		if !strings.Contains(complaints, "revoked") && !strings.Contains(complaints, "isn't known to this hub") {
			return fmt.Errorf("kubectl says %s", complaints)
		}
		return nil
	})
	_, complaints, err = p.types("", "kubilitics", "clusters")
	if code := exitCode(err); code != 3 || !strings.Contains(complaints, "run kubilitics login "+hub.URL) {
		t.Errorf("it ended with %d: %s", code, complaints)
	}
}

func exitCode(err error) int {
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return ended.ExitCode()
	}
	return 0
}
