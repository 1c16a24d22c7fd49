package ops

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// told are the documents that were read, as "number:line Kind/name".
func told(docs []*document) (out []string) {
	for _, d := range docs {
		out = append(out, fmt.Sprintf("%d:%d %s/%s", d.number, d.line, d.header.Kind, d.header.Name))
	}
	return out
}

const one = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"

func named(names ...string) string {
	var parts []string
	for _, n := range names {
		parts = append(parts, fmt.Sprintf(one, n))
	}
	return strings.Join(parts, "---\n")
}

func TestDocumentsAreRead(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		json bool
		want []string
	}{
		"one":                         {named("a"), false, []string{"1:1 ConfigMap/a"}},
		"several":                     {named("a", "b", "c"), false, []string{"1:1 ConfigMap/a", "2:5 ConfigMap/b", "3:9 ConfigMap/c"}},
		"a marker before the first":   {"---\n" + named("a"), false, []string{"1:2 ConfigMap/a"}},
		"a preface of comments":       {"# made by hand\n\n---\n" + named("a"), false, []string{"1:4 ConfigMap/a"}},
		"empty ones are left out":     {named("a") + "---\n# nothing\n---\n\n---\n" + named("b"), false, []string{"1:1 ConfigMap/a", "4:9 ConfigMap/b"}},
		"a comment beside the marker": {"--- # first\n" + named("a") + "---\t\n" + named("b"), false, []string{"1:2 ConfigMap/a", "2:6 ConfigMap/b"}},
		"content beside the marker":   {"--- {apiVersion: v1, kind: Pod, metadata: {name: a}}", false, []string{"1:1 Pod/a"}},
		"an end and a directive":      {"%YAML 1.1\n---\n" + named("a") + "...\n" + named("b"), false, []string{"1:3 ConfigMap/a", "2:7 ConfigMap/b"}},
		"carriage returns":            {strings.ReplaceAll(named("a", "b"), "\n", "\r\n"), false, []string{"1:1 ConfigMap/a", "2:5 ConfigMap/b"}},
		"a marker within a text":      {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  x: |\n    ---\n    y\n", false, []string{"1:1 ConfigMap/a"}},
		"a List": {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n- {apiVersion: v1, kind: PodList, items: [{apiVersion: v1, kind: Pod, metadata: {name: b}}]}\n",
			false, []string{"1:1 Pod/a", "1:1 Pod/b"}},
		"a kind whose name ends so": {"apiVersion: x/v1\nkind: AllowList\nmetadata: {name: a}\nitems: [1]\n", false, []string{"1:1 AllowList/a"}},
		"JSON, one after the other": {"{\"apiVersion\":\"v1\",\n\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\"}}\n\n{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"b\"}}", true, []string{"1:1 Pod/a", "2:4 Pod/b"}},
	} {
		docs, err := parse([]byte(c.text), c.json, true)
		if got := told(docs); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

// What is wrong is named by document and line, all of it at once.
func TestDocumentsThatCannotBeRead(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		json   bool
		fields []string // "document: a part of the reason"
	}{
		"no YAML":            {named("a") + "---\nb: [\n", false, []string{"document 2: line 5:"}},
		"an odd indent":      {"a:\n  b: 1\n c: 2\n", false, []string{"document 1: line 3:"}},
		"a key twice":        {named("a") + "data:\n  k: 1\n  k: 2\n", false, []string{`document 1: line 6: key "k" already set`}},
		"a key twice (JSON)": {`{"apiVersion":"v1","kind":"Pod","kind":"Node","metadata":{"name":"a"}}`, true, []string{`document 1: line 1: duplicate field "kind"`}},
		"JSON cut off":       {"{}\n{\"a\":", true, []string{"document 2: line 2:"}},
		"several at once": {"kind: Pod\n---\n" + named("a") + "---\napiVersion: v1\n---\n- x\n", false,
			[]string{"document 1: line 1: Pod has no apiVersion", "document 3: line 7: it has no kind", "document 4: line 9: isn't an object of Kubernetes: it can't be a array"}},
		"no name":            {"apiVersion: v1\nkind: Pod\n", false, []string{"document 1: line 1: Pod has no metadata.name"}},
		"a name to be made":  {"apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n", false, []string{"document 1: line 1: Pod has generateName"}},
		"a number as a name": {"apiVersion: v1\nkind: Pod\nmetadata: {name: 7}\n", false, []string{"document 1: line 1: isn't an object of Kubernetes: metadata.name can't be a number"}},
		"too long":           {named("a") + "data: {k: " + strings.Repeat("x", maxDocument) + "}\n", false, []string{"document 1: line 1: ConfigMap a has"}},
		"an item of a List":  {"apiVersion: v1\nkind: List\nitems:\n- {kind: Pod}\n", false, []string{"document 1: line 1: Pod has no apiVersion"}},
	} {
		docs, err := parse([]byte(c.text), c.json, true)
		var f *fault.Error
		if docs != nil || !errors.As(err, &f) || f.Code != fault.BadRequest || len(f.Fields) != len(c.fields) {
			t.Errorf("%s: got %q, %v %+v", name, told(docs), err, f)
			continue
		}
		for i, want := range c.fields {
			if got := f.Fields[i].Name + ": " + f.Fields[i].Reason; !strings.HasPrefix(got, want) {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	}
	if docs, err := parse([]byte(named("a")+"data:\n  k: 1\n  k: 2\n"), false, false); err != nil || len(docs) != 1 {
		t.Errorf("a key twice, where that doesn't matter: %v", err)
	}
}

// Whatever is sent, nothing is applied that isn't an object with a kind and a name, and its text is JSON.
func FuzzDocuments(f *testing.F) {
	f.Add([]byte(named("a", "b")), false)
	f.Add([]byte("--- &a [*a]\n---\n{}"), false)
	f.Add([]byte("a: &x [1,1,1]\nb: [*x,*x]\n..."), false)
	f.Add([]byte(`{"kind":"List","items":[{"items":[]}]}`), true)
	f.Fuzz(func(t *testing.T, text []byte, isJSON bool) {
		docs, err := parse(text, isJSON, true)
		if (err == nil) == (len(docs) == 0) {
			t.Fatalf("%d documents and %v", len(docs), err)
		}
		for _, d := range docs {
			if !json.Valid(d.text) || d.header.Kind == "" || d.header.Name == "" || d.line < 1 || d.number < 1 {
				t.Fatalf("got %+v", d)
			}
		}
	})
}

func TestWavesPutFirstWhatOthersNeed(t *testing.T) {
	kinds := []string{
		"apps/v1 Deployment", "admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration", "x.example/v1 Boat", "v1 Service", "v1 ConfigMap", "v1 Namespace",
		"apiextensions.k8s.io/v1 CustomResourceDefinition", "rbac.authorization.k8s.io/v1 RoleBinding", "rbac.authorization.k8s.io/v1 Role", "v1 Pod",
	}
	var docs []*document
	for _, k := range kinds {
		d := &document{}
		d.header.APIVersion, d.header.Kind, _ = strings.Cut(k, " ")
		docs = append(docs, d)
	}
	var got []string
	for _, wave := range waves(docs) {
		var names []string
		for _, d := range wave {
			names = append(names, d.header.Kind)
		}
		got = append(got, strings.Join(names, " "))
	}
	want := []string{"Namespace", "CustomResourceDefinition", "ConfigMap Role", "Service RoleBinding", "Deployment Boat Pod", "ValidatingWebhookConfiguration"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func asObject(t *testing.T, yamlText string) map[string]any {
	t.Helper()
	if yamlText == "" {
		return nil
	}
	docs, err := parse([]byte(yamlText), false, true)
	if err != nil {
		t.Fatalf("%v: %+v", err, fault.Public(err).Fields)
	}
	o, err := decode(docs[0].text)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// Differences, as they were once looked at and found right.
func TestDifferences(t *testing.T) {
	for name, c := range map[string]struct{ before, after string }{
		"changed": {
			"apiVersion: v1\nkind: Pod\nmetadata: {name: a, generation: 1, resourceVersion: '1', managedFields: [{manager: x}]}\nspec: {a: 1, b: 2}\nstatus: {phase: Pending}\n",
			"apiVersion: v1\nkind: Pod\nmetadata: {name: a, generation: 2, resourceVersion: '2', managedFields: [{manager: z}]}\nspec: {a: 1, b: 3}\nstatus: {phase: Running}\n",
		},
		"made": {"", "apiVersion: v1\nkind: Pod\nmetadata: {name: a, uid: u, creationTimestamp: 2026-01-01T00:00:00Z}\nspec: {a: 12345678901234567890}\n"},
		"secret": {
			"apiVersion: v1\nkind: Secret\nmetadata: {name: a, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}', copy: 'of hush-1', own: fine}}\ndata: {same: c3RheQ==, other: aHVzaC0x, gone: eA==}\n",
			"apiVersion: v1\nkind: Secret\nmetadata: {name: a, labels: {l: hush-2}, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}', own: fine}}\ndata: {same: c3RheQ==, other: aHVzaC0y, new: eQ==}\n",
		},
		"secret made": {"", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {k: aHVzaA==}\nstringData: {s: hush}\n"},
	} {
		f := found{Kind: Kind{Kind: "Pod", Subresources: []string{"status"}}, namespace: "ns", name: "a"}
		got, err := difference(f, asObject(t, c.before), asObject(t, c.after))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, strings.ReplaceAll(name, " ", "-")+".diff", got)
		if strings.HasPrefix(name, "secret") && (strings.Contains(got, "hush") || strings.Contains(got, "aHVzaC") || strings.Contains(got, "c3RheQ")) {
			t.Errorf("%s holds a value: %s", name, got)
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s: %v; got\n%s", name, err, got)
	}
}
