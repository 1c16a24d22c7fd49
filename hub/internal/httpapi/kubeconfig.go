package httpapi

// kubeconfig is what tools need to come here.
func (a *API) kubeconfig() {}
