package kubeproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
)

// inside is a caller's way to a cluster from within the hub.
type inside struct {
	proxy   *Proxy
	by      Caller
	cluster fleet.ClusterID
}

// RoundTrip answers a request.
func (i inside) RoundTrip(r *http.Request) (*http.Response, error) {
	s, err := i.proxy.admit(r, i.by, i.cluster)
	if err != nil {
		closeBody(r)
		return refusal(r, err), nil
	}
	out := r.Clone(context.WithValue(s.ctx, passageKey{}, s))
	s.dress(out)
	resp, err := forwarder{i.proxy}.RoundTrip(out)
	switch {
	case err != nil && r.Context().Err() != nil:
		return nil, context.Cause(r.Context())
	case err != nil:
		return refusal(r, err), nil
	}
	resp.Request = r
	if !s.lasts() && s.request.Subresource != "log" { // a log is read piece by piece
		resp.Body = &bounded{ReadCloser: resp.Body, left: maxWhole}
	}
	return resp, nil
}

// maxWhole is how much of an answer somebody within the hub reads, in bytes: they mostly read it whole, and a cluster in strange hands may answer
// without an end.
const maxWhole = 64 << 20

// bounded is a body that breaks off where it is too long.
type bounded struct {
	io.ReadCloser
	left int64
}

// Read gives what is left of what may be read.
func (b *bounded) Read(p []byte) (int, error) {
	var n int
	var err error
	if b.left >= 0 {
		n, err = b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
		b.left -= int64(n)
	}
	if b.left < 0 {
		return max(n-1, 0), fault.New(fault.Unavailable, "the cluster's answer is longer than %d MiB", maxWhole>>20)
	}
	return n, err
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

// refusal is an answer of ours, as kube.WriteStatus gives it to those outside.
func refusal(r *http.Request, err error) *http.Response {
	status := kube.Status(err)
	text, _ := json.Marshal(status) // a Status has nothing that can't be
	resp := &http.Response{
		StatusCode: int(status.Code), Status: strconv.Itoa(int(status.Code)) + " " + http.StatusText(int(status.Code)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(bytes.NewReader(text)), ContentLength: int64(len(text)),
	}
	if after := fault.RetryAfter(err); after > 0 {
		resp.Header.Set("Retry-After", strconv.Itoa(int(status.Details.RetryAfterSeconds)))
	}
	return resp
}
