// Command agent fills a cluster for measuring an agent: 5,000 objects of 60 kinds, or 20,000 pods.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "agent bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var l load
	kubeconfig := flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "`file` of the cluster to fill")
	flag.IntVar(&l.Kinds, "kinds", 60, "kinds of objects")
	flag.IntVar(&l.Objects, "objects", 5000, "objects over all kinds")
	flag.IntVar(&l.Pods, "pods", 0, "running pods besides")
	churn := flag.Int("churn", 0, "pod status changes to make, instead of filling")
	flag.Parse()
	cfg, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	began := time.Now()
	if *churn > 0 {
		err = stir(ctx, cfg, l.Pods, *churn)
	} else {
		err = fill(ctx, cfg, l)
	}
	fmt.Printf("# done in %s\n", time.Since(began).Round(time.Millisecond))
	return err
}

// stir changes the status of pods, in turns.
func stir(ctx context.Context, cfg *rest.Config, pods, changes int) error {
	c, err := newCreator(cfg)
	if err != nil {
		return err
	}
	defer c.close()
	for i := range changes {
		pod := i % pods
		path := fmt.Sprintf("/api/v1/namespaces/%s/pods/pod-%d", namespace(pod), pod)
		if err := c.status(ctx, path, pod, 1+i/pods); err != nil {
			return err
		}
	}
	return nil
}
