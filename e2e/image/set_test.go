package image

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kubilitics/kubilitics/e2e/source"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

var both = []string{"linux/amd64", "linux/arm64"}

// trial is a release of a small module that stands in for ours, with one dependency, so that it is built in seconds.
func trial(t *testing.T) Release {
	t.Helper()
	dir := t.TempDir()
	for path, text := range map[string]string{
		"go.mod":                          "module github.com/kubilitics/kubilitics\n\ngo 1.26.0\n",
		"agent/cmd/kubilitics-agent/m.go": "package main\n\nfunc main() { println(\"agent\") }\n",
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Release{Version: "v9.8.7", Revision: strings.Repeat("ab", 20), Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Source: dir}
}

func TestPushedIsWhatWasBuilt(t *testing.T) {
	set, err := trial(t).Set(t.Context(), "kubilitics-agent", both...)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	at := strings.TrimPrefix(server.URL, "http://") + "/team"
	digest, err := set.Push(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(at + "/kubilitics-agent:9.8.7")
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(tag, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := index.Digest(); err != nil || got.String() != digest {
		t.Errorf("the tag is %v, pushed was %s: %v", got, digest, err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 2 {
		t.Fatalf("%+v, %v", manifest, err)
	}
	for i, m := range manifest.Manifests {
		if m.Platform.String() != both[i] || m.Digest.String() != set.Members[i].Digest {
			t.Errorf("%+v", m)
		}
		referrers, err := remote.Referrers(tag.Context().Digest(m.Digest.String()), remote.WithContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		list, err := referrers.IndexManifest()
		if err != nil || len(list.Manifests) != 1 || list.Manifests[0].ArtifactType != string(sbomType) {
			t.Errorf("referrers of %s: %+v, %v", m.Platform, list, err)
		}
	}
}

func TestLayoutHoldsIndexAndBills(t *testing.T) {
	set, err := trial(t).Set(t.Context(), "kubilitics-agent", both...)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for range 2 { // the second over the first
		if err := set.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
	all, err := layout.ImageIndexFromPath(filepath.Join(dir, "kubilitics-agent"))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := all.IndexManifest()
	if err != nil || len(manifest.Manifests) != 3 || manifest.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "9.8.7" {
		t.Fatalf("%+v, %v", manifest, err)
	}
	config, err := set.Members[1].img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	labels := config.Config.Labels
	if config.Architecture != "arm64" || labels["org.opencontainers.image.version"] != "v9.8.7" || labels["org.opencontainers.image.revision"] != strings.Repeat("ab", 20) ||
		labels["org.opencontainers.image.licenses"] != "Apache-2.0" || labels["org.opencontainers.image.source"] == "" || config.Created.Unix() != 1767323045 {
		t.Errorf("%+v", config)
	}
	for _, platform := range []string{"linux-amd64", "linux-arm64"} {
		bill(t, filepath.Join(dir, "kubilitics-agent-"+platform+".cdx.json"), "std", "github.com/kubilitics/kubilitics")
		if _, err := os.Stat(filepath.Join(dir, "kubilitics-agent-"+platform+".tar")); err != nil {
			t.Error(err)
		}
	}
}

// bill reads a bill of materials, which must be a valid one and name these modules.
func bill(t *testing.T, path string, want ...string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	read := &cdx.BOM{}
	if err := cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(read); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, c := range *read.Components {
		found[c.Name] = true
		if c.Version == "" || !strings.HasPrefix(c.PackageURL, "pkg:golang/"+c.Name+"@") {
			t.Errorf("%+v", c)
		}
	}
	for _, name := range want {
		if !found[name] {
			t.Errorf("%s is not in %s", name, path)
		}
	}
}

func TestTooLargeIsSaid(t *testing.T) {
	set := &Set{Name: "kubilitics-agent", Members: []Member{{Platform: "linux/arm64", Size: 30e6 + 1}}}
	if err := set.Check(); err == nil || !strings.Contains(err.Error(), "linux/arm64") {
		t.Errorf("%v", err)
	}
}

// The source is copied to two directories and built there with caches of their own, so that nothing of one gets into the other.
func TestTwoBuildsAreTheSame(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the agent anew, which takes a minute")
	}
	from, err := stack.Source()
	if err != nil {
		t.Fatal(err)
	}
	dirs := []string{filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "quite", "another")}
	if err := errors.Join(source.Copy(from, dirs[0]), source.Copy(dirs[0], dirs[1])); err != nil { // not from the same place again: somebody may be editing there
		t.Fatal(err)
	}
	var digests [2]string
	for i, dir := range dirs {
		if i == 1 {
			t.Setenv("GOCACHE", t.TempDir())
		}
		set, err := Release{Version: "v0.0.1", Source: dir}.Set(t.Context(), "kubilitics-agent", "linux/amd64")
		if err != nil {
			t.Fatal(err)
		}
		if digests[i], err = set.Digest(); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			continue
		}
		if err := set.Save(filepath.Join(dir, "out")); err != nil {
			t.Fatal(err)
		}
		bill(t, filepath.Join(dir, "out", "kubilitics-agent-linux-amd64.cdx.json"), "k8s.io/client-go", "github.com/kubilitics/kubilitics/shared", "golang.org/x/crypto/x509roots/fallback")
		if err := set.Check(); err != nil {
			t.Error(err)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("%s and %s", digests[0], digests[1])
	}
}
