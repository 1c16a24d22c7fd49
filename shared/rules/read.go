package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Read reads rows that a user wrote: the YAML text of a list of them. The error names the file and says of every row that can't be
// right which it is and what is wrong with it.
func Read(file string, text []byte) ([]Row, error) {
	var items []json.RawMessage
	raw, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "%s: %s", file, err.Error())
	}
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, fault.New(fault.BadRequest, "%s: it isn't a list of rows, each of which begins with \"- name:\"", file)
	}
	var rows []Row
	var wrong []string
	bad := fault.New(fault.BadRequest, "")
	for i, item := range items {
		row, err := readRow(item)
		if err == nil && slices.ContainsFunc(slices.Concat(rows, defaultRows), func(r Row) bool { return r.Name == row.Name }) {
			err = fault.New(fault.BadRequest, "rule %q: there is another one of this name", row.Name)
		}
		if err != nil {
			bad = bad.WithField(file, "row %d: %s", i+1, err.Error())
			wrong = append(wrong, bad.Fields[len(bad.Fields)-1].Reason)
			continue
		}
		rows = append(rows, row)
	}
	if len(wrong) > 0 {
		bad.Message = file + ": " + strings.Join(wrong, "; ")
		return nil, bad
	}
	return rows, nil
}

func readRow(item []byte) (Row, error) {
	var row Row
	dec := json.NewDecoder(bytes.NewReader(item))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&row); err != nil {
		return row, rowError(row.Name, err)
	}
	if row.Func != "" {
		// What a function reads and needs is known to the rows that are built in.
		return row, fault.New(fault.BadRequest, "rule %q: functions are for built-in rows: write a \"ref\" or a \"select\"", row.Name)
	}
	_, err := New([]Row{row})
	return row, err
}

// rowError says in the row's words what its decoder says in Go's.
func rowError(name string, err error) error {
	var wrong *json.UnmarshalTypeError
	text := strings.TrimPrefix(err.Error(), "json: ")
	switch {
	case errors.As(err, &wrong) && wrong.Field == "":
		text = "a row is a map that begins with \"name:\""
	case errors.As(err, &wrong):
		text = "the " + wrong.Value + " at \"" + wrong.Field + "\" is none of what belongs there"
	}
	return fault.New(fault.BadRequest, "rule %q: %s", name, text)
}
