package httpapi

// operations is what changes clusters.
func (a *API) operations() {}
