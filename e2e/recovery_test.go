package e2e

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/e2e/demo/app"
	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

// shortLived makes certificates of agents end within a test, so that they are renewed several times meanwhile.
const shortLived = "20s"

// A hub that is restored from a backup older than what its agents remember agrees with them again, by itself: what changed since is told, certificates renewed since are taken. What enrolled since
// is unknown to it, and enrols anew.
func TestRestoredFromABackup(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database) {
		r := start(t, db, "--ca-lifetime", shortLived)
		m := r.join(t, world.eu, world.eu.agent)
		r.live(t, m)
		told := r.position(t)
		kept := r.backup(t)

		world.eu.makes(t, "restored-"+db.tag)
		late := r.join(t, world.us, world.us.agent)
		r.live(t, late)
		r.mirrors(t, m, world.eu)
		then, renewals := r.position(t), m.log.count("certificate was renewed")
		eventually(t, "the agent's certificate is another one", 40*time.Second, func() error {
			if n := m.log.count("certificate was renewed"); n <= renewals {
				return fmt.Errorf("it was renewed %d times", n)
			}
			return nil
		})
		if err := r.hub.Stop(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		r.restore(t, kept)
		if now := r.position(t); now < told || now >= then {
			t.Errorf("positions went from %d by %d back to %d", told, then, now)
		}
		r.live(t, m)
		r.mirrors(t, m, world.eu)
		r.agrees(t, m, world.eu)
		t.Logf("they agreed %s after the start of the restored hub", time.Since(began).Round(100*time.Millisecond))
		r.sound(t, m, world.eu)
		history := get[struct{ Items []struct{ Late bool } }](t, &r.hub.Client, "/api/v1/clusters/"+m.id+"/resources/-/v1/configmaps/default/restored-"+db.tag+"/history")
		if len(history.Items) == 0 || !history.Items[0].Late {
			t.Errorf("what happened since the backup isn't marked late: %+v", history)
		}
		if n := r.log.count(`"load": true`, "sync session opened"); n != 2 { // the two first ones
			t.Errorf("a cluster was loaded anew: %d loads", n)
		}
		later := listen(t, &r.hub.Client, map[string]any{"type": "subscribe", "id": "later", "from": then + 1000})
		eventually(t, "a stream from before starts anew", 10*time.Second, func() error {
			_, err := later.find(func(f *stack.Frame) bool { return f.Type == "reset" })
			return err
		})

		says(t, late.log, 30*time.Second, "was deleted at the hub")
		r.reenrol(t, late, "late-"+db.tag)
		r.live(t, late)
		r.mirrors(t, late, world.us)
	})
}

// Without the database, everything is enrolled anew; without the hub's root, each agent gets a token for the cluster that it was, and history goes on.
func TestTheHubsRootIsLost(t *testing.T) {
	t.Parallel()
	r := start(t, &database{name: "sqlite", tag: tag("sqlite")})
	m := r.join(t, world.eu, world.eu.agent)
	r.live(t, m)
	if err := errors.Join(r.hub.Stop(), os.Remove(filepath.Join(r.options.Dir, "ca.pem"))); err != nil {
		t.Fatal(err)
	}
	r.restartHub(t)
	says(t, m.log, 30*time.Second, "certificate signed by unknown authority")
	m.again(t, r)
	r.live(t, m)
	r.agrees(t, m, world.eu)
}

