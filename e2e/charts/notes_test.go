package charts

import (
	"strings"
	"testing"
)

// What helm prints after an install names the next command, and what to mind of the values given.
func TestNotesTellWhatIsNext(t *testing.T) {
	for _, c := range []struct {
		chart, set string
		says       []string
	}{
		{"kubilitics-agent", "hub.address=tls://hub:8443,token=kbl1.x", []string{"reports to tls://hub:8443, with access: read", "logs deployment/kubilitics-agent | grep 'this cluster is known to the hub'"}},
		{"kubilitics-agent", "hub.address=tls://hub:8443", []string{"No join token was given"}},
		{"kubilitics-agent", "hub.address=tls://hub:8443,everything=true,access=impersonate,impersonate.anyone=true", []string{"may read all there is", "can be anybody in this cluster"}},
		{"kubilitics-hub", "", []string{"logs kubilitics-hub-0 | sed -n 's/^token //p'", "port-forward service/kubilitics-hub 8400:80 &", "curl -s --json", "http://127.0.0.1:8400/api/v1/clusters", "Agents come to tls://kubilitics-hub-tunnels.kubilitics.svc:8443", "kubilitics-hub-data holds all"}},
		{"kubilitics-hub", "tls.existingSecret=api", []string{"curl -sk --json", "https://127.0.0.1:8400/api/v1/clusters"}},
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
