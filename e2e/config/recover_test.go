package config

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/kubilitics/kubilitics/agent/agenttest"
	"github.com/kubilitics/kubilitics/hub"
)

// runHub runs the hub's program to its end.
func runHub(t *testing.T, args ...string) (out, complaints string, code int) {
	t.Helper()
	built, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	var said, wrong bytes.Buffer
	cmd := exec.CommandContext(t.Context(), built.Hub, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = &said, &wrong, t.TempDir()
	err = cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return strings.TrimSpace(said.String()), wrong.String(), cmd.ProcessState.ExitCode()
}

// TestLostToken: whoever has the database gets a new token, beside the hub that runs on it, and that is on record.
func TestLostToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := serve(t, dir, "")
	made, complaints, code := runHub(t, "token", "ada", "--data-dir", dir)
	if code != 0 || !strings.HasPrefix(made, "kbt1.") {
		t.Fatalf("code %d: %q, %s", code, made, complaints)
	}
	r.Token = made
	if me := get[struct{ Name, Tenant string }](t, r, "/api/v1/me"); me.Name != "ada" || me.Tenant != "default" {
		t.Errorf("it is %+v", me)
	}
	create(t, r)
	type record struct{ Who, Verb, Resource, Name, Via, Outcome string }
	if got := get[page[record]](t, r, "/api/v1/audit?resource=tokens").Items; len(got) != 1 || got[0] != (record{"kubilitics-hub token", "create", "tokens", "ada", "token", "done"}) {
		t.Errorf("on record is %+v", got)
	}
	for _, wrong := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"token", "--data-dir", dir}, 2, "kubilitics-hub token needs NAME"},
		{[]string{"token", "a", "b", "--data-dir", dir}, 2, `what is "b"?`},
		{[]string{"token", " ", "--data-dir", dir}, 2, "name"},
		{[]string{"token", "ada", "--data-dir", dir, "--tenant", "other"}, 1, `knows no tenant "other"`},
		{[]string{"token", "ada", "--data-dir", t.TempDir()}, 1, "there is no database file"},
	} {
		if out, complaints, code := runHub(t, wrong.args...); code != wrong.code || out != "" || !strings.Contains(complaints, wrong.says) {
			t.Errorf("%q: code %d, %q, %s", wrong.args, code, out, complaints)
		}
	}
}

// TestBackupAndRestore: what was copied from under a hub at work is another hub's, to which the agents come back.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	dir, elsewhere, file := t.TempDir(), filepath.Join(t.TempDir(), "new"), filepath.Join(t.TempDir(), "hub.backup")
	at := freePort(t)
	r := serve(t, dir, "", "--tunnel-listen="+at)
	id, _, a := r.synthetic(t, nil)
	changing := make(chan struct{})
	changed := make(chan struct{})
	go func() {
		defer close(changed)
		for {
			select {
			case <-changing:
				return
			default:
				a.Touch(1)
			}
		}
	}()
	if out, complaints, code := runHub(t, "backup", file, "--data-dir", dir); code != 0 {
		t.Fatalf("code %d: %s%s", code, out, complaints)
	}
	close(changing)
	<-changed
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup is %v, %v", info, err)
	}
	after := create(t, r) // which the backup doesn't know
	r.stop()

	out, complaints, code := runHub(t, "restore", file, "--data-dir", elsewhere)
	if code != 0 || !strings.HasPrefix(out, "restored what was there at ") {
		t.Fatalf("code %d: %s%s", code, out, complaints)
	}
	again := serve(t, elsewhere, "", "--tunnel-listen="+at)
	again.Token = r.Token
	again.live(t, id)
	settle(t, a)
	var list struct{ Items []struct{ ID string } }
	if err := again.Get(t.Context(), "/api/v1/clusters", &list); err != nil || len(list.Items) != 1 {
		t.Errorf("clusters %+v, %v", list, err)
	}
	if got := ask(t, again, "GET", "/api/v1/clusters/"+after.ID, ""); got.StatusCode != http.StatusNotFound {
		t.Errorf("what came after the backup is %s", got.Status)
	}
	again.stop()

	cut := filepath.Join(t.TempDir(), "cut")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, cut, string(whole[:len(whole)-1000]))
	otherRoot := t.TempDir()
	serve(t, otherRoot, "", "--database=sqlite:"+filepath.Join(t.TempDir(), "x.db")).stop()
	for _, wrong := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"backup", file, "--data-dir", dir}, 1, "file exists"},
		{[]string{"backup", file + "2", "--data-dir", t.TempDir()}, 1, "root can't be read"},
		{[]string{"backup", file + "2", "--database", "postgres://hub@db/hub"}, 2, "pg_dump"},
		{[]string{"restore", file, "--data-dir", dir}, 1, "there is a database at"},
		{[]string{"restore", file, "--data-dir", otherRoot}, 1, "holds another root"},
		{[]string{"restore", cut, "--data-dir", filepath.Join(t.TempDir(), "a")}, 2, "is no backup, or not a whole one"},
		{[]string{"restore", filepath.Join(dir, "ca.pem"), "--data-dir", filepath.Join(t.TempDir(), "a")}, 2, "is no backup, or not a whole one"},
		{[]string{"restore", file, "--database", "postgres://hub@db/hub"}, 2, "pg_restore"},
	} {
		if out, complaints, code := runHub(t, wrong.args...); code != wrong.code || out != "" || !strings.Contains(complaints, wrong.says) {
			t.Errorf("%q: code %d, %q, %s", wrong.args, code, out, complaints)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestRestoredFromBeforeARenewal: an agent whose certificate was renewed since the backup comes back all the same.
func TestRestoredFromBeforeARenewal(t *testing.T) {
	t.Parallel()
	dir, elsewhere, file := t.TempDir(), filepath.Join(t.TempDir(), "new"), filepath.Join(t.TempDir(), "hub.backup")
	at := freePort(t)
	r := serve(t, dir, "", "--tunnel-listen="+at, "--ca-lifetime=14s")
	id, _, _ := r.synthetic(t, nil)
	cfg, err := load(t, hub.DefaultConfig(), "", "--data-dir="+dir)
	if err == nil {
		err = hub.Backup(t.Context(), cfg, file)
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the certificate is renewed", func() error { return says(r.logs, "certificate renewed") })
	r.stop()
	cfg.DataDir = elsewhere
	if _, err := hub.Restore(t.Context(), cfg, file); err != nil {
		t.Fatal(err)
	}
	again := serve(t, elsewhere, "", "--tunnel-listen="+at, "--ca-lifetime=14s")
	again.Token = r.Token
	again.live(t, id)
	eventually(t, "an agent comes with the certificate that isn't on record", func() error {
		return says(again.logs, "the store had no record of an agent's certificate", "known:1")
	})
	eventually(t, "it is renewed in its turn", func() error { return says(again.logs, "certificate renewed", "generation:3") })
}

// TestDeletedCluster: the agent of a cluster that was deleted says so, and waits for long.
func TestDeletedCluster(t *testing.T) {
	t.Parallel()
	r := serve(t, t.TempDir(), "")
	made := create(t, r)
	core, logs := observer.New(zap.InfoLevel)
	a, err := agenttest.New(agenttest.Config{Hub: r.hub.TunnelAddress(), Token: made.Token, Dir: t.TempDir(), Objects: 20, Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	inBackground(t, a.Run)
	r.live(t, made.ID)
	if err := r.Do(t.Context(), "DELETE", "/api/v1/clusters/"+made.ID, nil, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the agent says it", func() error {
		return says(logs, "the hub doesn't know this cluster any more", "after:30m0s", "was deleted at the hub")
	})
}
