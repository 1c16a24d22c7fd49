package pods

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// ForwardQuery says which port to reach: a pod's, or a Service's.
type ForwardQuery struct {
	Namespace string
	Pod       string
	Service   string
	Port      string // number or name
}

func (q *ForwardQuery) check() error {
	var n names
	n.label("namespace", q.Namespace)
	switch {
	case (q.Pod == "") == (q.Service == ""):
		n.wrong("pod", "either pod or service must say where the port is")
	case q.Pod != "":
		n.object("pod", q.Pod)
	default:
		n.label("service", q.Service)
	}
	if _, err := portNumber(q.Port); err != nil && (q.Port == "" || strings.Trim(q.Port, "0123456789") == "") {
		n.wrong("port", "must be a port's number or name")
	}
	return n.err()
}

func portNumber(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err == nil && n == 0 {
		err = strconv.ErrRange
	}
	return int(n), err
}

// Forwarding is a connection to a port of a pod.
type Forwarding struct {
	conn   httpstream.Connection
	data   httpstream.Stream
	from   life
	failed chan string // what went wrong at the pod; "" where nothing did
}

// Forward connects to a port. The connection ends with Serve.
func (p *Pods) Forward(ctx context.Context, where At, q ForwardQuery) (*Forwarding, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	c := p.client(where, "portforward")
	pod, port, err := c.target(ctx, q)
	if err != nil {
		return nil, err
	}
	conn, err := c.dialSPDY(ctx, core(q.Namespace, "pods", pod, "portforward"))
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	f, err := connect(conn, port)
	if err != nil {
		_ = conn.Close()
		return nil, broken(ctx, err)
	}
	return f, nil
}

// target is the pod and the number of the port that are meant.
func (c client) target(ctx context.Context, q ForwardQuery) (pod string, port int, err error) {
	if q.Service != "" {
		return c.behind(ctx, q)
	}
	if n, err := portNumber(q.Port); err == nil {
		return q.Pod, n, nil
	}
	p, err := c.pod(ctx, q.Namespace, q.Pod)
	if err != nil {
		return "", 0, err
	}
	for _, c := range p.Spec.Containers {
		for _, at := range c.Ports {
			if at.Name == q.Port && (at.Protocol == corev1.ProtocolTCP || at.Protocol == "") {
				return q.Pod, int(at.ContainerPort), nil
			}
		}
	}
	return "", 0, fault.New(fault.NotFound, "pod %s has no port named %q", q.Pod, q.Port)
}

// behind finds a pod that is ready to serve a Service's port.
func (c client) behind(ctx context.Context, q ForwardQuery) (string, int, error) {
	var s corev1.Service
	if err := c.get(ctx, &s, nil, core(q.Namespace, "services", q.Service)...); err != nil {
		return "", 0, err
	}
	name, err := servicePort(&s, q.Port)
	if err != nil {
		return "", 0, err
	}
	var slicesOf discoveryv1.EndpointSliceList
	of := url.Values{"labelSelector": {discoveryv1.LabelServiceName + "=" + q.Service}}
	if err := c.get(ctx, &slicesOf, of, append(api("discovery.k8s.io", "v1"), "namespaces", q.Namespace, "endpointslices")...); err != nil {
		return "", 0, err
	}
	for _, slice := range slicesOf.Items {
		if pod, port := readyIn(&slice, name); pod != "" {
			return pod, port, nil
		}
	}
	return "", 0, fault.New(fault.Unavailable, "no pod behind service %s is ready to serve its port %s", q.Service, q.Port)
}

// servicePort is the name of the port that is meant, which may be empty.
func servicePort(s *corev1.Service, port string) (string, error) {
	n, _ := portNumber(port)
	i := slices.IndexFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == port || n != 0 && int(p.Port) == n })
	if i < 0 {
		return "", fault.New(fault.NotFound, "service %s has no port %s", s.Name, port)
	}
	if p := s.Spec.Ports[i]; p.Protocol != corev1.ProtocolTCP && p.Protocol != "" {
		return "", fault.New(fault.BadRequest, "port %s of service %s is %s; only TCP can be forwarded", port, s.Name, p.Protocol)
	}
	return s.Spec.Ports[i].Name, nil
}

func readyIn(slice *discoveryv1.EndpointSlice, name string) (pod string, port int) {
	i := slices.IndexFunc(slice.Ports, func(p discoveryv1.EndpointPort) bool {
		return p.Port != nil && (p.Name == nil && name == "" || p.Name != nil && *p.Name == name)
	})
	if i < 0 {
		return "", 0
	}
	for _, e := range slice.Endpoints {
		ready := e.Conditions.Ready == nil || *e.Conditions.Ready
		if ready && e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
			return e.TargetRef.Name, int(*slice.Ports[i].Port)
		}
	}
	return "", 0
}

