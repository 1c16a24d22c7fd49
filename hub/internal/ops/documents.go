package ops

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Bounds of what is applied at once.
const (
	MaxDocuments = 64 << 20 // bytes, of all together
	maxDocument  = 3 << 20  // bytes; an API server takes no more
	maxObjects   = 10_000
	maxFaults    = 20 // of those that are told of one request
)

// document is an object that is to be applied.
type document struct {
	number int // of the document it stands in, from 1
	line   int // at which that begins, from 1
	header heading
	text   []byte // JSON
}

// heading is what must be known of an object to apply it; the rest of it is the cluster's to judge.
type heading struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	naming     `json:"metadata"`
}

type naming struct {
	Name         string `json:"name"`
	Namespace    string `json:"namespace"`
	GenerateName string `json:"generateName"`
}

// chunk is a document that wasn't read yet.
type chunk struct {
	line int
	text []byte
}

// begins is the line of the first thing that it says.
func (c chunk) begins() int {
	at := c.line
	for line := range bytes.Lines(c.text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return at
		}
		at++
	}
	return c.line
}

// parse reads documents of YAML, or of JSON one after the other. Lists are taken apart, and empty documents left out. What can't be read is a BadRequest
// that names each such document and its line; strict also refuses keys that are given twice.
func parse(text []byte, isJSON, strict bool) ([]*document, error) {
	if len(text) > MaxDocuments {
		return nil, fault.New(fault.BadRequest, "the documents have %d bytes; at most %d can be applied at once", len(text), MaxDocuments)
	}
	chunks := splitYAML(text)
	if isJSON {
		var err error
		if chunks, err = splitJSON(text); err != nil {
			return nil, err
		}
	}
	p := &parser{json: isJSON, strict: strict, bad: fault.New(fault.BadRequest, "not every document can be read; nothing was applied")}
	for i, c := range chunks {
		p.document(i+1, c)
	}
	switch {
	case len(p.bad.Fields) > 0:
		return nil, p.bad
	case len(p.out) == 0:
		return nil, fault.New(fault.BadRequest, "there is no document to apply")
	case len(p.out) > maxObjects:
		return nil, fault.New(fault.BadRequest, "there are %d objects; at most %d can be applied at once", len(p.out), maxObjects)
	}
	return p.out, nil
}

// splitYAML cuts at the markers of documents. What stands behind a marker on its line belongs to the document; nothing is copied.
func splitYAML(text []byte) []chunk {
	var out []chunk
	begin, first, n, at := 0, 1, 0, 0
	cut := func(end, next, line int) {
		out = append(out, chunk{first, text[begin:end]})
		begin, first = next, line
	}
	for line := range bytes.Lines(text) {
		n++
		switch mark := bytes.TrimRight(line, " \t\r\n"); {
		case string(mark) == "---":
			cut(at, at+len(line), n+1)
		case bytes.HasPrefix(line, []byte("--- ")), bytes.HasPrefix(line, []byte("---\t")):
			cut(at, at+len("--- "), n)
		case string(mark) == "...":
			cut(at, at+len(line), n+1)
		case line[0] == '%' && len(bytes.TrimSpace(text[begin:at])) == 0: // a directive
			begin, first = at+len(line), n+1
		}
		at += len(line)
	}
	cut(len(text), len(text), n)
	return numbered(out)
}

// numbered leaves out what stands before the first marker, where that says nothing: it isn't a document that people count.
func numbered(chunks []chunk) []chunk {
	for line := range bytes.Lines(chunks[0].text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return chunks
		}
	}
	return chunks[min(1, len(chunks)-1):]
}

func splitJSON(text []byte) ([]chunk, error) {
	var out []chunk
	d := json.NewDecoder(bytes.NewReader(text))
	for {
		var one json.RawMessage
		err := d.Decode(&one)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			rest := text[d.InputOffset():]
			begins := len(text) - len(bytes.TrimLeft(rest, " \t\r\n"))
			return nil, fault.Wrap(err, fault.BadRequest, "not every document can be read; nothing was applied").
				WithField(fmt.Sprintf("document %d", len(out)+1), "line %d: %v", lineAt(text, begins), err)
		}
		out = append(out, chunk{lineAt(text, int(d.InputOffset())-len(one)), one})
	}
}

