package conf

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

type sample struct {
	Listen string `conf:"listen" usage:"where to listen"`
	Tunnel struct {
		Listen string        `conf:"listen" usage:"where agents come in"`
		Dead   time.Duration `conf:"dead" usage:"silence that ends a tunnel"`
	} `conf:"tunnel"`
	Token   string   `conf:"token" usage:"a secret" secret:"true"`
	Origins []string `conf:"cors-origins" usage:"who may call from a browser"`
	Nodes   int      `conf:"nodes" usage:"a number"`
	Debug   bool     `conf:"debug" usage:"a switch"`
	inner   int
}

func defaults() sample {
	s := sample{Listen: ":8080", Nodes: 3, inner: 7}
	s.Tunnel.Listen, s.Tunnel.Dead = ":8443", 12*time.Second
	return s
}

// load runs Load with a file's text ("" for none), an environment and arguments.
func load(t *testing.T, file string, environ []string, args ...string) (sample, error) {
	t.Helper()
	dir := t.TempDir()
	if file != "" {
		if err := os.WriteFile(filepath.Join(dir, "hub.yaml"), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range environ {
		k, v, _ := strings.Cut(e, "=")
		t.Setenv(k, v)
	}
	set := pflag.NewFlagSet("hub", pflag.ContinueOnError)
	Flags(set, defaults())
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return Load(Program{Name: "hub", Dirs: []string{dir}, Environ: environ}, set, defaults())
}

func TestDefaultsAreValues(t *testing.T) {
	got, err := load(t, "", nil)
	if err != nil || !reflect.DeepEqual(got, defaults()) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestFlagsBeatEnvironmentBeatsFile(t *testing.T) {
	file := "listen: :1\nnodes: 1\ntunnel:\n  listen: :1\n  dead: 1s\ncors-origins: [https://a, https://b]\n"
	got, err := load(t, file, []string{"KUBILITICS_NODES=2", "KUBILITICS_TUNNEL_LISTEN=:2"}, "--tunnel-listen", ":3", "--debug")
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Listen, want.Nodes, want.Debug = ":1", 2, true
	want.Tunnel.Listen, want.Tunnel.Dead = ":3", time.Second
	want.Origins = []string{"https://a", "https://b"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestWrongInputIsNamed(t *testing.T) {
	cases := map[string]struct {
		file    string
		environ []string
		want    []string
	}{
		"key in the file":        {file: "lisen: :1\n", want: []string{"hub.yaml", `"lisen"`, `"listen"`}},
		"nested key":             {file: "tunnel:\n  deed: 1s\n", want: []string{`"tunnel.deed"`, `"tunnel.dead"`}},
		"key in the environment": {environ: []string{"KUBILITICS_NODE=1"}, want: []string{`"KUBILITICS_NODE"`, `"KUBILITICS_NODES"`}},
		"type":                   {file: "nodes: many\n", want: []string{"wrong type", "nodes"}},
		"no YAML":                {file: "\t:", want: []string{"hub.yaml", "can't be read"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.file, c.environ)
			if err == nil {
				t.Fatal("nothing was said")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q doesn't say %q", err, w)
				}
			}
		})
	}
}

func TestNamedFileMustBeThere(t *testing.T) {
	if _, err := load(t, "", nil, "--config", filepath.Join(t.TempDir(), "none.yaml")); err == nil {
		t.Error("a file that isn't there passed")
	}
}

func TestVariablesOfTestsAreNoKeys(t *testing.T) {
	if _, err := load(t, "", []string{"KUBILITICS_CACHE=/x", "KUBILITICS_TEST_POSTGRES=dsn", "KUBILITICS_HUB=https://hub", "KUBILITICS_TOKEN=x", "PATH=/bin"}); err != nil {
		t.Error(err)
	}
}

func TestLinesMaskSecrets(t *testing.T) {
	c := defaults()
	c.Token = "hush"
	for _, l := range Lines(c) {
		if strings.Contains(l.Value, "hush") {
			t.Errorf("%s shows its secret", l.Key)
		}
		if l.Key == "tunnel.dead" && l.Value != "12s" {
			t.Errorf("tunnel.dead is printed as %q", l.Value)
		}
	}
}

// Kubernetes tells every Pod of a namespace about its Services, in names that look like ours.
func TestServiceLinksAreNoKeys(t *testing.T) {
	links := []string{
		"KUBILITICS_HUB_SERVICE_HOST=10.0.0.1", "KUBILITICS_HUB_SERVICE_PORT=80", "KUBILITICS_HUB_SERVICE_PORT_HTTP=80",
		"KUBILITICS_HUB_PORT=tcp://10.0.0.1:80", "KUBILITICS_HUB_PORT_80_TCP_ADDR=10.0.0.1",
	}
	if _, err := load(t, "", links); err != nil {
		t.Error(err)
	}
	if _, err := load(t, "", []string{"KUBILITICS_HUB_PORT=tcp://10.0.0.1:80"}); err == nil {
		t.Error("without its Service the variable is a mistake")
	}
	if _, err := load(t, "", append(links, "KUBILITICS_HUB_LISTEN=:1")); err == nil {
		t.Error("a mistake passed beside a Service of the same name")
	}
}

func TestAWrongFlagIsNamedWithItsNearest(t *testing.T) {
	set := pflag.NewFlagSet("hub", pflag.ContinueOnError)
	Flags(set, defaults())
	err := FlagFault(set, set.Parse([]string{"--tunnel-lissten", ":1"}))
	if err == nil || !strings.Contains(err.Error(), `"--tunnel-listen"`) {
		t.Errorf("got %v", err)
	}
	err = FlagFault(set, set.Parse([]string{"--nodes", "many"}))
	if err == nil || !strings.Contains(err.Error(), "nodes") {
		t.Errorf("got %v", err)
	}
}

// part is one of a list, which only a file can say.
type part struct {
	Name    string        `conf:"name" usage:"its name"`
	Key     string        `conf:"key" usage:"a secret" secret:"true"`
	Env     []string      `conf:"env" usage:"some" secret:"true"`
	Timeout time.Duration `conf:"timeout" usage:"how long"`
	When    struct {
		Kinds []string `conf:"kinds" usage:"which"`
	} `conf:"when"`
}

type listed struct {
	Listen string `conf:"listen" usage:"where to listen"`
	Parts  []part `conf:"parts" usage:"many"`
}

func loadListed(t *testing.T, file string) (listed, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hub.yaml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	set := pflag.NewFlagSet("hub", pflag.ContinueOnError)
	Flags(set, listed{})
	return Load(Program{Name: "hub", Dirs: []string{dir}, Environ: []string{}}, set, listed{})
}

func TestListsOfParts(t *testing.T) {
	got, err := loadListed(t, "listen: ':1'\nparts:\n- name: a\n  key: k\n  env: [X=Y]\n  timeout: 3s\n  when:\n    kinds: [Pod, Node]\n- name: b\n")
	if err != nil || len(got.Parts) != 2 || got.Parts[0].Timeout != 3*time.Second || got.Parts[0].Env[0] != "X=Y" || len(got.Parts[0].When.Kinds) != 2 || got.Parts[1].Name != "b" {
		t.Fatalf("got %+v, %v", got, err)
	}
	want := []Line{{"listen", ":1"}, {"parts[0].name", "a"}, {"parts[0].key", "********"}, {"parts[0].env", "********"}, {"parts[0].timeout", "3s"}, {"parts[0].when.kinds", "[Pod, Node]"},
		{"parts[1].name", "b"}, {"parts[1].key", ""}, {"parts[1].env", "[]"}, {"parts[1].timeout", "0s"}, {"parts[1].when.kinds", "[]"}}
	if lines := Lines(got); !reflect.DeepEqual(lines, want) {
		t.Errorf("lines %v", lines)
	}
	for file, says := range map[string]string{
		"parts:\n- nam: a\n":                 "the nearest one is \"parts[0].name\"",
		"parts:\n- when:\n    kind: [Pod]\n": "the nearest one is \"parts[0].when.kinds\"",
		"parts: 7\n":                         "must be a list",
		"parts: [7]\n":                       "must have keys",
		"parts:\n- timeout: soon\n":          "wrong type",
	} {
		if _, err := loadListed(t, file); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", file, err)
		}
	}
}

func TestKeys(t *testing.T) {
	type both struct {
		sample `conf:"own"`
		Parts  []part `conf:"parts" usage:"many"`
	}
	d := both{sample: defaults()}
	d.Tunnel.Dead, d.Origins = 36*time.Hour, []string{"a", "b"}
	got := map[string]Key{}
	for _, k := range Keys(d) {
		got[k.Name] = k
	}
	for _, want := range []Key{
		{"own.tunnel.dead", "--own-tunnel-dead", "KUBILITICS_OWN_TUNNEL_DEAD", "duration", "36h", "silence that ends a tunnel", false},
		{"own.cors-origins", "--own-cors-origins", "KUBILITICS_OWN_CORS_ORIGINS", "list", "[a, b]", "who may call from a browser", false},
		{"own.token", "--own-token", "KUBILITICS_OWN_TOKEN", "text", "", "a secret", true},
		{"own.nodes", "--own-nodes", "KUBILITICS_OWN_NODES", "number", "3", "a number", false},
		{"own.debug", "--own-debug", "KUBILITICS_OWN_DEBUG", "switch", "", "a switch", false},
		{"parts", "", "", "parts", "", "many", false},
		{"parts[].key", "", "", "text", "", "a secret", true},
		{"parts[].when.kinds", "", "", "list", "", "which", false},
	} {
		if got[want.Name] != want {
			t.Errorf("got  %+v\nwant %+v", got[want.Name], want)
		}
	}
}
