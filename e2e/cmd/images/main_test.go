package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/e2e/image"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

func TestReleasesFitTheCharts(t *testing.T) {
	dir := t.TempDir()
	for chart, version := range map[string]string{"kubilitics-agent": "1.2.3", "kubilitics-hub": `"1.2.3"`} {
		if err := os.MkdirAll(filepath.Join(dir, "charts", chart), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "charts", chart, "Chart.yaml"), []byte("name: x\nappVersion: "+version+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for version, ok := range map[string]bool{"v1.2.3": true, "v1.2.4": false, "v1.2.3-4-gabcdef-dirty": false, "abcdef": true, "dev": true} {
		if err := fits(image.Release{Version: version, Source: dir}); (err == nil) != ok {
			t.Errorf("%s: %v", version, err)
		}
	}
}

// What charts ask for is what these images are called, in the registry where they are published.
func TestChartsAskForTheseImages(t *testing.T) {
	source, err := stack.Source()
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"kubilitics-agent", "kubilitics-hub"} {
		values, err := os.ReadFile(filepath.Join(source, "charts", program, "values.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(values), "repository: kubilitics/"+program+"\n") {
			t.Errorf("the chart %s asks for another image", program)
		}
		helper, err := os.ReadFile(filepath.Join(source, "charts", program, "Chart.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		said := appVersion.FindSubmatch(helper)
		if said == nil || fits(image.Release{Version: "v" + string(said[1]), Source: source}) != nil {
			t.Errorf("no release can be pushed that %s asks for: appVersion %q", program, said)
		}
	}
}

func TestReleaseIsWhatIsAskedFor(t *testing.T) {
	r, err := release(t.Context(), "v3.2.1")
	if err != nil || r.Version != "v3.2.1" || r.Source == "" {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err = release(t.Context(), ""); err != nil || r.Version == "" {
		t.Errorf("%+v, %v", r, err)
	}
}
