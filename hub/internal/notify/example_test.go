package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/kubilitics/kubilitics/hub/internal/plugin"
	pluginv1 "github.com/kubilitics/kubilitics/proto/plugin/v1"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// The example that people start from writes what it is told, through a host that runs it.
func TestTheExampleNotifies(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	dir := t.TempDir()
	path, file := filepath.Join(dir, "console"), filepath.Join(dir, "told")
	build := exec.Command("go", "build", "-o", path, "./testdata/plugins/console")
	build.Dir = filepath.Join("..", "..", "..", "e2e")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(program)
	r := newRig(t, Rule{})
	host := plugin.New(plugin.Config{Store: r.store, Plugins: []plugin.Spec{
		{Name: "console", As: "notifier", Path: path, SHA256: hex.EncodeToString(sum[:]), Args: []string{file}, Tenants: []string{"*"}, Timeout: 10 * time.Second},
	}})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = host.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	r.plugins, r.targets = host, []Target{{Name: "hook", As: Plugin, Plugin: "console", Timeout: 20 * time.Second}}
	_, stop := r.run()
	defer stop()
	r.set(node("Pod shop/a", topo.Error))
	var lines []string
	r.until("it is written", func() bool {
		text, err := os.ReadFile(file)
		lines = strings.Split(strings.TrimSpace(string(text)), "\n")
		return err == nil && strings.HasSuffix(string(text), "\n")
	})
	var told pluginv1.Notification
	if err := protojson.Unmarshal([]byte(lines[0]), &told); err != nil || len(lines) != 1 || told.GetChanges()[0].GetRef().GetName() != "a" {
		t.Errorf("%v in %q", err, lines)
	}
}
