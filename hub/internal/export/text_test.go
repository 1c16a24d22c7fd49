package export

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	dotformat "gonum.org/v1/gonum/graph/formats/dot"
	dotast "gonum.org/v1/gonum/graph/formats/dot/ast"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func pages(graphs ...*query.Graph) iter.Seq2[*query.Graph, error] {
	return func(yield func(*query.Graph, error) bool) {
		for _, g := range graphs {
			if !yield(g, nil) {
				return
			}
		}
	}
}

func write(t testing.TB, f Format, o Options, graphs ...*query.Graph) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, f, pages(graphs...), o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// texts are the text formats with their options, by the names of golden files.
func texts() map[string]struct {
	Format
	Options
} {
	out := map[string]struct {
		Format
		Options
	}{}
	for _, f := range Formats {
		if f.Drawn() {
			continue
		}
		if f != CSV {
			out["demo."+f.Extension()] = struct {
				Format
				Options
			}{f, sampleOptions}
			continue
		}
		for _, table := range []Table{NodesTable, EdgesTable} {
			o := sampleOptions
			o.Table = table
			out[string("demo-"+table+".csv")] = struct {
				Format
				Options
			}{f, o}
		}
	}
	return out
}

func TestTextsAreAsAgreed(t *testing.T) {
	for name, f := range texts() {
		got := write(t, f.Format, f.Options, demo())
		path := filepath.Join("testdata", name)
		if *rewrite {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs; see it after go test -rewrite", path)
		}
	}
}

// halves are the demo as two pages: each end that is on the other page stands as outside, and edges between the two are on both.
func halves() (a, b *query.Graph) {
	whole := demo()
	half := len(whole.Nodes) / 2
	first := map[string]bool{}
	for i := range half {
		first[whole.Nodes[i].ID] = true
	}
	out := [2]*query.Graph{{Meta: whole.Meta, Truncated: &query.Truncation{Continue: "more"}}, {Meta: whole.Meta}}
	for p, g := range out {
		needed := map[string]bool{}
		for _, e := range whole.Edges {
			if first[e.Source.ID] == (p == 0) || first[e.Target.ID] == (p == 0) {
				g.Edges = append(g.Edges, e)
				needed[e.Source.ID], needed[e.Target.ID] = true, true
			}
		}
		for _, n := range whole.Nodes {
			switch own := first[n.ID] == (p == 0); {
			case own:
				g.Nodes = append(g.Nodes, n)
			case needed[n.ID]:
				n.Outside = true
				g.Nodes = append(g.Nodes, n)
			}
		}
	}
	return out[0], out[1]
}

func TestPagesBecomeOneGraph(t *testing.T) {
	a, b := halves()
	whole := demo()
	var got query.Graph
	if err := json.Unmarshal([]byte(write(t, JSON, sampleOptions, a, b)), &got); err != nil {
		t.Fatal(err)
	}
	if got.Position != whole.Position || !reflect.DeepEqual(got.Freshness, whole.Freshness) || got.Truncated != nil {
		t.Errorf("position %d, freshness %v, left out %v", got.Position, got.Freshness, got.Truncated)
	}
	byID := func(a, b query.GraphNode) int { return strings.Compare(a.ID, b.ID) }
	slices.SortFunc(got.Nodes, byID)
	slices.SortFunc(whole.Nodes, byID)
	if len(got.Nodes) != len(whole.Nodes) || len(got.Edges) != len(whole.Edges) {
		t.Fatalf("%d nodes and %d edges, want %d and %d", len(got.Nodes), len(got.Edges), len(whole.Nodes), len(whole.Edges))
	}
	for i := range got.Nodes {
		if g, w := &got.Nodes[i], &whole.Nodes[i]; g.ID != w.ID || g.Outside != w.Outside {
			t.Errorf("%s is outside: %v, want %v", w.Name, g.Outside, w.Outside)
		}
	}
	for _, f := range []Format{GraphML, DOT, Mermaid, CSV} {
		one, two := lines(write(t, f, sampleOptions, whole)), lines(write(t, f, sampleOptions, a, b))
		if f != Mermaid && !reflect.DeepEqual(one, two) { // Mermaid numbers nodes as they come
			t.Errorf("%s has other lines in two pages", f)
		}
	}
}

// counter counts what was written.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// Pages are written while others are still to come.
func TestTextsStream(t *testing.T) {
	for name, f := range texts() {
		var written counter
		many := func(yield func(*query.Graph, error) bool) {
			for i := range 200 {
				if i == 199 && written == 0 {
					t.Errorf("%s: nothing is written before the last page", name)
				}
				s := newSample()
				for k := range 20 {
					s.node(fmt.Sprintf("Pod page-%d/%d", i, k), topo.OK, "Running")
				}
				s.edge(topo.Owns, fmt.Sprintf("Pod page-%d/1", i), fmt.Sprintf("Pod page-%d/2", i))
				s.edge(topo.Owns, fmt.Sprintf("Pod page-%d/1", i), fmt.Sprintf("Pod page-%d/3", i))
				s.graph.Truncated = &query.Truncation{Continue: "more"}
				if !yield(&s.graph, nil) {
					return
				}
			}
		}
		if f.Table == EdgesTable {
			continue // too short to leave the buffer
		}
		if err := Write(&written, f.Format, many, f.Options); err != nil {
			t.Error(err)
		}
	}
}

