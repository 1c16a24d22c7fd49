package hub

import (
	"testing"

	"go.uber.org/zap"

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
