package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// A scenario is a list of command lines that two sides run, each in a namespace of its own: what they say and how they end must be the same.
//
//	kubectl get pods             must succeed, on both sides
//	! kubectl get nonsense       must fail, on both sides
//	@ kubectl exec -it …         runs at a terminal
type scenario struct {
	name  string
	steps []command
}

type command struct {
	at       string // file and line
	text     string
	fails    bool
	terminal bool
}

func readScenario(path string) (scenario, error) {
	text, err := os.ReadFile(path)
	s := scenario{name: strings.TrimSuffix(filepath.Base(path), ".txt")}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		rest := strings.TrimSpace(line)
		if rest == "" || strings.HasPrefix(rest, "#") {
			continue
		}
		st := command{at: fmt.Sprintf("%s:%d", filepath.Base(path), n)}
		rest, st.terminal = strings.CutPrefix(rest, "@ ")
		st.text, st.fails = strings.CutPrefix(rest, "! ")
		s.steps = append(s.steps, st)
	}
	return s, err
}

// side is where a scenario's commands run.
type side struct {
	name      string // one letter: what both sides print must be as wide
	namespace string
	dir       string
	env       []string
	normal    *normalizer
}

// said is what a command did.
type said struct {
	out, errs string
	code      int
}

func (s said) String() string { return fmt.Sprintf("exit code %d\n%s%s", s.code, s.out, s.errs) }

const stepLimit = 90 * time.Second

// run executes a step. All that it started and left behind is ended.
func (s *side) run(ctx context.Context, st command) (said, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, stepLimit, fmt.Errorf("not within %s", stepLimit))
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", "set -o pipefail; . ./lib.sh; "+st.text)
	cmd.Dir, cmd.Env = s.dir, s.env
	// Files, not pipes: those would be waited for as long as something that was left behind holds them.
	out, errs, err := s.papers()
	if err != nil {
		return said{}, err
	}
	defer func() { _, _ = out.Close(), errs.Close() }()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Stdout, cmd.Stderr = out, errs
	if st.terminal {
		err = atTerminal(cmd, out)
	} else {
		err = cmd.Run()
	}
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // mostly there is nothing left
	}
	if exited := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exited) {
		return said{}, err
	}
	words := said{code: cmd.ProcessState.ExitCode()}
	if words.out, words.errs, err = wordsIn(out.Name()), wordsIn(errs.Name()), nil; ctx.Err() != nil {
		err = fmt.Errorf("%w; so far: %s%s", context.Cause(ctx), words.out, words.errs)
	}
	return words, err
}

// papers are the files that a step's words go to.
func (s *side) papers() (out, errs *os.File, err error) {
	if out, err = os.Create(filepath.Join(s.dir, ".out")); err != nil {
		return nil, nil, err
	}
	errs, err = os.Create(filepath.Join(s.dir, ".err"))
	return out, errs, err
}

func wordsIn(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// atTerminal runs a command in a session of its own, at a terminal of 30 lines and 100 columns.
func atTerminal(cmd *exec.Cmd, out io.Writer) error {
	cmd.Stdout, cmd.Stderr = nil, nil
	cmd.SysProcAttr = nil
	master, err := pty.StartWithAttrs(cmd, &pty.Winsize{Rows: 30, Cols: 100}, &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL})
	if err != nil {
		return err
	}
	defer func() { _ = master.Close() }()
	_, _ = io.Copy(out, master) // ends with an error when the last has let go of the terminal
	return cmd.Wait()
}