// The hub's root is replaced while everything runs: agents are told of the next one by their renewals before it signs, and of the former one for as long as
// certificates by it last.
func TestTheHubsRootIsReplaced(t *testing.T) {
	t.Parallel()
	other := start(t, &database{name: "sqlite", tag: tag("sqlite")}) // any hub makes a root
	next, nextRoot := rootOf(t, other)
	r := start(t, &database{name: "sqlite", tag: tag("sqlite")}, "--ca-lifetime", "12s")
	m := r.join(t, world.eu, world.eu.agent)
	r.live(t, m)
	former, formerRoot := rootOf(t, r)
	for _, step := range [][]string{{"--ca-file", former, "--ca-trusted", nextRoot}, {"--ca-file", next, "--ca-trusted", formerRoot}, {"--ca-file", next}} {
		renewals := m.log.count("certificate was renewed")
		r.restartWith(t, append([]string{"--ca-lifetime", "12s"}, step...)...)
		r.live(t, m)
		eventually(t, fmt.Sprintf("it renews with %q", step), 60*time.Second, func() error {
			if n := m.log.count("certificate was renewed"); n < renewals+2 {
				return fmt.Errorf("%d renewals", n-renewals)
			}
			return nil
		})
	}
	r.agrees(t, m, world.eu)
	if m.log.count("unknown authority") > 0 {
		t.Error("the agent didn't know the hub at some time")
	}
}

// rootOf gives copies of a hub's root: certificate and key, and the certificate alone.
func rootOf(t *testing.T, r *rig) (both, alone string) {
	t.Helper()
	dir := t.TempDir()
	both, alone = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "root.pem")
	text, err := os.ReadFile(filepath.Join(r.options.Dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			err = os.WriteFile(alone, pem.EncodeToMemory(block), 0o600)
		}
	}
	if err := errors.Join(err, os.WriteFile(both, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	return both, alone
}

// An agent that has lost its keys says so, and goes on as the same cluster by a new token.
func TestTheAgentsKeysAreLost(t *testing.T) {
	t.Parallel()
	r := start(t, &database{name: "sqlite", tag: tag("sqlite")})
	m := r.join(t, world.eu, world.eu.agent)
	r.live(t, m)
	if err := errors.Join(m.agent.Stop(), os.RemoveAll(filepath.Join(m.options.Dir, "agent"))); err != nil {
		t.Fatal(err)
	}
	m.restart(t)
	select {
	case <-m.agent.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("it goes on without keys and token")
	}
	if !strings.Contains(m.agent.Log(), "join token") {
		t.Errorf("it doesn't say what it lacks: %s", m.agent.Log())
	}
	m.again(t, r)
	r.live(t, m)
	r.agrees(t, m, world.eu)
}

// A cluster that is put back by a backup of its etcd is told as it is then, once the agent was started anew: what is gone goes, what is back comes. Without that, a watch goes on from a version that
// means something else now, as those of the cluster's own controllers do.
func TestAClusterIsPutBack(t *testing.T) {
	t.Parallel()
	bin := world.eu.Programs()
	c := &cluster{name: "back", Cluster: kube.ForTest(t, kube.Options{Name: "back", Nodes: 1, Dir: world.dir, Bin: &bin})}
	if err := c.connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.hangUp)
	manifests, err := app.Manifests("eu")
	if err == nil {
		err = errors.Join(c.Apply(t.Context(), bytes.Join([][]byte{manifests, access}, []byte("\n---\n"))), c.accounts(t.Context()))
	}
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, &database{name: "sqlite", tag: tag("sqlite")})
	m := r.join(t, c, c.agent)
	r.live(t, m)
	c.makes(t, "before")
	r.mirrors(t, m, c)
	ctx, cancel := stack.Within(t.Context(), 3*time.Minute)
	defer cancel()
	if err := c.Snapshot(ctx); err != nil {
		t.Fatal(err)
	}
	c.makes(t, "after")
	if err := c.client.CoreV1().ConfigMaps("default").Delete(ctx, "before", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.mirrors(t, m, c)
	if err := errors.Join(c.Rewind(ctx), m.agent.Stop()); err != nil {
		t.Fatal(err)
	}
	m.restart(t)
	r.mirrors(t, m, c)
	if n := r.verify(t, m); n != 0 {
		t.Errorf("%d stored rows don't say what their hashes say", n)
	}
}

// makes makes a ConfigMap by a name of its own.
func (c *cluster) makes(t *testing.T, name string) {
	t.Helper()
	if _, err := c.client.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) position(t *testing.T) int64 {
	t.Helper()
	var list struct{ Position int64 }
	if err := r.hub.Get(t.Context(), "/api/v1/resources?limit=1", &list); err != nil {
		t.Fatal(err)
	}
	return list.Position
}

