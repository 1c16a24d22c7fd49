package kube

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Bin names the programs a cluster is made of, and those that come beside it if Extras was asked for them, each by its full path.
type Bin struct {
	Etcd, APIServer, ControllerManager, Scheduler, Kwok, Kubectl string
	Helm, MetricsServer                                          string
	Promtool                                                     string // Prometheus's, which checks alert rules
	Kubelet, KubeProxy                                           string // of a real node
	containerd                                                   string // likewise, where the distribution has put it
	// Version is the Kubernetes version they were built from, "v1.37.2".
	Version string
}

// program is one executable: the package that builds it and the name it goes by.
type program struct {
	pkg, name string
	at        func(*Bin) *string
}

// set is what one module builds.
type set struct {
	dir      string         // beside this file, where its go.mod is
	of       string         // what it tells its progress as
	pinned   *regexp.Regexp // the line of go.mod that says of which version
	effort   string         // what the first build takes
	stamp    func(version string) (ldflags string)
	programs []program
}

var controlPlane = set{dir: "programs", of: "kubernetes", pinned: regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v\S+)`),
	effort: "about 6 minutes on two cores, 4 on four", stamp: stampKubernetes, programs: programs}

var extras = set{dir: "extras", of: "helm", pinned: regexp.MustCompile(`(?m)^\s*helm\.sh/helm/v4 (v\S+)`),
	effort: "about 4 minutes on two cores, 2 on four", stamp: stampHelm, programs: []program{
		{"helm.sh/helm/v4/cmd/helm", "helm", func(b *Bin) *string { return &b.Helm }},
		{"sigs.k8s.io/metrics-server/cmd/metrics-server", "metrics-server", func(b *Bin) *string { return &b.MetricsServer }},
	}}

// realNode comes from the control plane's module, and is kept beside it. Who has no real node needn't build it.
var realNode = set{dir: "programs", of: "kubernetes", pinned: controlPlane.pinned,
	effort: "about 4 minutes on two cores, 1 after the control plane's programs", stamp: stampKubernetes, programs: []program{
		{"k8s.io/kubernetes/cmd/kubelet", "kubelet", func(b *Bin) *string { return &b.Kubelet }},
		{"k8s.io/kubernetes/cmd/kube-proxy", "kube-proxy", func(b *Bin) *string { return &b.KubeProxy }},
	}}

var promtool = set{dir: "promtool", of: "prometheus", pinned: regexp.MustCompile(`(?m)^\s*github\.com/prometheus/prometheus (v\S+)`),
	effort: "about 4 minutes on two cores, 2 on four", stamp: func(string) string { return "" }, programs: []program{
		{"github.com/prometheus/prometheus/cmd/promtool", "promtool", func(b *Bin) *string { return &b.Promtool }},
	}}

// stampKubernetes tells Kubernetes its version, which the release's build would do.
func stampKubernetes(version string) (ldflags string) {
	for _, v := range []string{"gitVersion=" + version, "gitTreeState=clean"} {
		ldflags += " -X k8s.io/component-base/version." + v + " -X k8s.io/client-go/pkg/version." + v
	}
	return ldflags
}

func stampHelm(version string) (ldflags string) {
	return " -X helm.sh/helm/v4/internal/version.version=" + version
}

var programs = []program{
	{"go.etcd.io/etcd/server/v3", "etcd", func(b *Bin) *string { return &b.Etcd }},
	{"k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver", func(b *Bin) *string { return &b.APIServer }},
	{"k8s.io/kubernetes/cmd/kube-controller-manager", "kube-controller-manager", func(b *Bin) *string { return &b.ControllerManager }},
	{"k8s.io/kubernetes/cmd/kube-scheduler", "kube-scheduler", func(b *Bin) *string { return &b.Scheduler }},
	{"k8s.io/kubernetes/cmd/kubectl", "kubectl", func(b *Bin) *string { return &b.Kubectl }},
	{"sigs.k8s.io/kwok/cmd/kwok", "kwok", func(b *Bin) *string { return &b.Kwok }},
}

// built is the name under which `go build -o directory/` leaves the program.
// A last element such as v3 is the module's major version, which the go command skips.
func (p program) built() string {
	base := path.Base(p.pkg)
	if majorVersion.MatchString(base) {
		base = path.Base(path.Dir(p.pkg))
	}
	return base
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// Programs returns the programs of a cluster, building those that aren't in the cache yet.
// The cache is $KUBILITICS_CACHE, or kubilitics in the user's cache directory; programs found in
// $KUBEBUILDER_ASSETS are used from there. The first build takes minutes and tells its progress, a line
// every few seconds; afterwards the call costs some file lookups. Processes that build at once wait for each other.
func Programs(ctx context.Context, progress io.Writer) (Bin, error) {
	var bin Bin
	version, err := controlPlane.provide(ctx, &bin, progress)
	if err != nil {
		return Bin{}, err
	}
	bin.Version = version
	return bin, nil
}

// Extras adds helm and metrics-server to bin, as Programs does its own. They are built apart, and only for those who ask.
func Extras(ctx context.Context, bin *Bin, progress io.Writer) error {
	_, err := extras.provide(ctx, bin, progress)
	return err
}

// Promtool adds the program of that name. It is of no cluster.
func Promtool(ctx context.Context, bin *Bin, progress io.Writer) error {
	_, err := promtool.provide(ctx, bin, progress)
	return err
}

// NodePrograms adds those of a real node.
func NodePrograms(ctx context.Context, bin *Bin, progress io.Writer) error {
	bin.containerd = lookPath("containerd")
	_, err := realNode.provide(ctx, bin, progress)
	return err
}

func (s set) provide(ctx context.Context, bin *Bin, progress io.Writer) (version string, err error) {
	if progress == nil {
		progress = io.Discard
	}
	src, err := openSource(s)
	if err != nil {
		return "", err
	}
	dir, err := cacheDir(src.key())
	if err != nil {
		return "", err
	}
	if len(bin.fill(dir, s.programs)) == 0 {
		return src.version, nil
	}
	return src.version, buildMissing(ctx, src, dir, bin, progress)
}

// fill sets the paths of the programs that exist and returns those that don't.
func (b *Bin) fill(dir string, wanted []program) (missing []program) {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	for _, p := range wanted {
		switch given, cached := filepath.Join(assets, p.name), filepath.Join(dir, p.name); {
		case assets != "" && isFile(given):
			*p.at(b) = given
		case isFile(cached):
			*p.at(b) = cached
		default:
			missing = append(missing, p)
		}
	}
	return missing
}

func isFile(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular()
}

// buildMissing builds under the cache entry's lock: whoever waited for it finds the work done.
func buildMissing(ctx context.Context, src source, dir string, bin *Bin, progress io.Writer) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the cache of Kubernetes programs: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(dir, ".lock"), progress)
	if err != nil {
		return err
	}
	defer unlock()
	missing := bin.fill(dir, src.programs)
	if len(missing) == 0 {
		return nil
	}
	if err := build(ctx, src, dir, missing, progress); err != nil {
		return err
	}
	if still := bin.fill(dir, src.programs); len(still) > 0 {
		return fmt.Errorf("built the programs, but %s is not in %s", still[0].name, dir)
	}
	return nil
}

// lock takes an exclusive lock that the kernel gives back when the process ends, however it ends.
// It polls, because a blocking flock can't be left when ctx ends.
func lock(ctx context.Context, name string, progress io.Writer) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the cache of Kubernetes programs: %w", err)
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for told := false; ; told = true {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		if !told {
			fmt.Fprintln(progress, "kubernetes: another process is building the programs; waiting for it")
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// source is a set where its go.mod was found.
type source struct {
	set
	dir     string // where its go.mod is
	version string // that it pins
	sum     string // of go.mod and go.sum
}

// key names what the build depends on, so that a changed pin makes a new cache entry.
func (s source) key() string {
	return fmt.Sprintf("%s-%s-%s-%s", s.version, runtime.GOOS, runtime.GOARCH, s.sum)
}

// openSource finds the set's module: beside this file where the binary knows its sources,
// else (built with -trimpath) in the directories above the working directory.
func openSource(s set) (source, error) {
	dir, err := sourceDir(s.dir)
	if err != nil {
		return source{}, err
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return source{}, fmt.Errorf("read the versions of the Kubernetes programs: %w", err)
	}
	sum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		return source{}, fmt.Errorf("read the versions of the Kubernetes programs: %w", err)
	}
	m := s.pinned.FindSubmatch(mod)
	if m == nil {
		return source{}, fmt.Errorf("%s doesn't say which version of %s", filepath.Join(dir, "go.mod"), s.of)
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%d\n%s%s", len(mod), mod, sum)
	return source{set: s, dir: dir, version: string(m[1]), sum: fmt.Sprintf("%x", hash.Sum(nil)[:6])}, nil
}

func sourceDir(set string) (string, error) {
	if _, file, _, ok := runtime.Caller(0); ok {
		if dir := filepath.Join(filepath.Dir(file), set); isFile(filepath.Join(dir, "go.mod")) {
			return dir, nil
		}
	}
	wd, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the sources of the Kubernetes programs: %w", err)
	}
	for at := wd; ; at = filepath.Dir(at) {
		for _, rel := range []string{"e2e/kube", "kube", "."} {
			if dir := filepath.Join(at, rel, set); isFile(filepath.Join(dir, "go.mod")) {
				return dir, nil
			}
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("e2e/kube/%s is not in or above %s: run inside the source tree: %w", set, wd, fs.ErrNotExist)
		}
	}
}

func cacheDir(key string) (string, error) {
	root := os.Getenv("KUBILITICS_CACHE")
	if root == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find a place for the Kubernetes programs, set KUBILITICS_CACHE: %w", err)
		}
		root = filepath.Join(user, "kubilitics")
	}
	return filepath.Join(root, "kube", key), nil
}
