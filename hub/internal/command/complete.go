package command

import (
	"context"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubilitics/kubilitics/hub/internal/client"
)

// A shell that completes a word waits for it: better nothing than late.
const (
	completing  = 2 * time.Second
	completions = 200
)

// source gives what a word may be; line is the command with the flags and arguments before it.
type source func(ctx context.Context, s *session, line *cobra.Command, args []string, begun string) ([]string, error)

// offers asks a source, within bounds. What goes wrong is told to nobody: there is no place for it on a line that is being typed.
func (a *app) offers(from source) cobra.CompletionFunc {
	return func(line *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		silent := *a
		silent.Err = io.Discard
		ctx, cancel := context.WithTimeout(line.Context(), completing)
		defer cancel()
		s, err := silent.session(completing)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer s.client.Close()
		before, last := "", begun
		if i := strings.LastIndex(begun, ","); i >= 0 { // lists are completed word by word
			before, last = begun[:i+1], begun[i+1:]
		}
		words, err := from(ctx, s, line, args, last)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for _, w := range words {
			if strings.HasPrefix(w, last) && len(out) < completions {
				out = append(out, before+w)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// completes has a flag's value completed.
func (a *app) completes(c *cobra.Command, flag string, from source) {
	_ = c.RegisterFlagCompletionFunc(flag, a.offers(from)) // fails for a flag that isn't there
}

// first has the first argument completed, and no other.
func (a *app) first(from source) cobra.CompletionFunc {
	offers := a.offers(from)
	return func(line *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return offers(line, args, begun)
	}
}

// hubs completes the first argument by those that one is logged in to.
func (a *app) hubs(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	silent := *a
	silent.Err = io.Discard
	all, err := silent.logins()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, h := range all.Hubs {
		out = append(out, h.Address)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) clusterNames(ctx context.Context, s *session, _ *cobra.Command, _ []string, _ string) ([]string, error) {
	all, err := s.fleet(ctx)
	return clusterNames(all), err
}

// narrowed is the question of a value, with the clusters that the line has named already.
func narrowed(ctx context.Context, s *session, line *cobra.Command, query url.Values) url.Values {
	words, err := line.Flags().GetStringSlice("cluster")
	if err != nil {
		return query
	}
	chosen, err := s.choose(ctx, words)
	if err != nil {
		return query
	}
	for _, c := range chosen {
		query.Add("cluster", c.ID)
	}
	return query
}

func (a *app) namespaceNames(ctx context.Context, s *session, line *cobra.Command, _ []string, begun string) ([]string, error) {
	return s.values(ctx, narrowed(ctx, s, line, url.Values{"key": {"ns"}, "prefix": {begun}, "limit": {"200"}}))
}

func (a *app) kindNames(ctx context.Context, s *session, line *cobra.Command, _ []string, begun string) ([]string, error) {
	kinds, err := s.values(ctx, narrowed(ctx, s, line, url.Values{"key": {"kind"}, "limit": {"200"}}))
	var out []string
	for _, k := range kinds {
		k = strings.ToLower(k)
		if bare, _, _ := strings.Cut(k, "."); !slices.Contains(out, bare) {
			k = bare
		}
		out = append(out, k)
	}
	for name := range short {
		if begun != "" && strings.HasPrefix(name, begun) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), err
}

// objectNames completes "kind name" and "kind/name".
func (a *app) objectNames(ctx context.Context, s *session, line *cobra.Command, args []string, begun string) ([]string, error) {
	kind, slash := "", ""
	if before, _, ok := strings.Cut(begun, "/"); ok {
		kind, slash = before, before+"/"
	} else if len(args) == 1 {
		kind = args[0]
	}
	switch {
	case kind == "" && len(args) == 0:
		return a.kindNames(ctx, s, line, args, begun)
	case kind == "" || len(args) > 1:
		return nil, nil
	}
	query := narrowed(ctx, s, line, url.Values{"kind": kindsOf([]string{kind})})
	if list, err := line.Flags().GetStringSlice("namespace"); err == nil {
		query["namespace"] = list
	}
	if prefix := strings.TrimPrefix(begun, slash); prefix != "" && !strings.ContainsAny(prefix, `"*?, `) {
		query.Set("q", "name="+prefix+"*")
	}
	list, err := client.Listed[client.Resource](ctx, s.client, "/api/v1/resources", query, client.Reach{Page: completions, Limit: completions})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, item := range list.Items {
		out = append(out, slash+item.Value.Name)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
