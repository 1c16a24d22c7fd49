package command

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// ownUser is what the names of users that a hub gives begin with.
const ownUser = "kubilitics@"

// merge adds a kubeconfig to the one that is in use. Entries of others are left as they are, and so is the current context, if there is one.
func (a *app) merge(made *clientcmdapi.Config, want kubeconfigRequest) error {
	paths := clientcmd.NewDefaultPathOptions()
	if want.write != usualFile {
		paths.LoadingRules.ExplicitPath = want.write
	}
	have, err := paths.GetStartingConfig()
	if err != nil {
		return fault.Wrap(err, fault.BadRequest, "your kubeconfig can't be read")
	}
	if foreign := foreign(have, made); foreign != "" {
		return fault.New(fault.Conflict, "%q is in your kubeconfig already, and means something else there: give the new ones other names with --prefix", foreign)
	}
	into(have.Clusters, made.Clusters, func(c, before *clientcmdapi.Cluster) { c.LocationOfOrigin = before.LocationOfOrigin })
	into(have.Contexts, made.Contexts, func(c, before *clientcmdapi.Context) {
		c.LocationOfOrigin, c.Namespace = before.LocationOfOrigin, before.Namespace
	})
	into(have.AuthInfos, made.AuthInfos, func(u, before *clientcmdapi.AuthInfo) { u.LocationOfOrigin = before.LocationOfOrigin })
	if have.CurrentContext == "" {
		have.CurrentContext = made.CurrentContext
	}
	if err := clientcmd.ModifyConfig(paths, *have, false); err != nil {
		return fault.Wrap(err, fault.Internal, "your kubeconfig can't be written")
	}
	file := paths.GetDefaultFilename()
	for _, name := range slices.Sorted(maps.Keys(made.Contexts)) {
		a.say("%s has the context %s", file, name)
	}
	a.say("use one so: kubectl --context %s get pods -A", made.CurrentContext)
	return nil
}

// into puts new entries beside, or in the place of, those that are there.
func into[T any](have, made map[string]*T, like func(now, before *T)) {
	for name, entry := range made {
		if before, ok := have[name]; ok {
			like(entry, before)
		}
		have[name] = entry
	}
}

// foreign names an entry that would be replaced and isn't what an earlier run made; "" when there is none.
func foreign(have, made *clientcmdapi.Config) string {
	for _, name := range slices.Sorted(maps.Keys(made.Clusters)) {
		if before, ok := have.Clusters[name]; ok && !same(before.Server, made.Clusters[name].Server) {
			return name
		}
	}
	for _, name := range slices.Sorted(maps.Keys(made.Contexts)) {
		before, ok := have.Contexts[name]
		if ok && (before.Cluster != made.Contexts[name].Cluster || !strings.HasPrefix(before.AuthInfo, ownUser)) {
			return name
		}
	}
	return ""
}

// same tells whether two addresses are of one cluster: hubs move, and a cluster's id stays.
func same(before, now string) bool {
	a, errA := url.Parse(before)
	b, errB := url.Parse(now)
	if errA != nil || errB != nil {
		return false
	}
	_, pathA, _ := strings.Cut(a.Path, "/k8s/")
	_, pathB, _ := strings.Cut(b.Path, "/k8s/")
	return pathA == pathB && (a.Host == b.Host || strings.HasPrefix(pathA, "clusters/"))
}
