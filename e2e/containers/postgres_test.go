package containers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/kubilitics/kubilitics/e2e/image"
)

// published is the image where the machine has no Postgres of its own.
const published = "postgres:17"

// postgresStart initialises what isn't yet, and becomes the server.
const postgresStart = `#!/bin/sh
set -e
if ! [ -s /data/pg/PG_VERSION ]; then
  BIN/initdb -D /data/pg -U postgres -A trust -E UTF8 --locale=C --no-sync
  echo 'host all all all trust' >>/data/pg/pg_hba.conf
fi
exec BIN/postgres -D /data/pg -k /tmp -c 'listen_addresses=*' "$@"
`

var errNoPostgres = errors.New("this machine has no Postgres in /usr/lib/postgresql to make an image of")

// postgresImage makes an image of the machine's own Postgres: its programs, what it loads and reads, the libraries of all these, a shell for initdb.
func postgresImage(ctx context.Context, dir string) (image.Image, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is well-formed
	if len(found) == 0 {
		return image.Image{}, errNoPostgres
	}
	bin := filepath.Dir(found[len(found)-1])
	home := filepath.Dir(bin)
	plugins, _ := filepath.Glob(filepath.Join(home, "lib", "*.so"))
	programs := []string{filepath.Join(bin, "initdb"), filepath.Join(bin, "postgres"), "/bin/sh"}
	for _, p := range plugins {
		if !strings.HasPrefix(filepath.Base(p), "llvmjit") { // a hundred megabytes that make no test faster
			programs = append(programs, p)
		}
	}
	libraries, err := needed(ctx, programs)
	if err != nil {
		return image.Image{}, err
	}
	i := image.Image{
		Name: "localhost/kubilitics-postgres:dev", Platform: "linux/" + runtime.GOARCH, User: "65532:65532", Entrypoint: []string{"/start"}, Env: []string{"PATH=" + bin + ":/bin"},
		Files: []image.File{{Path: "/tmp", Mode: 0o1777}, {Path: "/data", Mode: 0o1777}},
	}
	for _, p := range append(programs, libraries...) {
		i.Files = append(i.Files, image.File{Path: p, Source: p, Mode: 0o755})
	}
	for _, folder := range []string{"/usr/share/postgresql/" + filepath.Base(home), "/usr/share/zoneinfo"} {
		if _, err := os.Stat(folder); err == nil {
			i.Files = append(i.Files, image.File{Path: folder, Source: folder})
		}
	}
	return i, written(&i, dir, map[string]string{
		"/start": strings.ReplaceAll(postgresStart, "BIN", bin), "/etc/passwd": "postgres:x:65532:65532::/data:/bin/sh\n",
	})
}

// written adds files with these texts.
func written(i *image.Image, dir string, texts map[string]string) error {
	for path, text := range texts {
		source := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(source, []byte(text), 0o755); err != nil {
			return err
		}
		i.Files = append(i.Files, image.File{Path: path, Source: source, Mode: 0o755})
	}
	return nil
}

var library = regexp.MustCompile(`(/\S+) \(0x[0-9a-f]+\)`)

// needed is the libraries that the dynamic linker would load for programs.
func needed(ctx context.Context, programs []string) ([]string, error) {
	said, err := exec.CommandContext(ctx, "ldd", programs...).Output()
	if err != nil {
		return nil, fmt.Errorf("ldd: %w", err)
	}
	if bytes.Contains(said, []byte("not found")) {
		return nil, fmt.Errorf("a library is missing:\n%s", said)
	}
	seen, out := map[string]bool{}, []string{}
	for _, m := range library.FindAllSubmatch(said, -1) {
		if path := string(m[1]); !seen[path] {
			seen[path], out = true, append(out, path)
		}
	}
	return out, nil
}
