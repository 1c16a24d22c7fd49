package httpapi

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	clientcmd "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// Public is how clients of Kubernetes come here, and the certificates (PEM) that they are to trust; nil is those they know.
type Public struct {
	URL   string // https://…; "" works it out from the request
	CA    []byte // at URL, and behind proxies
	OwnCA []byte // at the hub's own listener
}

// fleetContext is the name of the context that is all clusters at once.
const fleetContext = "fleet"

func (a *API) kubeconfig() {
	a.me()
	handle(a, givingKubeconfig("/api/v1/kubeconfig", "get-kubeconfig", "A kubeconfig for every cluster one may see, and for all of them at once"), a.kubeconfigOfAll)
	handle(a, givingKubeconfig(clusterRoot+"/kubeconfig", "get-cluster-kubeconfig", "A kubeconfig for a cluster"), a.kubeconfigOfOne)
}

func givingKubeconfig(path, id, summary string) huma.Operation {
	op := route(http.MethodGet, path, id, summary, "clusters")
	op.Responses = map[string]*huma.Response{"200": {Description: "The kubeconfig", Content: map[string]*huma.MediaType{"application/yaml": {}}}}
	return op
}

// KubeconfigParams say by what a kubeconfig's user is known here.
type KubeconfigParams struct {
	Auth     string `query:"auth" enum:"ticket,exec" doc:"ticket, where it isn't given: a ticket is in it, and it works as it is until that ends; exec: it calls the command kubilitics, which gets tickets when they are needed"`
	Lifetime string `query:"lifetime" doc:"of the ticket in it, such as 1h; as long as possible where it isn't given"`
	server   serverAddress
}

// serverAddress is where the request was sent to, as far as it tells.
type serverAddress struct {
	host    string
	peer    string
	proto   string // as a proxy says, if it is one that is believed
	outside string // likewise
}

// Resolve notes what of the request tells how to come here.
func (in *KubeconfigParams) Resolve(ctx huma.Context) []error {
	in.server = serverAddress{
		host: ctx.Host(), peer: ctx.RemoteAddr(), proto: strings.ToLower(ctx.Header("X-Forwarded-Proto")), outside: ctx.Header("X-Forwarded-Host"),
	}
	return nil
}

type kubeconfigFile struct {
	ContentType        string `header:"Content-Type"`
	ContentDisposition string `header:"Content-Disposition"`
	Body               []byte
}

type kubeconfigInput struct {
	ClusterPath
	KubeconfigParams
}

func (a *API) kubeconfigOfOne(ctx context.Context, in *kubeconfigInput) (*kubeconfigFile, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	c, err := a.reachable(ctx, principalOf(ctx), id)
	if err != nil {
		return nil, err
	}
	k, err := a.beginKubeconfig(in.KubeconfigParams)
	if err != nil {
		return nil, err
	}
	k.add(contextName(c.Name), id)
	k.file.CurrentContext = contextName(c.Name)
	return k.finish(ctx, in.KubeconfigParams, contextName(c.Name), id)
}

func (a *API) kubeconfigOfAll(ctx context.Context, in *KubeconfigParams) (*kubeconfigFile, error) {
	list, err := a.cfg.Query.Clusters(ctx, principalOf(ctx))
	if err != nil {
		return nil, err
	}
	k, err := a.beginKubeconfig(*in)
	if err != nil {
		return nil, err
	}
	k.entry(fleetContext, "fleet")
	k.file.CurrentContext = fleetContext
	taken := map[string]bool{fleetContext: true}
	for _, c := range list.Items {
		id, err := fleet.ParseClusterID(c.ID)
		if err != nil {
			return nil, err
		}
		name := contextName(c.Name)
		if taken[name] { // two names that differ in what can't stand in a context's, or one like the fleet's
			name += "-" + c.ID
		}
		taken[name] = true
		k.add(name, id)
	}
	return k.finish(ctx, *in, "", 0)
}

var oddInContext = regexp.MustCompile(`[[:space:][:cntrl:]]+`)

// contextName is a cluster's name as people type it on a command line.
func contextName(name string) string { return oddInContext.ReplaceAllString(name, "-") }

