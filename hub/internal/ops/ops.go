// Package ops does what people ask for with more than one request to a cluster's Kubernetes API: it finds out what they mean by a name, applies
// documents, scales, rolls out, drains, and tells beforehand what the topology says an operation touches.
package ops

import (
	"context"
	"net/http"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubeproxy"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
)

// Manager is the name under which clusters keep which fields were set from here.
const Manager = "kubilitics"

// Kube reaches clusters' Kubernetes APIs.
type Kube interface {
	Transport(by kubeproxy.Caller, cluster fleet.ClusterID) http.RoundTripper
}

// Config is what the operations stand on.
type Config struct {
	Kube  Kube
	Query *query.Querier // what the topology says an operation touches
	Log   *zap.Logger
}

// Ops does operations. It is safe for concurrent use.
type Ops struct {
	cfg   Config
	kinds *lru.Cache[store.Scope, *kindTable]
	now   func() time.Time
}

// New makes it.
func New(cfg Config) *Ops {
	kinds, err := lru.New[store.Scope, *kindTable](kindTables)
	if err != nil {
		panic(err) // a size below one, which it is not
	}
	return &Ops{cfg: cfg, kinds: kinds, now: time.Now}
}

// Target is a cluster and who does something there: one request's, and not for concurrent use but where a method says so.
type Target struct {
	*Ops
	by      kubeproxy.Caller
	cluster fleet.ClusterID
	rest    *rest.RESTClient
	http    *http.Client
}

// On gives the operations on a cluster, for a caller. Every request goes through the caller's transport, where it is decided on and recorded.
func (o *Ops) On(by kubeproxy.Caller, cluster fleet.ClusterID) (*Target, error) {
	client := &http.Client{Transport: o.cfg.Kube.Transport(by, cluster)}
	c, err := rest.UnversionedRESTClientForConfigAndClient(restConfig(), client)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the client of the cluster can't be made")
	}
	return &Target{Ops: o, by: by, cluster: cluster, rest: c, http: client}, nil
}

// restConfig is of a client whose transport knows the way. It sets no rate of its own: the proxy's limits and the cluster's are fairer.
func restConfig() *rest.Config {
	return &rest.Config{
		Host: "http://cluster", QPS: -1, WarningHandler: rest.NoWarnings{}, UserAgent: Manager,
		ContentConfig: rest.ContentConfig{NegotiatedSerializer: scheme.Codecs.WithoutConversion()},
	}
}

func (t *Target) scope() store.Scope {
	return store.Scope{Tenant: t.by.Principal.Tenant, Cluster: t.cluster}
}

// may decides what isn't sent to the cluster as what is sent would be decided on.
func (t *Target) may(verb fleet.Verb, k Kind, subresource, namespace string) error {
	q := kube.Request{Verb: string(verb), Group: k.Group, Version: k.Version, Resource: k.Plural, Subresource: subresource, Namespace: namespace}
	return kubeproxy.Decide(t.by.Principal, t.cluster, q)
}

// wait ends with ctx, or after a while.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
