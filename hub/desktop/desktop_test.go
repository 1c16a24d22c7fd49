package desktop

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Nobody but this machine is served.
func TestListensAtHomeOnly(t *testing.T) {
	for listen, want := range map[string]bool{
		"127.0.0.1:0": true, "127.8.8.8:80": true, "[::1]:0": true, "localhost:0": true,
		"0.0.0.0:0": false, ":8400": false, "[::]:0": false, "192.168.1.7:80": false, "localhost.evil.example:80": false, "127.0.0.1": false, "": false,
	} {
		cfg := Config{Listen: listen, DataDir: "x"}
		if err := cfg.complete(); (err == nil) != want || err != nil && !fault.Is(err, fault.BadRequest) {
			t.Errorf("%q: %v", listen, err)
		}
	}
	cfg := Config{Listen: "127.0.0.1:0", DataDir: "x", CORSOrigins: []string{"*"}}
	if cfg.complete() == nil {
		t.Error("pages of all sites may call")
	}
}

func TestDataHome(t *testing.T) {
	home := func() (string, error) { return "/home/a", nil }
	for _, c := range []struct {
		platform string
		env      map[string]string
		want     string
	}{
		{"linux", nil, "/home/a/.local/share"},
		{"linux", map[string]string{"XDG_DATA_HOME": "/data"}, "/data"},
		{"linux", map[string]string{"XDG_DATA_HOME": "data"}, "/home/a/.local/share"},
		{"darwin", map[string]string{"XDG_DATA_HOME": "/data"}, "/home/a/Library/Application Support"},
		{"windows", map[string]string{"LocalAppData": "/local"}, "/local"},
		{"windows", nil, "/home/a/AppData/Local"},
	} {
		got, err := dataHome(c.platform, func(k string) string { return c.env[k] }, home)
		if err != nil || got != c.want {
			t.Errorf("%s %v: %s, %v", c.platform, c.env, got, err)
		}
	}
	if _, err := dataHome("linux", func(string) string { return "" }, func() (string, error) { return "", errors.New("none") }); err == nil {
		t.Error("without a home there is a directory")
	}
}

func TestOpener(t *testing.T) {
	for _, c := range []struct{ platform, screen, want string }{
		{"windows", "", "rundll32"}, {"darwin", "", "open"}, {"linux", "", ""}, {"linux", ":0", "xdg-open"},
	} {
		if got, _ := opener(c.platform, func(k string) string { return map[string]string{"DISPLAY": c.screen}[k] }); got != c.want {
			t.Errorf("%s, screen %q: %q", c.platform, c.screen, got)
		}
	}
}

func TestWhy(t *testing.T) {
	get := `Get "https://10.0.0.1:6443/version": `
	for text, want := range map[string][2]string{
		get + "dial tcp 10.0.0.1:6443: connect: connection refused":                              {"refused", "nothing listens at its address: dial tcp 10.0.0.1:6443: connect: connection refused"},
		get + "dial tcp 10.0.0.1:6443: i/o timeout":                                              {"silent", "it doesn't answer: dial tcp 10.0.0.1:6443: i/o timeout"},
		get + "net/http: TLS handshake timeout":                                                  {"silent", ""},
		get + "context deadline exceeded":                                                        {"silent", ""},
		get + "dial tcp: lookup a.example: no such host":                                         {"name", ""},
		get + "tls: failed to verify certificate: x509: certificate signed by unknown authority": {"certificate", ""},
		get + "getting credentials: exec: executable aws not found":                              {"credentials", "its credential plugin failed: getting credentials: exec: executable aws not found"},
		get + "EOF": {"other", "EOF"},
	} {
		code, reason := why(fault.Wrap(errors.New(text), fault.Unavailable, "the API server doesn't tell its version"))
		if code != want[0] || want[1] != "" && reason != want[1] {
			t.Errorf("%s: %s, %s", text, code, reason)
		}
	}
	if code, _ := why(fault.New(fault.Unauthorized, "Unauthorized")); code != "unauthorized" {
		t.Error(code)
	}
	if code, _ := why(fault.New(fault.Forbidden, "no")); code != "forbidden" {
		t.Error(code)
	}
}

// Names of contexts are anything; those of clusters and labels are not.
func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"kind-dev": "kind-dev", " a\tb ": "a_b", "": "unnamed", "\x00": "_", strings.Repeat("é", 200): strings.Repeat("é", 126),
	} {
		if got := clusterName(name); got != want {
			t.Errorf("%q becomes %q", name, got)
		}
	}
	arn := "arn:aws:eks:eu-west-1:123456789012:cluster/prod"
	if labelOf("kind-dev") != "kind-dev" || !strings.HasPrefix(labelOf(arn), "sha256-") || labelOf(arn) == labelOf(arn+"2") || labelOf("") == "" {
		t.Error(labelOf(arn), labelOf(""))
	}
}

const twoContexts = `apiVersion: v1
kind: Config
current-context: a
clusters:
- {name: one, cluster: {server: "https://127.0.0.1:1", certificate-authority: ca.pem}}
users:
- {name: u, user: {token: t1}}
contexts:
- {name: a, context: {cluster: one, user: u, namespace: shop}}
- {name: b, context: {cluster: nothing, user: u}}
`

