package pods

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/coder/websocket"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// ExecQuery says what to run, and where.
type ExecQuery struct {
	Namespace string
	Pod       string
	Container string // the one that the pod says people mean, or its first, where it is empty
	Command   []string
	TTY       bool
	Stdin     bool
}

func (q *ExecQuery) check() error {
	var n names
	n.label("namespace", q.Namespace)
	n.object("pod", q.Pod)
	if q.Container != "" {
		n.label("container", q.Container)
	}
	if len(q.Command) == 0 || q.Command[0] == "" {
		n.wrong("command", "must name a program")
	}
	return n.err()
}

func (q *ExecQuery) values() url.Values {
	v := url.Values{"container": {q.Container}, "command": q.Command, "stdout": {"true"}}
	if q.Stdin {
		v.Set("stdin", "true")
	}
	if q.TTY {
		v.Set("tty", "true") // a terminal has one output
	} else {
		v.Set("stderr", "true")
	}
	return v
}

// The channels of a session: the first byte of each message says which. They are those of v5.channel.k8s.io.
const (
	stdinChannel  = 0
	statusChannel = 3
	resizeChannel = 4
	closeChannel  = 255 // followed by the channel that is closed
)

// The protocols that clusters speak. The older one has no way to say that the input has ended.
const (
	protocol5 = "v5.channel.k8s.io"
	protocol4 = "v4.channel.k8s.io"
)

const maxOutput = 16 << 20 // bytes of one message of a cluster

// Shell is a command that runs in a container.
type Shell struct {
	conn *websocket.Conn
	from life
}

// Exec runs a command. The session ends with Serve.
func (p *Pods) Exec(ctx context.Context, where At, q ExecQuery) (*Shell, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	c := p.client(where, "exec")
	if q.Container == "" {
		pod, err := c.pod(ctx, q.Namespace, q.Pod)
		if err != nil {
			return nil, err
		}
		q.Container = usualContainer(pod)
	}
	l := &listening{RoundTripper: c.http.Transport}
	conn, _, err := websocket.Dial(ctx, at(q.values(), core(q.Namespace, "pods", q.Pod, "exec")...), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: l, CheckRedirect: c.http.CheckRedirect}, Subprotocols: []string{protocol5, protocol4},
	})
	switch {
	case l.refused != nil:
		return nil, l.refused
	case err != nil:
		return nil, broken(ctx, err)
	}
	conn.SetReadLimit(maxOutput)
	return &Shell{conn: conn}, nil
}

func usualContainer(p *corev1.Pod) string {
	if name := p.Annotations[defaultContainer]; name != "" {
		return name
	}
	if len(p.Spec.Containers) == 0 {
		return ""
	}
	return p.Spec.Containers[0].Name
}

// listening keeps what a cluster says when it doesn't upgrade.
type listening struct {
	http.RoundTripper
	refused error
}

// RoundTrip answers a request.
func (l *listening) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		l.refused = refusal(resp)
	}
	return resp, err
}

// ExecStatus is the last message of a session.
type ExecStatus struct {
	ExitCode *int   `json:"exitCode"` // null when the command's end isn't known
	Reason   string `json:"reason,omitempty"`
	Message  string `json:"message,omitempty"`
}

// statusOf reads a cluster's.
func statusOf(raw []byte) ExecStatus {
	var s metav1.Status
	if err := json.Unmarshal(raw, &s); err != nil {
		return ExecStatus{Message: string(raw)}
	}
	code := 0
	if s.Status == metav1.StatusSuccess {
		return ExecStatus{ExitCode: &code}
	}
	out := ExecStatus{Reason: string(s.Reason), Message: s.Message}
	if s.Details == nil {
		return out
	}
	for _, c := range s.Details.Causes {
		if n, err := strconv.Atoi(c.Message); err == nil && c.Type == "ExitCode" {
			out.ExitCode = &n
		}
	}
	return out
}

// Serve lets a client have the session until it is over, and closes both.
func (s *Shell) Serve(ctx context.Context, client *websocket.Conn, t Terms) {
	client.SetReadLimit(maxInput)
	defer func() { _ = s.conn.CloseNow() }()
	bye := func(err error) { s.farewell(ctx, client, err) }
	up := func(ctx context.Context) error { return s.input(ctx, client) }
	down := func(ctx context.Context) error { return s.output(ctx, client, t) }
	bridge(ctx, client, t, &s.from, bye, up, down)
}

// Close ends a session that wasn't served.
func (s *Shell) Close() { _ = s.conn.CloseNow() }

func (s *Shell) input(ctx context.Context, client *websocket.Conn) error {
	for {
		kind, message, err := client.Read(ctx)
		if err != nil {
			return errOver
		}
		if err := s.allowed(kind, message); err != nil {
			return err
		}
		if err := s.from.pass(func() error { return s.conn.Write(ctx, websocket.MessageBinary, message) }); err != nil {
			return fault.Wrap(err, fault.Unavailable, "the connection to the cluster broke")
		}
	}
}

func (s *Shell) allowed(kind websocket.MessageType, message []byte) error {
	switch {
	case kind != websocket.MessageBinary || len(message) == 0:
		return fault.New(fault.BadRequest, "messages must be binary and begin with a channel's number")
	case message[0] == closeChannel && s.conn.Subprotocol() != protocol5:
		return fault.New(fault.BadRequest, "this cluster's Kubernetes can't be told that the input has ended: that needs version 1.30 or later")
	case message[0] == stdinChannel, message[0] == resizeChannel, message[0] == closeChannel:
		return nil
	default:
		return fault.New(fault.BadRequest, "nothing can be sent on channel %d", message[0])
	}
}

func (s *Shell) output(ctx context.Context, client *websocket.Conn, t Terms) error {
	for {
		_, message, err := s.conn.Read(ctx)
		if err != nil {
			return fault.Wrap(err, fault.Unavailable, "the connection to the cluster broke")
		}
		if len(message) > 0 && message[0] == statusChannel {
			_ = send(ctx, client, lastMessage(statusOf(message[1:])), t.Gone) // the client may be gone
			return errOver
		}
		if err := send(ctx, client, message, t.Gone); err != nil {
			return errOver
		}
	}
}

func lastMessage(s ExecStatus) []byte {
	text, _ := json.Marshal(s) // nothing in it can't be
	return append([]byte{statusChannel}, text...)
}

func (s *Shell) farewell(ctx context.Context, client *websocket.Conn, err error) {
	if errors.Is(err, errOver) {
		_ = client.Close(websocket.StatusNormalClosure, "")
		return
	}
	f := fault.Public(err)
	_ = send(context.WithoutCancel(ctx), client, lastMessage(ExecStatus{Reason: string(f.Code), Message: f.Message}), farewell)
	HangUp(client, err)
}
