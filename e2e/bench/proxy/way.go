package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"k8s.io/client-go/rest"
)

// The paths that are asked for.
const (
	smallPath = "/api/v1/namespaces/default/configmaps/" + small
	bulkPath  = "/api/v1/namespaces/" + namespace + "/configmaps"
)

// way is one way to the cluster.
type way struct {
	cfg  *rest.Config
	root string
	http *http.Client
}

// newWay makes a way whose connections are as client-go's are, but that nothing here is held back, compressed or decoded.
func newWay(cfg *rest.Config) (*way, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.DisableCompression = -1, true
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, err
	}
	return &way{cfg: cfg, root: strings.TrimSuffix(cfg.Host, "/"), http: client}, nil
}

// apart is the same way with a connection of its own for each request.
func (w *way) apart() (*way, error) {
	cfg := rest.CopyConfig(w.cfg)
	cfg.NextProtos = []string{"http/1.1"} // one request at a time on a connection
	return newWay(cfg)
}

// get reads an answer whole and gives its length.
func (w *way) get(ctx context.Context, path string) (int64, error) {
	resp, err := w.open(ctx, path)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return io.Copy(io.Discard, resp.Body)
}

// open sends a GET and gives its answer, whose body is to be closed.
func (w *way) open(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.root+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := w.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // as much of the reason as there is
		return nil, fmt.Errorf("GET %s: %s: %s", path, resp.Status, said)
	}
	return resp, nil
}

// took gives the milliseconds that a GET takes.
func (w *way) took(ctx context.Context, path string) (float64, error) {
	begin := time.Now()
	_, err := w.get(ctx, path)
	return float64(time.Since(begin).Microseconds()) / 1000, err
}
