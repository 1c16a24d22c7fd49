package e2e

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A key that doesn't exist is an error that names it, and the nearest one that does, wherever it stands.
func TestWrongConfigurationKeys(t *testing.T) {
	t.Parallel()
	hub, agent := []string{world.programs.Hub, "serve"}, []string{world.programs.Agent, "run"}
	for _, c := range []struct {
		name    string
		program []string
		file    string
		env     string
		flag    string
		want    []string
	}{
		{"hub, file", hub, "lisen: 127.0.0.1:0\n", "", "", []string{`"lisen"`, `"listen"`, "wrong.yaml"}},
		{"hub, nested file", hub, "tunnel:\n  adress: tls://x:1\n", "", "", []string{`"tunnel.adress"`, `"tunnel.address"`}},
		{"hub, environment", hub, "", "KUBILITICS_TUNNEL_LISTN=x", "", []string{`"KUBILITICS_TUNNEL_LISTN"`, `"KUBILITICS_TUNNEL_LISTEN"`}},
		{"hub, flag", hub, "", "", "--databse=x", []string{`"--databse"`, `"--database"`}},
		{"agent, file", agent, "kubeconfg: /nowhere\n", "", "", []string{`"kubeconfg"`, `"kubeconfig"`, "wrong.yaml"}},
		{"agent, environment", agent, "", "KUBILITICS_SHAR=topology", "", []string{`"KUBILITICS_SHAR"`, `"KUBILITICS_SHARE"`}},
		{"agent, flag", agent, "", "", "--exclud=Secret", []string{`"--exclud"`, `"--exclude"`}},
		{"agent, value", agent, "hub: tls://127.0.0.1:1\nshare: everything\n", "", "", []string{"everything", "manifests", "topology"}},
		{"hub, value", hub, "listen: nowhere\n", "", "", []string{"listen", "nowhere", "host:port"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			args := c.program[1:]
			if c.file != "" {
				file := filepath.Join(t.TempDir(), "wrong.yaml")
				write(t, file, c.file)
				args = append(args[:1:1], "--config", file)
			}
			if c.flag != "" {
				args = append(args[:1:1], c.flag)
			}
			cmd := exec.CommandContext(t.Context(), c.program[0], args...)
			cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "HOME="+t.TempDir(), c.env)
			said, err := cmd.CombinedOutput()
			var ended *exec.ExitError
			if !errors.As(err, &ended) || ended.ExitCode() != 2 {
				t.Errorf("it ended with %v, want exit code 2", err)
			}
			for _, want := range c.want {
				if !strings.Contains(string(said), want) {
					t.Errorf("it doesn't say %s: %s", want, said)
				}
			}
		})
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Asked to end, programs end well and soon, whatever they are at, and leave nothing behind.
func TestProgramsEndWhenAsked(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database) {
		r := start(t, db)
		m := r.join(t, world.us, world.us.agent)
		says(t, m.log, 15*time.Second, "the agent has enrolled")
		endsSoon(t, "an agent in its first load", m.agent.Stop)
		m.restart(t)
		r.live(t, m)
		stream := listen(t, &r.hub.Client, map[string]any{"type": "subscribe", "id": "x"})
		endsSoon(t, "a settled agent", m.agent.Stop)
		r.becomes(t, m, "stale", 3*time.Second) // it said goodbye
		m.restart(t)
		r.becomes(t, m, "live", 10*time.Second)
		endsSoon(t, "a hub with an agent and a stream", r.hub.Stop)
		eventually(t, "the stream has ended", time.Second, func() error {
			stream.mu.Lock()
			defer stream.mu.Unlock()
			if stream.err == nil {
				return errors.New("it goes on")
			}
			return nil
		})
		for _, address := range []string{strings.TrimPrefix(r.hub.URL, "http://"), strings.TrimPrefix(r.hub.Tunnels, "tls://")} {
			if conn, err := net.Dial("tcp", address); err == nil {
				_ = conn.Close()
				t.Errorf("%s still answers", address)
			}
		}
		if db.name == "sqlite" {
			if left, _ := filepath.Glob(db.file + "-*"); len(left) > 0 {
				t.Errorf("left %q", left)
			}
		}
		endsSoon(t, "an agent without a hub", m.agent.Stop)
		r.restartHub(t)
	})
}

func endsSoon(t *testing.T, what string, stop func() error) {
	t.Helper()
	began := time.Now()
	if err := stop(); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("%s took %s to end", what, took)
	} else {
		t.Logf("%s ended in %s", what, took.Round(time.Millisecond))
	}
}
