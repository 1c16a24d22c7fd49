package node

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"

	core "k8s.io/api/core/v1"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
)

// road is an address here that leads to a port of a pod, each connection by a port-forward of its own. (All that come through one `kubectl
// port-forward` end with the first that breaks off, and so does the command: it is no road for programs that break off as they please.)
type road struct {
	kubeconfig, namespace, pod string
	inside                     int    // the pod's port
	port                       string // here
	listener                   net.Listener
	cancel                     context.CancelFunc
	carriers                   sync.WaitGroup
}

func (r *road) open(ctx context.Context) (err error) {
	if r.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	r.port = strconv.Itoa(r.listener.Addr().(*net.TCPAddr).Port)
	ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.carriers.Go(func() {
		for {
			conn, err := r.listener.Accept()
			if err != nil {
				return // the road is closed
			}
			r.carriers.Go(func() { r.carry(ctx, conn) })
		}
	})
	return nil
}

func (r *road) close() {
	if r.listener == nil {
		return
	}
	_ = r.listener.Close() // it accepts no more, whatever it says
	r.cancel()
	r.carriers.Wait()
}

// carry copies both ways until either end is done. Who comes while there is no pod finds the connection closed.
func (r *road) carry(ctx context.Context, here net.Conn) {
	defer func() { _ = here.Close() }()
	way, err := r.dial()
	if err != nil {
		return
	}
	defer func() { _ = way.Close() }()
	defer context.AfterFunc(ctx, func() { _ = way.Close() })()
	there, err := r.stream(way)
	if err != nil {
		return
	}
	var copying sync.WaitGroup
	copying.Go(func() {
		_, _ = io.Copy(there, here) // either end may break off
		_ = there.Close()
	})
	_, _ = io.Copy(here, there)
	_ = here.Close()
	_ = there.Reset()
	copying.Wait()
}

func (r *road) dial() (httpstream.Connection, error) {
	config, err := clientcmd.BuildConfigFromFlags("", r.kubeconfig)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	at := client.CoreV1().RESTClient().Get().Resource("pods").Namespace(r.namespace).Name(r.pod).SubResource("portforward").URL()
	dialer, err := portforward.NewSPDYOverWebsocketDialerForStreaming(at, config)
	if err != nil {
		return nil, err
	}
	way, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	return way, err
}

// stream opens the pair of streams that a forwarded connection is: what goes wrong, which is read by nobody here, and the bytes.
func (r *road) stream(way httpstream.Connection) (httpstream.Stream, error) {
	headers := http.Header{}
	headers.Set(core.PortHeader, strconv.Itoa(r.inside))
	headers.Set(core.PortForwardRequestIDHeader, "0")
	headers.Set(core.StreamType, core.StreamTypeError)
	wrong, err := way.CreateStream(headers)
	if err != nil {
		return nil, err
	}
	if err := wrong.Close(); err != nil {
		return nil, fmt.Errorf("the stream of errors: %w", err)
	}
	headers.Set(core.StreamType, core.StreamTypeData)
	return way.CreateStream(headers)
}
