package httpapi

import (
	"net/http"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
)

// KubeRoot is what the paths of Kubernetes APIs begin with here.
const KubeRoot = "/k8s/"

// Kube is the handler of everything below "/k8s/": the Kubernetes APIs of clusters and of the fleet. It stands apart from the product's interface,
// because nothing may be done to its requests on the way, and because its errors are Statuses.
func (a *API) Kube() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kube.WriteStatus(w, fault.New(fault.Unavailable, "not served yet"))
	})
}
