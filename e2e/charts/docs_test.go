package charts

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// away is what leads to a repository.
var away = regexp.MustCompile(` --repo \S+`)

// packed is a chart that was carried somewhere as a file.
var packed = regexp.MustCompile(` kubilitics-(hub|agent)-\S*\.tgz `)

// Every command of the docs that installs or upgrades renders with the charts as they are. Its repository, https://hub.example, is nowhere: the folder stands for it. That the real one works is what
// TestTheHubsOwnCommand shows.
func TestTheDocsCommandsRender(t *testing.T) {
	text, err := os.ReadFile("../../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		rest, install := strings.CutPrefix(line, "helm install ")
		if !install {
			continue
		}
		n++
		rest = away.ReplaceAllString(rest, "")
		rest = strings.Replace(rest, "kubilitics-agent kubilitics-agent ", "kubilitics-agent "+folder("kubilitics-agent")+" ", 1)
		rest = strings.Replace(rest, " charts/", " ../../charts/", 1)
		rest = packed.ReplaceAllString(rest, " ../../charts/kubilitics-$1 ")
		rest = strings.ReplaceAll(rest, "kbl1.…", "kbl1.secret")
		if out, err := command(exec.CommandContext(t.Context(), "sh", "-c", "helm template "+rest)); err != nil || !strings.Contains(out, "kind: NetworkPolicy") {
			t.Errorf("%s: %v", line, err)
		}
	}
	if n < 4 {
		t.Errorf("%d commands were found", n)
	}
}

// What helm prints after an install names the next command, and what to mind of the values given.
func TestNotesTellWhatIsNext(t *testing.T) {
	for _, c := range []struct {
		chart, set string
		says       []string
	}{
		{"kubilitics-agent", "hub.address=tls://hub:8443,token=kbl1.x", []string{"reports to tls://hub:8443, with access: read", "logs deployment/kubilitics-agent | grep 'this cluster is known to the hub'"}},
		{"kubilitics-agent", "hub.address=tls://hub:8443", []string{"No join token was given"}},
		{"kubilitics-agent", "hub.address=tls://hub:8443,everything=true,access=impersonate,impersonate.anyone=true", []string{"may read all there is", "can be anybody in this cluster"}},
		{"kubilitics-hub", "", []string{"logs kubilitics-hub-0 | sed -n 's/^token //p'", "port-forward service/kubilitics-hub 8400:80", "http://127.0.0.1:8400/api/v1/clusters", "Agents come to tls://kubilitics-hub-tunnels.kubilitics.svc:8443", "kubilitics-hub-data holds all"}},
		{"kubilitics-hub", "publicURL=https://hub.example/,postgres.existingSecret.name=x", []string{"https://hub.example/api/v1/clusters", "Agents come to wss://hub.example/tunnel/v1", "The Secret kubilitics-hub-ca holds the root"}},
	} {
		out := mustHelm(t, "install", c.chart, folder(c.chart), "--namespace", "kubilitics", "--dry-run=client", "--set", c.set)
		for _, want := range c.says {
			if _, notes, _ := strings.Cut(out, "NOTES:"); !strings.Contains(notes, want) {
				t.Errorf("%s --set %s: the notes don't say %q:\n%s", c.chart, c.set, want, notes)
			}
		}
	}
}