// What leads to the cluster in another way is a change; what is only shown otherwise is none.
func TestKubeconfigIsFollowed(t *testing.T) {
	dir := t.TempDir()
	file, ca := filepath.Join(dir, "config"), filepath.Join(dir, "ca.pem")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	k := newKubeconfig(filepath.Join(dir, "none") + string(os.PathListSeparator) + file)
	if found, err := k.read(); err != nil || len(found) > 0 {
		t.Fatalf("no file: %v, %v", found, err)
	}
	write(file, twoContexts)
	if !k.changed() || k.changed() {
		t.Error("a file that came is news, once")
	}
	first, err := k.read()
	if err != nil || len(first) != 2 || first["b"].err == nil || first["b"].err.Error() != `the kubeconfig has no cluster "nothing"` {
		t.Fatalf("%v, %v", first, err)
	}
	for what, c := range map[string]struct {
		do   func()
		same bool
	}{
		"namespace":       {func() { write(file, strings.ReplaceAll(twoContexts, "shop", "till")) }, true},
		"current context": {func() { write(file, strings.ReplaceAll(twoContexts, "current-context: a", "current-context: b")) }, true},
		"address":         {func() { write(file, strings.ReplaceAll(twoContexts, "127.0.0.1:1", "127.0.0.1:22")) }, false},
		"token":           {func() { write(file, strings.ReplaceAll(twoContexts, "t1", "t2")) }, false},
		"root":            {func() { write(ca, "another root"); write(file, twoContexts) }, false},
	} {
		c.do()
		now, err := k.read()
		if err != nil || (now["a"].print == first["a"].print) != c.same {
			t.Errorf("%s: same %v, %v", what, !c.same, err)
		}
		_ = os.Remove(ca)
	}
	write(file, "clusters: [")
	if !k.changed() {
		t.Error("a file that was broken is no news")
	}
	if _, err := k.read(); err == nil {
		t.Error("a broken file is read")
	}
}

func TestContacts(t *testing.T) {
	c, id := newContacts(), fleet.ClusterID(7)
	if c.Of(id) != nil || c.Revision() != 0 {
		t.Error("something is known of nobody")
	}
	if !c.set(id, connecting, "", "") || c.set(id, connecting, "", "") || c.Revision() != 1 {
		t.Error("what is said again is no news")
	}
	c.overdue(id)
	if one := c.Of(id); one.State != failed || one.Code != "silent" {
		t.Errorf("%+v", one)
	}
	since := c.Of(id).Since
	c.set(id, failed, "refused", "because")
	if one := c.Of(id); one.Since != since || one.Reason != "because" {
		t.Errorf("another reason for the same state: %+v", one)
	}
	c.set(id, connected, "", "")
	c.overdue(id)
	if c.Of(id).State != connected {
		t.Error("what answered is silent")
	}
	if c.drop(id); c.Of(id) != nil {
		t.Error("what was dropped is there")
	}
}

// Two contexts may lead to one cluster, and one context to another cluster than before.
func TestIdentity(t *testing.T) {
	replaced := 0
	i := &identity{id: 7, contacts: newContacts(), log: zap.NewNop(), replaced: func() { replaced++ }}
	known := i.of("uid-1")
	if other := (&identity{id: 8}).of("uid-1"); known == other || !strings.HasPrefix(known, "uid-1@") {
		t.Error(known, other)
	}
	if i.of("") != known || i.of("uid-1") != known {
		t.Error("it changes with what may be read")
	}
	i.hear(contactOf(""))
	i.hear(contactOf("uid-1"))
	if replaced != 0 || i.contacts.Of(7).State != connected {
		t.Errorf("replaced %d, %+v", replaced, i.contacts.Of(7))
	}
	if i.hear(contactOf("uid-2")); replaced != 1 {
		t.Error("another cluster isn't noticed")
	}
}

// One desktop at a time has the data, and leaves nothing that says otherwise.
func TestOneInstance(t *testing.T) {
	dir, missing := t.TempDir(), filepath.Join(t.TempDir(), "config")
	cfg := Config{Listen: "127.0.0.1:0", DataDir: dir, Kubeconfig: missing}
	for range 2 {
		d, err := New(t.Context(), cfg, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := acquire(filepath.Join(dir, lockFile)); !errors.Is(err, errHeld) {
			t.Errorf("the lock is taken twice: %v", err)
		}
		info, err := os.Stat(filepath.Join(dir, instanceFile))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the note: %v, %v", info, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, instanceFile)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the note is left: %v", err)
		}
	}
}

// A context that can't be used, and one whose cluster doesn't answer, are clusters with a reason; the desktop ends at once all the same.
func TestDeadContextsHoldNothingUp(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config")
	text := strings.ReplaceAll(twoContexts, ", certificate-authority: ca.pem", "")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := New(t.Context(), Config{Listen: "127.0.0.1:0", DataDir: filepath.Join(dir, "data"), Kubeconfig: file}, zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextOf(t)
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	codes := map[string]string{"a": "refused", "b": "config"}
	for end := time.Now().Add(20 * time.Second); len(codes) > 0; time.Sleep(10 * time.Millisecond) {
		all, err := d.hub.Clusters(t.Context())
		if err != nil || time.Now().After(end) {
			t.Fatalf("%v are not what they should be; %v", codes, err)
		}
		for _, cl := range all {
			if one := d.contacts.Of(cl.ID); one != nil && one.State == failed && one.Code == codes[cl.Name] {
				delete(codes, cl.Name)
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
