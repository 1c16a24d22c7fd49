package docs

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// session is one shell, in which the blocks of a page are run one after another.
type session struct {
	dir   string // of its scripts and of what they print
	cmd   *exec.Cmd
	in    io.WriteCloser
	ends  *os.File      // the shell tells there what came of a block
	told  chan string   // what it told; closed at its end
	ended chan struct{} // after err
	err   error
	n     int
	last  map[string]string // of logs, what they are to hold in the end
}

// prelude: a command that fails ends the shell, and tells which it was; what goes on in the background ends with the shell.
const prelude = `set -Eeo pipefail
set -m
trap 'echo "failed with $?: $BASH_COMMAND" >&2' ERR
trap 'ended=$?; trap - ERR; set +e; all=$(jobs -p); for j in $all; do kill -TERM -- -$j; done; for j in $all; do while kill -0 -- -$j 2>/dev/null; do sleep 0.1; done; done; exit $ended' EXIT
await() { # pid log pattern
  for i in $(seq 1200); do
    cat "$2" "$2.err" 2>/dev/null | grep -E -- "$3" >/dev/null && return 0
    kill -0 "$1" 2>/dev/null || { echo "it ended: $(cat "$2" "$2.err")" >&2; return 1; }
    sleep 0.1
  done
  echo "it printed nothing like $3: $(cat "$2" "$2.err")" >&2
  return 1
}
`

// newSession starts a shell in a directory, that keeps its own files in another.
func newSession(dir, work string, env []string) (*session, error) {
	s := &session{dir: dir, told: make(chan string), last: map[string]string{}, ended: make(chan struct{})}
	ends, tells, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.ends = ends
	s.cmd = exec.Command("bash", "--noprofile", "--norc")
	s.cmd.Dir, s.cmd.Env, s.cmd.ExtraFiles = work, append(env, "JOBS="+filepath.Join(dir, "jobs")), []*os.File{tells}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := os.Create(filepath.Join(dir, "shell.log"))
	if err != nil {
		return nil, err
	}
	s.cmd.Stdout, s.cmd.Stderr = out, out
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	err = s.cmd.Start()
	_, _ = tells.Close(), out.Close()
	if err != nil {
		return nil, err
	}
	go s.wait()
	go s.listen()
	_, err = io.WriteString(s.in, prelude)
	return s, err
}

func (s *session) wait() {
	s.err = s.cmd.Wait()
	close(s.ended)
	_ = s.ends.Close() // what goes on in spite of all may hold the other end
}

func (s *session) listen() {
	defer close(s.told)
	for lines := bufio.NewScanner(s.ends); lines.Scan(); {
		s.told <- lines.Text()
	}
}

// printed is what came out of a block, and so far out of what it started and goes on.
type printed struct{ out, complaints, on, onComplaints string }

func (p printed) all() string { return p.out + p.complaints + p.on + p.onComplaints }

// run runs a block with something to read, and gives what it printed, also when it fails. heard is told where it prints, as soon as that is known.
func (s *session) run(ctx context.Context, text, input string, heard func(outFile string)) (printed, error) {
	s.n++
	file := func(kind string) string { return filepath.Join(s.dir, fmt.Sprintf("%d.%s", s.n, kind)) }
	text, logs := s.background(text, file("on"))
	for name, content := range map[string]string{"sh": text, "in": input, "out": "", "err": ""} {
		if err := os.WriteFile(file(name), []byte(content), 0o600); err != nil {
			return printed{}, err
		}
	}
	heard(file("out"))
	_, err := fmt.Fprintf(s.in, "source %s <%s >%s 2>%s 3>&-; echo %d >&3\n", file("sh"), file("in"), file("out"), file("err"), s.n)
	if err == nil {
		err = s.await(ctx)
	}
	p := printed{out: read(file("out")), complaints: read(file("err"))}
	for _, log := range logs {
		p.on += read(log)
		p.onComplaints += read(log + ".err")
	}
	return p, err
}

func (s *session) await(ctx context.Context) error {
	select {
	case _, ok := <-s.told:
		if ok {
			return nil
		}
		<-s.ended
		return fmt.Errorf("it failed: %w", s.err)
	case <-ctx.Done():
		return fmt.Errorf("it is still running: %w", context.Cause(ctx))
	}
}

func read(file string) string {
	text, _ := os.ReadFile(file) // what isn't there printed nothing
	return string(text)
}

// end has the shell end with all that it started. What doesn't within 30 s is an error.
func (s *session) end() error {
	_ = s.in.Close() // its end is the shell's
	defer func() {
		for range s.told { //nolint:revive // until the listener has ended
		}
	}()
	select {
	case <-s.ended:
		return s.said()
	case <-time.After(30 * time.Second):
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.ended
		var left []string
		for _, line := range strings.Fields(read(filepath.Join(s.dir, "jobs"))) {
			if group, err := strconv.Atoi(line); err == nil && syscall.Kill(-group, syscall.SIGKILL) == nil {
				left = append(left, line)
			}
		}
		return fmt.Errorf("what the page started doesn't end: processes %q; the logs are\n%s", left, s.logs())
	}
}

func (s *session) logs() string {
	var b strings.Builder
	for log := range s.last {
		fmt.Fprintf(&b, "%s\n%s\n", read(log), read(log+".err"))
	}
	return b.String()
}

// said tells what didn't say that it has ended well.
func (s *session) said() error {
	for log, want := range s.last {
		if text := read(log); !strings.Contains(text, want) {
			return fmt.Errorf("it ended without %q:\n%s", want, text)
		}
	}
	return nil
}

// lasting are the commands that go on until somebody ends them, and what they print when they are of use.
var lasting = []struct {
	command *regexp.Regexp
	ready   string
	last    string // what they print when they have ended, if anything
}{
	{regexp.MustCompile(`^make (demo|run)\b`), "What changes from now on", "nothing is left behind"},
	{regexp.MustCompile(`kubilitics-hub serve\b`), "^tunnels ", ""},
	{regexp.MustCompile(`kubilitics-hub desktop\b`), `^\{`, ""},
	{regexp.MustCompile(`kubilitics-agent run\b`), "the hub welcomed this agent", ""},
	{regexp.MustCompile(`^kubectl .*\bport-forward\b`), "Forwarding from", ""},
	{regexp.MustCompile(`^(kubilitics|kubectl) .*\blogs\b.* (-f|--follow)\b`), ".", ""},
	{regexp.MustCompile(`^(kubilitics|kubectl) .*\bget\b.* (-w|--watch)\b`), ".", ""},
	{regexp.MustCompile(`^curl .*(-N|--no-buffer)\b`), ".", ""},
}

// background has the commands that go on do so beside the others; those that tell by their exit code that they found something may.
func (s *session) background(text, log string) (out string, logs []string) {
	text = strings.ReplaceAll(text, "\\\n", "\x00") // one command a line
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "\x00", "\\\n")
		if strings.Contains(line, " --exit-code") {
			line += " || test $? = 6"
		}
		for _, l := range lasting {
			if !l.command.MatchString(line) {
				continue
			}
			file := fmt.Sprintf("%s%d", log, len(logs))
			logs, s.last[file] = append(logs, file), l.last
			line = fmt.Sprintf("{ %s\n} </dev/null >%s 2>%[2]s.err 3>&- &\necho $! >>$JOBS\nawait $! %[2]s '%[3]s'", line, file, l.ready)
			break
		}
		b.WriteString(line + "\n")
	}
	return b.String(), logs
}
