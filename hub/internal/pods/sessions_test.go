package pods

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
)

var quick = Terms{Ping: 50 * time.Millisecond, Gone: 5 * time.Second}

// serving is a client's socket to what serve does with the other end. done is closed after.
func serving(t *testing.T, serve func(context.Context, *websocket.Conn)) (client *websocket.Conn, done <-chan struct{}) {
	t.Helper()
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(over)
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		serve(r.Context(), conn)
	}))
	t.Cleanup(s.Close)
	client, _, err := websocket.Dial(t.Context(), s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.CloseNow() })
	return client, over
}

func write(t *testing.T, c *websocket.Conn, kind websocket.MessageType, text string) {
	t.Helper()
	if err := c.Write(t.Context(), kind, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// told reads messages until one is what is wanted.
func told(t *testing.T, c *websocket.Conn, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, text, err := c.Read(ctx)
	if err != nil || string(text) != want {
		t.Fatalf("%q, %v; want %q", text, err, want)
	}
}

// closes reads to the close frame.
func closes(t *testing.T, c *websocket.Conn, code websocket.StatusCode, part string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		_, _, err := c.Read(ctx)
		var end websocket.CloseError
		switch {
		case err == nil:
			continue
		case !errors.As(err, &end) || end.Code != code || !strings.Contains(end.Reason, part):
			t.Fatalf("%v; want %d %q", err, code, part)
		}
		return
	}
}

// shellTown runs commands: "echo" gives back what it is sent, until the input ends, and ends with 7; "break" breaks off; other protocols get an older one.
func shellTown(t *testing.T, speaks string) *town {
	v := newTown(t)
	v.pod("web-1", nil, "app", "proxy")
	v.other = func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("command") == "" || q.Get("container") != "app" || q.Get("stdout") != "true" {
			kube.WriteStatus(w, fault.New(fault.Forbidden, "not in %s, said the cluster", q.Get("container")))
			return
		}
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{speaks}})
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.CloseNow() }()
		for {
			_, m, err := conn.Read(r.Context())
			switch {
			case err != nil || q.Get("command") == "break":
				return
			case slices.Equal(m, []byte{closeChannel, stdinChannel}):
				_ = conn.Write(r.Context(), websocket.MessageBinary, []byte("\x03"+`{"status":"Failure","reason":"NonZeroExitCode","message":"exit 7","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}`))
				_ = conn.Close(websocket.StatusNormalClosure, "")
				return
			case m[0] == stdinChannel:
				_ = conn.Write(r.Context(), websocket.MessageBinary, append([]byte{1}, m[1:]...))
			case m[0] == resizeChannel:
				_ = conn.Write(r.Context(), websocket.MessageBinary, append([]byte{2}, m[1:]...))
			}
		}
	}
	return v
}

func (v *town) exec(t *testing.T, command string) (*websocket.Conn, <-chan struct{}, context.CancelCauseFunc) {
	t.Helper()
	s, err := v.service().Exec(t.Context(), anybody, ExecQuery{Namespace: "shop", Pod: "web-1", Command: []string{command}, Stdin: true})
	if err != nil {
		t.Fatal(err)
	}
	ends := make(chan context.CancelCauseFunc, 1)
	client, done := serving(t, func(ctx context.Context, conn *websocket.Conn) {
		ctx, end := context.WithCancelCause(ctx)
		defer end(nil)
		ends <- end
		s.Serve(ctx, conn, quick)
	})
	return client, done, <-ends
}

func TestACommandsChannelsPass(t *testing.T) {
	c, done, _ := shellTown(t, protocol5).exec(t, "echo")
	write(t, c, websocket.MessageBinary, "\x00hello")
	told(t, c, "\x01hello")
	write(t, c, websocket.MessageBinary, "\x04"+`{"width":80,"height":24}`)
	told(t, c, "\x02"+`{"width":80,"height":24}`)
	write(t, c, websocket.MessageBinary, "\xff\x00")
	told(t, c, "\x03"+`{"exitCode":7,"reason":"NonZeroExitCode","message":"exit 7"}`)
	closes(t, c, websocket.StatusNormalClosure, "")
	<-done
}

func TestACommandThatBreaksOffSaysSo(t *testing.T) {
	c, done, _ := shellTown(t, protocol5).exec(t, "break")
	write(t, c, websocket.MessageBinary, "\x00x")
	told(t, c, "\x03"+`{"exitCode":null,"reason":"UNAVAILABLE","message":"the connection to the cluster broke"}`)
	closes(t, c, 4503, "the connection to the cluster broke")
	<-done

	c, done, end := shellTown(t, protocol5).exec(t, "echo")
	end(fault.New(fault.Unauthorized, "the API token was revoked"))
	closes(t, c, 4401, "the API token was revoked")
	<-done

	c, done, _ = shellTown(t, protocol5).exec(t, "echo")
	_ = c.CloseNow() // the client is gone
	<-done
}

