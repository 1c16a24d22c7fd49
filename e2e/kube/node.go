package kube

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// node is the real one. It has this machine's kernel and files, and all else of its own: network, processes, mounts, /run and /var. So it meets neither
// another node nor a container engine that runs beside it, and when this process ends, however it does, the kernel takes all of it away; but for empty
// control groups, which the guard removes.
type node struct {
	name    string
	dir     string     // of its files
	host    netip.Addr // this machine, on the link to the node: where the API server and the DNS are
	address netip.Addr // its own
	link    string     // network interface on this machine
	cgroup  string     // above its pods', from the root of each hierarchy
	network *os.File   // its network namespace, which lives as long as this is open
	names   *nameserver
	plugins string // folder of the CNI plugins
	machine *process
	powered chan struct{} // closed when the machine has ended: its thread may end too
}

const nodeDir = "node" // within the cluster's directory

const podCIDRReal = "10.244.0.0/24"

// The components that run on it. containerd is the distribution's.
var (
	nodeRuntime = component{"containerd", func(b *Bin) *string { return &b.containerd }, (*Cluster).runtimeArgs, true}
	nodeKubelet = component{"kubelet", func(b *Bin) *string { return &b.Kubelet }, (*Cluster).kubeletArgs, true}
	nodeProxy   = component{"kube-proxy", func(b *Bin) *string { return &b.KubeProxy }, (*Cluster).proxyArgs, true}
)

//go:embed node
var nodeFiles embed.FS

// newNode makes the node's network and its folder; nothing runs yet.
func newNode(cluster, dir string) (*node, error) {
	n := &node{name: cluster + "-real", dir: dir, plugins: cniPlugins()}
	id := strings.ToLower(rand.Text()[:8])
	n.link, n.cgroup = "kbl"+id, cgroupOf(dir)
	for _, sub := range []string{"lib/volumes", "log", "cni"} {
		if err := os.MkdirAll(n.path(sub), 0o755); err != nil {
			return nil, fmt.Errorf("make the node's folders: %w", err)
		}
	}
	if err := n.connect(); err != nil {
		return nil, errors.Join(err, n.close())
	}
	if err := n.makeCgroups(); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// cgroupOf is the name of the node's control group, by the cluster's directory, which nobody else has.
func cgroupOf(dir string) string { return "kubilitics-" + filepath.Base(filepath.Dir(dir)) }

func (n *node) path(elem ...string) string { return filepath.Join(append([]string{n.dir}, elem...)...) }

// connect makes the network namespace and the link to it.
func (n *node) connect() (err error) {
	if n.host, n.address, err = freeLink(); err != nil {
		return err
	}
	if n.network, err = newNetwork(); err != nil {
		return err
	}
	at := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.network.Fd())
	for _, args := range []string{
		"link add " + n.link + " type veth peer name eth0 netns " + at,
		"addr add " + n.host.String() + "/30 dev " + n.link,
		"link set " + n.link + " up",
	} {
		if err := ip(args); err != nil {
			return err
		}
	}
	return onThread(nil, func() error {
		if err := setns(n.network, networkNamespace); err != nil {
			return err
		}
		for _, args := range []string{"link set lo up", "addr add " + n.address.String() + "/30 dev eth0", "link set eth0 up", "route add default via " + n.host.String()} {
			if err := ip(args); err != nil {
				return err
			}
		}
		return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) // of this namespace
	})
}

// freeLink chooses the two addresses of a link from the range that is for tests of network devices, where nobody lives.
func freeLink() (host, node netip.Addr, err error) {
	taken, err := net.InterfaceAddrs()
	if err != nil {
		return host, node, fmt.Errorf("look which addresses are taken: %w", err)
	}
	for range 100 {
		var r [2]byte
		_, _ = rand.Read(r[:]) // never fails
		link := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18 + r[0]&1, r[1], r[0] &^ 3}), 30)
		if !slices.ContainsFunc(taken, func(a net.Addr) bool {
			p, err := netip.ParsePrefix(a.String())
			return err == nil && p.Overlaps(link)
		}) {
			host = link.Addr().Next()
			return host, host.Next(), nil
		}
	}
	return host, node, errors.New("no addresses are free between this machine and the node")
}

