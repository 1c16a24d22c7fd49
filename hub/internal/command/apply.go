package command

import (
	"bytes"
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// applyRequest is what is applied, and how.
type applyRequest struct {
	files      []string
	cluster    string
	namespace  string
	dryRun     string
	validation string
	diff       bool
	force      bool
}

// applying is how long a hub may take before it answers.
const applying = 10 * time.Minute

func (a *app) applyCommand() *cobra.Command {
	var o output
	var want applyRequest
	c := &cobra.Command{
		Use: "apply -f FILE", Short: "Apply documents to a cluster, by server-side apply", Args: between(0, 0),
		Long: `Applies documents of YAML or JSON to a cluster, through the hub, by server-side apply, and tells what came of each. Namespaces and definitions of kinds come first,
whatever the order. It ends with 1 where any document failed.

With --dry-run the cluster does all but keep it; with --dry-run=impact nothing is sent to the cluster, and what the topology says would be touched is told.`,
		Example: "kubilitics apply -f web.yaml --cluster tidewater-eu --dry-run --diff\nkubectl kustomize . | kubilitics apply -f - --cluster tidewater-eu",
	}
	flags := c.Flags()
	flags.StringSliceVarP(&want.files, "filename", "f", nil, "files, or directories of files that end in .yaml, .yml or .json; - is standard input")
	flags.StringVar(&want.cluster, "cluster", "", "name or id of the cluster; it need not be said where there is only one")
	flags.StringVarP(&want.namespace, "namespace", "n", "", "of documents that name none")
	flags.StringVar(&want.dryRun, "dry-run", "", "server or impact; server where nothing is said")
	flags.Lookup("dry-run").NoOptDefVal = "server"
	flags.StringVar(&want.validation, "validate", "strict", "what becomes of fields that are unknown or given twice: strict, warn or ignore")
	flags.BoolVar(&want.diff, "diff", false, "print what differs from what is there")
	flags.BoolVar(&want.force, "force", false, "take fields from others who manage them")
	_ = c.MarkFlagFilename("filename", "yaml", "yml", "json")
	_ = c.RegisterFlagCompletionFunc("dry-run", cobra.FixedCompletions([]string{"server", "impact"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("validate", cobra.FixedCompletions([]string{"strict", "warn", "ignore"}, cobra.ShellCompDirectiveNoFileComp))
	a.completes(c, "cluster", a.clusterNames)
	a.completes(c, "namespace", a.namespaceNames)
	o.flag(c, "json", "yaml")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.check(); err != nil {
			return err
		}
		return a.apply(c.Context(), o, want)
	}
	return c
}

func (want applyRequest) query() (url.Values, error) {
	out := url.Values{}
	switch want.dryRun {
	case "":
	case "server", "impact":
		out.Set("dryRun", map[string]string{"server": "All", "impact": "impact"}[want.dryRun])
	default:
		return nil, fault.New(fault.BadRequest, "--dry-run can be server or impact, and not %q", want.dryRun)
	}
	strictness, ok := map[string]string{"strict": "Strict", "warn": "Warn", "ignore": "Ignore"}[strings.ToLower(want.validation)]
	if !ok {
		return nil, fault.New(fault.BadRequest, "--validate can be strict, warn or ignore, and not %q", want.validation)
	}
	out.Set("fieldValidation", strictness)
	for key, is := range map[string]bool{"diff": want.diff, "force": want.force} {
		if is {
			out.Set(key, "true")
		}
	}
	if want.namespace != "" {
		out.Set("namespace", want.namespace)
	}
	return out, nil
}

func (a *app) apply(ctx context.Context, o output, want applyRequest) error {
	query, err := want.query()
	if err != nil {
		return err
	}
	docs, err := a.documents(want.files)
	if err != nil {
		return err
	}
	s, err := a.session(applying)
	if err != nil {
		return err
	}
	defer s.client.Close()
	return a.again(s, a.applyTo(ctx, s, o, want, query, docs))
}

func (a *app) applyTo(ctx context.Context, s *session, o output, want applyRequest, query url.Values, docs *documents) error {
	var words []string
	if want.cluster != "" {
		words = []string{want.cluster}
	}
	c, err := s.one(ctx, words)
	if err != nil {
		return err
	}
	p := a.wait("applying to " + c.Name)
	defer p.stop()
	var done client.Kept[client.Applied]
	err = s.client.Send(ctx, client.Of(c.ID, "apply")+"?"+query.Encode(), client.Body{Type: docs.media, Reader: bytes.NewReader(docs.text)}, &done)
	p.stop()
	switch {
	case err != nil:
		return err
	case o.structured():
		err = o.print(a.Out, done)
	default:
		err = a.printApplied(&done.Value, want, docs)
	}
	if sum := done.Value.Summary; err == nil && sum.Failed > 0 {
		all := sum.Failed + sum.Created + sum.Configured + sum.Unchanged + sum.Unchecked
		err = fault.New(fault.Internal, "%d of %d documents failed", sum.Failed, all)
	}
	return err
}

func (a *app) printApplied(done *client.Applied, want applyRequest, docs *documents) error {
	to := screenOf(a.Out)
	for _, d := range done.Documents {
		if d.Outcome == "" {
			continue
		}
		if err := to.line("%s", appliedLine(to, d, want.dryRun, docs)); err != nil {
			return err
		}
		for _, c := range d.Conflicts {
			a.say("      %s is managed by %s; --force takes it", plainly(c.Field), plainly(c.Manager))
		}
		for _, text := range d.Warnings {
			a.say("warning: %s: %s", typed(refOf(d)), plainly(text))
		}
		if d.Diff != "" {
			if err := to.unified(d.Diff); err != nil {
				return err
			}
		}
	}
	if done.Impact == nil {
		return nil
	}
	for _, x := range done.Impact.Objects {
		text := plainly(x.Sentence)
		if x.Loss != nil && len(x.Loss.Affected) > 0 {
			text += ": " + verdict(to, x.Loss)
		}
		if err := to.line("%s", text); err != nil {
			return err
		}
	}
	return nil
}

func refOf(d client.AppliedDocument) client.Ref {
	return client.Ref{Group: d.Group, Kind: d.Kind, Namespace: d.Namespace, Name: d.Name}
}

func appliedLine(to screen, d client.AppliedDocument, dryRun string, docs *documents) string {
	p := map[string]paint{"created": green, "configured": yellow, "failed": red, "unchecked": yellow}[d.Outcome]
	text := typed(refOf(d))
	if d.Namespace != "" {
		text += " in " + d.Namespace
	}
	text = plainly(text) + " " + to.in(p, d.Outcome)
	if dryRun != "" {
		text += " (dry run)"
	}
	if d.Reason != "" {
		text += ": " + plainly(d.Reason)
	}
	if d.Outcome == "failed" {
		text += to.in(faint, " ("+docs.place(d.Line)+")")
	}
	return text
}

// place says where a line of what was sent stands.
func (d *documents) place(line int) string {
	for i := len(d.parts) - 1; i >= 0; i-- {
		if p := d.parts[i]; p.line <= line {
			return p.name + ":" + strconv.Itoa(line-p.line+1)
		}
	}
	return "line " + strconv.Itoa(line)
}
