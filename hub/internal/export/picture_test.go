package export

import (
	"bytes"
	"compress/zlib"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/shared/fault"
)

func drawn(t testing.TB, f Format, o Options, groups func(int) (*Groups, error), graphs ...*query.Graph) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Draw(&b, f, pages(graphs...), groups, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// scenes are the drawings as scenes.
func scenes(t *testing.T) map[string]*scene {
	out := map[string]*scene{}
	painters["test"] = func(_ io.Writer, s *scene) error {
		out[t.Name()] = s
		return nil
	}
	defer delete(painters, "test")
	for name, d := range drawings() {
		drawn(t, "test", sampleOptions, groups(d.groups), d.pages...)
		out[name] = out[t.Name()]
	}
	delete(out, t.Name())
	return out
}

func TestLabelsCanBeRead(t *testing.T) {
	for name, s := range scenes(t) {
		var labels []*label
		for _, item := range s.items {
			l, ok := item.(*label)
			if !ok {
				continue
			}
			left, top, right, bottom := l.box()
			if left < 0 || top < 0 || right > s.width || bottom > s.height {
				t.Errorf("%s: %q leaves the page of %.0f x %.0f: %.0f, %.0f to %.0f, %.0f", name, l.text, s.width, s.height, left, top, right, bottom)
			}
			for _, o := range labels {
				if l2, t2, r2, b2 := o.box(); left < r2 && l2 < right && top < b2 && t2 < bottom {
					t.Errorf("%s: %q lies on %q", name, l.text, o.text)
				}
			}
			labels = append(labels, l)
		}
		if len(labels) == 0 {
			t.Errorf("%s says nothing", name)
		}
	}
}

func TestFiguresStayOnThePage(t *testing.T) {
	for name, s := range scenes(t) {
		for _, item := range s.items {
			if f, ok := item.(*figure); ok {
				if left, top, right, bottom := bounds(f.path); left < 0 || top < 0 || right > s.width || bottom > s.height {
					t.Errorf("%s: %q leaves the page: %.0f, %.0f to %.0f, %.0f", name, f.title, left, top, right, bottom)
				}
			}
		}
	}
}

// No line passes over a node that it has nothing to do with.
func TestLinesGoAroundNodes(t *testing.T) {
	for name, g := range map[string]*query.Graph{"demo": demo(), "small": small(), "large": large(5, 7), "fleet": fleetwide(), "odd": odd()} {
		p := ofGraph(g, &sampleOptions)
		p.thin()
		c := &composer{picture: p, scene: &scene{}}
		c.place()
		c.lines()
		next := 0
		for _, item := range c.scene.items {
			f := item.(*figure)
			if f.stroke == nil {
				continue // an arrow
			}
			l := p.links[next]
			next++
			for _, at := range (&raster{scale: 1}).flatten(f.path)[0] {
				for m := range p.marks {
					if d := c.middle(m); m != l.from && m != l.to && math.Abs(at.x-d.x) < markWidth/2 && math.Abs(at.y-d.y) < markHeight/2 {
						t.Errorf("%s: %s passes over %s", name, f.title, p.marks[m].name)
					}
				}
			}
		}
	}
}

func TestTooManyAreDrawnAsGroups(t *testing.T) {
	many := large(20, 12)
	text := string(drawn(t, SVG, sampleOptions, groups(few()), many))
	for _, said := range []string{"in 9 groups", "× 41, 1 warning", "production-eu", "14 Mar 2026 09:26:53 UTC", "position 184467", ">live<"} {
		if !strings.Contains(text, said) {
			t.Errorf("the picture doesn't say %q", said)
		}
	}
	if err := Draw(io.Discard, PNG, pages(many), nil, Options{}); !fault.Is(err, fault.BadRequest) {
		t.Errorf("without groups: %v", err)
	}
	failed := errors.New("failed")
	if err := Draw(io.Discard, PNG, pages(many), func(int) (*Groups, error) { return nil, failed }, Options{}); !errors.Is(err, failed) {
		t.Errorf("groups that fail: %v", err)
	}
	if err := Draw(io.Discard, JSON, pages(many), nil, Options{}); !fault.Is(err, fault.BadRequest) {
		t.Errorf("a text format: %v", err)
	}
}

func TestStalenessAndCutsAreSaid(t *testing.T) {
	for text, wants := range map[string][]string{
		string(drawn(t, SVG, sampleOptions, nil, small())):                   {"stale: production-eu since 14 Mar 2026 08:26:53 UTC"},
		string(drawn(t, SVG, sampleOptions, nil, odd())):                     {"Not everything is shown: there are more nodes"},
		string(drawn(t, SVG, sampleOptions, nil, large(5, 7))):               {"69 runs-on relations from box to box are not drawn", "Running on worker-2"},
		string(drawn(t, SVG, sampleOptions, nil, fleetwide())):               {"2 clusters", "never seen whole"},
		string(drawn(t, SVG, Options{}, nil, &query.Graph{})):                {"Topology", "0 resources"},
		string(drawn(t, SVG, sampleOptions, nil, nasty("<&>"))):              {"&lt;&amp;&gt;"},
		string(drawn(t, SVG, sampleOptions, groups(crowd()), large(20, 12))): {"counted by namespace and kind"},
	} {
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%.2000s", want, text)
			}
		}
	}
}

