package command

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// output is in which form something is printed.
type output struct {
	form  string
	forms []string
}

// flag adds -o with the forms there are besides the table for people.
func (o *output) flag(c *cobra.Command, forms ...string) {
	o.forms = append([]string{"table"}, forms...)
	c.Flags().StringVarP(&o.form, "output", "o", "table", "one of "+strings.Join(o.forms, ", "))
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(o.forms, cobra.ShellCompDirectiveNoFileComp)) // fails for a flag that isn't there
}

func (o *output) check() error {
	if !slices.Contains(o.forms, o.form) {
		return fault.New(fault.BadRequest, "-o can be %s, and not %q", strings.Join(o.forms, ", "), o.form)
	}
	return nil
}

// structured tells that the form is one for programs.
func (o *output) structured() bool { return o.form == "json" || o.form == "yaml" }

func (o *output) print(out io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err == nil && o.form == "yaml" {
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil {
		return fault.Wrap(err, fault.Internal, "the answer can't be printed")
	}
	_, err = fmt.Fprintln(out, strings.TrimRight(string(text), "\n"))
	return err
}
