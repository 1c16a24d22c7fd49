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
	return resp, nil
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
