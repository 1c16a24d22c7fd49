package kube

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const networkNamespace = unix.CLONE_NEWNET

// onThread runs f on a thread of its own, which may be changed at will: it ends with f, or when hold is closed, if that isn't nil. What was started on a
// thread with Pdeathsig ends with the thread.
func onThread(hold <-chan struct{}, f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked: the thread ends with its goroutine
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread() // the first thread can't end, so it must stay as it is
			result <- onThread(hold, f)
			return
		}
		err := f()
		result <- err
		if hold != nil && err == nil {
			<-hold
		}
	}()
	return <-result
}

// newNetwork makes a network namespace.
func newNetwork() (f *os.File, err error) {
	err = onThread(nil, func() error {
		if err := unix.Unshare(networkNamespace); err != nil {
			return err
		}
		f, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make a network for the node: %w", err)
	}
	return f, nil
}

// setns moves the calling thread.
func setns(f *os.File, kind int) error {
	if err := unix.Setns(int(f.Fd()), kind); err != nil {
		return fmt.Errorf("enter %s of the node: %w", f.Name(), err)
	}
	return nil
}

// boot starts the node's first process in namespaces of its own. The thread that starts it is kept: when it ends, because this process does, the kernel ends
// the node.
func (n *node) boot(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL,
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS}
	n.powered = make(chan struct{})
	return onThread(n.powered, func() error {
		if err := setns(n.network, networkNamespace); err != nil {
			return err
		}
		return cmd.Start()
	})
}

// start starts a process on the node.
func (n *node) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a Ctrl-C at the terminal must not reach it
	return onThread(nil, func() error {
		if err := n.enter(); err != nil {
			return err
		}
		return cmd.Start()
	})
}

// enter moves the calling thread to the node; its children will be processes there.
func (n *node) enter() error {
	if n.machine == nil {
		return errors.New("the node isn't running")
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // threads that share their working directory can't have mounts of their own
		return fmt.Errorf("enter the node: %w", err)
	}
	of := fmt.Sprintf("/proc/%d/ns/", n.machine.cmd.Process.Pid)
	var all []*os.File
	defer func() {
		for _, f := range all {
			_ = f.Close()
		}
	}()
	kinds := []struct {
		name string
		flag int
	}{{"ipc", unix.CLONE_NEWIPC}, {"uts", unix.CLONE_NEWUTS}, {"pid", unix.CLONE_NEWPID}, {"mnt", unix.CLONE_NEWNS}}
	for _, k := range kinds {
		f, err := os.Open(of + k.name)
		if err != nil {
			return fmt.Errorf("enter the node: %w", err)
		}
		all = append(all, f)
	}
	if err := setns(n.network, networkNamespace); err != nil {
		return err
	}
	for i, k := range kinds {
		if err := setns(all[i], k.flag); err != nil {
			return err
		}
	}
	return nil
}

// cgroupRoots are where the hierarchies of control groups are mounted: several with version 1, one with version 2.
func cgroupRoots() (roots []string, err error) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if of := strings.Fields(sc.Text()); strings.HasPrefix(of[2], "cgroup") && !slices.Contains(roots, of[1]) {
			roots = append(roots, of[1])
		}
	}
	return roots, nil
}

// makeCgroups makes the group above the pods', which a kubelet wants to find.
func (n *node) makeCgroups() error {
	roots, err := cgroupRoots()
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := os.Mkdir(filepath.Join(root, n.cgroup), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make a control group for the node: %w", err)
		}
	}
	return nil
}

// removeCgroups removes it and those within it. They are empty, or about to be: the kernel has ended the processes.
func (n *node) removeCgroups() error {
	roots, err := cgroupRoots()
	if err != nil {
		return err
	}
	for _, root := range roots {
		var dirs []string
		_ = filepath.WalkDir(filepath.Join(root, n.cgroup), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for _, dir := range slices.Backward(dirs) {
			if err := removeSoon(dir); err != nil {
				return fmt.Errorf("remove the node's control groups: %w", err)
			}
		}
	}
	return nil
}

func removeSoon(dir string) (err error) {
	for range 100 {
		if err = os.Remove(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}
