package rules_test

import (
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/rules"
)

const goodRow = `
- name: widget-config
  type: references
  from: [Widget.example.com]
  ref: {to: ConfigMap, name: spec.config}
`

// TestRead gives files of rows: one that is right, and others with the words that their error must have.
func TestRead(t *testing.T) {
	row := func(fields string) string {
		return "- {name: widget-config, type: references, from: [Widget.example.com], " + fields + "}"
	}
	for text, want := range map[string]string{
		"":      "",
		goodRow: "",
		goodRow + "- name: widget-secret\n  type: references\n  from: [Widget.example.com]\n  at: ['spec.parts[*]']\n  ref: {to: Secret, name: secret, namespace: $.spec.space}\n": "",
		"- name: [":           "rows.yaml: yaml: line 1",
		"- a: 1\n  a: 2":      `key "a" already set`,
		"name: widget-config": "isn't a list of rows",
		"- widget-config":     "row 1: rule \"\": a row is a map",
		goodRow + "- name: widget-two\n  fro: [Pod]":                      `row 2: rule "widget-two": unknown field "fro"`,
		"- {name: widget-config, from: Widget.example.com}":               `the string at "from" is none of what belongs there`,
		row("ref: {to: ConfigMap, nam: a}"):                               `unknown field "nam"`,
		row("func: owners"):                                               "functions are for built-in rows",
		row("ref: {to: ConfigMap, name: 'spec.configs[0]'}"):              `the path "spec.configs[0]" lacks a dot`,
		goodRow + goodRow:                                                 `row 2: rule "widget-config": there is another one of this name`,
		strings.Replace(goodRow, "widget-config", "pod-node", 1):          `rule "pod-node": there is another one of this name`,
		strings.ReplaceAll(goodRow+goodRow, "references", "likes"):        `row 2: rule "widget-config": the type "likes" is none of`,
		row("versions: [example.com/v1], ref: {to: ConfigMap, name: a}"):  "is no version",
		strings.Replace(goodRow, "[Widget.example.com]", "['*', Pod]", 1): `"*" in "from" stands alone`,
	} {
		rows, err := rules.Read("rows.yaml", []byte(text))
		switch {
		case want == "" && (err != nil || len(rows) != strings.Count(text, "name: widget")):
			t.Errorf("%s\n%d rows, %v", text, len(rows), err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "rows.yaml: ")):
			t.Errorf("%s\nwant %q, got %v", text, want, err)
		case want != "" && fault.CodeOf(err) != fault.BadRequest:
			t.Errorf("%s: %s", text, fault.CodeOf(err))
		}
	}
}
