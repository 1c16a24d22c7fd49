package kubeproxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func echo(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.RequestURI(), text)
}

func TestSmoke(t *testing.T) {
	r := newRig(t)
	c := r.cluster("eu-1", echo)
	if code, text := r.do("GET", "/api/v1/namespaces/a/pods?limit=5", nil); code != 200 || text != "GET /api/v1/namespaces/a/pods?limit=5 " {
		t.Errorf("%d %s", code, text)
	}
	if code, text := r.do("POST", "/api/v1/namespaces/a/pods", strings.NewReader("body")); code != 200 || text != "POST /api/v1/namespaces/a/pods body" {
		t.Errorf("%d %s", code, text)
	}
	c.lose()
	code, text := r.do("GET", "/api/v1/namespaces/a/pods", nil)
	if code != 503 {
		t.Errorf("%d %s", code, text)
	}
	t.Log(text)
}
