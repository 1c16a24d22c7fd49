package hub

import (
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/notify"
	"github.com/kubilitics/kubilitics/hub/internal/plugin"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// A database that can't be opened is an error, and what had been opened before is let go.
func TestNewTellsThatTheDatabaseCantBeOpened(t *testing.T) {
	for name, database := range map[string]string{
		"sqlite":   "sqlite:" + t.TempDir(),
		"postgres": "postgres://nobody@127.0.0.1:1/none?connect_timeout=1",
		"unknown":  "mysql://x",
	} {
		cfg := DefaultConfig()
		cfg.Listen, cfg.Tunnel.Listen, cfg.DataDir, cfg.Database = "127.0.0.1:0", "127.0.0.1:0", t.TempDir(), database
		h, err := New(t.Context(), cfg, zap.NewNop())
		if err == nil || h != nil || fault.CodeOf(err) == "" {
			t.Errorf("%s: %v, %v", name, h, err)
		}
	}
}

// What is wrong about plugins and notifications is told at the start, all of it, by its key in the file.
func TestConfigOfPluginsIsChecked(t *testing.T) {
	cfg := DefaultConfig()
	if err := cfg.check(); err != nil {
		t.Fatal(err)
	}
	cfg.Plugins = []plugin.Spec{{Name: "costs", As: "enricher", Path: "costs", SHA256: strings.Repeat("0", 64), Tenants: []string{"*"}}}
	cfg.Notify.Targets = []notify.Target{{Name: "pager", As: "plugin", Plugin: "costs"}, {Name: "chat", As: "slack", URL: "http://user:hunter2@chat.example"}}
	cfg.Notify.Rules = []notify.Rule{{Name: "errors", To: []string{"nobody"}, Tenants: []string{"*"}}}
	err := cfg.check()
	for _, want := range []string{"plugins[0].path: ", "notify.targets[0].plugin: there is no notifier plugin", "notify.targets[1].url: ", "notify.rules[0].to: there is no target"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q isn't in %v", want, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a secret is told: %v", err)
	}
}
