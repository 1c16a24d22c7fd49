package kubeserve

import (
	"net"
	"net/http"
	"net/url"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
)

const (
	dialTimeout = 5 * time.Second
	// idle connections are closed before an API server does it after 90 s: a request that can't be repeated must not meet that moment.
	idleConnection = 60 * time.Second
	idleMost       = 128
	// streamBuffer is how much of a watch or a log may wait in this process for a reader that is slow.
	streamBuffer = 256 << 10
)

// upstream is the API server.
type upstream struct {
	base *url.URL
	// What has an end goes over HTTP/1.1, which costs less for each request and each byte, and with it what leaves HTTP. Watches and logs that are
	// followed share connections by HTTP/2, since each would otherwise hold one for hours.
	short, lasting http.RoundTripper
}

func newUpstream(cfg *rest.Config) (*upstream, error) {
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the address of the Kubernetes API is no URL")
	}
	up := &upstream{base: base}
	if up.short, err = roundTripper(cfg, "http/1.1"); err != nil {
		return nil, err
	}
	up.lasting, err = roundTripper(cfg, "h2", "http/1.1")
	return up, err
}

// roundTripper makes client-go's transport of the configuration, with its credentials, whatever they come from, and changes nothing else of a request.
func roundTripper(cfg *rest.Config, protocols ...string) (http.RoundTripper, error) {
	own := rest.CopyConfig(cfg)
	own.UserAgent, own.DisableCompression = "", true
	own.NextProtos = protocols
	if own.Transport != nil {
		own.NextProtos = nil // client-go allows none beside a transport that is given
	}
	if own.Dial == nil {
		own.Dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext
	}
	if own.Proxy == nil {
		own.Proxy = http.ProxyFromEnvironment // with a function in it the transport is shared with nobody
	}
	own.WrapTransport = transport.Wrappers(tune, cfg.WrapTransport)
	rt, err := rest.TransportFor(own)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the connection to the Kubernetes API is configured wrongly")
	}
	return rt, nil
}

func tune(rt http.RoundTripper) http.RoundTripper {
	inner := rt
	for {
		w, wraps := inner.(utilnet.RoundTripperWrapper)
		if !wraps {
			break
		}
		inner = w.WrappedRoundTripper()
	}
	if t, ok := inner.(*http.Transport); ok && t != http.DefaultTransport {
		t.TLSHandshakeTimeout = dialTimeout
		t.MaxIdleConns, t.MaxIdleConnsPerHost, t.IdleConnTimeout = idleMost, idleMost, idleConnection
		t.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: streamBuffer}
	}
	return rt
}

// of gives the way that a request goes.
func (u *upstream) of(q kube.Request) http.RoundTripper {
	if q.Lasts() && !q.Upgrades && !q.Connects() {
		return u.lasting
	}
	return u.short
}

func (u *upstream) close() {
	utilnet.CloseIdleConnectionsFor(u.short)
	utilnet.CloseIdleConnectionsFor(u.lasting)
}
