// Package stack starts our own programs as people run them, a hub and agents as processes, and speaks to the hub as its
// clients do. The demo, the end-to-end tests and the benchmarks stand on it.
package stack

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/kubilitics/kubilitics/e2e/source"
)

// Programs are our executables.
type Programs struct{ Hub, Agent, Command string }

// Build compiles them into a directory, which is what a release does, and tells progress of it.
func Build(ctx context.Context, dir string, progress io.Writer) (Programs, error) {
	top, err := Source()
	if err != nil {
		return Programs{}, err
	}
	fmt.Fprintln(progress, "building kubilitics-hub, kubilitics-agent and kubilitics")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", dir+string(filepath.Separator), "./hub/cmd/kubilitics-hub", "./agent/cmd/kubilitics-agent", "./hub/cmd/kubilitics")
	cmd.Dir = top
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return Programs{}, fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return Programs{Hub: filepath.Join(dir, "kubilitics-hub"), Agent: filepath.Join(dir, "kubilitics-agent"), Command: filepath.Join(dir, "kubilitics")}, nil
}

// Source is the directory of go.work, above this file or above the current directory.
func Source() (string, error) { return source.Root() }
