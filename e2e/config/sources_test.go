package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/kubilitics/kubilitics/agent"
	"github.com/kubilitics/kubilitics/hub"
	"github.com/kubilitics/kubilitics/hub/desktop"
	"github.com/kubilitics/kubilitics/shared/conf"
)

// said is what one place says of one key: as it stands in a flag or variable, in the file, and as it is shown.
type said struct{ word, yaml, shown string }

// sayings are four values of each type, none of them a default: for the file in the third directory, that in the first, the variable, the flag.
var sayings = map[string][4]said{
	"text":     {{"z9", "z9", "z9"}, {"a1", "a1", "a1"}, {"b2", "b2", "b2"}, {"c3", "c3", "c3"}},
	"number":   {{"7000", "7000", "7000"}, {"7001", "7001", "7001"}, {"7002", "7002", "7002"}, {"7003", "7003", "7003"}},
	"fraction": {{"0.1", "0.1", "0.1"}, {"0.2", "0.2", "0.2"}, {"0.3", "0.3", "0.3"}, {"0.4", "0.4", "0.4"}},
	"duration": {{"61s", "61s", "1m1s"}, {"62s", "62s", "1m2s"}, {"63s", "63s", "1m3s"}, {"64s", "64s", "1m4s"}},
	"list":     {{"z", "[z]", "[z]"}, {"a,b", "[a, b]", "[a, b]"}, {"c,d", "[c, d]", "[c, d]"}, {"e", "[e]", "[e]"}},
	"switch":   {{"true", "true", "true"}, {"false", "false", "false"}, {"true", "true", "true"}, {"false", "false", "false"}},
}

// TestSources: for every key that a flag can say, the flag wins over the variable, that over the file, that over the default; and of files the first.
func TestSources(t *testing.T) {
	t.Run("hub", func(t *testing.T) { sources(t, "kubilitics-hub", hub.DefaultConfig()) })
	t.Run("agent", func(t *testing.T) { sources(t, "kubilitics-agent", agent.DefaultConfig()) })
	t.Run("desktop", func(t *testing.T) { sources(t, "kubilitics-desktop", desktop.DefaultConfig()) })
}

func sources[T any](t *testing.T, name string, defaults T) {
	for _, k := range conf.Keys(defaults) {
		if k.Flag == "" {
			continue
		}
		values, ok := sayings[k.Type]
		if !ok {
			t.Fatalf("%s has the type %s, of which this test knows no values", k.Name, k.Type)
		}
		for places := range 5 { // how many of the four say something
			want := shownOf(t, defaults, k.Name)
			if places > 0 {
				want = values[places-1].shown
			}
			if k.Secret && (places > 0 || k.Default != "") {
				want = "********"
			}
			got, err := loadFrom(t, name, defaults, k, values, places)
			if err != nil {
				t.Errorf("%s said in %d places: %v", k.Name, places, err)
				continue
			}
			if shown := shownOf(t, got, k.Name); shown != want {
				t.Errorf("%s said in %d places is %q, want %q", k.Name, places, shown, want)
			}
			if k.Secret && places > 0 && !holds(reflect.ValueOf(got), values[places-1].word) {
				t.Errorf("%s said in %d places isn't %q", k.Name, places, values[places-1].word)
			}
		}
	}
}

func loadFrom[T any](t *testing.T, name string, defaults T, k conf.Key, values [4]said, places int) (T, error) {
	t.Helper()
	p := conf.Program{Name: name, Dirs: []string{t.TempDir(), t.TempDir(), t.TempDir()}}
	var args []string
	for i := range places {
		switch i {
		case 0:
			writeKey(t, filepath.Join(p.Dirs[2], name+".yaml"), k.Name, values[i].yaml)
		case 1:
			writeKey(t, filepath.Join(p.Dirs[0], name+".yaml"), k.Name, values[i].yaml)
		case 2:
			t.Setenv(k.Variable, values[i].word)
			defer func() { _ = os.Unsetenv(k.Variable) }()
		case 3:
			args = append(args, k.Flag+"="+values[i].word)
		}
	}
	set := pflag.NewFlagSet(name, pflag.ContinueOnError)
	conf.Flags(set, defaults)
	if err := set.Parse(args); err != nil {
		return defaults, err
	}
	return conf.Load(p, set, defaults)
}

