package desktop

import "golang.org/x/sys/windows"

// watchParent gives a function that tells whether the process is there. The handle means that very process, not the next one with its id.
func watchParent(pid int) func() bool {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		return func() bool { return false }
	}
	return func() bool {
		ended, err := windows.WaitForSingleObject(h, 0)
		return err == nil && ended == uint32(windows.WAIT_TIMEOUT)
	}
}
