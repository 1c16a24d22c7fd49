package rules_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/topo"
)

const (
	page      = "../../docs/relationships.md"
	pageIntro = `# Relationships

What the topology knows of Kubernetes, one rule a row. An edge is drawn from left to right. *Where* is the field that says so, in the object
on the left unless another is named; ` + "`[*]`" + ` stands for every item of a list and ` + "`{a,b}`" + ` for each of a and b, and a rule for Pods that holds *in templates, too* is also read from the
pod templates of Deployments, StatefulSets, CronJobs and all others that have one. Kinds whose group is ` + "`kubilitics.io`" + ` are no objects of a cluster: they
stand for sets, addresses, hosts and the like.

Rows of your own have the same form: the agent takes a file of them (` + "`--rules`" + `, a YAML list), beside those that are built in:

` + "```yaml" + `
- name: widget-config
  type: references
  from: [Widget.example.com]
  at: ["spec.parts[*].configRef"]
  ref: {to: ConfigMap, name: name, namespace: namespace}
  keep: [{attr: optional, path: optional}]
` + "```" + `

This page is made from the table itself: ` + "`go test ./shared/rules -run TestPage -rewrite`" + `.
`
)

// TestPage holds the page for people against the table; with -rewrite, it writes the page.
func TestPage(t *testing.T) {
	table := defaultTable(t)
	ends := scenarioEnds(t)
	var b strings.Builder
	b.WriteString(pageIntro)
	section := ""
	for _, row := range table.Rows() {
		if row.Section == "" {
			t.Errorf("rule %s is under no heading", row.Name)
		}
		if row.Section != section {
			section = row.Section
			fmt.Fprintf(&b, "\n## %s\n\n| rule | edge | type | where | what it means |\n|---|---|---|---|---|\n", section)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", row.Name, edgeWords(&row, ends[row.Name]), row.Type, whereWords(&row), row.Doc)
	}
	if flag.Lookup("rewrite").Value.String() == "true" {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(page); err != nil || string(have) != b.String() {
		t.Errorf("docs/relationships.md isn't what the table says (%v): run with -rewrite", err)
	}
}

// scenarioEnds lists by rule the kinds that its edges lead to in the scenarios.
func scenarioEnds(t *testing.T) map[string][]string {
	ends := map[string][]string{}
	for name, file := range goldens(t) {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			left, right, ok := strings.Cut(line, " -> ")
			words := strings.Fields(right)
			if !ok || !strings.HasPrefix(left, "+edge ") || !strings.Contains(line, " "+name+" ") {
				continue
			}
			for _, kind := range []string{strings.Fields(left)[1], words[0]} {
				if !slices.Contains(ends[name], kind) {
					ends[name] = append(ends[name], kind)
				}
			}
		}
		slices.Sort(ends[name])
	}
	return ends
}

func code(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = "`" + strings.ReplaceAll(w, "|", "\\|") + "`"
	}
	return strings.Join(out, ", ")
}

// edgeWords says from what to what.
func edgeWords(row *rules.Row, ends []string) string {
	from, to := code(row.From), "whatever is named"
	switch {
	case slices.Equal(row.From, []string{"*"}):
		from = "any"
	case slices.Equal(row.From, []string{"*.*"}):
		from = "any of a CustomResourceDefinition"
	case row.Template:
		from += " (in templates, too)"
	}
	targets := slices.DeleteFunc(slices.Clone(ends), func(k string) bool { return slices.Contains(row.From, k) && len(ends) > 1 })
	switch {
	case row.Ref != nil && row.Ref.To != "":
		to = code([]string{row.Ref.To})
	case row.Select != nil:
		to = code([]string{row.Select.To})
	case row.Type == topo.Owns:
		to = "any"
	case row.Func == "instances":
		to = "all objects of its kind"
	case row.Ref != nil && row.Ref.Default != "":
		to += ", else " + code([]string{row.Ref.Default})
	case row.Ref == nil && len(targets) > 0 && row.Type != topo.Defines && row.From[0] != "*.*":
		to = code(targets)
	}
	if row.Reverse {
		return to + " → " + from
	}
	return from + " → " + to
}

// whereWords says where the reference stands, and on what conditions.
func whereWords(row *rules.Row) string {
	leaf, at := "", row.At
	switch {
	case row.Ref != nil:
		leaf = row.Ref.Name
	case row.Select != nil:
		leaf = row.Select.Path
	}
	if len(at) == 0 {
		at = []string{""}
	}
	paths := make([]string, len(at))
	for i, a := range at {
		paths[i] = strings.Trim(a+"."+leaf, ".")
	}
	text := code(paths)
	if row.Reverse && len(row.From) == 1 && row.From[0] != "*" {
		text += " of the right one"
	}
	for _, w := range row.Where {
		text += "; " + condition(&w)
	}
	return text
}

func condition(w *rules.Where) string {
	path := "it"
	if w.Path != "" {
		path = "`" + strings.TrimPrefix(w.Path, "$.") + "`"
	}
	words := func(values []string) string {
		out := make([]string, len(values))
		for i, v := range values {
			if out[i] = v; v == "" {
				out[i] = "absent"
			}
		}
		return strings.Join(out, " or ")
	}
	switch {
	case len(w.Is) == 0:
		return path + " is not " + words(w.Not)
	case len(w.Not) == 0:
		return path + " is " + words(w.Is)
	}
	return path + " is " + words(w.Is) + " and not " + words(w.Not)
}