// lineAt is the line, from 1, of what is there in a text.
func lineAt(text []byte, at int) int { return 1 + bytes.Count(text[:at], []byte("\n")) }

// parser gathers documents and what is wrong with them.
type parser struct {
	json, strict bool
	out          []*document
	bad          *fault.Error
}

func (p *parser) fail(number, line int, format string, args ...any) {
	if len(p.bad.Fields) < maxFaults {
		p.bad = p.bad.WithField(fmt.Sprintf("document %d", number), "line %d: %s", line, fmt.Sprintf(format, args...))
	}
}

func (p *parser) document(number int, c chunk) {
	text, err := p.toJSON(c.text)
	switch {
	case err != nil:
		line, why := lineOf(err)
		last := bytes.Count(bytes.TrimRight(c.text, " \t\r\n"), []byte("\n")) // a parser that misses something finds that out behind the end
		p.fail(number, c.line+min(line, last), "%s", why)
	case string(bytes.TrimSpace(text)) == "null": // empty, or comments alone
	default:
		p.object(number, c.begins(), text, 0)
	}
}

func (p *parser) toJSON(text []byte) ([]byte, error) {
	switch {
	case p.json && p.strict:
		var whole any
		again, err := kjson.UnmarshalStrict(text, &whole)
		return text, errors.Join(append(again, err)...)
	case p.json:
		return text, nil
	case p.strict:
		return yaml.YAMLToJSONStrict(text)
	default:
		return yaml.YAMLToJSON(text)
	}
}

var yamlLine = regexp.MustCompile(`(?s)^.*?line (\d+): (.*)$`)

// lineOf takes the line, counted from 0, out of what a parser of YAML says.
func lineOf(err error) (line int, why string) {
	m := yamlLine.FindStringSubmatch(err.Error())
	if m == nil {
		return 0, err.Error()
	}
	if line, err = strconv.Atoi(m[1]); err != nil {
		return 0, m[2]
	}
	if !strings.HasPrefix(m[2], "did not find expected") { // these count from 0 already
		line--
	}
	return max(line, 0), strings.TrimSpace(m[2])
}

// object takes an object, or what is in a List.
func (p *parser) object(number, line int, text []byte, depth int) {
	d := &document{number: number, line: line, text: text}
	if err := json.Unmarshal(text, &d.header); err != nil {
		p.fail(number, line, "isn't an object of Kubernetes: %v", plainJSON(err))
		return
	}
	if strings.HasSuffix(d.header.Kind, "List") && d.header.Name == "" {
		var list struct{ Items []json.RawMessage }
		if err := json.Unmarshal(text, &list); err == nil && list.Items != nil {
			p.list(number, line, list.Items, depth)
			return
		}
	}
	switch {
	case d.header.APIVersion == "" || d.header.Kind == "":
		p.fail(number, line, "%s has no %s", or(nonEmpty(d.header.Kind, d.header.Name), "it"), missing(d.header))
	case d.header.Name == "" && d.header.GenerateName != "":
		p.fail(number, line, "%s has generateName: what is applied needs a name", d.header.Kind)
	case d.header.Name == "":
		p.fail(number, line, "%s has no metadata.name", d.header.Kind)
	case len(text) > maxDocument:
		p.fail(number, line, "%s %s has %d bytes; an API server takes %d", d.header.Kind, d.header.Name, len(text), maxDocument)
	default:
		p.out = append(p.out, d)
	}
}

func (p *parser) list(number, line int, items []json.RawMessage, depth int) {
	if depth > 2 {
		p.fail(number, line, "holds lists in lists in lists")
		return
	}
	for _, item := range items {
		p.object(number, line, item, depth+1)
	}
}

func missing(o heading) string {
	if o.APIVersion == "" && o.Kind == "" {
		return "apiVersion and no kind"
	}
	if o.APIVersion == "" {
		return "apiVersion"
	}
	return "kind"
}

// plainJSON words what is wrong without the names of types in this program.
func plainJSON(err error) string {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Sprintf("%s can't be a %s", or(kind.Field, "it"), kind.Value)
	}
	return err.Error()
}
