package kube

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// kwok plays exactly the nodes with this annotation, so that real ones can join the same cluster.
const (
	nodeAnnotation      = "kwok.x-k8s.io/node"
	nodeAnnotationValue = "fake"
)

// furnish makes what a usable cluster has besides its control plane, and waits until it is there.
func (c *Cluster) furnish(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defer closeIdle(client.CoreV1().RESTClient())
	if _, err := client.StorageV1().StorageClasses().Create(ctx, storageClass(), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make the default StorageClass: %w", err)
	}
	for i := range c.opts.Nodes {
		if _, err := client.CoreV1().Nodes().Create(ctx, c.node(i), metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("make node %d: %w", i+1, err)
		}
	}
	return c.until(ctx, "nodes and the default ServiceAccount are there", func(ctx context.Context) error {
		return c.furnished(ctx, client)
	})
}

func (c *Cluster) furnished(ctx context.Context, client kubernetes.Interface) error {
	if _, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{}); err != nil {
		return err
	}
	// Pods of other namespaces need this one in theirs, and the system's controllers find it by name.
	if _, err := client.CoreV1().ConfigMaps("default").Get(ctx, "kube-root-ca.crt", metav1.GetOptions{}); err != nil {
		return err
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	if c.real != nil && !slices.ContainsFunc(nodes.Items, func(n corev1.Node) bool { return n.Name == c.real.name }) {
		return fmt.Errorf("node %s isn't known yet", c.real.name)
	}
	for _, n := range nodes.Items {
		if !schedulable(n) {
			return fmt.Errorf("node %s isn't ready", n.Name)
		}
	}
	return nil
}

// schedulable: ready, and the taint that nodes are born with has been taken off.
func schedulable(n corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue && len(n.Spec.Taints) == 0
		}
	}
	return false
}

// ready asks the API server itself, with a connection of its own for each try.
func (c *Cluster) ready(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		return err
	}
	defer closeIdle(client.CoreV1().RESTClient())
	_, err = client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	if apierrors.IsInternalError(err) {
		return fmt.Errorf("readyz: %w", err)
	}
	return err
}

func storageClass() *storagev1.StorageClass {
	immediate, remove := storagev1.VolumeBindingImmediate, corev1.PersistentVolumeReclaimDelete
	return &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{
			Name:        "standard",
			Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"},
		},
		Provisioner:       "simulate.kubilitics.dev/volume", // the stages in kwok.yaml
		ReclaimPolicy:     &remove,
		VolumeBindingMode: &immediate,
	}
}

// node is the i-th simulated node, spread over three zones, with the size of a common virtual machine.
func (c *Cluster) node(i int) *corev1.Node {
	name := fmt.Sprintf("%s-node-%d", c.opts.Name, i+1)
	annotations := map[string]string{nodeAnnotation: nodeAnnotationValue}
	if c.opts.Metrics {
		annotations["metrics.k8s.io/resource-metrics-path"] = fmt.Sprintf(metricsPath, name)
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: annotations,
			Labels: map[string]string{
				corev1.LabelHostname:           name,
				corev1.LabelOSStable:           "linux",
				corev1.LabelArchStable:         "amd64",
				corev1.LabelTopologyRegion:     c.opts.Region,
				corev1.LabelTopologyZone:       c.opts.Region + "-" + string("abc"[i%3]),
				corev1.LabelInstanceTypeStable: "simulated-8x32",
			},
		},
		Spec:   corev1.NodeSpec{PodCIDR: podCIDR(i), PodCIDRs: []string{podCIDR(i)}},
		Status: c.nodeStatus(i, name),
	}
}

func (c *Cluster) nodeStatus(i int, name string) corev1.NodeStatus {
	return corev1.NodeStatus{
		Capacity: resources("8", "32Gi", "100Gi"),
		// What a kubelet keeps back for the system and for itself.
		Allocatable: resources("7800m", "30Gi", "92Gi"),
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("10.0.%d.%d", i/200, i%200+10)},
			{Type: corev1.NodeHostName, Address: name},
			{Type: corev1.NodeExternalIP, Address: "127.0.0.1"}, // where kwok answers for logs
		},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(c.kubeletPort)}},
		NodeInfo: corev1.NodeSystemInfo{
			Architecture:            "amd64",
			OperatingSystem:         "linux",
			OSImage:                 "simulated",
			KernelVersion:           "simulated",
			ContainerRuntimeVersion: "kwok://simulated",
			KubeletVersion:          c.bin.Version,
			BootID:                  fmt.Sprintf("%s-%d", name, time.Now().Unix()),
		},
	}
}

func resources(cpu, memory, disk string) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse(cpu),
		corev1.ResourceMemory:           resource.MustParse(memory),
		corev1.ResourceEphemeralStorage: resource.MustParse(disk),
		corev1.ResourcePods:             resource.MustParse("110"),
	}
}

// podCIDR gives each node its own 256 addresses of 10.128.0.0/9.
func podCIDR(i int) string { return fmt.Sprintf("10.%d.%d.0/24", 128+i/256, i%256) }
