package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"net"

	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/agent/internal/watch"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// Embedding is what a program that runs agents inside itself gives to each of them, in place of addresses and files. An agent that was given one keeps
// its keys in memory alone. REST and Dial are required.
type Embedding struct {
	REST  *rest.Config                            // how the cluster is reached
	Dial  func(context.Context) (net.Conn, error) // connects to the hub's tunnels
	Rules *rules.Table                            // shared by agents, which only read it; nil makes one of the configuration
	// Identity gives the text that identifies the cluster to the hub in place of the UID of its kube-system namespace, which is "" where the namespace may
	// not be read; nil takes the UID, and does not go without.
	Identity func(kubeUID string) string
	// Contact hears how it goes with the cluster. It must not block.
	Contact func(Contact)
}

// Contact is what came of asking the cluster something, or news of whether it still answers.
type Contact struct {
	KubeUID string // of the kube-system namespace; "" where that isn't known
	Err     error  // why there is no answer, or none that helps; nil when there is one
}

// Embed makes an agent that runs inside another program. Of the configuration it takes what concerns the cluster and the join token. Nothing is reached
// before Run.
func Embed(cfg Config, e Embedding, log *zap.Logger) (a *Agent, err error) {
	cfg.Hub = "tls://inside:1" // nothing is dialled there
	if err := cfg.check(); err != nil {
		return nil, err
	}
	a = &Agent{cfg: cfg, instance: rand.Text(), inside: e, rest: e.REST, endpoint: tunnel.Endpoint{Dial: e.Dial}, table: e.Rules}
	a.log = log.With(zap.String("instance", a.instance))
	if a.table == nil {
		if a.table, err = cfg.ruleTable(); err != nil {
			return nil, err
		}
	}
	return a, a.furnish()
}

// identified passes on what came of asking the cluster who it is, and words its identity.
func (a *Agent) identified(info watch.ClusterInfo, err error) (watch.ClusterInfo, error) {
	e := a.inside
	if e.Identity != nil && fault.Is(err, fault.Forbidden) && info.Version != "" {
		err = nil // who may not read the namespace kube-system may well use the cluster
	}
	if e.Contact != nil {
		e.Contact(Contact{KubeUID: info.UID, Err: err})
	}
	if err == nil && e.Identity != nil {
		info.UID = e.Identity(info.UID)
	}
	return info, err
}

// reached passes on whether the API server answers.
func (a *Agent) reached(r watch.Reach) {
	switch {
	case a.inside.Contact == nil:
	case r.Down:
		a.inside.Contact(Contact{Err: errors.New(r.Reason)})
	default:
		a.inside.Contact(Contact{})
	}
}
