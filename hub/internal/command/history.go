package command

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// historyRequest is what of a resource's history is wanted; the zero value is the list.
type historyRequest struct {
	revision int64
	compare  string
	context  int
}

func (a *app) historyCommand() *cobra.Command {
	var w scope
	var o output
	var r rows
	var want historyRequest
	c := &cobra.Command{
		Use: "history KIND/NAME", Short: "Tell what a resource was, revision by revision", Args: between(1, 2),
		Long: `Lists the revisions of a resource, newest first, with what each changed. With --revision the text of one is printed, by its number or any position at
which it held; with --compare the difference of two, FROM..TO, or of one and the newest, FROM.

A resource that is gone has a history too; --cluster and -n must say where it was.`,
		Example: "kubilitics history deploy/fraud-scorer -n payments --cluster tidewater-eu",
	}
	w.where(a, c)
	flags := c.Flags()
	flags.Int64Var(&want.revision, "revision", 0, "print the text of this revision")
	flags.StringVar(&want.compare, "compare", "", "print the difference of two revisions, FROM..TO, or of FROM and the newest")
	flags.IntVar(&want.context, "context", 3, "lines around each difference")
	r.flag(c, 20)
	o.flag(c, "json", "yaml")
	c.ValidArgsFunction = a.offers(a.objectNames)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := o.check(); err != nil {
			return err
		}
		if want.revision != 0 && want.compare != "" {
			return fault.New(fault.BadRequest, "--revision and --compare exclude each other")
		}
		return a.asks(func(s *session) error {
			t, err := s.findEver(c.Context(), w, args)
			switch {
			case err != nil:
				return err
			case want.compare != "":
				return a.compare(c.Context(), s, o, t, want)
			case want.revision != 0:
				return a.revision(c.Context(), s, o, t, want.revision)
			}
			return a.revisions(c.Context(), s, o, r, t)
		})
	}
	return c
}

// findEver finds what is there, or was.
func (s *session) findEver(ctx context.Context, w scope, args []string) (target, error) {
	t, err := s.find(ctx, w, args)
	if !fault.Is(err, fault.NotFound) {
		return t, err
	}
	n, bad := readNaming(args)
	if bad != nil {
		return t, bad
	}
	if n.namespace == "" && len(w.namespaces) == 1 {
		n.namespace = w.namespaces[0]
	}
	c, unsure := s.one(ctx, w.clusters)
	if unsure != nil {
		return t, err
	}
	var kinds struct {
		Items []struct{ Group, Kind, Plural string } `json:"items"`
	}
	if s.client.Get(ctx, client.Of(c.ID, "api-resources"), &kinds) != nil {
		return t, err
	}
	word, group, inGroup := strings.Cut(n.kind, ".")
	for _, k := range kinds.Items {
		if (strings.EqualFold(word, k.Kind) || strings.EqualFold(word, k.Plural)) && (!inGroup || strings.EqualFold(group, k.Group)) {
			was := target{cluster: c, Ref: client.Ref{Group: k.Group, Kind: k.Kind, Namespace: n.namespace, Name: n.name}}
			if s.client.Get(ctx, resourcePath(c.ID, was.Ref, "history")+"?limit=1", nil) == nil {
				return was, nil
			}
		}
	}
	return t, err
}

func (a *app) revisions(ctx context.Context, s *session, o output, r rows, t target) error {
	list, err := client.Listed[client.Revision](ctx, s.client, resourcePath(t.cluster.ID, t.Ref, "history"), url.Values{}, r.reach(500, nil))
	switch {
	case err != nil:
		return err
	case o.structured():
		return o.print(a.Out, list)
	}
	if err := printRevisions(screenOf(a.Out), list, time.Now()); err != nil {
		return err
	}
	a.offline(s, list.Meta)
	a.told("revisions", len(list.Items), nil, list.Continue)
	return nil
}

func printRevisions(to screen, list *client.List[client.Revision], now time.Time) error {
	t := columns("REVISION", "BEGAN", "LASTED", "HEALTH", "STATUS", "CHANGED")
	for _, item := range list.Items {
		v := item.Value
		began, lasted := "before what is kept", "-"
		if v.From != nil {
			began = clock(*v.From)
			end := now
			if v.To != nil {
				end = *v.To
			}
			lasted = age(v.From, end)
			if v.To == nil {
				lasted += " so far"
			}
		}
		t.row(strconv.FormatInt(v.Revision, 10), began, lasted, to.health(fares(v.Resource.Presence, v.Resource.Health)), v.Resource.Status, told(v))
	}
	return t.print(to)
}

// told says what a revision changed, in a line.
func told(v client.Revision) string {
	var parts []string
	if v.Came {
		parts = append(parts, "came")
	}
	came := slices.ContainsFunc(v.Changed, func(f client.FieldChange) bool { return f.Field == "presence" })
	for _, f := range v.Changed {
		switch {
		case came && slices.Contains([]string{"created", "uid", "version", "health", "manifest"}, f.Field): // goes without saying
			continue
		case f.Field == "manifest":
			parts = append(parts, "text")
			continue
		}
		parts = append(parts, f.Field+" "+value(f.Before)+" → "+value(f.After))
	}
	if v.Went {
		parts = append(parts, "(gone since)")
	}
	if v.Late {
		parts = append(parts, "(found late, after an outage)")
	}
	return strings.Join(parts, ", ")
}

func (a *app) revision(ctx context.Context, s *session, o output, t target, number int64) error {
	var text client.Kept[client.RevisionText]
	if err := s.client.Get(ctx, resourcePath(t.cluster.ID, t.Ref, "history", strconv.FormatInt(number, 10)), &text); err != nil {
		return err
	}
	if o.structured() {
		return o.print(a.Out, text)
	}
	if text.Value.Mode == "attributes" {
		a.say("note: the object's text isn't kept; this is what the hub knew of it")
	}
	return screenOf(a.Out).line("%s", strings.TrimRight(text.Value.YAML, "\n"))
}

func (a *app) compare(ctx context.Context, s *session, o output, t target, want historyRequest) error {
	from, to, both := strings.Cut(want.compare, "..")
	path := resourcePath(t.cluster.ID, t.Ref)
	if !both {
		list, err := client.Listed[client.Revision](ctx, s.client, path+"/history", url.Values{}, client.Reach{Page: 1, Limit: 1})
		if err != nil || len(list.Items) == 0 {
			return err
		}
		to = strconv.FormatInt(list.Items[0].Value.Revision, 10)
	}
	query := url.Values{"from": {from}, "to": {to}, "context": {strconv.Itoa(want.context)}}
	var c client.Kept[client.Comparison]
	if err := s.client.Get(ctx, path+"/compare?"+query.Encode(), &c); err != nil {
		return err
	}
	if o.structured() {
		return o.print(a.Out, c)
	}
	if c.Value.Mode == "attributes" {
		a.say("note: the object's text isn't kept of both; this is what the hub knew of it")
	}
	if c.Value.Unified == "" {
		a.say("the revisions have the same text")
		return nil
	}
	return screenOf(a.Out).unified(c.Value.Unified)
}

// unified prints a unified diff, with colours where they can be seen.
func (s screen) unified(text string) error {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		p := plain
		switch {
		case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "---"):
			p = bold
		case strings.HasPrefix(line, "+"):
			p = green
		case strings.HasPrefix(line, "-"):
			p = red
		case strings.HasPrefix(line, "@@"):
			p = cyan
		}
		b.WriteString(s.in(p, line) + "\n")
	}
	_, err := s.Write([]byte(b.String()))
	return err
}
