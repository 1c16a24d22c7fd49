package httpapi

import "testing"

// What is counted from now may change though nothing else does: it is never answered with "as before".
func TestAnswersThatDriftAreGivenAnew(t *testing.T) {
	r := newRig(t, options{})
	for path, status := range map[string]int{
		"/api/v1/resources?q=image:x": 304, "/api/v1/resources?q=kind:Pod+age%3C1h": 200, "/api/v1/resources?q=age%3E1h": 200, "/api/v1/topology/diff?from=-1h": 200,
	} {
		tag := r.get(r.admin, path).header.Get("ETag")
		if got := r.do(r.admin, "GET", path, "", "If-None-Match", tag); tag == "" || got.status != status {
			t.Errorf("%s asked for again with %s: %d, want %d", path, tag, got.status, status)
		}
	}
}
