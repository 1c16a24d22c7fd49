package command

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// formats by the ends of files' names.
var formats = map[string]string{
	".svg": "svg", ".png": "png", ".pdf": "pdf", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".mermaid": "mermaid", ".csv": "csv", ".graphml": "graphml", ".json": "json",
}

// exportRequest is what is exported beside the scope, and where it goes.
type exportRequest struct {
	format    string
	file      string
	focus     string
	depth     int
	direction string
	types     []string
	what      string
}

func (a *app) exportCommand() *cobra.Command {
	var w scope
	var want exportRequest
	c := &cobra.Command{
		Use: "export --format FORMAT [-o FILE]", Short: "Write a graph as a picture or a file", Args: between(0, 0),
		Long: `Writes the topology, as far as the flags say, as a picture (svg, png, pdf) or for other programs (dot, mermaid, graphml, csv, json). The name of the file
says the format where --format doesn't. A picture shows up to 400 resources (1,000 around a --focus), and groups of them where there are more.`,
		Example: "kubilitics export -n shop --cluster tidewater-eu -o shop.svg\nkubilitics export --focus deploy/api --depth 2 -n shop --cluster tidewater-eu --format mermaid\nkubilitics export --format csv --what edges -q kind:Service",
	}
	w.where(a, c)
	w.which(a, c, true)
	w.when(c)
	flags := c.Flags()
	flags.StringVar(&want.format, "format", "", "svg, png, pdf, dot, mermaid, csv, graphml or json")
	flags.StringVarP(&want.file, "output", "o", "-", "the file; - is standard output")
	flags.StringVar(&want.focus, "focus", "", "what is around this resource, kind/name")
	flags.IntVar(&want.depth, "depth", 1, "with --focus: steps from it, up to 10")
	flags.StringVar(&want.direction, "direction", "both", "with --focus: out, in or both")
	flags.StringSliceVar(&want.types, "type", nil, "types of relationships: owns, selects, mounts, references, routes, runs-on, …")
	flags.StringVar(&want.what, "what", "", "with csv: nodes or edges")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(slices.Compact(slices.Sorted(maps.Values(formats))), cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("what", cobra.FixedCompletions([]string{"nodes", "edges"}, cobra.ShellCompDirectiveNoFileComp))
	a.completes(c, "focus", func(ctx context.Context, s *session, line *cobra.Command, _ []string, begun string) ([]string, error) {
		return a.objectNames(ctx, s, line, nil, begun)
	})
	c.ValidArgsFunction = cobra.NoFileCompletions
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := want.complete(a.Out); err != nil {
			return err
		}
		return a.asks(func(s *session) error { return a.export(c.Context(), s, w, want) })
	}
	return c
}

func (want *exportRequest) complete(out io.Writer) error {
	if want.format == "" {
		want.format = formats[strings.ToLower(filepath.Ext(want.file))]
	}
	known := slices.Compact(slices.Sorted(maps.Values(formats)))
	switch {
	case want.format == "":
		return fault.New(fault.BadRequest, "--format says in which format: %s", strings.Join(known, ", "))
	case !slices.Contains(known, want.format):
		return fault.New(fault.BadRequest, "--format can be %s, and not %q", strings.Join(known, ", "), want.format)
	case want.file == "-" && (want.format == "png" || want.format == "pdf") && isTerminal(out):
		return fault.New(fault.BadRequest, "a terminal can't show %s: name a file with -o", want.format)
	}
	return nil
}

// path is where the file is had.
func (want *exportRequest) path(ctx context.Context, s *session, w scope) (string, error) {
	query, err := w.values(ctx, s, "selector")
	if err != nil {
		return "", err
	}
	path := "/api/v1/topology/export"
	if want.focus != "" {
		t, err := s.find(ctx, w, []string{want.focus})
		if err != nil {
			return "", err
		}
		path = client.Of(t.cluster.ID, "topology", "export")
		query = url.Values{"focus": {t.focus()}, "depth": {strconv.Itoa(want.depth)}, "direction": {want.direction}}
		if w.at != "" {
			query.Set("at", w.at)
		}
	}
	query.Set("format", want.format)
	if len(want.types) > 0 {
		query["type"] = want.types
	}
	if want.what != "" {
		query.Set("what", want.what)
	}
	return path + "?" + query.Encode(), nil
}

func (a *app) export(ctx context.Context, s *session, w scope, want exportRequest) error {
	p := a.wait("drawing")
	defer p.stop()
	path, err := want.path(ctx, s, w)
	if err != nil {
		return err
	}
	answer, err := s.client.Open(ctx, http.MethodGet, path, "*/*", nil)
	if err != nil {
		return s.nearestKind(ctx, strings.Join(w.kinds, ","), err)
	}
	defer answer.Close()
	if want.file != "-" {
		n, err := write(want.file, answer)
		p.stop()
		if err == nil {
			a.say("%s: %s bytes", want.file, number(int(n)))
		}
		return err
	}
	p.stop()
	_, err = io.Copy(a.Out, answer)
	return err
}

// write makes a file of all that is read, or none at all.
func write(path string, from io.Reader) (int64, error) {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return 0, fault.Wrap(err, fault.BadRequest, "the file can't be written")
	}
	n, err := io.Copy(temp, from)
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Chmod(temp.Name(), 0o644) //nolint:gosec // it is no secret: umask would have let others read it too
	}
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return n, errors.Join(err, os.Remove(temp.Name()))
	}
	return n, nil
}
