package image

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

func TestProgramsOfOursAreStatic(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	i, err := Program(t.Context(), "kubilitics-agent", "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	if i.Name != "localhost/kubilitics-agent:dev" || i.User != "65532:65532" || i.Entrypoint[0] != i.Files[0].Path {
		t.Errorf("%+v", i)
	}
	if _, err := i.Save(filepath.Join(t.TempDir(), "agent.tar")); err != nil {
		t.Error(err)
	}
}

func TestDynamicProgramsAreRefused(t *testing.T) {
	if _, err := os.Stat("/bin/ls"); err != nil {
		t.Skip("no /bin/ls to try it with")
	}
	if err := static("/bin/ls"); err == nil || !strings.Contains(err.Error(), "dynamically") {
		t.Errorf("%v", err)
	}
}

func TestNoSuchProgram(t *testing.T) {
	for _, c := range [][2]string{{"kubilitics-none", "linux/amd64"}, {"kubilitics-agent", "linux"}} {
		if _, err := Program(t.Context(), c[0], c[1]); err == nil {
			t.Errorf("%v: no error", c)
		}
	}
}

// Without these no certificate of a public name would be believed from within an image.
func TestRootsOfTLSAreInThePrograms(t *testing.T) {
	top, err := stack.Source()
	if err != nil {
		t.Fatal(err)
	}
	for name, pkg := range packages {
		list := exec.CommandContext(t.Context(), "go", "list", "-deps", pkg)
		list.Dir = top
		out, err := list.Output()
		if err != nil || !strings.Contains(string(out), "golang.org/x/crypto/x509roots/fallback\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
