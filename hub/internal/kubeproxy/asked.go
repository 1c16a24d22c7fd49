package kubeproxy

import (
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/kube"
)

// Decide tells whether a principal might send a request to a cluster, for what is answered in place of one and sends nothing: NotFound where the
// principal may do nothing in the cluster at all, Forbidden where it lacks a verb.
func Decide(p fleet.Principal, cluster fleet.ClusterID, q kube.Request) error {
	return decide(p, cluster, q)
}
