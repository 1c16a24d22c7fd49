package kube

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// build compiles the missing programs in one go command, so that they share packages and cores, and moves
// each into dir by rename: a program is there whole or not at all. The caller holds the cache entry's lock.
func build(ctx context.Context, src source, dir string, missing []program, progress io.Writer) error {
	stale, err := filepath.Glob(filepath.Join(dir, ".build-*"))
	if err != nil {
		return fmt.Errorf("look for builds that were cut short: %w", err)
	}
	for _, d := range stale {
		_ = os.RemoveAll(d) // only litter; a new build has a directory of its own
	}
	tmp, err := os.MkdirTemp(dir, ".build-")
	if err != nil {
		return fmt.Errorf("make a directory to build in: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()

	r := newReport(progress, src.of+" "+src.version)
	r.say("building %s into %s", names(missing), dir)
	r.say("this happens once a version: %s, and seconds where Go's build cache has it", src.effort)
	total, err := fetch(ctx, src, missing, r)
	if err != nil {
		return err
	}
	if err := compile(ctx, src, tmp, missing, total, r); err != nil {
		return err
	}
	for _, p := range missing {
		if err := os.Rename(filepath.Join(tmp, p.built()), filepath.Join(dir, p.name)); err != nil {
			return fmt.Errorf("put %s into the cache: %w", p.name, err)
		}
	}
	r.say("built in %s", r.elapsed())
	return nil
}

// fetch downloads the modules, and counts the packages, so that compile can say how far it is.
func fetch(ctx context.Context, src source, missing []program, r *report) (packages int, err error) {
	r.counting("fetching modules, %d so far", "go: downloading ")
	args := append([]string{"list", "-deps", "-mod=readonly", "-f", "{{.ImportPath}}"}, packagesOf(missing)...)
	out, err := r.run(goCommand(ctx, src, args...))
	if err != nil {
		return 0, fmt.Errorf("fetch the sources of %s %s: %w", src.of, src.version, err)
	}
	return bytes.Count(out, []byte("\n")), nil
}

func compile(ctx context.Context, src source, tmp string, missing []program, total int, r *report) error {
	r.counting(fmt.Sprintf("compiled %%d of at most %d packages", total), "")
	args := []string{"build", "-v", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", "-s -w" + src.stamp(src.version), "-o", tmp + string(filepath.Separator)}
	if _, err := r.run(goCommand(ctx, src, append(args, packagesOf(missing)...)...)); err != nil {
		return fmt.Errorf("build %s %s: %w", src.of, src.version, err)
	}
	return nil
}

// goCommand runs outside the workspace and without the caller's flags: the replace lines of the programs
// module must govern, and a -race or -mod=mod meant for our own code must not reach it.
func goCommand(ctx context.Context, src source, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = src.dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) } // lets it end its compilers and clear its work
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

func names(ps []program) string {
	var all []string
	for _, p := range ps {
		all = append(all, p.name)
	}
	return strings.Join(all, ", ")
}

func packagesOf(ps []program) (pkgs []string) {
	for _, p := range ps {
		pkgs = append(pkgs, p.pkg)
	}
	return pkgs
}

// report tells what a long build is doing, every few seconds.
type report struct {
	out   io.Writer
	about string
	start time.Time

	mu     sync.Mutex
	format string // of the line, takes the count
	prefix string // of the lines that count
	count  int
	last   string   // the newest counted line
	other  []string // the newest lines that don't count: the error, when there is one
}

func newReport(out io.Writer, about string) *report {
	return &report{out: out, about: about, start: time.Now()}
}

func (r *report) say(format string, args ...any) {
	fmt.Fprintf(r.out, "%s: %s\n", r.about, fmt.Sprintf(format, args...))
}

func (r *report) elapsed() time.Duration { return time.Since(r.start).Round(time.Second) }

// counting begins a phase: lines of the command that begin with prefix are counted, and told by format.
func (r *report) counting(format, prefix string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.format, r.prefix, r.count, r.last, r.other = format, prefix, 0, "", nil
}

// run executes a go command, returns its standard output, and tells of its progress until it ends.
func (r *report) run(cmd *exec.Cmd) ([]byte, error) {
	var out bytes.Buffer
	cmd.Stdout = &out
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w (is Go on the PATH?)", err)
	}
	stop := r.tick(4 * time.Second)
	r.read(stderr)
	err = cmd.Wait()
	stop()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, r.tail())
	}
	return out.Bytes(), nil
}

// tick tells of the progress at intervals until the function it returns is called.
func (r *report) tick(every time.Duration) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-quit:
				return
			case <-t.C:
				r.line()
			}
		}
	}()
	return func() { close(quit); <-done }
}

func (r *report) line() {
	r.mu.Lock()
	text := fmt.Sprintf(r.format, r.count)
	if r.last != "" {
		text += ", now " + r.last
	}
	r.mu.Unlock()
	r.say("%s (%s)", text, r.elapsed())
}

const keptLines = 20

func (r *report) read(from io.Reader) {
	for sc := bufio.NewScanner(from); sc.Scan(); {
		r.note(sc.Text())
	}
	_, _ = io.Copy(io.Discard, from) // after a line too long for the scanner: don't let the command block
}

func (r *report) note(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rest, counts := strings.CutPrefix(line, r.prefix)
	if counts && (r.prefix != "" || isImportPath(line)) {
		r.count++
		r.last = rest
		return
	}
	r.other = append(r.other, line)
	if len(r.other) > keptLines {
		r.other = r.other[1:]
	}
}

// isImportPath tells the package names that go build -v prints from its messages.
func isImportPath(line string) bool { return line != "" && !strings.ContainsAny(line, " :#\t") }

func (r *report) tail() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.other, "\n")
}