const forwardProtocol = "portforward.k8s.io"

// dialSPDY opens a connection of streams. It is the one way to forward ports that every version of Kubernetes has.
func (c client) dialSPDY(ctx context.Context, segments []string) (httpstream.Connection, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at(nil, segments...), http.NoBody)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the request can't be made")
	}
	req.Header.Set(httpstream.HeaderConnection, httpstream.HeaderUpgrade)
	req.Header.Set(httpstream.HeaderUpgrade, spdy.HeaderSpdy31)
	req.Header.Set(httpstream.HeaderProtocolVersion, forwardProtocol)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, broken(ctx, err)
	}
	rw, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		defer resp.Body.Close()
		return nil, refusal(resp)
	}
	conn, err := spdy.NewClientConnection(&pipe{ReadWriteCloser: rw})
	if err != nil {
		return nil, broken(ctx, err)
	}
	return conn, nil
}

// pipe is a connection whose ends have no addresses and know no deadlines; Close ends whoever waits.
type pipe struct{ io.ReadWriteCloser }

type nowhere struct{}

func (nowhere) Network() string { return "tunnel" }
func (nowhere) String() string  { return "cluster" }

// LocalAddr is none.
func (*pipe) LocalAddr() net.Addr { return nowhere{} }

// RemoteAddr is none.
func (*pipe) RemoteAddr() net.Addr { return nowhere{} }

// SetDeadline does nothing.
func (*pipe) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (*pipe) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (*pipe) SetWriteDeadline(time.Time) error { return nil }

// connect opens the pair of streams that a connection is.
func connect(conn httpstream.Connection, port int) (*Forwarding, error) {
	h := http.Header{}
	h.Set(corev1.StreamType, corev1.StreamTypeError)
	h.Set(corev1.PortHeader, strconv.Itoa(port))
	h.Set(corev1.PortForwardRequestIDHeader, "0")
	errs, err := conn.CreateStream(h)
	if err != nil {
		return nil, err
	}
	_ = errs.Close() // nothing is sent on it
	h.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := conn.CreateStream(h)
	if err != nil {
		return nil, err
	}
	f := &Forwarding{conn: conn, data: data, failed: make(chan string, 1)}
	go func() { // ends with the connection
		text, _ := io.ReadAll(io.LimitReader(errs, maxStatus))
		f.failed <- string(text)
	}()
	return f, nil
}

// Close ends a connection that wasn't served.
func (f *Forwarding) Close() {
	_ = f.conn.Close()
	<-f.failed
}

// Serve lets a client have the connection until one side ends it. Each binary message holds bytes of it; an empty one says that the client
// has sent all.
func (f *Forwarding) Serve(ctx context.Context, client *websocket.Conn, t Terms) {
	client.SetReadLimit(maxInput)
	up := func(ctx context.Context) error { return f.input(ctx, client) }
	down := func(ctx context.Context) error { return f.output(ctx, client, t) }
	bye := func(err error) {
		if errors.Is(err, errOver) {
			_ = client.Close(websocket.StatusNormalClosure, "")
		} else {
			HangUp(client, err)
		}
		_ = f.conn.Close() // ends the direction that waits for the pod
	}
	bridge(ctx, client, t, &f.from, bye, up, down)
}

func (f *Forwarding) input(ctx context.Context, client *websocket.Conn) error {
	for {
		kind, message, err := client.Read(ctx)
		switch {
		case err != nil:
			return errOver
		case kind != websocket.MessageBinary:
			return fault.New(fault.BadRequest, "messages must be binary")
		case len(message) == 0:
			_ = f.data.Close() // of our direction
		default:
			if err := f.from.pass(func() error { _, err := f.data.Write(message); return err }); err != nil {
				return f.why(err)
			}
		}
	}
}

const readBytes = 32 << 10

func (f *Forwarding) output(ctx context.Context, client *websocket.Conn, t Terms) error {
	buffer := make([]byte, readBytes)
	for {
		n, err := f.data.Read(buffer)
		if n > 0 && send(ctx, client, buffer[:n], t.Gone) != nil {
			return errOver
		}
		switch {
		case err != nil && ctx.Err() != nil:
			return errOver
		case err != nil:
			return f.why(err)
		}
	}
}

// why asks for the pod's word on an end.
func (f *Forwarding) why(err error) error {
	_ = f.data.Reset() // what wasn't read must not stand before it
	select {
	case text := <-f.failed:
		f.failed <- text
		if text != "" {
			return fault.New(fault.Unavailable, "%s", text)
		}
	case <-time.After(farewell):
	}
	if errors.Is(err, io.EOF) {
		return errOver
	}
	return fault.Wrap(err, fault.Unavailable, "the connection to the pod broke")
}
