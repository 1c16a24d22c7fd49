package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

// kubelet stands before kwok, for clusters in which commands can be run in containers. kwok can run one, but ends neither its input
// nor tells its exit code, so that `kubectl cp` would hang and every failure look the same. Here the streams are served with the
// package that container runtimes use; all else (logs, attach, port-forward, metrics) goes on to kwok.
type kubelet struct {
	port   int
	server *http.Server
	onward *httputil.ReverseProxy
	dir    string // of the programs, and of what containers see as their directories
	group  int    // process group of the commands, which the cluster's guard ends

	ctx  context.Context // of the commands
	end  context.CancelFunc
	done chan error
	busy sync.WaitGroup // requests, also those whose connection was handed over
}

// kubeletClient is who may run commands: the API server.
const kubeletClient = "kube-apiserver-kubelet-client"

// harmless are the programs that containers have.
var harmless = []string{"sh", "cat", "echo", "ls", "tar", "env", "sleep", "true", "false", "date", "wc", "head", "tail", "tee", "pwd",
	"printf", "test", "stty", "seq", "dd", "sha256sum", "uname", "id"}

func (c *Cluster) startKubelet(kwokPort int) (*kubelet, error) {
	k := &kubelet{dir: c.path("containers"), group: c.guard.group(), done: make(chan error, 1)}
	if err := k.installPrograms(); err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(c.pki.file("kubelet.crt"), c.pki.file("kubelet.key"))
	if err != nil {
		return nil, fmt.Errorf("read the kubelet's certificate: %w", err)
	}
	ours := x509.NewCertPool()
	ours.AppendCertsFromPEM(c.pki.caPEM)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{cert},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    ours,
		NextProtos:   []string{"http/1.1"}, // streams are connections that are upgraded
	})
	if err != nil {
		return nil, fmt.Errorf("listen as kubelet: %w", err)
	}
	k.port = l.Addr().(*net.TCPAddr).Port
	k.onward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: "127.0.0.1:" + strconv.Itoa(kwokPort)})
		},
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ours}, DisableCompression: true},
		FlushInterval: -1, // logs that are followed
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	k.ctx, k.end = context.WithCancel(context.Background()) // its life is the cluster's, which Stop ends
	k.server = &http.Server{Handler: k.routes(), ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 10 * time.Second}
	go func() { k.done <- k.server.Serve(l) }()
	return k, nil
}

func (k *kubelet) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/exec/{namespace}/{pod}/{container}", k.exec)
	mux.Handle("/", k.onward)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.busy.Add(1)
		defer k.busy.Done()
		mux.ServeHTTP(w, r)
	})
}

// stop returns when no command runs and no request is served. kwok and the API server have ended before.
func (k *kubelet) stop() error {
	k.end()
	err := k.server.Close()
	<-k.done
	k.busy.Wait()
	k.onward.Transport.(*http.Transport).CloseIdleConnections()
	return err
}

// installPrograms makes the directory that is the containers' PATH.
func (k *kubelet) installPrograms() error {
	if err := os.MkdirAll(k.programs(), 0o700); err != nil {
		return fmt.Errorf("make the containers' programs: %w", err)
	}
	for _, name := range harmless {
		at, err := exec.LookPath(name)
		if err != nil {
			continue // then containers don't have it either
		}
		if err := os.Symlink(at, filepath.Join(k.programs(), name)); err != nil {
			return fmt.Errorf("make the containers' programs: %w", err)
		}
	}
	return nil
}

func (k *kubelet) programs() string { return filepath.Join(k.dir, "bin") }

func (k *kubelet) exec(w http.ResponseWriter, r *http.Request) {
	if who := r.TLS.PeerCertificates[0].Subject.CommonName; who != kubeletClient {
		http.Error(w, who+" may not run commands", http.StatusForbidden)
		return
	}
	opts, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	pod := r.PathValue("namespace") + "/" + r.PathValue("pod")
	remotecommand.ServeExec(w, r, k, pod, "", r.PathValue("container"), r.URL.Query()["command"], opts, 4*time.Hour, 30*time.Second,
		remotecommand.SupportedStreamingProtocols)
}

// ExecInContainer implements remotecommand.Executor: it runs the command in a directory that belongs to the container.
func (k *kubelet) ExecInContainer(_ context.Context, pod, _, container string, cmd []string, in io.Reader, out, errs io.WriteCloser, tty bool,
	resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	c, err := k.command(pod, container, cmd)
	if err != nil {
		return err
	}
	if tty {
		err = onTerminal(c, in, out, resize)
	} else {
		err = onPipes(c, in, out, errs)
	}
	if exited := (*exec.ExitError)(nil); errors.As(err, &exited) {
		return utilexec.CodeExitError{Err: err, Code: exitCode(exited.ProcessState)}
	}
	return err
}

func (k *kubelet) command(pod, container string, cmd []string) (*exec.Cmd, error) {
	name := cmd[0]
	if dir := filepath.Dir(name); dir == "/bin" || dir == "/usr/bin" {
		name = filepath.Base(name)
	}
	if !slices.Contains(harmless, name) {
		return nil, fmt.Errorf("exec: %q: executable file not found in $PATH", cmd[0])
	}
	dir := filepath.Join(k.dir, "of", filepath.FromSlash(pod), container)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	c := exec.CommandContext(k.ctx, filepath.Join(k.programs(), name), cmd[1:]...)
	c.Args[0] = cmd[0]
	c.Dir = dir
	c.Env = []string{"PATH=" + k.programs(), "HOME=" + dir, "HOSTNAME=" + pod[strings.Index(pod, "/")+1:], "TERM=xterm"}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: k.group}
	c.WaitDelay = 2 * time.Second // for what it leaves in the background
	return c, nil
}

// onPipes doesn't leave the input to exec.Cmd, which would wait for its end also after the command's.
func onPipes(c *exec.Cmd, in io.Reader, out, errs io.Writer) error {
	c.Stdout, c.Stderr = out, errs
	if in == nil {
		return c.Run()
	}
	stdin, err := c.StdinPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	go func() { // ends with the connection, which our caller closes
		_, _ = io.Copy(stdin, in)
		_ = stdin.Close()
	}()
	return c.Wait()
}

func onTerminal(c *exec.Cmd, in io.Reader, out io.Writer, resize <-chan remotecommand.TerminalSize) error {
	master, slave, err := pty.Open()
	if err != nil {
		return err
	}
	var using sync.Mutex // the size may still change when the command has ended
	open := true
	defer func() {
		using.Lock()
		defer using.Unlock()
		open = false
		_ = master.Close()
	}()
	c.Stdin, c.Stdout, c.Stderr = slave, slave, slave
	if err := c.Start(); err != nil {
		_ = slave.Close()
		return err
	}
	_ = slave.Close() // the command has its own
	if in != nil {
		go func() { _, _ = io.Copy(master, in) }()
	}
	go func() { // the channel is closed with the connection
		for size := range resize {
			using.Lock()
			if open {
				_ = pty.Setsize(master, &pty.Winsize{Rows: size.Height, Cols: size.Width})
			}
			using.Unlock()
		}
	}()
	said := make(chan struct{})
	go func() {
		_, _ = io.Copy(out, master) // ends with an error when nobody has the terminal any more
		close(said)
	}()
	err = c.Wait()
	select {
	case <-said:
	case <-time.After(c.WaitDelay):
	}
	return err
}

// exitCode is what a shell would tell.
func exitCode(s *os.ProcessState) int {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}
