package topotest

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/shared/topo"
)

var rewrite = flag.Bool("rewrite", false, "accept what the scenarios give as what they should give")

// Exec carries out one step of a scenario: its first line, and the lines below that one.
type Exec func(line, body string) (topo.Diff, error)

// RunScenario plays a file of steps and compares what each changes with what the file says:
//
//	# why this step
//	apply
//	kind: Pod
//	----
//	+node Pod shop/web-1 ok "Running"
//	+edge Service shop/web -> Pod shop/web-1 selects service-pod spec.selector
//
// Steps stand apart by an empty line. With -rewrite, the file is made to say what came. Each diff is also applied to a
// graph and must fit it.
func RunScenario(t *testing.T, file string, exec Exec) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	g := NewGraph()
	var out []string
	for _, step := range strings.Split(strings.TrimSpace(string(raw)), "\n\n") {
		got := play(t, file, step, exec, g)
		out = append(out, got)
		if !*rewrite && got != strings.TrimRight(step, "\n") {
			t.Errorf("%s: want\n%s\n\ngot\n%s", filepath.Base(file), step, got)
		}
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(strings.Join(out, "\n\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func play(t *testing.T, file, step string, exec Exec, g Graph) string {
	t.Helper()
	input, _, _ := strings.Cut(step, "\n----")
	lines := strings.Split(input, "\n")
	verb := 0
	for verb < len(lines) && strings.HasPrefix(lines[verb], "#") {
		verb++
	}
	if verb == len(lines) {
		return step
	}
	d, err := exec(lines[verb], strings.Join(lines[verb+1:], "\n"))
	if err != nil {
		t.Fatalf("%s: %q: %v", filepath.Base(file), lines[verb], err)
	}
	if err := g.Apply(d); err != nil {
		t.Errorf("%s: %q: %v", filepath.Base(file), lines[verb], err)
	}
	return strings.Join(append([]string{input, "----"}, DiffLines(d)...), "\n")
}

// DiffLines writes a diff: nodes before edges, in the order of their names, what goes before what comes.
func DiffLines(d topo.Diff) []string {
	slices.SortStableFunc(d.Nodes, func(a, b topo.NodeChange) int {
		return cmp.Or(a.Node.Ref.Compare(b.Node.Ref), -cmp.Compare(a.Op, b.Op))
	})
	slices.SortStableFunc(d.Edges, func(a, b topo.EdgeChange) int {
		return cmp.Or(a.Edge.Source.Compare(b.Edge.Source), a.Edge.Target.Compare(b.Edge.Target),
			cmp.Compare(a.Edge.Rule, b.Edge.Rule), cmp.Compare(a.Edge.Disc, b.Edge.Disc))
	})
	var lines []string
	for _, c := range d.Nodes {
		lines = append(lines, c.Op.String()+"node "+NodeLine(&c.Node))
	}
	for _, c := range d.Edges {
		lines = append(lines, c.Op.String()+"edge "+EdgeLine(&c.Edge))
	}
	return lines
}

// NodeLine writes a node.
func NodeLine(n *topo.Node) string {
	words := []string{n.Ref.String()}
	if n.Presence != topo.Present {
		words = append(words, n.Presence.String())
	}
	if object := n.Version+n.UID != ""; n.Health != topo.Unknown && (object || n.Health != topo.OK) {
		words = append(words, n.Health.String())
	}
	if n.Status != "" {
		words = append(words, strconv.Quote(n.Status))
	}
	if n.Version != "" {
		words = append(words, "version="+n.Version)
	}
	if n.UID != "" {
		words = append(words, "uid="+n.UID)
	}
	if n.Created != 0 {
		words = append(words, fmt.Sprintf("created=%d", n.Created))
	}
	return strings.Join(append(append(words, pairWords("{", n.Labels, "}")...), pairWords("[", n.Attrs, "]")...), " ")
}

// EdgeLine writes an edge.
func EdgeLine(e *topo.Edge) string {
	words := []string{e.Source.String(), "->", e.Target.String(), string(e.Type), e.Rule}
	if e.Disc != "" {
		words = append(words, strconv.Quote(e.Disc))
	}
	return strings.Join(append(append(words, e.Path), pairWords("[", e.Attrs, "]")...), " ")
}

func pairWords(opening string, pairs []topo.Pair, closing string) []string {
	if len(pairs) == 0 {
		return nil
	}
	words := make([]string, len(pairs))
	for i, p := range pairs {
		words[i] = p.Key + "=" + p.Value
	}
	return []string{opening + strings.Join(words, " ") + closing}
}

// PathText puts indices into the pieces of a path.
func PathText(pieces []string, at topo.At) string {
	var text string
	for i, piece := range pieces {
		if i > 0 && i <= len(at) {
			text += fmt.Sprint(at[i-1])
		}
		text += piece
	}
	return text
}
