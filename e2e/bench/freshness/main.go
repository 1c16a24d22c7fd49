// Command freshness measures how long a change in a cluster takes to reach a client of the hub: from the moment the API server has accepted a
// label's patch to the frame on a WebSocket. Everything is real: control plane, hub and agent are processes of their own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/kubilitics/kubilitics/e2e/bench/measure"
	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

const (
	namespace = "default"
	label     = "freshness"
	pause     = 40 * time.Millisecond // between samples: the figure is of an idle machine, not of a queue
	creators  = 16                    // Pods created at a time
)

func main() {
	pods := flag.Int("pods", 2000, "Pods in the cluster")
	samples := flag.Int("samples", 300, "patches measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *pods, *samples)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "freshness:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, pods, samples int) (err error) {
	dir, err := os.MkdirTemp("", "kubilitics-freshness-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cluster, err := kube.Start(ctx, kube.Options{Name: "freshness", Nodes: 20, Dir: dir, Log: os.Stderr})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop(context.WithoutCancel(ctx))) }()
	client, err := kubernetes.NewForConfig(cluster.RESTConfig())
	if err != nil {
		return err
	}
	if err := fill(ctx, client, pods); err != nil {
		return err
	}
	hub, id, agent, err := serve(ctx, dir, cluster)
	if hub != nil {
		defer func() { err = errors.Join(err, hub.Stop()) }()
	}
	if agent != nil {
		defer func() { err = errors.Join(err, agent.Stop()) }()
	}
	if err != nil {
		return err
	}
	return sample(ctx, client, hub, id, pods, samples)
}

// fill creates the Pods and waits until all of them run.
func fill(ctx context.Context, client kubernetes.Interface, pods int) error {
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(creators)
	for i := range pods {
		g.Go(func() error {
			_, err := client.CoreV1().Pods(namespace).Create(within, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: podName(i), Labels: map[string]string{"app": "pod-" + strconv.Itoa(i%50)}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "registry.example/app:1"}}},
			}, metav1.CreateOptions{})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for {
		waiting, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{FieldSelector: "status.phase!=Running", Limit: 1})
		if err != nil || len(waiting.Items) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func podName(i int) string { return fmt.Sprintf("pod-%05d", i) }

// serve starts a hub and the cluster's agent, and waits until they agree.
func serve(ctx context.Context, dir string, cluster *kube.Cluster) (hub *stack.Hub, id string, agent *stack.Agent, err error) {
	programs, err := stack.Build(ctx, filepath.Join(dir, "bin"), os.Stderr)
	if err != nil {
		return nil, "", nil, err
	}
	within, cancel := stack.Within(ctx, 2*time.Minute)
	defer cancel()
	if hub, err = stack.StartHub(within, stack.HubOptions{Program: programs.Hub, Dir: filepath.Join(dir, "hub")}); err != nil {
		return nil, "", nil, err
	}
	if id, agent, err = hub.Join(within, "freshness", nil, stack.AgentOptions{Program: programs.Agent, Dir: dir, Kubeconfig: cluster.KubeconfigPath()}); err != nil {
		return hub, "", agent, err
	}
	return hub, id, agent, hub.AwaitLive(within, id)
}

// sample patches one Pod after the other and waits for each one's frame.
func sample(ctx context.Context, client kubernetes.Interface, hub *stack.Hub, id string, pods, samples int) error {
	stream, err := hub.Stream(ctx, map[string]any{"type": "subscribe", "id": "f", "what": []string{"resources"}, "scope": map[string]any{"clusters": []string{id}, "kinds": []string{"Pod"}}})
	if err != nil {
		return err
	}
	defer stream.Close()
	if _, err := stream.Next(ctx); err != nil { // the bookmark that opens the subscription
		return err
	}
	var took []float64
	for i := range samples {
		ms, err := once(ctx, client, stream, podName(i%pods), strconv.Itoa(i))
		if err != nil {
			return err
		}
		took = append(took, ms)
		time.Sleep(pause)
	}
	measure.Note("e2e.freshness: %d samples on SQLite with %d Pods, p50 %.2f ms, max %.2f ms", len(took), pods, measure.Quantile(took, 0.5), measure.Quantile(took, 1))
	measure.Line("e2e.freshness.p99", measure.Quantile(took, 0.99), "ms")
	return nil
}

// once patches a label and gives the milliseconds from the API server's answer to the frame. A frame that overtakes the answer counts as 0.
func once(ctx context.Context, client kubernetes.Interface, stream *stack.Stream, pod, value string) (float64, error) {
	ctx, cancel := stack.Within(ctx, 30*time.Second)
	defer cancel()
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, label, value)
	if _, err := client.CoreV1().Pods(namespace).Patch(ctx, pod, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		return 0, err
	}
	accepted := time.Now()
	for {
		f, err := stream.Next(ctx)
		if err != nil {
			return 0, fmt.Errorf("waiting for the frame of %s: %w", pod, err)
		}
		if f.Node != nil && f.Node.Name == pod && f.Node.Labels[label] == value {
			return float64(time.Since(accepted).Microseconds()) / 1000, nil
		}
	}
}