// kubeconfig is one that is being written.
type kubeconfig struct {
	api  *API
	file clientcmd.Config
	root string // of the hub
	ca   []byte
	user string
}

func (a *API) beginKubeconfig(in KubeconfigParams) (*kubeconfig, error) {
	root, ca, err := a.publicAddress(in.server)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(root)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the hub's public address can't be read")
	}
	return &kubeconfig{api: a, file: clientcmd.Config{Kind: "Config", APIVersion: "v1"}, root: root, ca: ca, user: "kubilitics@" + u.Host}, nil
}

func (k *kubeconfig) add(name string, id fleet.ClusterID) { k.entry(name, "clusters/"+id.String()) }

func (k *kubeconfig) entry(name, path string) {
	server := clientcmd.Cluster{Server: k.root + KubeRoot + path, CertificateAuthorityData: k.ca}
	k.file.Clusters = append(k.file.Clusters, clientcmd.NamedCluster{Name: name, Cluster: server})
	k.file.Contexts = append(k.file.Contexts, clientcmd.NamedContext{Name: name, Context: clientcmd.Context{Cluster: name}})
}

// finish gives every context its user, who is known by a ticket or by the command.
func (k *kubeconfig) finish(ctx context.Context, in KubeconfigParams, suffix string, only fleet.ClusterID) (*kubeconfigFile, error) {
	if suffix != "" {
		k.user += "/" + suffix // its ticket is for that cluster alone
	}
	for i := range k.file.Contexts {
		k.file.Contexts[i].Context.AuthInfo = k.user
	}
	who := clientcmd.NamedAuthInfo{Name: k.user}
	comment := "# Whoever uses this must have logged in: kubilitics login " + k.root + "\n"
	if in.Auth == "exec" {
		who.AuthInfo.Exec = execPlugin(k.root, only)
	} else {
		lasts, err := lifetime(in.Lifetime, -1)
		if err != nil {
			return nil, err
		}
		text, expires, err := k.api.cfg.Tokens.Ticket(ctx, principalOf(ctx), lasts, only)
		if err != nil {
			return nil, err
		}
		who.AuthInfo.Token = text
		comment = "# The ticket in this ends at " + expires.UTC().Format(time.RFC3339) + ". Keep it as a password.\n"
	}
	k.file.AuthInfos = []clientcmd.NamedAuthInfo{who}
	text, err := yaml.Marshal(k.file)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the kubeconfig can't be written")
	}
	return &kubeconfigFile{ContentType: "application/yaml", ContentDisposition: `inline; filename="kubeconfig.yaml"`, Body: append([]byte(comment), text...)}, nil
}

// execPlugin has tickets fetched by the command of people who logged in.
func execPlugin(hub string, only fleet.ClusterID) *clientcmd.ExecConfig {
	args := []string{"credential", "--hub", hub}
	if only != 0 {
		args = append(args, "--cluster", only.String())
	}
	return &clientcmd.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1", Command: "kubilitics", Args: args, InteractiveMode: clientcmd.NeverExecInteractiveMode,
		InstallHint: fmt.Sprintf("The command kubilitics is needed: put it on your PATH, and log in once with\n  kubilitics login %s", hub),
	}
}

var goodHost = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

// publicAddress is where clients of Kubernetes find the hub, and whom they trust there. Without TLS they send no credentials, so it is https always:
// the hub's own listener takes it even where it has no certificate but its own.
func (a *API) publicAddress(s serverAddress) (root string, ca []byte, err error) {
	public := a.cfg.Public()
	if public.URL != "" {
		return strings.TrimRight(public.URL, "/"), public.CA, nil
	}
	host, ca := s.host, public.OwnCA
	peer, _, err := net.SplitHostPort(s.peer)
	if err == nil && a.trusted(peer) {
		if s.outside != "" {
			host = s.outside
		}
		if s.proto == "http" {
			return "", nil, fault.New(fault.Conflict, "this hub is reached by plain HTTP through a proxy, where clients of Kubernetes send no credentials; its configuration can name another way by public-url")
		}
		if s.proto != "" {
			ca = public.CA
		}
	}
	if !goodHost.MatchString(host) {
		return "", nil, fault.New(fault.BadRequest, "the Host of the request is no host:port")
	}
	return "https://" + host, ca, nil
}
