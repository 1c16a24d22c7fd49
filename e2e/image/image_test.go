package image

import (
	"archive/tar"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// lay writes files into a new folder, in an order and with dates of its own.
func lay(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("content of "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func sample(dir string) Image {
	return Image{
		Name: "localhost/sample:dev", Platform: "linux/amd64", User: "65532:65532", Entrypoint: []string{"/bin/a"}, Env: []string{"A=b"},
		Labels: map[string]string{"x": "1", "y": "2"},
		Files: []File{
			{Path: "/bin/a", Source: filepath.Join(dir, "a"), Mode: 0o755}, {Path: "/share", Source: filepath.Join(dir, "many")}, {Path: "/tmp", Mode: 0o1777},
		},
	}
}

func TestSameFilesGiveTheSameDigest(t *testing.T) {
	one, two := lay(t, "a", "many/b", "many/deep/c"), lay(t, "many/deep/c", "many/b", "a")
	first, err := sample(one).Save(filepath.Join(t.TempDir(), "one.tar"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := sample(two).Save(filepath.Join(t.TempDir(), "two.tar"))
	if err != nil || first != second {
		t.Errorf("%s and %s, %v", first, second, err)
	}
	if err := os.WriteFile(filepath.Join(two, "many/b"), []byte("else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if third, err := sample(two).Save(filepath.Join(t.TempDir(), "three.tar")); err != nil || third == first {
		t.Errorf("another content: %s, %v", third, err)
	}
}

func TestSaveHoldsWhatIsSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sample.tar")
	digest, err := sample(lay(t, "a", "many/b", "many/deep/c")).Save(path)
	if err != nil {
		t.Fatal(err)
	}
	img, err := tarball.ImageFromPath(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c := config.Config; config.OS != "linux" || config.Architecture != "amd64" || c.User != "65532:65532" || c.Entrypoint[0] != "/bin/a" || c.Env[0] != "A=b" || c.Labels["y"] != "2" {
		t.Errorf("%+v", config)
	}
	if digest == "" {
		t.Error("no digest")
	}
	want := map[string]int64{"bin": 0o755, "bin/a": 0o755, "share": 0o755, "share/b": 0o644, "share/deep": 0o755, "share/deep/c": 0o644, "tmp": 0o1777}
	got := modes(t, img)
	for name, mode := range want {
		if got[name] != mode {
			t.Errorf("%s: mode %o, want %o", name, got[name], mode)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
}

func modes(t *testing.T, img v1.Image) map[string]int64 {
	t.Helper()
	all := mutate.Extract(img)
	defer func() { _ = all.Close() }()
	found := map[string]int64{}
	for r := tar.NewReader(all); ; {
		head, err := r.Next()
		if err != nil {
			return found
		}
		if head.Uid != 0 || head.ModTime.Unix() != 0 {
			t.Errorf("%s: owner %d, date %v", head.Name, head.Uid, head.ModTime)
		}
		found[head.Name] = head.Mode
	}
}

func TestWhatIsNoImageIsRefused(t *testing.T) {
	dir := lay(t, "a")
	a := filepath.Join(dir, "a")
	for why, i := range map[string]Image{
		"no source":           {Name: "localhost/x:1", Platform: "linux/amd64", Files: []File{{Path: "/a", Source: filepath.Join(dir, "none")}}},
		"no path":             {Name: "localhost/x:1", Platform: "linux/amd64", Files: []File{{Path: "/", Source: a}}},
		"a file in a file":    {Name: "localhost/x:1", Platform: "linux/amd64", Files: []File{{Path: "/a", Source: a}, {Path: "/a/b", Source: a}}},
		"a name with a space": {Name: "local host/x:1", Platform: "linux/amd64", Files: []File{{Path: "/a", Source: a}}},
		"a platform in four":  {Name: "localhost/x:1", Platform: "a/b/c/d", Files: []File{{Path: "/a", Source: a}}},
	} {
		if digest, err := i.Save(filepath.Join(dir, "x.tar")); err == nil {
			t.Errorf("%s: saved as %s", why, digest)
		}
	}
}
