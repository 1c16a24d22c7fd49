// Command proxy measures the way of Kubernetes requests through hub, tunnel and agent against the same requests sent to the API server
// directly, in turn and in one run. Everything is real: control plane, hub and agent are processes of their own, both ways are TLS, and both ways
// the API server sees the same account.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

const (
	namespace = "proxied" // holds the bulk: bulkObjects ConfigMaps of bulkBytes
	small     = "small"   // a ConfigMap of some bytes in the namespace default

	bulkObjects = 160
	bulkBytes   = 128 << 10
)

func main() {
	only := flag.String("only", "", "measure only what has this in its name: get, list, bulk, cpu or watches")
	verbose := flag.Bool("v", false, "show the logs of hub and agent")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	b := bench{log: io.Discard}
	if *verbose {
		b.log = os.Stderr
	}
	err := b.run(ctx, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "proxy bench:", err)
		os.Exit(1)
	}
}

// bench is one run of this program.
type bench struct {
	log     io.Writer
	dir     string
	cluster *kube.Cluster
	hub     *stack.Hub
	agent   *stack.Agent

	direct, through *way
}

func (b *bench) run(ctx context.Context, only string) (err error) {
	if b.dir, err = os.MkdirTemp("", "kubilitics-bench-proxy-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop(context.WithoutCancel(ctx))) }()
	if err := b.start(ctx); err != nil {
		return err
	}
	for _, m := range []struct {
		name    string
		measure func(context.Context) error
	}{{"get", b.overhead}, {"list", b.list}, {"bulk", b.underBulk}, {"cpu", b.cpu}, {"watches", b.watches}} {
		if !strings.Contains(m.name, only) {
			continue
		}
		if err := m.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

func (b *bench) start(ctx context.Context) (err error) {
	// No nodes: nothing here runs pods.
	if b.cluster, err = kube.Start(ctx, kube.Options{Name: "proxied", Nodes: -1, Dir: b.dir, Log: os.Stderr}); err != nil {
		return err
	}
	if err := b.fill(ctx); err != nil {
		return err
	}
	programs, err := stack.Build(ctx, filepath.Join(b.dir, "bin"), os.Stderr)
	if err != nil {
		return err
	}
	within, cancel := stack.Within(ctx, 2*time.Minute)
	defer cancel()
	// What a user may do in a second is bounded; here it is to be seen what the programs can do.
	b.hub, err = stack.StartHub(within, stack.HubOptions{Program: programs.Hub, Dir: filepath.Join(b.dir, "hub"), Log: b.log, TLS: true, Args: unbounded})
	if err != nil {
		return err
	}
	id, agent, err := b.hub.Join(within, "proxied", nil, stack.AgentOptions{
		Program: programs.Agent, Dir: b.dir, Kubeconfig: b.cluster.KubeconfigPath(), Log: b.log, Args: []string{"--access", "operate"},
	})
	b.agent = agent
	if err != nil {
		return err
	}
	if err := b.hub.AwaitLive(within, id); err != nil {
		return err
	}
	return b.ways(ctx, id)
}

// Zero is no bound. A number, however large, would be a bucket of tokens to look into.
var unbounded = []string{
	"--kube-user-rate", "0", "--kube-cluster-rate", "0", "--kube-user-requests", "0", "--kube-cluster-requests", "0", "--kube-user-streams", "0", "--kube-cluster-streams", "0",
}

// ways makes the two ways to the cluster.
func (b *bench) ways(ctx context.Context, id string) (err error) {
	if b.direct, err = newWay(b.cluster.RESTConfig()); err != nil {
		return err
	}
	b.through, err = newWay(&rest.Config{
		Host: b.hub.URL + "/k8s/clusters/" + id, BearerToken: b.hub.Token, TLSClientConfig: rest.TLSClientConfig{CAData: b.hub.CA},
	})
	if err != nil {
		return err
	}
	for _, w := range []*way{b.direct, b.through} {
		if _, err := w.get(ctx, smallPath); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) fill(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(b.cluster.RESTConfig())
	if err != nil {
		return err
	}
	if _, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	tiny := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: small}, Data: map[string]string{"a": "b"}}
	if _, err := client.CoreV1().ConfigMaps("default").Create(ctx, tiny, metav1.CreateOptions{}); err != nil {
		return err
	}
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(8)
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", bulkBytes/45)
	for i := range bulkObjects {
		g.Go(func() error {
			big := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("bulk-%04d", i)}, Data: map[string]string{"text": text}}
			_, err := client.CoreV1().ConfigMaps(namespace).Create(within, big, metav1.CreateOptions{})
			return err
		})
	}
	return g.Wait()
}

func (b *bench) stop(ctx context.Context) error {
	var errs []error
	if b.agent != nil {
		errs = append(errs, b.agent.Stop())
	}
	if b.hub != nil {
		errs = append(errs, b.hub.Stop())
	}
	if b.cluster != nil {
		errs = append(errs, b.cluster.Stop(ctx))
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}
