package chartrepo

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/yaml"

	"github.com/kubilitics/kubilitics/charts"
)

func TestTheAgentsChartIsARepository(t *testing.T) {
	r, err := New(charts.Agent, "kubilitics-agent")
	if err != nil {
		t.Fatal(err)
	}
	again, err := New(charts.Agent, "kubilitics-agent")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.Packed, again.Packed) || !bytes.Equal(r.Index, again.Index) {
		t.Error("the same chart gave other bytes")
	}
	var index struct {
		APIVersion string
		Entries    map[string][]struct {
			Name, Version, AppVersion, Digest, APIVersion string
			URLs                                          []string
		}
	}
	if err := yaml.Unmarshal(r.Index, &index); err != nil {
		t.Fatal(err)
	}
	listed := index.Entries["kubilitics-agent"]
	sum := sha256.Sum256(r.Packed)
	if index.APIVersion != "v1" || len(listed) != 1 || listed[0].APIVersion != "v2" || listed[0].Version != r.Version || listed[0].AppVersion == "" ||
		listed[0].Digest != hex.EncodeToString(sum[:]) || !slices.Equal(listed[0].URLs, []string{"kubilitics-agent-" + r.Version + ".tgz"}) {
		t.Errorf("the index: %s", r.Index)
	}
	names := unpack(t, r.Packed)
	if names[0] != "kubilitics-agent/Chart.yaml" || !slices.Contains(names, "kubilitics-agent/templates/_helpers.tpl") || !slices.Contains(names, "kubilitics-agent/values.schema.json") {
		t.Errorf("packed: %q", names)
	}
}

func unpack(t *testing.T, packed []byte) (names []string) {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(zip)
	for {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, head.Name)
	}
}

func TestWhatIsNoChartIsRefused(t *testing.T) {
	for name, text := range map[string]string{"none": "", "no name": "version: 1.0.0", "no version": "name: x", "no YAML": "\t:"} {
		files := fstest.MapFS{"x/Chart.yaml": {Data: []byte(text)}}
		if name == "none" {
			files = fstest.MapFS{}
		}
		if _, err := New(files, "x"); err == nil {
			t.Errorf("%s: it was packed", name)
		}
	}
}
