package docs

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// Every block of commands works, in the order in which a page tells them, and prints what the page says.
func TestPages(t *testing.T) {
	if testing.Short() {
		t.Skip("docs: this starts real control planes")
	}
	all, err := pages()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.commands() {
			t.Run(strings.ReplaceAll(p.name, "/", "-"), func(t *testing.T) {
				t.Parallel()
				p.skipWithout(t)
				follow(t, p)
			})
		}
	}
}

// skipWithout skips a page whose commands need what this machine doesn't have.
func (p *page) skipWithout(t *testing.T) {
	t.Helper()
	if world.postgres == nil && strings.Contains(p.text, dsn) {
		t.Skip("SKIPPED LOUDLY: there is no Postgres on this machine, so this page was not run")
	}
	for _, program := range []string{"curl", "jq", "make", "openssl", "pg_dump", "pg_restore", "psql", "tar"} {
		if _, err := exec.LookPath(program); err != nil && p.says(program+" ") {
			t.Skipf("SKIPPED LOUDLY: there is no %s on this machine, so this page was not run", program)
		}
	}
}

// How much of the documentation isn't held against the programs is known, and why.
func TestWhatIsNotRunHasAReason(t *testing.T) {
	all, err := pages()
	if err != nil {
		t.Fatal(err)
	}
	run, not := 0, 0
	for _, p := range all {
		for _, b := range p.blocks {
			if reason, left := b.orders["not run here"]; left {
				not++
				t.Logf("%s:%d is not run: %s", p.name, b.line, reason)
			} else if b.runs() {
				run++
			}
		}
	}
	t.Logf("%d blocks of commands are run, %d are not", run, not)
	if run < 25 || not > run/4 {
		t.Errorf("%d blocks are run and %d are not", run, not)
	}
}

// follow types a page.
func follow(t *testing.T, p *page) {
	r := newReader(t, p)
	s, err := newSession(filepath.Join(r.dir, "shell"), r.work, r.environ())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.end(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := r.types(t, s, "kubilitics login https://hub.example --token-file token"); err != nil {
		t.Fatal(err)
	}
	var last printed
	for _, b := range p.blocks {
		if name := b.orders["file"]; name != "" {
			text, err := r.substitute(t.Context(), b.text)
			if err == nil {
				err = os.WriteFile(filepath.Join(r.work, name), []byte(text), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		switch {
		case b.runs():
			began := time.Now()
			last, err = r.types(t, s, b.orders["first"]+"\n"+b.text)
			if err != nil {
				t.Fatalf("%s:%d: %v\n%s%s", p.name, b.line, err, b.text, indent(last.all()+read(filepath.Join(s.dir, "shell.log"))))
			}
			t.Logf("%s:%d: %.1f s", p.name, b.line, time.Since(began).Seconds())
		case b.after != nil && b.after.runs() && (b.lang == "text" || b.lang == "json"):
			if err := resembles(b, last.said(b.lang)); err != nil {
				t.Errorf("%s:%d: what the commands print is otherwise: %v\n%s", p.name, b.line, err, indent(last.all()))
			}
		}
	}
}

// said is what a sample is compared with.
func (p printed) said(lang string) string {
	if lang == "json" {
		return p.out + p.on
	}
	return p.all()
}

// types runs a block as the reader would.
func (r *reader) types(t *testing.T, s *session, text string) (printed, error) {
	t.Helper()
	ctx, cancel := stack.Within(t.Context(), 3*time.Minute)
	defer cancel()
	text, err := r.substitute(ctx, text)
	if err != nil {
		return printed{}, err
	}
	around, stop := context.WithCancel(ctx)
	installed := make(chan error, 1)
	out, err := s.run(ctx, text, r.token, func(outFile string) {
		if !waits.MatchString(text) {
			installed <- nil
			return
		}
		go func() { installed <- r.install(around, outFile, strings.Count(text, "kubilitics enroll ")) }()
	})
	stop()
	if failed := <-installed; failed != nil {
		t.Error(failed)
	}
	r.hears(out)
	return out, err
}

// waits is a command that waits for an agent to be installed.
var waits = regexp.MustCompile(`kubilitics enroll .*--wait`)

func indent(text string) string {
	return "\t" + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n\t") + "\n"
}
