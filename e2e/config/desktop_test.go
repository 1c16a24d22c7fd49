package config

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/kubilitics/kubilitics/e2e/stack"
	"github.com/kubilitics/kubilitics/hub/desktop"
)

// TestDesktopKeys gives the desktop's program each key in turn and looks at what it does.
func TestDesktopKeys(t *testing.T) {
	tries := map[string]func(*testing.T){
		"kubeconfig": func(t *testing.T) {
			needsCluster(t)
			d := launch(t, "--kubeconfig="+cluster.KubeconfigPath())
			eventually(t, "its context is a cluster", func() error {
				var list page[stack.Cluster]
				err := d.Get(t.Context(), "/api/v1/clusters", &list)
				if err == nil {
					err = want(len(list.Items) == 1 && list.Items[0].Freshness.State == "live", list.Items)
				}
				return err
			})
		},
		"listen": func(t *testing.T) {
			at := freePort(t)
			if d := launch(t, "--listen="+at); d.URL != "http://"+at {
				t.Errorf("it is at %s", d.URL)
			}
		},
		"data-dir": func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "made")
			launch(t, "--data-dir="+dir)
			if files, _ := filepath.Glob(filepath.Join(dir, "*.db")); len(files) != 1 {
				t.Errorf("there are %q", files)
			}
		},
		"no-open": func(t *testing.T) {
			for _, closed := range []bool{true, false} {
				d := launch(t, "--no-open="+strconv.FormatBool(closed))
				_, err := os.Stat(d.opened)
				if closed && err == nil {
					t.Error("it opened a page all the same")
				}
				if !closed {
					eventually(t, "the page is opened", func() error { _, err := os.Stat(d.opened); return err })
				}
			}
		},
		"parent-pid": func(t *testing.T) {
			parent := exec.CommandContext(t.Context(), "sleep", "600")
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			d := launch(t, "--parent-pid="+strconv.Itoa(parent.Process.Pid))
			_ = parent.Process.Kill()
			_ = parent.Wait() // it was killed
			if err := d.wait(); err != nil {
				t.Errorf("after its parent it ended with %v", err)
			}
		},
		"cors-origins": func(t *testing.T) {
			d := launch(t, "--cors-origins=tauri://localhost")
			for origin, code := range map[string]int{"tauri://localhost": http.StatusOK, "tauri://other": http.StatusForbidden} {
				if got := ask(t, &running{Client: d.Client}, "GET", "/api/v1/me", "", "Origin", origin); got.StatusCode != code {
					t.Errorf("%s is answered %s", origin, got.Status)
				}
			}
		},
		"log.level":  func(t *testing.T) { desktopLogged(t, "INFO", "--log-level=info") },
		"log.format": func(t *testing.T) { desktopLogged(t, `{"level":"info"`, "--log-level=info", "--log-format=json") },
	}
	complete(t, DesktopKeys(), tries)
	for key, try := range tries {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			try(t)
		})
	}
}

// launched is a desktop that runs.
type launched struct {
	stack.Client
	opened string // the file that stands for the page's having been opened
	errors string // the file that its log goes to
	wait   func() error
}

// launch starts the desktop's program, in a home of its own and with a browser that only takes notes, until it is ready.
func launch(t *testing.T, args ...string) *launched {
	t.Helper()
	built, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	d := &launched{opened: filepath.Join(home, "opened"), errors: filepath.Join(home, "log")}
	write(t, filepath.Join(home, "kubeconfig"), "{clusters: [], contexts: []}")
	browser := write(t, filepath.Join(home, "xdg-open"), "#!/bin/sh\necho \"$1\" > "+d.opened+"\n")
	log, err := os.Create(d.errors)
	if err == nil {
		err = os.Chmod(browser, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	before := []string{"desktop", "--no-open", "--kubeconfig=" + filepath.Join(home, "kubeconfig"), "--data-dir=" + filepath.Join(home, "data")}
	cmd := exec.Command(built.Hub, append(before, args...)...)
	cmd.Dir, cmd.Stderr = home, log
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+home, "DISPLAY=:99", "PATH="+home+string(os.PathListSeparator)+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe() // which stays open
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	d.wait = func() error {
		if ended {
			return nil
		}
		ended = true
		_, _ = io.Copy(io.Discard, out)
		err := cmd.Wait()
		_, _ = in.Close(), log.Close()
		return err
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if err := d.wait(); err != nil {
			text, _ := os.ReadFile(d.errors)
			t.Errorf("it ended with %v: %s", err, text)
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var ready desktop.Ready
	if err != nil || json.Unmarshal(line, &ready) != nil {
		text, _ := os.ReadFile(d.errors)
		t.Fatalf("it said %q, %v: %s", line, err, text)
	}
	d.Client = stack.Client{URL: ready.URL, Token: ready.Token}
	return d
}

// desktopLogged runs it for a moment: its log has the text.
func desktopLogged(t *testing.T, has string, args ...string) {
	t.Helper()
	d := launch(t, args...)
	eventually(t, "it says so", func() error {
		text, err := os.ReadFile(d.errors)
		if err == nil {
			err = want(strings.Contains(string(text), has), string(text))
		}
		return err
	})
}
