package image

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/e2e/source"
)

// Release is which version of our programs images are made of.
type Release struct {
	Version  string    // "v1.2.0"; the images' tag is "1.2.0" then, as charts say it
	Revision string    // of the source, in full; may be empty
	Time     time.Time // of that revision; may be zero
	Source   string    // folder with go.work; the one this was compiled from, if empty
}

// dev is the version of what is no release.
const dev = "dev"

// nonroot is whom our programs run as: nobody's number in particular, as in the charts.
const nonroot = "65532:65532"

// packages are our programs, by name.
var packages = map[string]string{
	"kubilitics-agent": "./agent/cmd/kubilitics-agent",
	"kubilitics-hub":   "./hub/cmd/kubilitics-hub",
}

// Program builds one of ours, "kubilitics-agent" or "kubilitics-hub", as it stands in the source, and gives the image with it: localhost/NAME:dev.
func Program(ctx context.Context, name, platform string) (Image, error) {
	return Release{Version: dev}.Program(ctx, name, platform)
}

// Program is Program for a release: localhost/NAME:VERSION. Roots of TLS are within the program.
func (r Release) Program(ctx context.Context, name, platform string) (Image, error) {
	binary, err := r.compile(ctx, name, platform)
	if err != nil {
		return Image{}, err
	}
	if err := static(binary); err != nil {
		return Image{}, err
	}
	return Image{
		Name: "localhost/" + name + ":" + r.tag(), Platform: platform, User: nonroot, Created: r.Time,
		Files:      []File{{Path: "/" + name, Source: binary, Mode: 0o755}},
		Entrypoint: []string{"/" + name},
		Labels:     r.labels(name),
	}, nil
}

var released = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+`)

func (r Release) tag() string {
	tag := strings.ReplaceAll(r.Version, "+", "-") // which a tag can't hold
	if released.MatchString(tag) {
		return tag[1:]
	}
	return tag
}

func (r Release) labels(name string) map[string]string {
	labels := map[string]string{
		"org.opencontainers.image.title":    name,
		"org.opencontainers.image.version":  r.Version,
		"org.opencontainers.image.source":   "https://github.com/kubilitics/kubilitics",
		"org.opencontainers.image.licenses": licence,
	}
	if r.Revision != "" {
		labels["org.opencontainers.image.revision"] = r.Revision
	}
	return labels
}

// compile builds a program into bin/static of the source. It takes its name there when it is whole, since others may build the same.
func (r Release) compile(ctx context.Context, name, platform string) (string, error) {
	pkg, ok := packages[name]
	system, arch, ok2 := strings.Cut(platform, "/")
	if !ok || !ok2 {
		return "", fmt.Errorf("no program %q for platform %q: there are kubilitics-agent and kubilitics-hub, and platforms like linux/amd64", name, platform)
	}
	top, err := r.source()
	if err != nil {
		return "", err
	}
	kind := "release" // one at a time: they would pile up
	if r.Version == dev {
		kind = dev
	}
	dir := filepath.Join(top, "bin", "static", system+"-"+arch, kind)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	temp, err := os.MkdirTemp(dir, name+"-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(temp) }() // what was built in it has been moved
	out := filepath.Join(temp, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X github.com/kubilitics/kubilitics/shared/version.version="+r.Version, "-o", out, pkg)
	cmd.Dir = top
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch, "GOFLAGS=-mod=readonly", "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=")
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s for %s: %w\n%s", name, platform, err, said)
	}
	final := filepath.Join(dir, name)
	return final, os.Rename(out, final)
}

func (r Release) source() (string, error) {
	if r.Source != "" {
		return r.Source, nil
	}
	return source.Root()
}

// static says what keeps a program from running where there is nothing but itself.
func static(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer func() { _ = f.Close() }() // it was read alone
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC }) {
		return fmt.Errorf("%s is linked dynamically: it would not run in an empty image", path)
	}
	return nil
}
