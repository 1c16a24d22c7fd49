package desktop

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	_ "k8s.io/client-go/plugin/pkg/client/auth/oidc" // kubeconfigs name it
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// kubeconfig is the person's, of one file or several, as kubectl takes it. One goroutine uses it.
type kubeconfig struct {
	rules *clientcmd.ClientConfigLoadingRules
	files []string // whose state tells that something changed: its own, and those that it names
	seen  []stamp
}

// stamp is by what a file is known to be another one than before.
type stamp struct {
	size  int64
	mod   time.Time
	there bool
}

// entry is one context.
type entry struct {
	name  string
	print [sha256.Size]byte // differs when the cluster must be connected to anew
	rest  *rest.Config
	err   error // why it can't be used
}

func newKubeconfig(named string) *kubeconfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.MigrationRules, rules.WarnIfAllMissing = nil, false // it is only read
	if named != "" {
		rules.Precedence = filepath.SplitList(named)
	}
	return &kubeconfig{rules: rules, files: rules.Precedence}
}

// own are the files that it is made of.
func (k *kubeconfig) own() []string { return k.rules.Precedence }

// changed tells whether a file is another than when it was last asked. Looking is cheap, and finds what notifications miss: files that don't exist yet,
// links, file systems of other machines.
func (k *kubeconfig) changed() bool {
	now := make([]stamp, len(k.files))
	for i, f := range k.files {
		now[i] = stampOf(f)
	}
	same := slices.Equal(now, k.seen)
	k.seen = now
	return !same
}

func stampOf(file string) stamp {
	info, err := os.Stat(file)
	if err != nil {
		return stamp{}
	}
	return stamp{size: info.Size(), mod: info.ModTime(), there: true}
}

// read gives the contexts. With an error they are those of the files that can be read.
func (k *kubeconfig) read() (map[string]entry, error) {
	before := map[string]stamp{} // what is written while this reads is news at the next look
	for _, f := range k.own() {
		before[f] = stampOf(f)
	}
	cfg, err := k.rules.Load()
	if cfg == nil {
		return nil, err
	}
	out := map[string]entry{}
	k.files = slices.Clone(k.own())
	for name, c := range cfg.Contexts {
		out[name] = k.entry(cfg, name, c)
	}
	slices.Sort(k.files)
	k.files = slices.Compact(k.files)
	k.seen = make([]stamp, len(k.files))
	for i, f := range k.files {
		var own bool
		if k.seen[i], own = before[f]; !own {
			k.seen[i] = stampOf(f)
		}
	}
	return out, err
}

func (k *kubeconfig) entry(cfg *api.Config, name string, c *api.Context) entry {
	e := entry{name: name}
	cluster, user := cfg.Clusters[c.Cluster].DeepCopy(), cfg.AuthInfos[c.AuthInfo].DeepCopy()
	named := k.named(cluster, user)
	e.print = fingerprint(cluster, user, named)
	if cluster == nil { // of which client-go says only that no configuration was provided
		e.err = fmt.Errorf("the kubeconfig has no cluster %q", c.Cluster)
		return e
	}
	e.rest, e.err = clientcmd.NewNonInteractiveClientConfig(*cfg, name, &clientcmd.ConfigOverrides{}, k.rules).ClientConfig()
	if e.err != nil {
		return e
	}
	if e.rest.ExecProvider != nil { // many plugins at a time can't all ask one person at one terminal
		e.rest.ExecProvider.StdinUnavailable = true
		e.rest.ExecProvider.StdinUnavailableMessage = "log in with the plugin in a terminal first"
	}
	e.rest.Dial = (&net.Dialer{Timeout: dialPatience, KeepAlive: 15 * time.Second}).DialContext
	return e
}

// named are the files that a context names. Tokens in files are left out: they come and go, and are read anew as it is.
func (k *kubeconfig) named(cluster *api.Cluster, user *api.AuthInfo) (out []string) {
	if cluster != nil {
		out = append(out, cluster.CertificateAuthority)
	}
	if user != nil {
		out = append(out, user.ClientCertificate, user.ClientKey)
	}
	out = slices.DeleteFunc(out, func(f string) bool { return f == "" })
	k.files = append(k.files, out...)
	return out
}

// fingerprint tells two ways of reaching a cluster apart. It never leaves the process, since it is made of secrets too.
func fingerprint(cluster *api.Cluster, user *api.AuthInfo, files []string) [sha256.Size]byte {
	if cluster != nil {
		cluster.Extensions = nil
	}
	if user != nil {
		user.Extensions = nil
		if user.AuthProvider != nil {
			user.AuthProvider.Config = nil // it writes its tokens there itself
		}
	}
	h := sha256.New()
	_ = json.NewEncoder(h).Encode([]any{cluster, user}) // a hash takes everything
	for _, f := range files {
		fmt.Fprintln(h, f, stampOf(f))
	}
	return [sha256.Size]byte(h.Sum(nil))
}
