package node

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	core "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
)

// road leads to a port of a pod, each connection by a port-forward of its own. (All that come through one `kubectl port-forward` end with the first that breaks
// off, and so does the command: it is no road for programs that break off as they please.)
type road struct {
	kubeconfig, namespace, pod string
	inside                     int // the pod's port
	relay
}

func (r *road) open(ctx context.Context) error {
	r.dial = r.forward
	return r.relay.open(ctx, "127.0.0.1:0")
}

func (r *road) forward() (lane, error) {
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
	if err != nil {
		return nil, err
	}
	data, err := streams(way, r.inside)
	if err != nil {
		return nil, errors.Join(err, way.Close())
	}
	return forwarded{data, way}, nil
}

// streams opens the two that a forwarded connection is, and gives the one with the bytes. The other tells what goes wrong, which nobody reads here.
func streams(way httpstream.Connection, port int) (httpstream.Stream, error) {
	headers := http.Header{}
	headers.Set(core.PortHeader, strconv.Itoa(port))
	headers.Set(core.PortForwardRequestIDHeader, "0")
	headers.Set(core.StreamType, core.StreamTypeError)
	wrong, err := way.CreateStream(headers)
	if err != nil {
		return nil, err
	}
	if err := wrong.Close(); err != nil {
		return nil, err
	}
	headers.Set(core.StreamType, core.StreamTypeData)
	return way.CreateStream(headers)
}

// forwarded is a stream as a lane.
type forwarded struct {
	httpstream.Stream
	way httpstream.Connection
}

func (f forwarded) CloseWrite() error { return f.Stream.Close() }

func (f forwarded) Close() error { return errors.Join(f.Reset(), f.way.Close()) }