func lines(s string) []string { return slices.Sorted(strings.Lines(s)) }

func TestWhatIsLeftOutIsSaid(t *testing.T) {
	g := demo()
	g.Truncated = &query.Truncation{Reason: "there are more", Hint: "restrict <it>"}
	for name, f := range texts() {
		text := write(t, f.Format, f.Options, g)
		if said := strings.Contains(text, "there are more"); said != (f.Format != CSV) {
			t.Errorf("%s says it: %v", name, said)
		}
	}
	cut := errors.New("cut off")
	broken := func(yield func(*query.Graph, error) bool) { _ = yield(demo(), nil) && yield(nil, cut) }
	for _, f := range texts() {
		if err := Write(io.Discard, f.Format, broken, f.Options); !errors.Is(err, cut) {
			t.Errorf("%s: got %v", f.Format, err)
		}
	}
}

func TestNothingIsAGraphToo(t *testing.T) {
	var g query.Graph
	if err := json.Unmarshal([]byte(write(t, JSON, Options{})), &g); err != nil {
		t.Error(err)
	}
	if _, err := dotformat.ParseString(write(t, DOT, Options{})); err != nil {
		t.Error(err)
	}
}

func TestUnknownNamesAreBadRequests(t *testing.T) {
	_, format := ParseFormat("docx")
	_, table := ParseTable("all")
	for _, err := range []error{format, table, Write(io.Discard, PNG, pages(), Options{})} {
		if !fault.Is(err, fault.BadRequest) {
			t.Errorf("got %v", err)
		}
	}
	if f, err := ParseFormat("GraphML"); f != GraphML || err != nil {
		t.Errorf("got %v, %v", f, err)
	}
}

// A spool that outgrows its memory gives back what it got.
func TestSpoolOutgrowsMemory(t *testing.T) {
	var s spool
	var want bytes.Buffer
	for i := 0; want.Len() < 3*spoolMemory; i++ {
		p := bytes.Repeat([]byte(strconv.Itoa(i)), 50_000)
		want.Write(p)
		if err := s.write(p); err != nil {
			t.Fatal(err)
		}
	}
	var got bytes.Buffer
	if err := errors.Join(s.copy(&got), s.close()); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("got %d bytes of %d, %v", got.Len(), want.Len(), err)
	}
}

// nasty is a graph of two nodes and an edge that carry a text in all places.
func nasty(text string) *query.Graph {
	s := newSample()
	a := topo.Ref{Group: text, Kind: "K" + text, Namespace: text, Name: text}
	b := topo.Ref{Kind: "Pod", Name: "plain"}
	for _, ref := range []topo.Ref{a, b} {
		n := topo.Node{Ref: ref, Status: text, Labels: []topo.Pair{{Key: text, Value: text}}}
		s.graph.Nodes = append(s.graph.Nodes, query.GraphNode{Resource: query.ResourceOf(s.cluster, &n, 0)})
	}
	e := topo.Edge{Source: a, Target: b, Rule: text, Path: text, Type: topo.EdgeType("t" + text)}
	s.graph.Edges = append(s.graph.Edges, query.EdgeOf(s.cluster, &e, 0))
	return &s.graph
}

var nastyTexts = []string{
	"plain", `a "quoted" one`, `back\slash\`, `ends with \"`, "<b>&amp;]]>", "[x](y){z}|#35;`end`", "=cmd|' /C calc'!A0", "-1", "+1", "@x", "\ttab", "new\nline\r\nhere",
	"nul\x00 \x1b[31m", "grün 日本語 🐈", "--> B", "%%{init: {}}%%", "</svg><script>", "n1 -- x", "(a\\)b)", "\xff\xfe", "end", "'", ";", "subgraph", "\uFFFE\uFFFF", "A\rB",
}

func FuzzTextsCanBeReadBack(f *testing.F) {
	for _, s := range nastyTexts {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "\uFFFD") // agents let nothing else in
		o := Options{Title: text, Clusters: map[string]string{fleet.ClusterID(4242).String(): text}}
		readBackXML(t, text, write(t, GraphML, o, nasty(text)))
		readBackDOT(t, text, write(t, DOT, o, nasty(text)))
		readBackMermaid(t, write(t, Mermaid, o, nasty(text)))
		readBackCSV(t, text, write(t, CSV, o, nasty(text)))
		var g query.Graph
		if err := json.Unmarshal([]byte(write(t, JSON, o, nasty(text))), &g); err != nil || g.Nodes[0].Name != text || g.Edges[0].Path != text {
			t.Errorf("JSON: %v, name %q", err, g.Nodes[0].Name)
		}
	})
}

// xmlText is what XML can hold of a text: line ends are single, and what is no character is replaced.
func xmlText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return '\uFFFD'
		}
		return r
	}, s)
}

