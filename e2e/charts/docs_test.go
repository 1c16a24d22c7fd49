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
		rest = strings.ReplaceAll(rest, "kbl1.…", "kbl1.secret")
		if out, err := command(exec.CommandContext(t.Context(), "sh", "-c", "helm template "+rest)); err != nil || !strings.Contains(out, "kind: NetworkPolicy") {
			t.Errorf("%s: %v", line, err)
		}
	}
	if n < 4 {
		t.Errorf("%d commands were found", n)
	}
}
