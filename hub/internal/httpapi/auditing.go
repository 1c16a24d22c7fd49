package httpapi

// auditing is the record of who did what.
func (a *API) auditing() {}