func readBackXML(t *testing.T, text, got string) {
	var doc struct {
		Nodes []struct {
			Data []struct {
				Key  string `xml:"key,attr"`
				Text string `xml:",chardata"`
			} `xml:"data"`
		} `xml:"graph>node"`
		Edges []struct {
			Source string `xml:"source,attr"`
		} `xml:"graph>edge"`
	}
	if err := xml.Unmarshal([]byte(got), &doc); err != nil {
		t.Fatalf("GraphML: %v in\n%s", err, got)
	}
	if len(doc.Nodes) != 2 || len(doc.Edges) != 1 {
		t.Fatalf("GraphML: %d nodes, %d edges", len(doc.Nodes), len(doc.Edges))
	}
	for _, d := range doc.Nodes[0].Data {
		if d.Key == "node-name" && d.Text != xmlText(text) {
			t.Errorf("GraphML: name %q, want %q", d.Text, xmlText(text))
		}
	}
}

func readBackDOT(t *testing.T, text, got string) {
	file, err := dotformat.ParseString(got)
	if err != nil {
		t.Fatalf("DOT: %v in\n%s", err, got)
	}
	nodes, edges := 0, 0
	var count func([]dotast.Stmt)
	count = func(stmts []dotast.Stmt) {
		for _, s := range stmts {
			switch s := s.(type) {
			case *dotast.NodeStmt:
				nodes++
			case *dotast.EdgeStmt:
				edges++
			case *dotast.Subgraph:
				count(s.Stmts)
			}
		}
	}
	count(file.Graphs[0].Stmts)
	if nodes != 2 || edges != 1 {
		t.Fatalf("DOT: %d nodes, %d edges for %q in\n%s", nodes, edges, text, got)
	}
}

// readBackMermaid checks the lines by the little of Mermaid's grammar that is used.
func readBackMermaid(t *testing.T, got string) {
	nodes, edges := 0, 0
	_, body, _ := strings.Cut(got, "flowchart LR\n")
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		inside := ""
		if first, last := strings.Index(line, `"`), strings.LastIndex(line, `"`); first >= 0 {
			inside = line[first+1 : last]
			line = line[:first] + line[last+1:]
		}
		if strings.ContainsAny(inside, "\"`[]{}()|\\") || strings.Count(inside, "<") != strings.Count(inside, "<br/>") {
			t.Errorf("Mermaid: a label holds %q", inside)
		}
		var a, b int
		switch n, _ := fmt.Sscanf(line, "n%d -->|| n%d", &a, &b); {
		case n == 2:
			edges++
		case strings.HasPrefix(line, "n"):
			nodes++
		}
	}
	if nodes != 2 || edges != 1 {
		t.Errorf("Mermaid: %d nodes, %d edges in\n%s", nodes, edges, got)
	}
}

func readBackCSV(t *testing.T, text, got string) {
	rows, err := csv.NewReader(strings.NewReader(got)).ReadAll()
	if err != nil || len(rows) != 3 {
		t.Fatalf("CSV: %d rows, %v in\n%s", len(rows), err, got)
	}
	name := rows[1][slices.Index(rows[0], "name")]
	if want := strings.ReplaceAll(text, "\r\n", "\n"); strings.TrimPrefix(name, "'") != strings.TrimPrefix(want, "'") {
		t.Errorf("CSV: name %q, want %q", name, want)
	}
	for _, cell := range rows[1] {
		if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
			t.Errorf("CSV: a spreadsheet runs %q", cell)
		}
	}
}

// mermaidReader reads texts from a JSON array and prints a line for each: its vertices, its edges, and its labels in the order of their names.
const mermaidReader = `
import fs from "node:fs"; import { JSDOM } from "jsdom";
const { window } = new JSDOM(""); globalThis.window = window; globalThis.document = window.document;
const { default: mermaid } = await import("mermaid");
for (const text of JSON.parse(fs.readFileSync(0, "utf8"))) {
  try {
    await mermaid.parse(text);
    const { db } = await mermaid.mermaidAPI.getDiagramFromText(text);
    console.log(db.getVertices().size, db.getEdges().length);
  } catch (e) { console.log(String(e).replaceAll("\n", " ")); }
}`

// With KUBILITICS_MERMAID naming a folder in which npm has installed mermaid and jsdom, Mermaid itself reads what is written.
func TestMermaidReadsIt(t *testing.T) {
	dir := os.Getenv("KUBILITICS_MERMAID")
	if dir == "" {
		t.Skip("KUBILITICS_MERMAID is not set")
	}
	var texts, want []string
	for i, text := range append([]string{"demo"}, nastyTexts...) {
		g := demo()
		if text = strings.ToValidUTF8(text, "\uFFFD"); i > 0 {
			g = nasty(text)
		}
		texts = append(texts, write(t, Mermaid, Options{Title: text}, g))
		want = append(want, fmt.Sprintf("%d %d", len(g.Nodes), len(g.Edges)))
	}
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "--input-type=module", "-e", mermaidReader)
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d answers to %d texts", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %s, want %s, of\n%s", got[i], want[i], texts[i])
		}
	}
}