func ip(args string) error {
	if out, err := exec.Command(lookPath("ip"), strings.Fields(args)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", args, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// credentials writes the node's certificates and files.
func (n *node) credentials(c *Cluster) error {
	if err := c.pki.serving("node", n.address.String(), n.name); err != nil {
		return err
	}
	if _, err := c.writeKubeconfig("pki/node.kubeconfig", "system:node:"+n.name, "system:nodes"); err != nil {
		return err
	}
	if _, err := c.writeKubeconfig("pki/kube-proxy.kubeconfig", "system:kube-proxy"); err != nil {
		return err
	}
	if err := os.WriteFile(n.path("resolv.conf"), []byte("nameserver "+n.host.String()+"\n"), 0o644); err != nil {
		return fmt.Errorf("write the node's resolv.conf: %w", err)
	}
	says := strings.NewReplacer("DIR", n.dir, "PKI", c.path("pki"), "NODE_IP", n.address.String(), "HOST_IP", n.host.String(), "POD_CIDR", podCIDRReal,
		"NODE_NAME", n.name, "CGROUP", "/"+n.cgroup, "CNI_BIN", n.plugins, "PAUSE_IMAGE", ToolsImage)
	for from, to := range map[string]string{"containerd.toml": "containerd.toml", "kubelet.yaml": "kubelet.yaml", "kube-proxy.yaml": "kube-proxy.yaml", "pods.conflist": "cni/10-pods.conflist"} {
		text, err := nodeFiles.ReadFile("node/" + from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(n.path(to), []byte(says.Replace(string(text))), 0o600); err != nil {
			return fmt.Errorf("write the node's files: %w", err)
		}
	}
	return nil
}

func (c *Cluster) runtimeArgs() ([]string, error) {
	return []string{"--config=" + c.real.path("containerd.toml")}, nil
}

func (c *Cluster) kubeletArgs() ([]string, error) {
	labels := []string{corev1.LabelTopologyRegion + "=" + c.opts.Region, corev1.LabelTopologyZone + "=" + c.opts.Region + "-a"}
	return []string{
		"--config=" + c.real.path("kubelet.yaml"),
		"--kubeconfig=" + c.path("pki", "node.kubeconfig"),
		"--hostname-override=" + c.real.name,
		"--node-ip=" + c.real.address.String(),
		"--node-labels=" + strings.Join(labels, ","),
	}, nil
}

func (c *Cluster) proxyArgs() ([]string, error) {
	return []string{"--config=" + c.real.path("kube-proxy.yaml")}, nil
}

// powerOn starts the node's programs. Whether it is ready others tell.
func (c *Cluster) powerOn(ctx context.Context) error {
	if err := c.launchMachine(); err != nil {
		return err
	}
	if err := c.until(ctx, "the node has its mounts", c.real.mounted); err != nil {
		return err
	}
	if err := c.launch(nodeRuntime); err != nil {
		return err
	}
	if err := c.until(ctx, "containerd answers", c.real.runs); err != nil { // a kubelet doesn't wait for it
		return err
	}
	return errors.Join(c.launch(nodeKubelet), c.launch(nodeProxy))
}

func (n *node) runs(ctx context.Context) error {
	_, err := n.run(ctx, "ctr", "version")
	return err
}

// launchMachine starts the first process of the node, in namespaces that live as long as it does.
func (c *Cluster) launchMachine() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped || c.real.machine != nil {
		return errors.New("the node can't be started: it runs already, or the cluster has been stopped")
	}
	script, err := nodeFiles.ReadFile("node/init.sh")
	if err != nil {
		return err
	}
	p, err := spawn(c.path("logs"), c.real.boot, c.died, machineName, lookPath("sh"), "-c", string(script), "sh", c.real.dir)
	if err != nil {
		return err
	}
	p.abrupt = true // nothing can be asked of it that would reach what runs there
	c.real.machine = p
	c.add(p)
	return nil
}

const machineName = "node"

func (n *node) mounted(context.Context) error {
	_, err := os.Stat(n.path("up"))
	return err
}

// NodeName is the real node's.
func (c *Cluster) NodeName() string { return c.real.name }

// StopNode ends the real node as a power cut does: its programs and containers are gone at once. What is on its disk stays.
func (c *Cluster) StopNode(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real == nil || c.real.machine == nil {
		return errors.New("the node isn't running")
	}
	of := []string{nodeProxy.name, nodeKubelet.name, nodeRuntime.name, machineName}
	for _, name := range of {
		if p := c.find(name); p != nil {
			p.asked.Store(true)
		}
	}
	if err := c.real.machine.stop(ctx); err != nil {
		return err
	}
	for _, name := range of {
		if p := c.find(name); p != nil {
			<-p.done // the kernel ended it
		}
	}
	c.running = slices.DeleteFunc(c.running, func(p *process) bool { return slices.Contains(of, p.name) })
	c.real.off()
	// As a machine does that starts anew. A kubelet spends seconds on every control group of a container that is no more.
	return errors.Join(c.real.removeCgroups(), c.real.makeCgroups())
}

// StartNode starts it again, and returns when its kubelet says that it is ready. Its pods come back after that.
func (c *Cluster) StartNode(ctx context.Context) error {
	began := time.Now()
	if err := os.Remove(c.real.path("up")); err != nil {
		return err
	}
	if err := c.powerOn(ctx); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		return err
	}
	defer closeIdle(client.CoreV1().RESTClient())
	return c.until(ctx, "the node is back", func(ctx context.Context) error {
		n, err := client.CoreV1().Nodes().Get(ctx, c.real.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady }); !schedulable(*n) || n.Status.Conditions[i].LastHeartbeatTime.Time.Before(began) {
			return fmt.Errorf("it isn't ready: %v", n.Status.Conditions)
		}
		return nil
	})
}

// off: its first process has ended.
func (n *node) off() {
	if n.machine != nil {
		close(n.powered)
		n.machine = nil
	}
}

// close takes away what a node has outside of itself. No process of it runs any more.
func (n *node) close() error {
	n.off()
	var errs []error
	if n.names != nil {
		errs = append(errs, n.names.close())
	}
	if n.network != nil {
		_ = ip("link del " + n.link) // may not have come to be; else the namespace takes it away a moment later
		errs = append(errs, n.network.Close())
	}
	return errors.Join(append(errs, n.removeCgroups())...)
}
