package desktop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

func secondPlane(t *testing.T) (k *kube.Cluster, stop func()) {
	t.Helper()
	k, err := kube.Start(t.Context(), kube.Options{Name: "other", Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	return k, func() {
		if err := k.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}
}

// A second start finds the first, tells of it and ends with its own code; the lock goes with its process, however that ends.
func TestOneAtATime(t *testing.T) {
	r := newRig(t)
	r.must(r.Silent("silent"))
	r.write()
	first, err := stack.StartDesktop(r.within(30*time.Second), r.options())
	r.must(err)
	defer first.Kill()
	defer first.HTTP.CloseIdleConnections()
	cmd := exec.CommandContext(r.within(20*time.Second), program, "desktop", "--no-open", "--data-dir", r.state, "--kubeconfig", r.file)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err = cmd.Run()
	var told stack.Told
	if e := json.Unmarshal(out.Bytes(), &told); cmd.ProcessState.ExitCode() != 3 || e != nil || strings.Count(out.String(), "\n") != 1 {
		t.Fatalf("the second start: %v, %v, %s, %s", err, e, out.String(), complaint.String())
	}
	if !told.Running || told.URL != first.Told.URL || told.Token != first.Told.Token || told.PID != first.PID() || !strings.Contains(told.Open, "#open=") {
		t.Errorf("it tells %+v of %+v", told, first.Told)
	}
	if !strings.Contains(complaint.String(), first.Told.URL) || strings.Contains(complaint.String(), first.Told.Token) {
		t.Errorf("it complains %s", complaint.String())
	}
	first.Kill()
	second := r.start()
	if second.Told.URL == "" || second.Told.Running {
		t.Errorf("after a crash: %+v", second.Told)
	}
	began := time.Now()
	r.must(second.Stop())
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s to end, with a cluster that says nothing", took)
	}
	if _, err := os.Stat(filepath.Join(r.state, "desktop.json")); err == nil {
		t.Error("the note of a desktop that ended is there")
	}
}

// The desktop ends with its parent, whether that is who started it, or who holds its standard input, or another process.
func TestEndsWithItsParent(t *testing.T) {
	r := newRig(t)
	r.must(r.Living("dev", plane))
	r.write()
	base := program + " desktop --no-open --data-dir " + r.state + " --kubeconfig " + r.file
	t.Run("who started it", func(t *testing.T) {
		cmd := exec.CommandContext(r.within(40*time.Second), "sh", "-c", base+" --parent-pid $$ < /dev/null & wait")
		ready := output(t, cmd)
		r.must(cmd.Process.Kill())
		gone(t, ready.PID)
		_ = cmd.Wait() // killed
	})
	t.Run("another process", func(t *testing.T) {
		other := exec.CommandContext(r.within(40*time.Second), "sleep", "300")
		r.must(other.Start())
		cmd := exec.CommandContext(r.within(40*time.Second), "sh", "-c", "exec "+base+" --parent-pid "+strconv.Itoa(other.Process.Pid)+" < /dev/null")
		output(t, cmd)
		r.must(other.Process.Kill())
		_ = other.Wait() // killed
		r.must(cmd.Wait())
	})
	t.Run("who holds its standard input", func(t *testing.T) {
		cmd := exec.CommandContext(r.within(40*time.Second), "sh", "-c", "exec "+base+" --parent-pid "+strconv.Itoa(os.Getpid()))
		input, err := cmd.StdinPipe()
		r.must(err)
		output(t, cmd)
		r.must(input.Close())
		r.must(cmd.Wait())
	})
	t.Run("who was gone before", func(t *testing.T) {
		other := exec.CommandContext(t.Context(), "true")
		r.must(other.Run())
		cmd := exec.CommandContext(r.within(40*time.Second), "sh", "-c", "exec "+base+" --parent-pid "+strconv.Itoa(other.Process.Pid)+" < /dev/null")
		if says, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(says), "isn't there") {
			t.Errorf("%v: %s", err, says)
		}
	})
	t.Run("and by SIGTERM", func(t *testing.T) {
		d := r.start("--parent-pid", strconv.Itoa(os.Getpid()))
		r.must(syscall.Kill(d.PID(), syscall.SIGTERM))
		if code, err := d.Exited(r.within(10 * time.Second)); code != 0 || err != nil {
			t.Errorf("code %d, %v", code, err)
		}
	})
}

