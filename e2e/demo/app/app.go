// Package app is the demo application: Tidewater, a made-up shop for boats, as Kubernetes manifests. Every region
// runs what is in common; eu adds more than us does, and holds one deliberate mistake, named below. Its images
// don't exist: it is meant for simulated nodes.
package app

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"slices"
)

//go:embed common eu us
var files embed.FS

// The deliberate mistake, in region eu: a Deployment whose Pods name a ConfigMap that doesn't exist.
const (
	MistakeNamespace  = "payments"
	MistakeDeployment = "fraud-scorer"
	MissingConfigMap  = "fraud-model-settings"
)

// Regions the application comes in.
func Regions() []string { return []string{"eu", "us"} }

// Manifests returns the region's manifests as one YAML stream, in an order in which they can be applied.
func Manifests(region string) ([]byte, error) {
	if !slices.Contains(Regions(), region) {
		return nil, fmt.Errorf("region %q: want one of %q", region, Regions())
	}
	var all [][]byte
	for _, dir := range []string{"common", region} {
		names, err := fs.Glob(files, dir+"/*.yaml") // sorted
		if err != nil {
			return nil, fmt.Errorf("list the manifests of %s: %w", dir, err)
		}
		for _, name := range names {
			data, err := files.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", name, err)
			}
			all = append(all, bytes.TrimSpace(data))
		}
	}
	return append(bytes.Join(all, []byte("\n---\n")), '\n'), nil
}
