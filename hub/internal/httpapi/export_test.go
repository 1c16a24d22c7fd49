package httpapi

import (
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/export"
)

func TestExports(t *testing.T) {
	r := newRig(t, options{})
	root := "/api/v1/clusters/" + r.shop.ID.String() + "/topology/export?format="
	for format, check := range map[string]func(text string) error{
		"json": func(text string) error { return json.Unmarshal([]byte(text), new(map[string]any)) },
		"graphml": func(text string) error {
			for d := xml.NewDecoder(strings.NewReader(text)); ; {
				if _, err := d.Token(); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
			}
		},
		"csv&what=edges": func(text string) error {
			rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
			if err == nil && len(rows) != 11 {
				err = errors.New(text)
			}
			return err
		},
		"dot": begins("digraph"), "mermaid": func(text string) error { return holds(text, "flowchart") },
		"svg": func(text string) error { return holds(text, "<svg", "web-a", "shop") }, "png": begins("\x89PNG"), "pdf": begins("%PDF-"),
	} {
		a := r.get(r.admin, root+format)
		if a.status != 200 {
			t.Errorf("%s: %d %s", format, a.status, a.text)
		} else if err := check(a.text); err != nil {
			t.Errorf("%s: %v", format, err)
		}
	}
	around := r.get(r.admin, root+"dot&depth=1&focus=Service/shop/web")
	if around.status != 200 || !strings.Contains(around.text, "web-b") || strings.Contains(around.text, "vault") {
		t.Errorf("around a Service: %d %s", around.status, around.text)
	}
	r.get(r.admin, "/api/v1/topology/export?format=csv&q=kind:Pod").expect(t, 200, "web-a", "vault")
	r.get(r.admin, root+"dwg").expect(t, 400, "mermaid")
	r.get(r.admin, root+"svg&q=nokey:x").expect(t, 400, "is no key")
	r.get(r.admin, root+"csv&at=soon").expect(t, 400, "neither a position")
}

func TestEveryFormatIsOffered(t *testing.T) {
	r := newRig(t, options{})
	for _, f := range export.Formats {
		r.get(r.admin, "/api/v1/topology/export?kind=Pod&format="+string(f)).expect(t, 200)
	}
}

func begins(with string) func(string) error {
	return func(text string) error {
		if !strings.HasPrefix(text, with) {
			return errors.New(text[:min(len(text), 40)])
		}
		return nil
	}
}

func holds(text string, words ...string) error {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return errors.New("there is no " + w + " in " + text)
		}
	}
	return nil
}