// output starts a command and gives the desktop's line.
func output(t *testing.T, cmd *exec.Cmd) (ready stack.Told) {
	t.Helper()
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	return ready
}

// gone waits until a process has ended; a zombie has.
func gone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(end) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("process %d is there 10 s after its parent's end", pid)
		}
	}
}

// What others could reach is refused, before anything is opened.
func TestLoopbackAlone(t *testing.T) {
	r := newRig(t)
	r.write()
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		cmd := exec.CommandContext(r.within(20*time.Second), program, "desktop", "--no-open", "--data-dir", r.state, "--kubeconfig", r.file, "--listen", listen)
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "this machine's own") {
			t.Errorf("%s: code %d, %s", listen, cmd.ProcessState.ExitCode(), out)
		}
	}
	if _, err := os.Stat(r.state); err == nil {
		t.Error("its data directory was made")
	}
	d := r.start()
	for _, at := range others(t) {
		if conn, err := net.DialTimeout("tcp", net.JoinHostPort(at, strconv.Itoa(d.Told.Port)), time.Second); err == nil {
			_ = conn.Close()
			t.Errorf("it answers at %s", at)
		}
	}
}

// others are this machine's addresses that are not its own alone.
func others(t *testing.T) (out []string) {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			out = append(out, n.IP.String())
		}
	}
	return out
}

// Nothing is dialled but the clusters: in a network of its own, where there is no way out, every attempt to leave is counted by the system, and there is none.
func TestNothingElseIsDialled(t *testing.T) {
	r := newRig(t)
	r.must(r.Refused("refused"))
	r.write()
	cmd := exec.CommandContext(r.within(40*time.Second), "sh", "-c", "ip link set lo up 2>/dev/null || ifconfig lo up 2>/dev/null || busybox ip link set lo up; exec "+
		program+" desktop --no-open --data-dir "+r.state+" --kubeconfig "+r.file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	}
	out, err := cmd.StdoutPipe()
	r.must(err)
	if err := cmd.Start(); err != nil {
		t.Skipf("this system gives no network of its own: %v", err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil || !json.Valid(line) {
		t.Fatalf("without a network it isn't ready: %q, %v", line, err)
	}
	pid := cmd.Process.Pid
	tries := 0
	for end := time.Now().Add(20 * time.Second); tries < 6 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		tries = counted(t, pid, "Tcp:", "ActiveOpens") // of the context that is refused
	}
	if tries < 6 {
		t.Errorf("the cluster was tried %d times", tries)
	}
	if n := counted(t, pid, "Ip:", "OutNoRoutes") + counted6(t, pid, "Ip6OutNoRoutes"); n != 0 {
		t.Errorf("something beside the clusters was dialled %d times", n)
	}
	if n := counted(t, pid, "Udp:", "OutDatagrams") + counted6(t, pid, "Udp6OutDatagrams"); n != 0 {
		t.Errorf("%d names were looked up, or other datagrams sent", n)
	}
	r.must(cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// counted is a counter of the network that a process is in.
func counted(t *testing.T, pid int, table, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/snmp", pid))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if words[0] != table {
			continue
		}
		if names == nil {
			names = words
			continue
		}
		for i, n := range names {
			if n == name {
				value, _ := strconv.Atoi(words[i])
				return value
			}
		}
	}
	t.Fatalf("there is no counter %s %s", table, name)
	return 0
}

func counted6(t *testing.T, pid int, name string) int {
	t.Helper()
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/snmp6", pid)) // without IPv6 there is none, and nothing to count
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); words[0] == name {
			value, _ := strconv.Atoi(words[1])
			return value
		}
	}
	return 0
}
