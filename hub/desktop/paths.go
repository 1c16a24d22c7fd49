package desktop

import (
	"os"
	"path/filepath"
	"runtime"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// dataDir is where programs keep their data: $XDG_DATA_HOME or ~/.local/share, ~/Library/Application Support, %LocalAppData%. It is not the directory of a
// hub that is served from this machine, whose database is another.
func dataDir() (string, error) {
	base, err := dataHome(runtime.GOOS, os.Getenv, os.UserHomeDir)
	if err != nil {
		return "", fault.Wrap(err, fault.BadRequest, "there is no directory for data: name one by data-dir").WithField("data-dir", "must be named")
	}
	return filepath.Join(base, "kubilitics", "desktop"), nil
}

func dataHome(platform string, env func(string) string, home func() (string, error)) (string, error) {
	if dir := env("LocalAppData"); platform == "windows" && dir != "" {
		return dir, nil
	}
	// The specification takes no relative path.
	if dir := env("XDG_DATA_HOME"); platform != "windows" && platform != "darwin" && filepath.IsAbs(dir) {
		return dir, nil
	}
	at, err := home()
	if err != nil {
		return "", err
	}
	switch platform {
	case "windows":
		return filepath.Join(at, "AppData", "Local"), nil
	case "darwin":
		return filepath.Join(at, "Library", "Application Support"), nil
	default:
		return filepath.Join(at, ".local", "share"), nil
	}
}