// writeKey writes a file that says one key, as people would nest it.
func writeKey(t *testing.T, file, key, value string) {
	t.Helper()
	var b strings.Builder
	words := strings.Split(key, ".")
	for i, w := range words {
		b.WriteString(strings.Repeat("  ", i) + w + ":")
		if i < len(words)-1 {
			b.WriteString("\n")
		}
	}
	b.WriteString(" " + value + "\n")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func shownOf[T any](t *testing.T, c T, key string) string {
	t.Helper()
	for _, l := range conf.Lines(c) {
		if l.Key == key {
			return l.Value
		}
	}
	t.Fatalf("%s isn't shown", key)
	return ""
}

// holds tells whether some text within a configuration is that word: secrets aren't shown.
func holds(v reflect.Value, word string) bool {
	switch v.Kind() {
	case reflect.String:
		return v.String() == word
	case reflect.Struct:
		for i := range v.NumField() {
			if holds(v.Field(i), word) {
				return true
			}
		}
	case reflect.Slice:
		if list, ok := v.Interface().([]string); ok && strings.Join(list, ",") == word {
			return true
		}
		for i := range v.Len() {
			if holds(v.Index(i), word) {
				return true
			}
		}
	}
	return false
}

// TestWrongKeysAndTypes: a key with a letter too many is answered with the right one, a value of another type with its key, wherever they stand.
func TestWrongKeysAndTypes(t *testing.T) {
	t.Run("hub", func(t *testing.T) { mistakes(t, "kubilitics-hub", hub.DefaultConfig()) })
	t.Run("agent", func(t *testing.T) { mistakes(t, "kubilitics-agent", agent.DefaultConfig()) })
	t.Run("desktop", func(t *testing.T) { mistakes(t, "kubilitics-desktop", desktop.DefaultConfig()) })
}

func mistakes[T any](t *testing.T, name string, defaults T) {
	says := func(key, where string, err error, words ...string) {
		for _, w := range words {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s, wrong in %s: %v; want %q in it", key, where, err, w)
			}
		}
	}
	for _, k := range conf.Keys(defaults) {
		if k.Flag == "" {
			continue
		}
		wrong := k
		wrong.Name, wrong.Variable, wrong.Flag = k.Name+"x", k.Variable+"X", k.Flag+"x"
		values := sayings[k.Type]
		_, err := loadFrom(t, name, defaults, wrong, values, 1)
		says(k.Name, "the file", err, `"`+wrong.Name+`"`, `"`+k.Name+`"`)
		wrong = k
		wrong.Variable += "X"
		_, err = loadFrom(t, name, defaults, wrong, sayings[k.Type], 3)
		says(k.Name, "the environment", err, `"`+wrong.Variable+`"`, `"`+k.Variable+`"`)
		if k.Type == "text" || k.Type == "list" {
			continue // any word is one
		}
		values = sayings[k.Type]
		values[0].yaml = "[nonsense]"
		_, err = loadFrom(t, name, defaults, k, values, 1)
		says(k.Name, "the file", err, "wrong type", k.Name)
		values = sayings[k.Type]
		values[2].word = "nonsense"
		_, err = loadFrom(t, name, defaults, k, values, 3)
		says(k.Name, "the environment", err, "wrong type", k.Name)
		values[2].word, values[3].word = sayings[k.Type][2].word, "nonsense"
		_, err = loadFrom(t, name, defaults, k, values, 4)
		says(k.Name, "a flag", err, k.Flag)
	}
}
