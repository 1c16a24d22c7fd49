package httpapi

// podStreams is what is done with running pods.
func (a *API) podStreams() {}
