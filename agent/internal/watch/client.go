package watch

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// streamBuffer is how much of one answer may wait unread in this process. Go's default of 4 MiB, times the lists that
// run at once, would be most of the memory that an agent is to have.
const streamBuffer = 256 << 10

// client speaks to one API server over connections of its own.
type client struct {
	rest  *rest.RESTClient
	http  *http.Client
	reach reach
}

func newClient(cfg *rest.Config, told func(Reach)) (*client, error) {
	own := rest.CopyConfig(cfg)
	own.GroupVersion = nil
	own.NegotiatedSerializer = statusOnly()
	own.AcceptContentTypes, own.ContentType = "application/json", "application/json"
	// The API server's priority and fairness says how much it can bear, per user and fairly; a bucket here would only
	// make the first sync slow. What runs at once is bounded by turns.
	own.QPS, own.RateLimiter = -1, nil
	own.DisableCompression = true // the API server is near, and compression would cost both sides more than the wire
	own.WarningHandlerWithContext, own.WarningHandler = nil, rest.NoWarnings{}
	own.Timeout = 0 // watches last; contexts end the rest
	if own.Proxy == nil {
		own.Proxy = http.ProxyFromEnvironment // a config with a function gets a transport that nobody shares
	}
	own.Wrap(tuneTransport)
	h, err := rest.HTTPClientFor(own)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the connection to the Kubernetes API is configured wrongly")
	}
	c, err := rest.UnversionedRESTClientForConfigAndClient(own, h)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the connection to the Kubernetes API is configured wrongly")
	}
	return &client{rest: c, http: h, reach: reach{told: told}}, nil
}

func tuneTransport(rt http.RoundTripper) http.RoundTripper {
	inner := rt
	for {
		w, wraps := inner.(utilnet.RoundTripperWrapper)
		if !wraps {
			break
		}
		inner = w.WrappedRoundTripper()
	}
	if t, ok := inner.(*http.Transport); ok && t != http.DefaultTransport {
		t.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: streamBuffer}
	}
	return rt
}

// statusOnly decodes what an API server answers when it refuses; objects are read by the caller.
func statusOnly() runtime.NegotiatedSerializer {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	return serializer.NewCodecFactory(scheme).WithoutConversion()
}

func (c *client) close() { utilnet.CloseIdleConnectionsFor(c.http.Transport) }

// get begins a read of a path.
func (c *client) get(path string) *rest.Request { return c.rest.Get().AbsPath(path) }

// of begins a read of a kind's objects, in a namespace or, if that is empty, in all.
func (c *client) of(k Kind, namespace string) *rest.Request {
	path := "/apis/" + k.Group + "/" + k.Version
	if k.Group == "" {
		path = "/api/" + k.Version
	}
	return c.get(path).NamespaceIfScoped(namespace, namespace != "").Resource(k.Plural)
}

// open sends a read and gives the answer's body, which the caller closes.
func (c *client) open(ctx context.Context, r *rest.Request) (io.ReadCloser, error) {
	body, err := r.Stream(ctx)
	if ctx.Err() == nil {
		c.reach.note(err)
	}
	return body, err
}

// read is open for an answer that is small enough to be had at once.
func (c *client) read(ctx context.Context, r *rest.Request) ([]byte, error) {
	body, err := c.open(ctx, r)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

func withOptions(r *rest.Request, opts metav1.ListOptions) *rest.Request {
	return r.SpecificallyVersionedParams(&opts, metav1.ParameterCodec, schema.GroupVersion{Version: "v1"})
}

// reach learns from every request whether the API server answers.
type reach struct {
	told func(Reach)

	mu sync.Mutex
	up chan struct{} // while it is down: closed when it isn't any more
}

func (r *reach) note(err error) {
	down := err != nil && !answered(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	news := Reach{Down: down, Since: time.Now()}
	switch {
	case down == (r.up != nil):
		return
	case down:
		r.up, news.Reason = make(chan struct{}), err.Error()
	default:
		close(r.up)
		r.up = nil
	}
	r.told(news)
}

// pause waits for a time, or until an API server that doesn't answer does: somebody's try will find out first, and the
// others needn't sit out what they have doubled meanwhile. cut says that the caller itself met no answer.
func (r *reach) pause(ctx context.Context, d time.Duration, cut bool) {
	r.mu.Lock()
	up := r.up
	r.mu.Unlock()
	if up == nil && cut {
		d = min(d, herd)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-up:
		spread := time.NewTimer(rand.N(herd))
		defer spread.Stop()
		select {
		case <-ctx.Done():
		case <-spread.C:
		}
	}
}

// herd is over how long those spread that come back at the same time.
const herd = 500 * time.Millisecond

// answered tells an error that the API server sent from one that was met on the way to it.
func answered(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status)
}

// refused tells that the same request will be answered the same way until somebody changes the cluster.
func refused(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) || apierrors.IsNotAcceptable(err)
}

// sentence is what an API server says, without what client-go puts around it.
func sentence(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Message != "" {
		return status.Status().Message
	}
	return err.Error()
}

// asFault gives an error of a read its code.
func asFault(err error, doing string, args ...any) error {
	code := fault.Unavailable
	switch {
	case apierrors.IsForbidden(err):
		code = fault.Forbidden
	case apierrors.IsUnauthorized(err):
		code = fault.Unauthorized
	case apierrors.IsNotFound(err):
		code = fault.NotFound
	case apierrors.IsTooManyRequests(err):
		code = fault.TooManyRequests
	}
	return fault.Wrap(err, code, doing, args...)
}
