package rules_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/kubilitics/kubilitics/shared/reduce"
	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/topo/topotest"
)

// TestScenarios plays a scenario for every row of the table, in which its edge comes and goes.
func TestScenarios(t *testing.T) {
	table, err := rules.Default()
	if err != nil {
		t.Fatal(err)
	}
	files := goldens(t)
	for _, row := range table.Rows() {
		file := files[row.Name]
		delete(files, row.Name)
		t.Run(row.Name, func(t *testing.T) {
			if file == "" {
				t.Fatalf("there is no testdata/**/%s.txt", row.Name)
			}
			topotest.RunScenario(t, file, exec(table))
			raw, _ := os.ReadFile(file)
			for _, sign := range []string{"+", "-"} {
				if !hasEdge(string(raw), sign, &row) {
					t.Errorf("no %sedge of the rule in its scenario", sign)
				}
			}
		})
	}
	if len(files) > 0 && !t.Failed() {
		t.Errorf("scenarios of no row: %v", files)
	}
}

// goldens lists the scenarios of rows, by name, wherever they stand below testdata.
func goldens(t testing.TB) map[string]string {
	files := map[string]string{}
	err := filepath.WalkDir("testdata", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "traps":
			return fs.SkipDir
		case d.IsDir() || path == filepath.Join("testdata", "user.txt"):
			return nil
		}
		files[strings.TrimSuffix(d.Name(), ".txt")] = path
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func hasEdge(scenario, sign string, row *rules.Row) bool {
	for line := range strings.Lines(scenario) {
		if strings.HasPrefix(line, sign+"edge ") && strings.Contains(line, fmt.Sprintf(" %s %s ", row.Type, row.Name)) {
			return true
		}
	}
	return false
}

// TestTraps plays scenarios of what other tools get wrong and is of no single rule.
func TestTraps(t *testing.T) {
	table, err := rules.Default()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/traps/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) { topotest.RunScenario(t, f, exec(table)) })
	}
}

// exec plays steps whose objects stand as YAML below "apply".
func exec(table *rules.Table) topotest.Exec {
	engine, reducer := topo.NewEngine(table), reduce.New(table)
	return func(line, body string) (topo.Diff, error) {
		if d, ok := topotest.ExecCommon(engine, strings.Fields(line)); ok {
			return d, nil
		}
		raw, err := yaml.YAMLToJSON([]byte(body))
		if err != nil || line != "apply" {
			return topo.Diff{}, fmt.Errorf("what is %q: %w", line, err)
		}
		kind, err := kindOf(raw)
		if err != nil {
			return topo.Diff{}, err
		}
		o, err := reducer.Reduce(kind, raw, false)
		if err != nil {
			return topo.Diff{}, err
		}
		// Rules are the subject here; what verdicts show of an object has tests of its own.
		o.Resource.Attrs, o.Resource.Status, o.Resource.Health, o.Resource.Version = nil, "", 0, ""
		return engine.Apply(topo.Change{Ref: o.Resource.Ref, Resource: &o.Resource}), nil
	}
}

func kindOf(raw []byte) (reduce.Kind, error) {
	var head struct{ APIVersion, Kind string }
	err := yaml.Unmarshal(raw, &head)
	kind := reduce.Kind{GroupKind: topo.GroupKind{Kind: head.Kind}, Version: head.APIVersion}
	if group, version, ok := strings.Cut(head.APIVersion, "/"); ok {
		kind.Group, kind.Version = group, version
	}
	return kind, err
}

