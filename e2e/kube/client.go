package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig returns the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() []byte { return slices.Clone(c.kubeconfig) }

// KubeconfigPath is the file that holds Kubeconfig, readable by its owner alone; Stop removes it.
func (c *Cluster) KubeconfigPath() string { return c.path("kubeconfig") }

// RESTConfig returns a new configuration for client-go as the administrator, without a client-side rate limit.
func (c *Cluster) RESTConfig() *rest.Config {
	cfg, err := clientcmd.RESTConfigFromKubeConfig(c.kubeconfig)
	if err != nil {
		panic(fmt.Sprintf("kube: a kubeconfig of our own doesn't parse: %v", err))
	}
	cfg.QPS = -1 // the API server has its own, fairer limits
	cfg.UserAgent = fieldManager
	cfg.WarningHandler = rest.NoWarnings{} // the demo's TLS Secret holds no certificate, and nobody needs to hear it
	return cfg
}

// Kubectl runs kubectl as the administrator, with stdin if not nil, and returns its standard output. The error
// holds what it wrote to standard error. It leaves nothing in the home directory.
func (c *Cluster) Kubectl(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	flags := []string{"--kubeconfig", c.KubeconfigPath(), "--cache-dir", c.path("kubectl-cache")}
	cmd := exec.CommandContext(ctx, c.bin.Kubectl, append(flags, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// Programs are the programs that the cluster runs and goes with, also helm, if it was asked for Metrics.
func (c *Cluster) Programs() Bin { return c.bin }

// KubectlPath is the kubectl that belongs to the cluster's version.
func (c *Cluster) KubectlPath() string { return c.bin.Kubectl }

// fieldManager owns the fields that Apply sets, and names our clients to the API server.
const fieldManager = "kubilitics-e2e"

// Apply applies a stream of YAML documents by server-side apply, in their order. An object whose kind isn't
// served yet, as its CustomResourceDefinition came just before it, is tried until ctx ends or a minute is over.
func (c *Cluster) Apply(ctx context.Context, manifests []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("apply took more than a minute"))
	defer cancel()
	a, err := c.newApplier()
	if err != nil {
		return err
	}
	defer a.close()
	docs := yaml.NewYAMLToJSONDecoder(bytes.NewReader(manifests))
	for n := 1; ; n++ {
		obj := &unstructured.Unstructured{}
		err := docs.Decode(&obj.Object)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read document %d: %w", n, err)
		}
		if len(obj.Object) == 0 {
			continue // only a comment
		}
		if err := c.applyServed(ctx, a, obj); err != nil {
			return fmt.Errorf("apply %s %s: %w", obj.GetKind(), obj.GetName(), err)
		}
	}
}

// applyServed waits for the kind to be served; any other failure is final.
func (c *Cluster) applyServed(ctx context.Context, a *applier, obj *unstructured.Unstructured) error {
	var final error
	err := c.until(ctx, obj.GroupVersionKind().String()+" is served", func(ctx context.Context) error {
		err := a.apply(ctx, obj)
		if meta.IsNoMatchError(err) || isUnserved(err) {
			a.mapper.Reset()
			return err
		}
		final = err
		return nil
	})
	return errors.Join(err, final)
}

// isUnserved: discovery may know a new kind a moment before its handler does.
func isUnserved(err error) bool {
	status := apierrors.APIStatus(nil)
	return errors.As(err, &status) && status.Status().Code == http.StatusNotFound && status.Status().Details != nil && status.Status().Details.Name == ""
}

type applier struct {
	http   *http.Client
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
}

func (c *Cluster) newApplier() (*applier, error) {
	cfg := c.RESTConfig()
	hc, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	dyn, err := dynamic.NewForConfigAndClient(cfg, hc)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	disc, err := discovery.NewDiscoveryClientForConfigAndClient(cfg, hc)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return &applier{http: hc, client: dyn, mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disc))}, nil
}

func (a *applier) close() { utilnet.CloseIdleConnectionsFor(a.http.Transport) }

func (a *applier) apply(ctx context.Context, obj *unstructured.Unstructured) error {
	gvk := obj.GroupVersionKind()
	m, err := a.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return err
	}
	var to dynamic.ResourceInterface = a.client.Resource(m.Resource)
	if m.Scope.Name() == meta.RESTScopeNameNamespace {
		ns := obj.GetNamespace()
		if ns == "" {
			ns = metav1.NamespaceDefault
		}
		to = a.client.Resource(m.Resource).Namespace(ns)
	}
	_, err = to.Apply(ctx, obj.GetName(), obj, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	return err
}

// ServiceAccountKubeconfig returns a kubeconfig that acts as an existing ServiceAccount, for agents and people
// with few rights. Its token lives for a day.
func (c *Cluster) ServiceAccountKubeconfig(ctx context.Context, namespace, name string) ([]byte, error) {
	client, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	defer closeIdle(client.CoreV1().RESTClient())
	day := int64(24 * 60 * 60)
	req := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &day}}
	tok, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, req, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("get a token of ServiceAccount %s/%s: %w", namespace, name, err)
	}
	return kubeconfig(c.opts.Name, c.URL, c.pki.caPEM, name, clientcmdapi.AuthInfo{Token: tok.Status.Token})
}

// UserKubeconfig returns a kubeconfig that acts as a user, who needn't be known to the cluster: what he may do is for RBAC to say.
func (c *Cluster) UserKubeconfig(user string, groups ...string) ([]byte, error) {
	cert, key, err := c.pki.client(user, groups...)
	if err != nil {
		return nil, err
	}
	return kubeconfig(c.opts.Name, c.URL, c.pki.caPEM, user, clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key})
}

// closeIdle closes the connections that a client keeps: each is a goroutine or two.
func closeIdle(c rest.Interface) {
	if rc, ok := c.(*rest.RESTClient); ok && rc.Client != nil {
		utilnet.CloseIdleConnectionsFor(rc.Client.Transport)
	}
}