// both runs a step on two sides at once.
func both(ctx context.Context, sides [2]*side, st command) (res [2]said, err error) {
	var wg sync.WaitGroup
	var errs [2]error
	for i, s := range sides {
		wg.Go(func() { res[i], errs[i] = s.run(ctx, st) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return res, fmt.Errorf("%s: %w", sides[i].name, err)
		}
	}
	return res, nil
}

// play runs a scenario on the direct side and on another, and fails the test where they differ, or where the direct one isn't as the scenario says.
func (sc scenario) play(t *testing.T, direct, other *side) {
	for _, st := range sc.steps {
		began := time.Now()
		res, err := both(t.Context(), [2]*side{direct, other}, st)
		if err != nil {
			t.Fatalf("%s: %s\n%v", st.at, st.text, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Logf("%s: %s: took %s", st.at, st.text, took.Round(time.Second))
		}
		if (res[0].code != 0) != st.fails {
			t.Errorf("%s: %s\nisn't as the scenario says, directly: %s", st.at, st.text, res[0])
		}
		a, b := direct.normal.apply(res[0]), other.normal.apply(res[1])
		if a != b {
			t.Errorf("%s: %s\n%s", st.at, st.text, difference(a, b))
		}
	}
}

func difference(a, b said) string {
	text := ""
	if a.code != b.code {
		text = fmt.Sprintf("ends with %d directly and with %d through the hub\n", a.code, b.code)
	}
	return text + unequalLines(a.out, b.out) + unequalLines(a.errs, b.errs)
}

// unequalLines shows where two texts differ, the first dozen of lines.
func unequalLines(a, b string) (text string) {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i, shown := 0, 0; i < max(len(x), len(y)) && shown < 12; i++ {
		p, q := "", ""
		if i < len(x) {
			p = x[i]
		}
		if i < len(y) {
			q = y[i]
		}
		if p != q {
			text += fmt.Sprintf("  line %d\n    directly: %s\n    hub:      %s\n", i+1, p, q)
			shown++
		}
	}
	return text
}

// normalizer takes out of what a side says what can't be the same on both.
type normalizer struct{ own *strings.Replacer }

func newNormalizer(own map[string]string) *normalizer {
	keys := slices.SortedFunc(maps.Keys(own), func(a, b string) int { return len(b) - len(a) }) // what holds another comes first
	var pairs []string
	for _, k := range keys {
		pairs = append(pairs, k, own[k])
	}
	return &normalizer{strings.NewReplacer(pairs...)}
}

func (n *normalizer) apply(s said) said { return said{n.text(s.out), n.text(s.errs), s.code} }

// alike are the things that differ between any two runs.
var alike = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]|\r`), ""},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?[+-]\d\d:?\d\d|Z)?( UTC)?`), "TIME"},
	{regexp.MustCompile(`[A-Z][a-z]{2},? +(\d\d )?[A-Z][a-z]{2} +(\d+ )?(\d{4} )?\d\d:\d\d:\d\d( [+-]\d{4})?( \d{4})?`), "TIME"},
	{regexp.MustCompile(`[EWI]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ `), "LOG "},
	// What client-go says of a request that it has itself given up, when that happens to be under way.
	{regexp.MustCompile(`LOG request\.go:\d+\] "Unexpected error when reading response body" err="context canceled"\n`), ""},
	{regexp.MustCompile(`LOG v\d\.go:\d+\] "Encoding terminal size failed" err="websocket: close sent"\n`), ""},
	{regexp.MustCompile(`((?i:resource ?version)"?: *"?)\d+`), "${1}RV"},
	{regexp.MustCompile(`\(x\d+ over [^)]*\)`), ""},
	// Before ages: an ID may look like one.
	{regexp.MustCompile(`(-[bcdfghjklmnpqrstvwxz2456789]{8,10})?-[bcdfghjklmnpqrstvwxz2456789]{5}\b`), "-ID"},
	{regexp.MustCompile(`\b(\d+d)?(\d+h)?(\d+m)?\d+s\b|\b\d+[mhd](\d+[mhs])?(\s|\)|$)`), "AGE "},
	{regexp.MustCompile(`\b10\.\d+\.\d+\.\d+\b`), "IP"},
	{regexp.MustCompile(`local-[abc]\b`), "ZONE"},
	{regexp.MustCompile(`(LIVE|MERGED)-\d+`), "$1"},
	{regexp.MustCompile(`\b1[6-9]\d{8}\b`), "SECONDS"},
	{regexp.MustCompile(`through-node-\d`), "NODE"},
	{regexp.MustCompile(`(127\.0\.0\.1|\[::1\]):\d+`), "$1:PORT"},
	{regexp.MustCompile(`(Handling connection for )\d+`), "${1}PORT"},
	{regexp.MustCompile(`[ \t]+`), " "},
	{regexp.MustCompile(`-{4,}`), "---"},
	// Kubernetes' repair of addresses, every three minutes, may meet a Service that is just being made.
	{regexp.MustCompile(`(?m)^.*\bClusterIPNotAllocated\b.*\n`), ""},
	{regexp.MustCompile(`Events:\n Type Reason Age From Message\n --- --- --- --- ---\n(\n|$)`), "Events: <none>\n$1"},
}

func (n *normalizer) text(s string) string {
	s = n.own.Replace(s)
	for _, a := range alike {
		s = a.what.ReplaceAllString(s, a.as)
	}
	var kept []string
	for line := range strings.Lines(s) {
		kept = append(kept, strings.TrimRight(line, " \n"))
	}
	return strings.Join(kept, "\n")
}