// A client whose input waits to be taken can't answer pings, and isn't gone; nor is one of whom something came.
func TestWhoWaitsIsNotGone(t *testing.T) {
	terms := Terms{Ping: 10 * time.Millisecond, Gone: 50 * time.Millisecond}
	_, done := serving(t, func(ctx context.Context, conn *websocket.Conn) {
		defer func() { _ = conn.CloseNow() }()
		var from life
		gone := make(chan error, 1)
		_ = from.pass(func() error {
			go func() { gone <- ping(ctx, conn, terms, &from) }()
			select {
			case <-gone:
				t.Error("one who waits is taken for gone")
				gone <- errOver
			case <-time.After(4 * terms.Gone):
			}
			return nil
		})
		waited := time.Now()
		if err := <-gone; !errors.Is(err, errOver) || time.Since(waited) < terms.Gone-terms.Ping {
			t.Errorf("%v after %s", err, time.Since(waited))
		}
	})
	<-done
}

func TestWhatACommandCannotBeToldIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ speaks, message, why string }{
		"end of input": {protocol4, "\xff\x00", "needs version 1.30"},
		"output":       {protocol5, "\x01x", "nothing can be sent on channel 1"},
		"nothing":      {protocol5, "", "begin with a channel's number"},
	} {
		t.Run(name, func(t *testing.T) {
			client, done, _ := shellTown(t, c.speaks).exec(t, "echo")
			write(t, client, websocket.MessageBinary, c.message)
			closes(t, client, 4400, c.why)
			<-done
		})
	}
	v := shellTown(t, protocol5)
	_, err := v.service().Exec(t.Context(), anybody, ExecQuery{Namespace: "shop", Pod: "web-1", Container: "proxy", Command: []string{"x"}})
	if f := fault.Public(err); f.Code != fault.Forbidden || f.Message != "not in proxy, said the cluster" {
		t.Errorf("%+v", f)
	}
	if _, err := v.service().Exec(t.Context(), anybody, ExecQuery{Namespace: "shop", Pod: "../x"}); len(fault.Public(err).Fields) != 2 {
		t.Errorf("%v", err)
	}
}

// portTown has a pod whose port 8080 gives back what it is sent, to the end of it; at others nobody listens.
func portTown(t *testing.T) *town {
	v := newTown(t)
	v.pod("web-1", func(p *corev1.Pod) {
		p.Spec.Containers = []corev1.Container{{Name: "app", Ports: []corev1.ContainerPort{{Name: "dns", ContainerPort: 53, Protocol: "UDP"}, {Name: "http", ContainerPort: 8080}}}}
	}, "app")
	v.other = func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/services/web"):
			_, _ = io.WriteString(w, `{"metadata":{"name":"web"},"spec":{"ports":[{"name":"main","port":80},{"name":"dns","port":53,"protocol":"UDP"}]}}`)
		case strings.HasSuffix(r.URL.Path, "/endpointslices"):
			_, _ = io.WriteString(w, `{"items":[{"ports":[{"name":"main","port":8080}],"endpoints":[{"conditions":{"ready":false},"targetRef":{"kind":"Pod","name":"sick"}},
				{"conditions":{"ready":true},"targetRef":{"kind":"Pod","name":"web-1"}}]}]}`)
		case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/pods/web-1/portforward"):
			servePort(t, w, r)
		default:
			kube.WriteStatus(w, fault.New(fault.NotFound, "%s isn't there, said the cluster", r.URL.Path))
		}
	}
	return v
}

func servePort(t *testing.T, w http.ResponseWriter, r *http.Request) {
	if _, err := httpstream.Handshake(r, w, []string{forwardProtocol}); err != nil {
		t.Error(err)
		return
	}
	streams := make(chan httpstream.Stream, 2)
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
		streams <- s
		return nil
	})
	if conn == nil {
		return
	}
	defer conn.Close()
	errs, data := <-streams, <-streams
	if errs.Headers().Get(corev1.PortHeader) == "8080" {
		_, _ = io.Copy(data, data)
	} else {
		_, _ = io.WriteString(errs, "nobody listens on it, said the kubelet")
	}
	_ = errs.Close()
	_ = data.Close()
	<-conn.CloseChan()
}

func TestAPortIsReached(t *testing.T) {
	v := portTown(t)
	for _, q := range []ForwardQuery{{Pod: "web-1", Port: "8080"}, {Pod: "web-1", Port: "http"}, {Service: "web", Port: "80"}, {Service: "web", Port: "main"}} {
		q.Namespace = "shop"
		f, err := v.service().Forward(t.Context(), anybody, q)
		if err != nil {
			t.Fatal(err)
		}
		c, done := serving(t, func(ctx context.Context, conn *websocket.Conn) { f.Serve(ctx, conn, quick) })
		write(t, c, websocket.MessageBinary, "there")
		told(t, c, "there")
		write(t, c, websocket.MessageBinary, "and back")
		told(t, c, "and back")
		write(t, c, websocket.MessageBinary, "") // all was sent
		closes(t, c, websocket.StatusNormalClosure, "")
		<-done
	}
}

