package command

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// logsRequest is which logs are wanted, and how they are shown.
type logsRequest struct {
	selector      string
	containers    []string
	allContainers bool
	follow        bool
	previous      bool
	tail          int64
	since         string
	timestamps    bool
	bare          bool
}

func (a *app) logsCommand() *cobra.Command {
	var w scope
	var o output
	var want logsRequest
	c := &cobra.Command{
		Use: "logs [POD | KIND/NAME]", Short: "Print the logs of one pod or many, of several clusters too", Args: between(0, 2),
		Long: `Prints the logs of a pod, of all pods of a workload or Service, or of those that -l selects, merged by time, each line with where it comes from. Where
the name or the selector means pods of several clusters, it is those of all of them, unless --cluster says otherwise.

With -f it goes on until Ctrl-C, also with pods that begin later. Remarks (a pod came, a container restarted, a log broke off) go to standard error.`,
		Example: `kubilitics logs deploy/api -n shop --cluster tidewater-eu --tail 20
kubilitics logs -l app.kubernetes.io/name=api -n shop --since 5m --timestamps
kubilitics logs deploy/api -n shop -f`,
	}
	w.where(a, c)
	flags := c.Flags()
	flags.StringVarP(&want.selector, "selector", "l", "", "of the pods that this label selector picks")
	flags.StringSliceVarP(&want.containers, "container", "c", nil, "containers; the one that the pod says people mean, or all but those that only begin or debug it, where none is given")
	flags.BoolVar(&want.allContainers, "all-containers", false, "of all containers, those that only begin or debug the pod too")
	flags.BoolVarP(&want.follow, "follow", "f", false, "go on as lines come")
	flags.BoolVarP(&want.previous, "previous", "p", false, "of the run before the last restart")
	flags.Int64Var(&want.tail, "tail", -1, "lines of each container at the end of what there is; -1 is all")
	flags.StringVar(&want.since, "since", "", "not older than this, such as 5m, or a time")
	flags.BoolVar(&want.timestamps, "timestamps", false, "the time before each line")
	flags.BoolVar(&want.bare, "no-prefix", false, "the lines alone, without where they come from")
	o.flag(c, "json")
	c.ValidArgsFunction = a.first(a.logged)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := o.check(); err != nil {
			return err
		}
		if (len(args) == 0) == (want.selector == "") {
			return fault.New(fault.BadRequest, "whose logs? Name a pod, or an object like deploy/web, or pods by -l")
		}
		return a.asks(func(s *session) error { return a.logs(c.Context(), s, w, o, want, args) })
	}
	return c
}

// logged completes pods, and what has pods.
func (a *app) logged(ctx context.Context, s *session, line *cobra.Command, args []string, begun string) ([]string, error) {
	if strings.Contains(begun, "/") {
		return a.objectNames(ctx, s, line, args, begun)
	}
	return a.objectNames(ctx, s, line, []string{"pod"}, begun)
}

// stream is the logs of some pods of one namespace of a cluster.
type stream struct {
	cluster client.Cluster
	query   url.Values
}

// most is how many streams are read at once; each may be of many pods.
const most = 20

func (a *app) logs(ctx context.Context, s *session, w scope, o output, want logsRequest, args []string) error {
	p := a.wait("looking for the pods")
	defer p.stop()
	streams, single, err := s.streams(ctx, w, want, args)
	if err != nil {
		return err
	}
	streams = a.reachable(streams)
	if len(streams) > most {
		return fault.New(fault.BadRequest, "that is pods in %d namespaces of clusters; at most %d can be read at once: say which with --cluster and -n", len(streams), most)
	}
	p.stop()
	to := &logPrinter{app: a, to: screenOf(a.Out), json: o.form == "json", times: want.timestamps, prefix: !want.bare && !single, clusters: len(clustersOf(streams)) > 1}
	return a.read(ctx, s, streams, want.follow, to)
}

