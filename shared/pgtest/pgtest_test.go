package pgtest

import (
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestStartAnswersAndStopLeavesNothing(t *testing.T) {
	s, err := Start(t.Context(), false)
	if errors.Is(err, ErrNone) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	bin, ok := programs()
	if ok {
		if out, err := exec.Command(filepath.Join(bin, "psql"), s.DSN, "-c", "SELECT 1").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if os.Getenv(Env) == "" && ok && exec.Command(filepath.Join(bin, "pg_isready"), "-q", "-h", at.Hostname(), "-p", at.Port()).Run() == nil {
		t.Error("the server still answers")
	}
}

func TestWithoutHelperThereIsNone(t *testing.T) {
	t.Setenv(Env, inContainer)
	t.Chdir("/")
	if s, err := Start(t.Context(), false); err == nil {
		t.Errorf("%+v, %v", s, s.Stop())
	}
}
