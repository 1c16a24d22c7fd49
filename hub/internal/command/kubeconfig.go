package command

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// kubeconfigRequest is what kind of kubeconfig is wanted, and where it is to go.
type kubeconfigRequest struct {
	all      bool
	auth     string
	lifetime time.Duration
	write    string // "" prints it; a file, or usualFile
	prefix   string
}

// usualFile stands for the file, or files, that kubectl uses.
const usualFile = "(kubectl's own)"

func (a *app) kubeconfigCommand() *cobra.Command {
	var want kubeconfigRequest
	c := &cobra.Command{
		Use: "kubeconfig [CLUSTER]", Short: "Print a kubeconfig for a cluster, or for all, or add it to yours", Args: between(0, 1),
		Long: `Prints a kubeconfig by which kubectl and its like reach a cluster through the hub, or, with --all, every cluster that you may see, each by a context of
its name, and all of them at once by the context "fleet". With --write it is added to your kubeconfig (KUBECONFIG, else ~/.kube/config), or to
the file that is named; what is in there of others isn't touched.

With --auth exec, which is usual, it calls this command whenever it needs a ticket, so it works as long as you are logged in. With --auth ticket it
holds a ticket, and works anywhere until that ends.`,
		Example: "  kubilitics kubeconfig eu-1 > eu-1.kubeconfig\n  kubilitics kubeconfig --all --write\n  kubilitics kubeconfig eu-1 --auth ticket --lifetime 1h --write=eu-1.kubeconfig",
	}
	flags := c.Flags()
	flags.BoolVar(&want.all, "all", false, "every cluster that you may see")
	flags.StringVar(&want.auth, "auth", "exec", "exec or ticket")
	flags.DurationVar(&want.lifetime, "lifetime", 0, "of the ticket, with --auth ticket; as long as possible where it isn't given")
	flags.StringVar(&want.write, "write", "", "add it to your kubeconfig, or to --write=FILE")
	flags.Lookup("write").NoOptDefVal = usualFile
	flags.StringVar(&want.prefix, "prefix", "", "what the names of contexts are to begin with")
	c.ValidArgsFunction = a.first(a.clusterNames)
	_ = c.RegisterFlagCompletionFunc("auth", cobra.FixedCompletions([]string{"exec", "ticket"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, args []string) error { return a.kubeconfig(c.Context(), args, want) }
	return c
}

func (want kubeconfigRequest) check(args []string) error {
	switch {
	case want.all == (len(args) == 1):
		return fault.New(fault.BadRequest, "name one cluster, or say --all")
	case want.auth != "exec" && want.auth != "ticket":
		return fault.New(fault.BadRequest, "--auth can be exec or ticket, and not %q", want.auth)
	case want.lifetime < 0 || want.lifetime > 0 && want.auth != "ticket":
		return fault.New(fault.BadRequest, "--lifetime is how long the ticket of --auth ticket lasts")
	}
	return nil
}

func (a *app) kubeconfig(ctx context.Context, args []string, want kubeconfigRequest) error {
	if err := want.check(args); err != nil {
		return err
	}
	s, err := a.session(asking)
	if err != nil {
		return err
	}
	defer s.client.Close()
	var id string
	if len(args) == 1 {
		c, err := s.one(ctx, args[:1])
		if err != nil {
			return a.again(s, err)
		}
		id = c.ID
	}
	text, err := s.client.Kubeconfig(ctx, id, want.auth, want.lifetime)
	if err != nil {
		return a.again(s, err)
	}
	made, err := clientcmd.Load(text)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "%s gives a kubeconfig that can't be read", s.Address)
	}
	s.adapt(made)
	rename(made, want.prefix)
	if want.write != "" {
		return a.merge(made, want)
	}
	out, err := clientcmd.Write(*made)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "the kubeconfig can't be written")
	}
	if want.auth == "ticket" {
		out = append(remarks(text), out...)
	}
	_, err = a.Out.Write(out)
	return err
}

// remarks are the lines at the beginning that are for people: when the ticket ends.
func remarks(text []byte) []byte {
	var out bytes.Buffer
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			break
		}
		out.WriteString(line)
	}
	return out.Bytes()
}

// adapt fills in what the hub can't know: by which address it was logged in to, whom to trust there, and what this command is called.
func (s *session) adapt(made *clientcmdapi.Config) {
	for _, c := range made.Clusters {
		if len(c.CertificateAuthorityData) == 0 && s.CA != "" && strings.HasPrefix(c.Server, s.Address+"/") {
			c.CertificateAuthorityData = []byte(s.CA)
		}
	}
	for _, u := range made.AuthInfos {
		if u.Exec == nil {
			continue
		}
		u.Exec.Command = ownCommand(u.Exec.Command)
		if i := slices.Index(u.Exec.Args, "--hub"); i >= 0 && i+1 < len(u.Exec.Args) {
			u.Exec.InstallHint = strings.ReplaceAll(u.Exec.InstallHint, u.Exec.Args[i+1], s.Address)
			u.Exec.Args[i+1] = s.Address
		}
	}
}

// ownCommand is how this program is found later: by its name, or, when it isn't on the path by that, where it is now.
func ownCommand(name string) string {
	if _, err := exec.LookPath(name); err == nil {
		return name
	}
	if self, err := os.Executable(); err == nil {
		return self
	}
	return name
}

// rename puts a prefix before the names of clusters and contexts.
func rename(made *clientcmdapi.Config, prefix string) {
	if prefix == "" {
		return
	}
	clusters, contexts := map[string]*clientcmdapi.Cluster{}, map[string]*clientcmdapi.Context{}
	for name, c := range made.Clusters {
		clusters[prefix+name] = c
	}
	for name, c := range made.Contexts {
		c.Cluster = prefix + c.Cluster
		contexts[prefix+name] = c
	}
	made.Clusters, made.Contexts, made.CurrentContext = clusters, contexts, prefix+made.CurrentContext
}
