//go:build !linux

package plugin

import (
	"os"
	"os/exec"
)

// apart does nothing here: a hub that dies leaves its plugins to find out by their broken pipes.
func apart(*exec.Cmd) {}

func onOneThread(cmd *exec.Cmd, started chan<- error) error {
	err := cmd.Start()
	started <- err
	if err != nil {
		return err
	}
	return cmd.Wait()
}

func terminate(p *os.Process) { _ = p.Signal(os.Interrupt) } // it may be gone

func kill(p *os.Process) { _ = p.Kill() }