// reachable leaves out those of clusters that are offline, as long as any is left.
func (a *app) reachable(list []stream) []stream {
	offline := func(x stream) bool { return x.cluster.Freshness.State != "live" }
	if !slices.ContainsFunc(list, func(x stream) bool { return !offline(x) }) {
		return list
	}
	return slices.DeleteFunc(list, func(x stream) bool {
		if offline(x) {
			a.say("note: %s is offline: its logs can't be read", x.cluster.Name)
		}
		return offline(x)
	})
}

func clustersOf(list []stream) []string {
	var ids []string
	for _, x := range list {
		ids = append(ids, x.cluster.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// streams finds out where the pods are. single tells that it is one pod with one container, whose lines need no prefix.
func (s *session) streams(ctx context.Context, w scope, want logsRequest, args []string) (list []stream, single bool, err error) {
	common := want.query()
	if want.selector != "" {
		list, err = s.selected(ctx, w, want.selector, common)
		return list, false, err
	}
	if len(args) == 1 && !strings.Contains(args[0], "/") {
		args = []string{"pod", args[0]}
	}
	found, n, err := s.candidates(ctx, w, args)
	if err != nil {
		return nil, false, err
	}
	if len(found) == 0 {
		return nil, false, s.nothing(ctx, w, n)
	}
	for _, t := range found {
		if t.Namespace == "" {
			return nil, false, fault.New(fault.BadRequest, "%s has no pods", t)
		}
		if t.Namespace != found[0].Namespace {
			return nil, false, fault.New(fault.BadRequest, "there is %s, and %s: say which with -n", found[0], t)
		}
		q := url.Values{"namespace": {t.Namespace}}
		if t.Kind == "Pod" && t.Group == "" {
			q.Set("pod", t.Name)
		} else {
			q.Set("owner", naming{kind: kindOf(t.Ref), name: t.Name}.focus())
		}
		list = append(list, stream{t.cluster, with(q, common)})
	}
	single = len(found) == 1 && found[0].Kind == "Pod" && (len(want.containers) == 1 || strings.HasSuffix(found[0].ready, "/1")) && !want.allContainers
	return list, single, nil
}

func kindOf(r client.Ref) string {
	if r.Group == "" {
		return r.Kind
	}
	return r.Kind + "." + r.Group
}

func with(q, more url.Values) url.Values {
	for k, v := range more {
		q[k] = v
	}
	return q
}

// selected finds the namespaces of clusters in which there are such pods now.
func (s *session) selected(ctx context.Context, w scope, selector string, common url.Values) ([]stream, error) {
	w.selector = selector
	query, err := w.values(ctx, s, "labelSelector")
	if err != nil {
		return nil, err
	}
	query.Set("kind", "Pod")
	pods, err := client.Listed[client.Resource](ctx, s.client, "/api/v1/resources", query, client.Reach{Page: pageRows})
	if err != nil {
		return nil, err
	}
	var out []stream
	seen := map[[2]string]bool{}
	for _, item := range pods.Items {
		at := [2]string{item.Value.Cluster, item.Value.Namespace}
		if !seen[at] {
			seen[at] = true
			out = append(out, stream{s.byID(at[0]), with(url.Values{"namespace": {at[1]}, "selector": {selector}}, common)})
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.NotFound, "there are no pods with %s", selector)
	}
	return out, nil
}

// query are the parameters that are the same for every stream.
func (want logsRequest) query() url.Values {
	out := url.Values{"format": {"ndjson"}}
	if len(want.containers) > 0 {
		out["container"] = want.containers
	}
	for key, is := range map[string]bool{"allContainers": want.allContainers, "follow": want.follow, "previous": want.previous} {
		if is {
			out.Set(key, "true")
		}
	}
	if want.tail >= 0 {
		out.Set("tail", strconv.FormatInt(want.tail, 10))
	}
	if want.since != "" {
		out.Set("since", strings.TrimPrefix(want.since, "-"))
	}
	return out
}
