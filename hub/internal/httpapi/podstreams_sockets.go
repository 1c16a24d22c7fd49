package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/coder/websocket"
	"github.com/danielgtaylor/huma/v2"

	"github.com/kubilitics/kubilitics/hub/internal/pods"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// The subprotocols of sessions in pods.
const (
	execProtocol    = "kubilitics.exec.v1"
	forwardProtocol = "kubilitics.portforward.v1"
)

// PodPath is a pod's place in a cluster.
type PodPath struct {
	ClusterPath
	Namespace string `query:"namespace" required:"true"`
}

type execInput struct {
	PodPath
	Pod       string   `query:"pod" required:"true"`
	Container string   `query:"container" doc:"the one that the pod says people mean, or its first, where none is given"`
	Command   []string `query:"command,explode" required:"true" doc:"the program, then each of its arguments" example:"sh"`
	TTY       bool     `query:"tty" doc:"on a terminal"`
	Stdin     bool     `query:"stdin" doc:"with input"`
}

type forwardInput struct {
	PodPath
	Pod     string `query:"pod"`
	Service string `query:"service" doc:"in place of a pod: one that is ready to serve it"`
	Port    string `query:"port" required:"true" doc:"number or name of the pod's or the service's port"`
}

const socketDoc = "What goes wrong before it begins is a problem document. Pages in a browser, which can't read one here, get a close frame with " +
	"4000 and the problem's status as code and its message as reason. Browsers offer the token as they do for /ws/v1/stream."

func (a *API) sockets() {
	exec := route(http.MethodGet, clusterRoot+"/exec", "exec", "Run a command in a container, over a WebSocket", "pods")
	exec.Description = "The subprotocol is " + execProtocol + ". Messages are binary; the first byte is the channel: 0 input, 1 output, 2 errors, 3 the end as " +
		`JSON {"exitCode", "reason", "message"}, 4 the size of the terminal as JSON {"width", "height"}, 255 followed by 0: there is no more input. ` + socketDoc
	streaming(a, exec, upgrades("The session is open"), a.serveExec)
	forward := route(http.MethodGet, clusterRoot+"/portforward", "portforward", "Reach a port of a pod, over a WebSocket", "pods")
	forward.Description = "The subprotocol is " + forwardProtocol + ". A socket is one connection; binary messages are its bytes, an empty one says that all was " +
		"sent. Where the connection ends otherwise than by the pod, the close frame says why. " + socketDoc
	streaming(a, forward, upgrades("The connection is open"), a.serveForward)
}

func upgrades(description string) map[string]*huma.Response {
	return map[string]*huma.Response{"101": {Description: description}}
}

// session is what a WebSocket is opened for.
type session interface {
	Serve(ctx context.Context, client *websocket.Conn, t pods.Terms)
	Close()
}

func (a *API) serveExec(w http.ResponseWriter, r *http.Request, in *execInput) {
	a.serveSession(w, r, execProtocol, func(ctx context.Context) (session, error) {
		at, err := a.at(ctx, in.ClusterPath, "exec")
		if err != nil {
			return nil, err
		}
		return opened(a.cfg.Pods.Exec(ctx, at, pods.ExecQuery{
			Namespace: in.Namespace, Pod: in.Pod, Container: in.Container, Command: in.Command, TTY: in.TTY, Stdin: in.Stdin,
		}))
	})
}

func (a *API) serveForward(w http.ResponseWriter, r *http.Request, in *forwardInput) {
	a.serveSession(w, r, forwardProtocol, func(ctx context.Context) (session, error) {
		at, err := a.at(ctx, in.ClusterPath, "portforward")
		if err != nil {
			return nil, err
		}
		return opened(a.cfg.Pods.Forward(ctx, at, pods.ForwardQuery{Namespace: in.Namespace, Pod: in.Pod, Service: in.Service, Port: in.Port}))
	})
}

// opened keeps a nil pointer from being taken for a session.
func opened[S session](s S, err error) (session, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// serveSession opens the cluster's side first, so that what is wrong with it is an answer like any other.
func (a *API) serveSession(w http.ResponseWriter, r *http.Request, protocol string, open func(context.Context) (session, error)) {
	if err := a.mayOpen(r); err != nil {
		a.fail(w, r, err)
		return
	}
	over, err := a.begin(principalOf(r.Context()))
	if err != nil {
		a.refuseSocket(w, r, protocol, err)
		return
	}
	defer over()
	ctx, end := a.guarded(r.Context())
	defer end()
	s, err := open(ctx)
	if err != nil {
		a.refuseSocket(w, r, protocol, err)
		return
	}
	conn, err := accept(w, r, protocol)
	if err != nil {
		s.Close()
		return // Accept has answered
	}
	s.Serve(ctx, conn, pods.Terms{Ping: a.cfg.PingEvery, Gone: slowest, Why: func(err error) error { return a.because(ctx, err) }})
}

func (a *API) mayOpen(r *http.Request) error {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return fault.New(fault.BadRequest, "this needs a WebSocket")
	}
	if !a.origins.permits(r) {
		return fault.New(fault.Forbidden, "pages of %s may not open streams here", r.Header.Get("Origin"))
	}
	return nil
}

func accept(w http.ResponseWriter, r *http.Request, protocol string) (*websocket.Conn, error) {
	return websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{protocol}, InsecureSkipVerify: true}) // the origin was checked
}

// refuseSocket says why there will be no session, so that whoever asks can read it.
func (a *API) refuseSocket(w http.ResponseWriter, r *http.Request, protocol string, why error) {
	if r.Header.Get("Origin") == "" {
		a.fail(w, r, why)
		return
	}
	told := a.problem(r.Context(), why)
	conn, err := accept(w, r, protocol)
	if err != nil {
		return // Accept has answered
	}
	pods.HangUp(conn, fault.New(told.Code, "%s", told.Message))
	_ = conn.CloseNow()
}
