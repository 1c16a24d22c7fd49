package docs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

// reader is somebody who types what a page says, and has what its commands need.
type reader struct {
	page   *page
	dir    string // everything of theirs
	work   string // where they are: the repository, with a bin of their own
	home   string
	hub    *stack.Hub
	agents []*stack.Agent
	eu     string  // id of tidewater-eu
	own    *member // nil: the page installs nothing
	office *office

	api, tunnels, token, join string // as the page's programs told last
	database                  string // made when it is named
}

// newReader starts what a page's commands need.
func newReader(t *testing.T, p *page) *reader {
	t.Helper()
	r := &reader{page: p, dir: t.TempDir()}
	r.work, r.home = filepath.Join(r.dir, "work"), filepath.Join(r.dir, "home")
	ctx, cancel := stack.Within(t.Context(), 2*time.Minute)
	defer cancel()
	t.Cleanup(func() {
		if err := r.leave(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(r.furnish(), r.startHub(ctx)); err != nil {
		t.Fatal(err)
	}
	g, within := errgroup.WithContext(ctx)
	for _, m := range world.members {
		g.Go(func() error { return r.report(within, m) })
	}
	if p.says("helm ") || p.says("--wait") {
		g.Go(func() error { return r.startOwn(within) })
	} else if err := r.takeKubeconfig(world.members[1].Kubeconfig()); err != nil {
		t.Fatal(err)
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for i, a := range r.agents {
		if a == nil {
			t.Fatalf("no agent of %s", world.members[i].name)
		}
	}
	return r
}

// furnish makes the directories: a home with the programs, and a copy of the repository, or what stands for it where nothing is built.
func (r *reader) furnish() error {
	bin := filepath.Join(r.home, "bin")
	for _, dir := range []string{bin, filepath.Join(r.home, ".kube"), filepath.Join(r.home, ".kubilitics"), filepath.Join(r.dir, "hub"), filepath.Join(r.dir, "shell"), filepath.Join(r.work, "etc/kubilitics"), filepath.Join(r.work, "var/lib/kubilitics"), filepath.Join(r.dir, "tmp")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	c := world.members[0].Cluster
	for name, at := range map[string]string{
		"kubilitics": world.programs.Command, "kubectl-kubilitics": world.programs.Command, "kubilitics-hub": world.programs.Hub, "kubilitics-agent": world.programs.Agent,
		"kubectl": c.KubectlPath(), "helm": world.bin.Helm,
	} {
		if err := os.Symlink(at, filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	files := map[string]string{
		filepath.Join(r.dir, "hub", "api.crt"):                      string(world.cert),
		filepath.Join(r.dir, "hub", "api.key"):                      string(world.key),
		filepath.Join(r.work, "hub-root.pem"):                       string(world.cert),
		filepath.Join(r.work, "etc/kubilitics/tls.crt"):             string(world.cert),
		filepath.Join(r.work, "etc/kubilitics/tls.key"):             string(world.key),
		filepath.Join(r.home, ".kubilitics", "kubilitics-hub.yaml"): "listen: 127.0.0.1:0\ntunnel: {listen: 127.0.0.1:0}\n",         // hubs of the page's own take ports that are free
		filepath.Join(bin, "pass"):                                  "#!/bin/sh\nexec cat " + filepath.Join(r.work, "token") + "\n", // it keeps people's passwords
	}
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o700); err != nil { //nolint:gosec // one is a program
			return err
		}
	}
	if err := os.CopyFS(r.work, os.DirFS("testdata/work")); err != nil {
		return err
	}
	if r.page.says("make ") || r.page.says("go ") {
		return copyRepository(r.work)
	}
	for _, name := range []string{"charts", "docs", "e2e", "proto", "Makefile", "README.md"} {
		at, err := filepath.Abs(filepath.Join(top, name))
		if err != nil {
			return err
		}
		if err := os.Symlink(at, filepath.Join(r.work, name)); err != nil {
			return err
		}
	}
	return os.Symlink(filepath.Dir(world.programs.Hub), filepath.Join(r.work, "bin"))
}

// copyRepository copies the sources, so that what a page builds or writes is nobody else's.
func copyRepository(to string) error {
	return filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		switch {
		case rel == ".git" || rel == "bin" || d.Name() == "node_modules":
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // somebody's temporary file
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), text, 0o755) //nolint:gosec // some are programs
	})
}

func (r *reader) startHub(ctx context.Context) (err error) {
	r.hub, err = stack.StartHub(ctx, stack.HubOptions{
		Program: world.programs.Hub, Dir: filepath.Join(r.dir, "hub"), TLS: true, Args: []string{"--public-url", "https://hub.example"},
	})
	if err != nil {
		return err
	}
	r.api, r.tunnels, r.token = r.hub.URL, r.hub.Tunnels, r.hub.Token
	if r.office, err = openOffice(); err != nil {
		return err
	}
	r.office.lead("hub.example:443", r.hub.URL)
	r.office.lead("hub.example:8443", r.hub.Tunnels)
	r.agents = make([]*stack.Agent, len(world.members))
	return errors.Join(os.WriteFile(filepath.Join(r.work, "token"), []byte(r.token), 0o600),
		os.WriteFile(filepath.Join(r.home, ".kubilitics", "kubilitics-agent.yaml"), []byte("proxy: "+r.office.url()+"\n"), 0o600))
}

// report has a cluster of the world report to the page's hub.
func (r *reader) report(ctx context.Context, m *member) error {
	id, a, err := r.hub.Join(ctx, m.name, map[string]string{"region": m.name[len(m.name)-2:], "env": "demo"}, stack.AgentOptions{
		Program: world.programs.Agent, Dir: filepath.Join(r.dir, m.name), Kubeconfig: m.agent, Args: []string{"--access", "impersonate"},
	})
	if err != nil {
		return err
	}
	for i := range world.members {
		if world.members[i] == m {
			r.agents[i] = a
		}
	}
	if m == world.members[0] {
		r.eu = id
	}
	return r.hub.AwaitLive(ctx, id)
}

// startOwn starts a cluster in which the page may install what it likes. What the Pod of a hub would log is there to be read, though no Pod runs.
func (r *reader) startOwn(ctx context.Context) (err error) {
	r.own = &member{name: "own"}
	if r.own.Cluster, err = kube.Start(ctx, kube.Options{Name: "own", Nodes: 2, Dir: r.dir, Bin: &world.bin, Exec: true}); err != nil {
		return err
	}
	if err := r.own.open(ctx, nil); err != nil {
		return err
	}
	logs, err := os.OpenFile(filepath.Join(filepath.Dir(r.own.KubeconfigPath()), "pod.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(logs, "token %s\n", r.token)
	if err := errors.Join(err, logs.Close()); err != nil {
		return err
	}
	return r.takeKubeconfig(r.own.Kubeconfig())
}

// takeKubeconfig makes a cluster the one that kubectl speaks to. The context goes by a name of its own, so that those of the hub's clusters are others.
func (r *reader) takeKubeconfig(text []byte) error {
	config, err := clientcmd.Load(text)
	if err != nil {
		return err
	}
	c := config.Contexts[config.CurrentContext]
	own := clientcmdapi.NewConfig()
	own.Clusters["direct"], own.AuthInfos["direct"] = config.Clusters[c.Cluster], config.AuthInfos[c.AuthInfo]
	own.Contexts["direct"], own.CurrentContext = &clientcmdapi.Context{Cluster: "direct", AuthInfo: "direct"}, "direct"
	return clientcmd.WriteToFile(*own, filepath.Join(r.home, ".kube", "config"))
}

func (r *reader) leave(ctx context.Context) error {
	var errs []error
	for _, a := range r.agents {
		if a != nil {
			errs = append(errs, a.Stop())
		}
	}
	if r.hub != nil {
		errs = append(errs, r.hub.Stop())
		r.hub.HTTP.CloseIdleConnections()
	}
	if r.office != nil {
		r.office.close()
	}
	if r.own != nil && r.own.Cluster != nil {
		errs = append(errs, r.own.Stop(ctx))
	}
	return errors.Join(errs...)
}

// environ is what the page's shell knows.
func (r *reader) environ() []string {
	env := []string{
		"HOME=" + r.home, "TMPDIR=" + filepath.Join(r.dir, "tmp"), "LANG=C.UTF-8", "USER=" + os.Getenv("USER"),
		"PATH=" + strings.Join([]string{filepath.Join(r.home, "bin"), os.Getenv("PATH")}, ":"),
		"HUB=https://hub.example", "TOKEN=" + r.token, "CLUSTER=" + r.eu,
		"HTTPS_PROXY=" + r.office.url(), "NO_PROXY=127.0.0.1,localhost", "SSL_CERT_FILE=" + filepath.Join(r.work, "hub-root.pem"), "CURL_CA_BUNDLE=" + filepath.Join(r.work, "hub-root.pem"),
		"KUBILITICS_CACHE=" + filepath.Dir(filepath.Dir(filepath.Dir(world.bin.APIServer))),
	}
	for k, v := range world.gocache {
		env = append(env, k+"="+v)
	}
	return env
}

var (
	toldAPI     = regexp.MustCompile(`(?m)^\s*(?:api|API)\s+(https?://\S+)$`)
	toldTunnels = regexp.MustCompile(`(?m)^\s*[tT]unnels\s+(tls://\S+)$`)
	toldToken   = regexp.MustCompile(`(?m)^\s*[tT]oken\s+(kbt1\.\S+)$`)
	toldJoin    = regexp.MustCompile(`kbl1\.[\w.-]+`)
	loginBare   = regexp.MustCompile(`(?m)^(kubilitics login \S+)((?: +#.*)?)$`)
)

// hears keeps what the page's programs told: addresses and tokens, which the reader would copy.
func (r *reader) hears(p printed) {
	for what, where := range map[*string]*regexp.Regexp{&r.api: toldAPI, &r.tunnels: toldTunnels, &r.token: toldToken} {
		if all := where.FindAllStringSubmatch(p.on, -1); len(all) > 0 {
			*what = all[len(all)-1][1]
		}
	}
	if toldAPI.MatchString(p.on) {
		r.office.lead("hub.example:8400", r.api)
	}
	if all := toldJoin.FindAllString(p.out, -1); len(all) > 0 {
		r.join = all[len(all)-1]
	}
}

// dsn is the address of a database, as pages write it.
const dsn = "postgres://hub:…@postgres.example:5432/hub"

// rooted are the folders of the machine that a page's programs read and write; the reader has their own.
var rooted = regexp.MustCompile(`(/(?:etc|var/lib)/kubilitics\b)`)

// makeDatabase makes one for the page.
func (r *reader) makeDatabase(ctx context.Context) error {
	if r.database != "" {
		return nil
	}
	conn, err := pgx.Connect(ctx, world.postgres.DSN)
	if err != nil {
		return err
	}
	name := "docs_" + strings.ToLower(rand.Text())
	_, err = conn.Exec(ctx, "CREATE DATABASE "+name)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return err
	}
	u, err := url.Parse(world.postgres.DSN)
	if err != nil {
		return err
	}
	u.Path = "/" + name
	r.database = u.String()
	return nil
}

// substitute puts in what differs everywhere.
func (r *reader) substitute(ctx context.Context, text string) (string, error) {
	text = strings.NewReplacer("0.0.0.0:8400", "127.0.0.1:0", "0.0.0.0:8443", "127.0.0.1:0", "http://127.0.0.1:8400", r.api, "127.0.0.1:8443", strings.TrimPrefix(r.tunnels, "tls://"), "kbt1.…", r.token).Replace(text)
	text = rooted.ReplaceAllString(text, r.work+"$1")
	if strings.Contains(text, dsn) {
		if err := r.makeDatabase(ctx); err != nil {
			return "", err
		}
		text = strings.ReplaceAll(text, dsn, r.database)
	}
	text = loginBare.ReplaceAllString(text, "$1 --token-stdin$2") // a person would type it
	if strings.Contains(text, "kbl1.…") {
		if r.join == "" {
			made, err := r.hub.CreateCluster(ctx, "by-hand", nil)
			if err != nil {
				return "", err
			}
			r.join = made.Token
		}
		text = strings.ReplaceAll(text, "kbl1.…", r.join)
	}
	if strings.Contains(text, "…") {
		return "", fmt.Errorf("it holds an ellipsis that nobody puts anything in for")
	}
	return text, nil
}

// install stands for who runs the last of n commands that a page's block prints, while the block waits for the agent.
func (r *reader) install(ctx context.Context, outFile string, n int) error {
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return nil
		case <-tick.C:
		}
		if tokens := toldJoin.FindAllString(read(outFile), -1); len(tokens) == n {
			tick.Stop()
			token := tokens[n-1]
			a, err := stack.StartAgent(stack.AgentOptions{Program: world.programs.Agent, Dir: filepath.Join(r.dir, "installed"), Hub: r.hub.Tunnels, Kubeconfig: r.own.agent, Token: token})
			if err == nil {
				r.agents = append(r.agents, a)
			}
			return err
		}
	}
}