func TestAPortThatIsNotReachedSaysWhy(t *testing.T) {
	v := portTown(t)
	f, err := v.service().Forward(t.Context(), anybody, ForwardQuery{Namespace: "shop", Pod: "web-1", Port: "81"})
	if err != nil {
		t.Fatal(err)
	}
	c, done := serving(t, func(ctx context.Context, conn *websocket.Conn) { f.Serve(ctx, conn, quick) })
	closes(t, c, 4503, "nobody listens on it, said the kubelet")
	<-done

	for want, q := range map[fault.Code]ForwardQuery{
		fault.BadRequest: {Pod: "web-1", Port: "0"}, fault.NotFound: {Pod: "web-1", Port: "dns"},
	} {
		q.Namespace = "shop"
		if _, err := v.service().Forward(t.Context(), anybody, q); !fault.Is(err, want) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	for _, q := range []ForwardQuery{{Service: "web", Port: "53"}, {Service: "web", Pod: "web-1", Port: "80"}, {Port: "80"}, {Service: "web", Port: "70000"}} {
		q.Namespace = "shop"
		if _, err := v.service().Forward(t.Context(), anybody, q); !fault.Is(err, fault.BadRequest) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if _, err := v.service().Forward(t.Context(), anybody, ForwardQuery{Namespace: "shop", Pod: "gone", Port: "80"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("a pod that is gone: %v", err)
	}
}

func TestLongReasonsFitACloseFrame(t *testing.T) {
	if got := reason(strings.Repeat("€", 100)); len(got) > 123 || !strings.HasSuffix(got, "€…") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}

func TestFiguresOrWhyThereAreNone(t *testing.T) {
	v := newTown(t)
	answers := map[string]string{}
	v.other = func(w http.ResponseWriter, r *http.Request) {
		text, ok := answers[r.URL.Path]
		switch {
		case strings.HasPrefix(text, "{"):
			_, _ = io.WriteString(w, text)
		case ok:
			kube.WriteStatus(w, fault.New(fault.Code(text), "so the cluster said"))
		default:
			http.NotFound(w, r)
		}
	}
	const nodes = "/apis/metrics.k8s.io/v1beta1/nodes"
	for _, c := range []struct {
		nodes, version string
		want           Cause
	}{{"", "{}", NotInstalled}, {"FORBIDDEN", "{}", NotPermitted}, {"UNAVAILABLE", "{}", NotAnswering}, {"UNAVAILABLE", "UNAVAILABLE", Offline}} {
		answers["/version"] = c.version
		if answers[nodes] = c.nodes; c.nodes == "" {
			delete(answers, nodes)
		}
		if _, absent, err := v.service().NodeMetrics(t.Context(), anybody, true); err != nil || absent == nil || absent.Cause != c.want || absent.Reason == "" {
			t.Errorf("%+v: %+v, %v", c, absent, err)
		}
	}
	answers[nodes] = `{"items":[{"metadata":{"name":"n1"},"timestamp":"2026-03-01T10:00:00Z","window":"20.5s","usage":{"cpu":"1500m","memory":"2Mi"}}]}`
	answers["/api/v1/nodes"] = `{"items":[{"metadata":{"name":"n1"},"status":{"allocatable":{"cpu":"4","memory":"8Gi"}}}]}`
	got, _, err := v.service().NodeMetrics(t.Context(), anybody, true)
	if err != nil || len(got) != 1 || got[0].Used != (Amount{1.5, 2 << 20}) || got[0].Window != 20.5 || *got[0].Allocatable != (Amount{4, 8 << 30}) {
		t.Errorf("%+v, %v", got, err)
	}
	answers["/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods"] = `{"items":[{"metadata":{"namespace":"shop","name":"p"},"window":"1m0s",
		"containers":[{"name":"a","usage":{"cpu":"250m","memory":"1Ki"}},{"name":"b","usage":{"cpu":"750m","memory":"1Ki"}}]}]}`
	pods, _, err := v.service().PodMetrics(t.Context(), anybody, "shop", "app=web")
	if err != nil || len(pods) != 1 || pods[0].Used != (Amount{1, 2048}) || len(pods[0].Containers) != 2 {
		t.Errorf("%+v, %v", pods, err)
	}
	if _, _, err := v.service().PodMetrics(t.Context(), anybody, "a/b", ""); !fault.Is(err, fault.BadRequest) {
		t.Error(err)
	}
}
