// Package source finds the source of kubilitics, which programs are built from. It stands apart so that who builds needs nothing of what is built.
package source

import (
	"errors"
	"os"
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
