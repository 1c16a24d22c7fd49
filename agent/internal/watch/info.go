package watch

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const infoLimit = 15 * time.Second

// ClusterInfo is what a cluster says of itself.
type ClusterInfo struct {
	Version  string // "v1.37.2"
	UID      string // of the namespace kube-system: a cluster's identity for as long as it lives
	Provider string // "eks", "gke", "kind" … by what its version and first node show; empty if nothing does
}

// Info asks the cluster for what it is. Without its version or UID it is an error, which comes with the version where only the UID can't be read; the
// provider is a guess that may stay empty.
func (s *Source) Info(ctx context.Context) (ClusterInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, infoLimit)
	defer cancel()
	var version struct{ GitVersion string }
	if err := s.readInto(ctx, "/version", &version); err != nil {
		return ClusterInfo{}, asFault(err, "the API server doesn't tell its version")
	}
	var system metav1.PartialObjectMetadata
	if err := s.readInto(ctx, "/api/v1/namespaces/kube-system", &system); err != nil {
		return ClusterInfo{Version: version.GitVersion}, asFault(err, "the namespace kube-system can't be read, whose UID identifies the cluster")
	}
	return ClusterInfo{
		Version: version.GitVersion, UID: string(system.UID), Provider: guess(version.GitVersion, s.someNode(ctx)),
	}, nil
}

func (s *Source) readInto(ctx context.Context, path string, into any) error {
	raw, err := s.client.read(ctx, s.client.get(path))
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

type nodeDoc struct {
	Metadata metav1.ObjectMeta
	Spec     struct{ ProviderID string }
}

// someNode is the first node, or an empty one where nodes may not be listed.
func (s *Source) someNode(ctx context.Context) nodeDoc {
	var node nodeDoc
	r := withOptions(s.client.get("/api/v1/nodes"), metav1.ListOptions{Limit: 1})
	if body, err := s.client.open(ctx, r); err == nil {
		defer body.Close()
		_, _ = readList(body, func(raw []byte) { _ = json.Unmarshal(raw, &node) })
	}
	return node
}

// clue is one thing by which a provider is known.
type clue struct {
	provider string
	version  string // a part of the version
	id       string // how a node's providerID begins
	label    string // how the key of a node's label or annotation begins
}

// clues are in the order of their weight: a distribution is told before the cloud it runs on.
var clues = []clue{
	{provider: "openshift", label: "node.openshift.io/"},
	{provider: "eks", version: "-eks-"},
	{provider: "eks", label: "eks.amazonaws.com/"},
	{provider: "gke", version: "-gke."},
	{provider: "gke", label: "cloud.google.com/gke-"},
	{provider: "aks", label: "kubernetes.azure.com/"},
	{provider: "rke2", version: "+rke2"},
	{provider: "k3s", version: "+k3s"},
	{provider: "k0s", version: "+k0s"},
	{provider: "kind", id: "kind://"},
	{provider: "minikube", label: "minikube.k8s.io/"},
	{provider: "microk8s", label: "microk8s.io/"},
	{provider: "talos", label: "extensions.talos.dev/"},
	{provider: "kwok", id: "kwok://"},
	{provider: "kwok", label: "kwok.x-k8s.io/"},
	{provider: "doks", id: "digitalocean://"},
	{provider: "lke", id: "linode://"},
	{provider: "oke", id: "ocid1."},
	{provider: "iks", id: "ibm://"},
	{provider: "hetzner", id: "hcloud://"},
	{provider: "scaleway", id: "scaleway://"},
	{provider: "alibaba", label: "alibabacloud.com/"},
	{provider: "vsphere", id: "vsphere://"},
	{provider: "openstack", id: "openstack://"},
	{provider: "aws", id: "aws://"},
	{provider: "gce", id: "gce://"},
	{provider: "azure", id: "azure://"},
}

func guess(version string, node nodeDoc) string {
	for _, c := range clues {
		switch {
		case c.version != "" && strings.Contains(version, c.version),
			c.id != "" && strings.HasPrefix(node.Spec.ProviderID, c.id),
			c.label != "" && (hasKey(node.Metadata.Labels, c.label) || hasKey(node.Metadata.Annotations, c.label)):
			return c.provider
		}
	}
	return ""
}

func hasKey(m map[string]string, prefix string) bool {
	for key := range m {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}
