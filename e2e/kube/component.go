package kube

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// component is one program of the control plane: how it is called and how it is told what to do.
type component struct {
	name string
	bin  func(*Bin) *string
	args func(*Cluster) ([]string, error)
	// inside: it runs on the real node.
	inside bool
}

var (
	etcd              = component{"etcd", func(b *Bin) *string { return &b.Etcd }, (*Cluster).etcdArgs, false}
	apiServer         = component{"kube-apiserver", func(b *Bin) *string { return &b.APIServer }, (*Cluster).apiServerArgs, false}
	controllerManager = component{"kube-controller-manager", func(b *Bin) *string { return &b.ControllerManager }, (*Cluster).controllerManagerArgs, false}
	scheduler         = component{"kube-scheduler", func(b *Bin) *string { return &b.Scheduler }, (*Cluster).schedulerArgs, false}
	kwok              = component{"kwok", func(b *Bin) *string { return &b.Kwok }, (*Cluster).kwokArgs, false}
)

// rank orders components by who needs whom; a restarted API server takes its old place.
func rank(name string) int {
	return slices.Index([]string{etcd.name, apiServer.name, controllerManager.name, scheduler.name, kwok.name, metricsServer.name, machineName, nodeRuntime.name, nodeKubelet.name, nodeProxy.name}, name)
}

// etcd is reached over a Unix socket in a directory that only the owner may enter: no port, no certificates.
func (c *Cluster) etcdSocket() string { return "unix://" + c.path("etcd.sock") }

func (c *Cluster) etcdArgs() ([]string, error) {
	peer := "unix://" + c.path("peer.sock")
	return []string{
		"--name=" + c.opts.Name,
		"--data-dir=" + c.path("etcd"),
		"--listen-client-urls=" + c.etcdSocket(),
		"--advertise-client-urls=" + c.etcdSocket(),
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=" + c.opts.Name + "=" + peer,
		"--unsafe-no-fsync", // the data needn't survive a crash of the machine
		"--log-level=warn",
	}, nil
}

const (
	serviceCIDR = "10.96.0.0/16"
	// nowhere is an address of the documentation range: the endpoints of the kubernetes Service must not be
	// a loopback address, and no Pod runs that could dial them, unless there is a real node.
	nowhere = "192.0.2.1"
)

// advertised is where pods find the API server.
func (c *Cluster) advertised() string {
	if c.real != nil {
		return c.real.host.String()
	}
	return nowhere
}

func (c *Cluster) apiServerArgs() ([]string, error) {
	args := []string{
		"--etcd-servers=" + c.etcdSocket(),
		"--bind-address=" + c.address.String(),
		"--secure-port=" + strconv.Itoa(c.port),
		"--permit-port-sharing", // with the socket that holds the port
		"--advertise-address=" + c.advertised(),
		"--tls-cert-file=" + c.pki.file("apiserver.crt"),
		"--tls-private-key-file=" + c.pki.file("apiserver.key"),
		"--client-ca-file=" + c.pki.file("ca.crt"),
		"--authorization-mode=Node,RBAC",
		"--service-cluster-ip-range=" + serviceCIDR,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.pki.file("sa.key"),
		"--service-account-signing-key-file=" + c.pki.file("sa.key"),
		// The simulated kubelets listen where ExternalIP says; a real one would be found by its InternalIP.
		"--kubelet-preferred-address-types=ExternalIP,InternalIP",
		"--kubelet-client-certificate=" + c.pki.file("kubelet-client.crt"),
		"--kubelet-client-key=" + c.pki.file("kubelet-client.key"),
		"--kubelet-certificate-authority=" + c.pki.file("ca.crt"),
		"--profiling=false",
	}
	if c.opts.Metrics {
		args = append(args, c.aggregationArgs()...)
	}
	return args, nil
}

func (c *Cluster) controllerManagerArgs() ([]string, error) {
	return []string{
		"--kubeconfig=" + c.path("controller-manager.kubeconfig"),
		"--secure-port=0",
		"--leader-elect=false",
		"--use-service-account-credentials", // each controller acts, and is named in managedFields, as itself
		"--service-account-private-key-file=" + c.pki.file("sa.key"),
		"--root-ca-file=" + c.pki.file("ca.crt"),
		"--cluster-signing-cert-file=" + c.pki.file("ca.crt"),
		"--cluster-signing-key-file=" + c.pki.file("ca.key"),
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		"--profiling=false",
	}, nil
}

func (c *Cluster) schedulerArgs() ([]string, error) {
	return []string{
		"--kubeconfig=" + c.path("scheduler.kubeconfig"),
		"--secure-port=0",
		"--leader-elect=false",
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		"--profiling=false",
	}, nil
}

