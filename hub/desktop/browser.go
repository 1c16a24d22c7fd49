package desktop

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
)

// OpenPage shows an address in the person's browser. An error says why it can't be.
func OpenPage(ctx context.Context, address string) error {
	name, args := opener(runtime.GOOS, os.Getenv)
	if name == "" {
		return errors.New("there is no screen here")
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), name, append(args, address)...) // the browser outlives this
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // so that its end is taken note of; nothing hangs on it
	return nil
}

func opener(platform string, env func(string) string) (name string, args []string) {
	switch {
	case platform == "windows":
		return "rundll32", []string{"url.dll,FileProtocolHandler"}
	case platform == "darwin":
		return "open", nil
	case env("DISPLAY") == "" && env("WAYLAND_DISPLAY") == "":
		return "", nil
	default:
		return "xdg-open", nil
	}
}
