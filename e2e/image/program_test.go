package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
