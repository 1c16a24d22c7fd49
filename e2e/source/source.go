// Package source finds and copies the source of kubilitics, which programs are built from. It stands apart so that who builds needs nothing of what is built.
package source

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Root is the directory of go.work, above this file or above the current directory.
func Root() (string, error) {
	_, self, _, _ := runtime.Caller(0)
	starts := []string{filepath.Dir(self)}
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	for _, dir := range starts {
		for ; strings.Contains(dir, string(filepath.Separator)) && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
				return dir, nil
			}
		}
	}
	return "", errors.New("the source of kubilitics is neither where it was compiled nor here")
}

// parts are what of the source a build needs.
var parts = []string{"go.work", "go.work.sum", "proto", "shared", "migrations", "charts", "hub", "agent", "e2e"}

// Copy copies from one such directory to another, which need not be there, what a build needs.
func Copy(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, part := range parts {
		if out, err := exec.Command("cp", "-R", filepath.Join(from, part), to).CombinedOutput(); err != nil {
			return fmt.Errorf("copy the source: %w: %s", err, out)
		}
	}
	return nil
}