// kept is a backup: Postgres' dump and the root's file, or the file that the hub's own backup wrote.
type kept struct{ dump, root string }

// backup is taken as docs/operations.md says, while the hub runs.
func (r *rig) backup(t *testing.T) kept {
	t.Helper()
	k := kept{dump: filepath.Join(t.TempDir(), "dump")}
	if r.db.name == "sqlite" {
		does(t, world.programs.Hub, "backup", "--data-dir", r.options.Dir, k.dump)
		return k
	}
	does(t, postgresProgram(t, "pg_dump"), "--format=custom", "--file", k.dump, r.db.url)
	k.root = filepath.Join(filepath.Dir(k.dump), "ca.pem")
	text, err := os.ReadFile(filepath.Join(r.options.Dir, "ca.pem"))
	if err := errors.Join(err, os.WriteFile(k.root, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	return k
}

// restore starts the hub anew from a backup alone, at the address where it was.
func (r *rig) restore(t *testing.T, k kept) {
	t.Helper()
	o := r.options
	o.Dir = t.TempDir()
	if r.db.name == "sqlite" {
		r.db.file = filepath.Join(o.Dir, "kubilitics.db")
		does(t, world.programs.Hub, "restore", "--data-dir", o.Dir, k.dump)
	} else {
		fresh := newPostgres(t)
		r.db.url, o.Database = fresh.url, fresh.url
		o.Args = append(o.Args, "--ca-file", k.root)
		does(t, postgresProgram(t, "pg_restore"), "--no-owner", "--exit-on-error", "--dbname", fresh.url, k.dump)
	}
	r.startAt(t, o)
}

func does(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// restartWith stops the hub and starts it again with other flags.
func (r *rig) restartWith(t *testing.T, args ...string) {
	t.Helper()
	if err := r.hub.Stop(); err != nil {
		t.Fatal(err)
	}
	o := r.options
	o.Args = args
	r.startAt(t, o)
}

// startAt starts a hub where the last one was.
func (r *rig) startAt(t *testing.T, o stack.HubOptions) {
	t.Helper()
	ctx, cancel := stack.Within(t.Context(), 30*time.Second)
	defer cancel()
	o.Listen, o.Tunnels = strings.TrimPrefix(r.hub.URL, "http://"), strings.TrimPrefix(r.hub.Tunnels, "tls://")
	again, err := stack.StartHub(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if again.Token == "" {
		again.Token = r.hub.Token
	}
	r.hub, r.options = again, o
}

// again gives a member's agent a new token for the same cluster.
func (m *member) again(t *testing.T, r *rig) {
	t.Helper()
	var made struct{ Token string }
	if err := r.hub.Do(t.Context(), http.MethodPost, "/api/v1/clusters/"+url.PathEscape(m.id)+"/join-tokens", map[string]any{}, &made); err != nil {
		t.Fatal(err)
	}
	m.startWith(t, made.Token)
}

// reenrol makes a member a cluster anew.
func (r *rig) reenrol(t *testing.T, m *member, name string) {
	t.Helper()
	made, err := r.hub.CreateCluster(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.id = made.ID
	m.startWith(t, made.Token)
}

func (m *member) startWith(t *testing.T, token string) {
	t.Helper()
	m.agent.Kill()
	o := m.options
	o.Token = token
	a, err := stack.StartAgent(o)
	if err != nil {
		t.Fatal(err)
	}
	m.agent = a
}

// postgresProgram finds one of the server's own programs.
func postgresProgram(t *testing.T, name string) string {
	t.Helper()
	if at, err := exec.LookPath(name); err == nil {
		return at
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // the pattern is well-formed
	if len(found) == 0 {
		t.Skipf("SKIPPED LOUDLY: there is no %s on this machine", name)
	}
	return found[len(found)-1]
}