func (c *Cluster) kwokArgs() ([]string, error) {
	port, err := freePort() // as late as can be: it isn't held
	if err != nil {
		return nil, err
	}
	if err := c.writeLogs(); err != nil {
		return nil, err
	}
	cfg := c.path("kwok.yaml")
	own := strings.NewReplacer("LOGS", c.dir, "KWOK_PORT", strconv.Itoa(port))
	if err := os.WriteFile(cfg, []byte(own.Replace(kwokConfig)), 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration of kwok: %w", err)
	}
	if c.kubeletPort = port; c.opts.Exec {
		if c.kubelet, err = c.startKubelet(port); err != nil {
			return nil, err
		}
		c.kubeletPort = c.kubelet.port
	}
	return []string{
		"--kubeconfig=" + c.path("kwok.kubeconfig"),
		"--config=" + cfg,
		"--manage-nodes-with-annotation-selector=" + nodeAnnotation + "=" + nodeAnnotationValue,
		"--node-lease-duration-seconds=40",
		"--server-address=127.0.0.1:" + strconv.Itoa(port),
		"--node-port=" + strconv.Itoa(c.kubeletPort),
		"--node-ip=127.0.0.1",
		"--tls-cert-file=" + c.pki.file("kubelet.crt"),
		"--tls-private-key-file=" + c.pki.file("kubelet.key"),
	}, nil
}

//go:embed kwok.yaml
var kwokConfig string

// What containers have logged, in the format in which a container runtime keeps it: every container the same, as did the one
// before it; those called "talker" what Talk has them say, after something of long ago.
const (
	podLog      = "2030-01-01T00:00:00.000000000Z stdout F This container is simulated: no process is behind it.\n"
	previousLog = "2029-12-31T00:00:00.000000000Z stdout F This container came before: it was simulated too.\n"
	talkerLog   = "2020-01-01T00:00:00.000000000Z stdout F This container is simulated: it says what it is told to.\n"
)

func (c *Cluster) writeLogs() error {
	for file, text := range map[string]string{"pod.log": podLog, "previous.log": previousLog, "talker.log": talkerLog} {
		if err := os.WriteFile(c.path(file), []byte(text), 0o600); err != nil {
			return fmt.Errorf("write the log of the simulated containers: %w", err)
		}
	}
	return nil
}

// TalkerLog is the file that holds what every container called "talker" has logged.
func (c *Cluster) TalkerLog() string { return c.path("talker.log") }

// Talk adds a line to it.
func (c *Cluster) Talk(line string) error {
	f, err := os.OpenFile(c.TalkerLog(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	_, err = fmt.Fprintf(f, "%s stdout F %s\n", time.Now().UTC().Format(time.RFC3339Nano), line)
	return errors.Join(err, f.Close())
}

// writeCredentials makes the servers' certificates and one kubeconfig for each client.
func (c *Cluster) writeCredentials() error {
	if err := c.pki.serving("apiserver", "127.0.0.1", "10.96.0.1", c.advertised(), "localhost", "kubernetes",
		"kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"); err != nil {
		return err
	}
	if err := c.pki.serving("kubelet", "127.0.0.1", "localhost"); err != nil {
		return err
	}
	if err := c.pki.clientFiles("kubelet-client", kubeletClient, "system:masters"); err != nil {
		return err
	}
	if c.real != nil {
		if err := c.real.credentials(c); err != nil {
			return err
		}
	}
	if c.opts.Metrics {
		if err := c.aggregationCredentials(); err != nil {
			return err
		}
	}
	if err := c.pki.signingKey("sa.key"); err != nil {
		return err
	}
	for _, u := range []struct {
		file, user string
		groups     []string
	}{
		{"controller-manager.kubeconfig", "system:kube-controller-manager", nil},
		{"scheduler.kubeconfig", "system:kube-scheduler", nil},
		{"kwok.kubeconfig", "kwok", []string{"system:masters"}},
	} {
		if _, err := c.writeKubeconfig(u.file, u.user, u.groups...); err != nil {
			return err
		}
	}
	var err error
	c.kubeconfig, err = c.writeKubeconfig("kubeconfig", "admin", "system:masters")
	return err
}

func (c *Cluster) writeKubeconfig(file, user string, groups ...string) ([]byte, error) {
	cert, key, err := c.pki.client(user, groups...)
	if err != nil {
		return nil, err
	}
	data, err := kubeconfig(c.opts.Name, c.URL, c.pki.caPEM, user, clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(c.path(file), data, 0o600); err != nil {
		return nil, fmt.Errorf("write %s: %w", file, err)
	}
	return data, nil
}
