package kubeserve

import (
	"net/http"
	"testing"
)

func TestPasses(t *testing.T) {
	r := newRig(t, Operate, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Proto + r.URL.String())) })
	for _, p := range []string{"/api/v1/pods", "/api/v1/pods?watch=1"} {
		resp, text := r.ask(t, request(t.Context(), "GET", p, ""))
		t.Log(resp.Status, text)
	}
}
