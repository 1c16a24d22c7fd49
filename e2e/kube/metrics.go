package kube

import (
	"context"
	_ "embed"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/client-go/kubernetes"
)

// metricsServer serves metrics.k8s.io, for clusters that ask for it: it reads what kwok tells of each node, as it would read a
// kubelet, and the API server passes requests on to it.
var metricsServer = component{"metrics-server", func(b *Bin) *string { return &b.MetricsServer }, (*Cluster).metricsServerArgs, false}

// metricsPath is where kwok tells of a node, in the words of a kubelet's /metrics/resource.
const metricsPath = "/metrics/nodes/%s/metrics/resource"

func (c *Cluster) metricsServerArgs() (_ []string, err error) {
	if c.metrics, err = freePort(); err != nil {
		return nil, err
	}
	return []string{
		"--kubeconfig=" + c.path("metrics-server.kubeconfig"),
		"--authentication-kubeconfig=" + c.path("metrics-server.kubeconfig"),
		"--authorization-kubeconfig=" + c.path("metrics-server.kubeconfig"),
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(c.metrics),
		"--tls-cert-file=" + c.pki.file("metrics-server.crt"),
		"--tls-private-key-file=" + c.pki.file("metrics-server.key"),
		"--kubelet-preferred-address-types=ExternalIP",
		"--kubelet-use-node-status-port",
		"--kubelet-certificate-authority=" + c.pki.file("ca.crt"),
		"--metric-resolution=10s", // the least it allows: two readings make a figure of CPU
		"--kubelet-request-timeout=5s",
		"--profiling=false",
	}, nil
}

// aggregationArgs let the API server pass requests on to others, as a user whom they believe what it says of the caller.
func (c *Cluster) aggregationArgs() []string {
	front := c.path("pki", "front")
	return []string{
		"--requestheader-client-ca-file=" + front + "/ca.crt",
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + front + "/client.crt",
		"--proxy-client-key-file=" + front + "/client.key",
	}
}

// aggregationCredentials has a certificate authority of its own: whoever it signs for may claim to be anybody.
func (c *Cluster) aggregationCredentials() error {
	front, err := newPKI(c.path("pki", "front"), c.opts.Name+" front proxy")
	if err != nil {
		return err
	}
	if err := front.clientFiles("client", "front-proxy-client"); err != nil {
		return err
	}
	if err := c.pki.serving("metrics-server", "metrics-server.kube-system.svc", "127.0.0.1"); err != nil {
		return err
	}
	_, err = c.writeKubeconfig("metrics-server.kubeconfig", "metrics-server", "system:masters")
	return err
}

//go:embed metrics.yaml
var metricsAPI string

// serveMetrics makes the API known. It is served some 15 s later, when metrics-server has read the nodes twice: MetricsServed tells.
func (c *Cluster) serveMetrics(ctx context.Context) error {
	if err := c.launch(metricsServer); err != nil {
		return err
	}
	api := strings.NewReplacer("METRICS_PORT", strconv.Itoa(c.metrics), "CA_BUNDLE", base64.StdEncoding.EncodeToString(c.pki.caPEM)).Replace(metricsAPI)
	if err := c.Apply(ctx, []byte(api)); err != nil {
		return fmt.Errorf("make metrics.k8s.io known: %w", err)
	}
	return nil
}

// MetricsServed waits until there are figures of every node.
func (c *Cluster) MetricsServed(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		return err
	}
	defer closeIdle(client.CoreV1().RESTClient())
	return c.until(ctx, "metrics.k8s.io has figures", func(ctx context.Context) error {
		out, err := client.RESTClient().Get().AbsPath("/apis/metrics.k8s.io/v1beta1/nodes").DoRaw(ctx)
		if n := strings.Count(string(out), `"window"`); err == nil && n < c.opts.Nodes {
			return fmt.Errorf("figures of %d nodes", n)
		}
		return err
	})
}