// TestBadRows gives rows that are wrong, and the words of the sentence that says so.
func TestBadRows(t *testing.T) {
	good := func(change func(*rules.Row)) rules.Row {
		r := rules.Row{
			Name: "widget-config", Type: topo.References, From: []string{"Widget.example.com"},
			Ref: &rules.Ref{To: "ConfigMap", Name: "spec.config"},
		}
		change(&r)
		return r
	}
	sel := rules.Select{To: "Pod", Path: "spec.selector", Form: rules.Labels, Empty: rules.None, Absent: rules.None}
	for want, change := range map[string]func(*rules.Row){
		"":                          func(*rules.Row) {},
		"small letters":             func(r *rules.Row) { r.Name = "Widget" },
		"two rules":                 func(r *rules.Row) { r.Name = "pod-node" },
		`type "likes"`:              func(r *rules.Row) { r.Type = "likes" },
		"names no kind":             func(r *rules.Row) { r.From = nil },
		`"pods" is no kind`:         func(r *rules.Row) { r.From = []string{"pods"} },
		"exactly one":               func(r *rules.Row) { r.Ref = nil },
		"and has 2":                 func(r *rules.Row) { r.Select = &sel },
		`no function "f"`:           func(r *rules.Row) { r.Ref, r.Func = nil, "f" },
		"has a [' without":          func(r *rules.Row) { r.At = []string{"spec['a"} },
		"lacks a dot":               func(r *rules.Row) { r.At = []string{"spec[0].a"} },
		"empty name":                func(r *rules.Row) { r.At = []string{"spec..a"} },
		"more than 3 lists":         func(r *rules.Row) { r.At = []string{"a[*].b[*].c[*].d[*]"} },
		"passes a list":             func(r *rules.Row) { r.Ref.Name = "spec.configs[*].name" },
		"either the kind":           func(r *rules.Row) { r.Ref.To = "" },
		"holds in templates":        func(r *rules.Row) { r.Template = true },
		"can't be reversed":         func(r *rules.Row) { r.Ref, r.Select, r.Reverse = nil, &sel, true },
		"neither labels nor":        func(r *rules.Row) { s := sel; s.Form = "x"; r.Ref, r.Select = nil, &s },
		`"empty" and "absent" each`: func(r *rules.Row) { s := sel; s.Absent = ""; r.Ref, r.Select = nil, &s },
		"the path of a selector":    func(r *rules.Row) { s := sel; s.Path = ""; r.Ref, r.Select = nil, &s },
		"path of a name":            func(r *rules.Row) { r.Ref.Name = "" },
		"default of a kind":         func(r *rules.Row) { r.Ref.Default = "Secret" },
		"default \"secrets\"":       func(r *rules.Row) { *r.Ref = rules.Ref{Kind: "k", Default: "secrets", Name: "n"} },
		"have no namespace":         func(r *rules.Row) { r.Ref.Cluster, r.Ref.Namespace = true, "spec.ns" },
		`"fields"`:                  func(r *rules.Row) { r.Fields = []string{"spec.a"} },
		"stands alone":              func(r *rules.Row) { r.From = []string{"*", "Pod"} },
		"no version":                func(r *rules.Row) { r.Versions = []string{"apps/v1"} },
		"the path of no field":      func(r *rules.Row) { r.Where = []rules.Where{{Is: []string{"a"}}} },
		`neither "is" nor "not"`:    func(r *rules.Row) { r.Where = []rules.Where{{Path: "spec.a"}} },
		"is no attribute":           func(r *rules.Row) { r.Keep = []rules.Keep{{Attr: "Read only", Path: "spec.a"}} },
		"is there already":          func(r *rules.Row) { r.Keep = []rules.Keep{{Attr: "wantUID", Path: "spec.a"}} },
		`either a "path" or`:        func(r *rules.Row) { r.Keep = []rules.Keep{{Attr: "a"}} },
	} {
		_, err := rules.Default(good(change))
		switch {
		case want == "" && err != nil:
			t.Errorf("a good row: %v", err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// TestUserRow takes a row as a user writes it, over what built-in rows don't use.
func TestUserRow(t *testing.T) {
	var row rules.Row
	text := `
name: widget-backends
type: routes
from: [Widget.example.com]
versions: [v1]
at: ["spec.{main,spare}[*].refs[*]"]
ref: {kind: kind, group: group, name: name, namespace: namespace}
disc: port
where: [{path: enabled, not: ["false"]}, {path: $.spec.mode, is: ["", active]}]
keep: [{attr: weight, path: weight}]
`
	if err := yaml.UnmarshalStrict([]byte(text), &row); err != nil {
		t.Fatal(err)
	}
	table, err := rules.Default(row)
	if err != nil {
		t.Fatal(err)
	}
	topotest.RunScenario(t, "testdata/user.txt", exec(table))
}

// TestDocs holds that every row can be explained.
func TestDocs(t *testing.T) {
	table, err := rules.Default()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range table.Rows() {
		if !strings.HasSuffix(row.Doc, ".") {
			t.Errorf("rule %s says nothing of what it means", row.Name)
		}
	}
}
