package kubefleet

import (
	"encoding/json"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/client-go/util/jsonpath"

	"github.com/kubilitics/kubilitics/hub/internal/query"
)

// printedColumns are those that a definition asks for. A path that can't be read leaves its column empty.
func printedColumns(list []printed) []column {
	out := make([]column, 0, len(list)+1)
	aged := false
	for _, p := range list {
		path := jsonpath.New(p.Name).AllowMissingKeys(true)
		if path.Parse("{"+p.JSONPath+"}") != nil {
			path = nil
		}
		aged = aged || p.Name == "Age"
		c := column{TableColumnDefinition: metav1.TableColumnDefinition{Name: p.Name, Type: p.Type, Format: p.Format, Priority: p.Priority}}
		if p.Type == "date" {
			c.Type = "string"
		}
		c.cell = func(t *teller, o *query.Object) any { return t.printed(o, path, p.Type) }
		out = append(out, c)
	}
	if !aged {
		out = append(out, ageColumn)
	}
	return out
}

// printed gives what a path finds in the object's text.
func (t *teller) printed(o *query.Object, path *jsonpath.JSONPath, kind string) any {
	object := t.parsed(o)
	if path == nil || object == nil {
		return unlessText(kind)
	}
	found, err := path.FindResults(object)
	if err != nil || len(found) == 0 || len(found[0]) == 0 || !found[0][0].CanInterface() {
		return nil
	}
	switch v := found[0][0].Interface(); kind {
	case "date":
		text, _ := v.(string)
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			return duration.HumanDuration(t.now.Sub(at))
		}
		return unknown
	case "string":
		var all strings.Builder
		if path.PrintResults(&all, found[0]) != nil {
			return unknown
		}
		return all.String()
	default:
		return v
	}
}

// parsed reads an object's text once for all columns; nil where there is none.
func (t *teller) parsed(o *query.Object) any {
	if t.object != o {
		t.object, t.values = o, nil
		if len(o.Text) > 0 {
			_ = json.Unmarshal(o.Text, &t.values) // of what can't be read nothing is known
		}
	}
	return t.values
}

// unlessText says that the value isn't known, in a way that fits the column's type.
func unlessText(kind string) any {
	if kind == "string" || kind == "date" {
		return unknown
	}
	return nil
}