// The same graph gives the same bytes, in whatever order it comes.
func TestPicturesAreDeterministic(t *testing.T) {
	for _, f := range []Format{SVG, PNG, PDF} {
		a, b := small(), small()
		slices.Reverse(b.Nodes)
		first, again, turned := drawn(t, f, sampleOptions, nil, a), drawn(t, f, sampleOptions, nil, a), drawn(t, f, sampleOptions, nil, b)
		if !bytes.Equal(first, again) {
			t.Errorf("%s differs from time to time", f)
		}
		if f == PNG && len(first) != len(turned) {
			t.Errorf("%s differs in another order", f)
		}
	}
}

func FuzzPicturesCanBeReadBack(f *testing.F) {
	for _, s := range nastyTexts {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "\uFFFD")
		o := Options{Title: text, Clusters: map[string]string{fleet.ClusterID(4242).String(): text}}
		svg := xml.NewDecoder(bytes.NewReader(drawn(t, SVG, o, nil, nasty(text))))
		for {
			if _, err := svg.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal("SVG:", err)
			}
		}
		readBackPDF(t, drawn(t, PDF, o, nil, nasty(text)))
	})
}

func TestPNGCanBeReadBack(t *testing.T) {
	for _, name := range []string{"few", "none", "small"} {
		d := drawings()[name]
		im, err := png.Decode(bytes.NewReader(drawn(t, PNG, sampleOptions, groups(d.groups), d.pages...)))
		if err != nil || im.Bounds().Dx() < minWidth*pixelsPerUnit {
			t.Errorf("%s: %v, %v", name, im.Bounds(), err)
		}
	}
	for name, s := range scenes(t) {
		if _, area := pixels(s); area.Dx()*area.Dy() > maxPixels || area.Dx() < minWidth {
			t.Errorf("%s has %v", name, area)
		}
	}
}

var (
	pdfObject = regexp.MustCompile(`(?m)^(\d{10}) \d{5} n`)
	pdfStart  = regexp.MustCompile(`startxref\n(\d+)\n%%EOF`)
	pdfStream = regexp.MustCompile(`(?s)/FlateDecode\s*/Length (\d+)>>\s*stream\n`)
)

// readBackPDF follows the table of objects, and unpacks the streams.
func readBackPDF(t *testing.T, doc []byte) {
	start := pdfStart.FindSubmatch(doc)
	if start == nil {
		t.Fatal("PDF: no end")
	}
	at, err := strconv.Atoi(string(start[1]))
	if err != nil || !bytes.HasPrefix(doc[at:], []byte("xref")) {
		t.Fatalf("PDF: no table at %d", at)
	}
	for i, m := range pdfObject.FindAllSubmatch(doc[at:], -1) {
		offset, err := strconv.Atoi(string(m[1]))
		if want := fmt.Sprintf("%d 0 obj", i+1); err != nil || !bytes.HasPrefix(doc[offset:], []byte(want)) {
			t.Errorf("PDF: no %q at %d", want, offset)
		}
	}
	streams := pdfStream.FindAllSubmatchIndex(doc, -1)
	for _, m := range streams {
		r, err := zlib.NewReader(bytes.NewReader(doc[m[1]:]))
		if err != nil {
			t.Fatal("PDF:", err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Error("PDF:", err)
		}
	}
	if len(streams) == 0 {
		t.Error("PDF: no page")
	}
}

// Where Poppler is there, it reads the texts out of a PDF.
func TestPDFHoldsItsTexts(t *testing.T) {
	tool, err := exec.LookPath("pdftotext")
	if err != nil {
		t.Skip("pdftotext is not there")
	}
	cmd := exec.CommandContext(t.Context(), tool, "-", "-")
	cmd.Stdin = bytes.NewReader(drawn(t, PDF, sampleOptions, nil, odd()))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Shop, with its data", "grün-größe-naïve", "мониторинг-подов", "(paren\\th)", `a<b>&"c"`, "□□□□□□", "□-cat", "VerticalPodAutoscalerCheckpoint"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
}

func TestElisionKeepsBothEnds(t *testing.T) {
	for text, want := range map[string]string{"short": "short", "checkout-5b6c9d7f4-lw3le-and-more": "check…more", "": ""} {
		got := elide(text, 10, 60, false)
		if measure(got, 10, false) > 60 || text != got && !strings.Contains(got, ellipsis) || len(got) > len(want)+6 {
			t.Errorf("%q became %q", text, got)
		}
	}
	if got := elide("x", 10, 1, false); got != "" {
		t.Errorf("there is no room for %q", got)
	}
}

func TestAbbreviations(t *testing.T) {
	for kind, want := range map[string]string{"Pod": "Pod", "Deployment": "Deploy", "VirtualService": "VS", "Kustomization": "Kusto.", "Kafka": "Kafka", "ABCDEFGHIJ": "ABCDEF", "": ""} {
		if got := abbreviate(kind); got != want {
			t.Errorf("%s became %s, want %s", kind, got, want)
		}
	}
}

// With KUBILITICS_PICTURES naming a folder the pictures of the tests are written there, to be looked at.
func TestPicturesToLookAt(t *testing.T) {
	dir := os.Getenv("KUBILITICS_PICTURES")
	if dir == "" {
		t.Skip("KUBILITICS_PICTURES is not set")
	}
	for name, d := range drawings() {
		for _, f := range []Format{SVG, PNG, PDF} {
			start := time.Now()
			text := drawn(t, f, sampleOptions, groups(d.groups), d.pages...)
			t.Logf("%s as %s: %v, %d KiB", name, f, time.Since(start), len(text)>>10)
			if err := os.WriteFile(filepath.Join(dir, name+"."+f.Extension()), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
