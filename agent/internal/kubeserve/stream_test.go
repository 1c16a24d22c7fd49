package kubeserve

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/shared/tunnel"
)

const watchPath, listPath = "/api/v1/pods?watch=1", "/api/v1/pods"

// TestUntouched: what is said on one side is what is heard on the other, but for whose it is.
func TestUntouched(t *testing.T) {
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = zip.Write(bytes.Repeat([]byte("text"), 1000))
	_ = zip.Close()
	var seen http.Header
	r := newRig(t, Operate, func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Link", "</a>")
		w.WriteHeader(http.StatusEarlyHints)
		h := w.Header()
		h.Del("Link")
		h["Content-Type"], h["Content-Encoding"], h["Warning"] = []string{"application/vnd.kubernetes.protobuf"}, []string{"gzip"}, []string{"1", "2"}
		h.Set("Trailer", "X-Sum")
		w.WriteHeader(299)
		_, _ = w.Write(packed.Bytes())
		h.Set("X-Sum", string(body))
	})
	req := request(t.Context(), "PUT", "/api/v1/namespaces/a/pods/p", "raw")
	req.Header["Accept"], req.Header["User-Agent"] = []string{"a/b", "c/d"}, []string{"kubectl/v1"}
	var hints []string
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error { hints = append(hints, fmt.Sprint(code, h)); return nil },
	}))
	resp, text := r.ask(t, req)
	if len(hints) != 1 || hints[0] != "103 map[Link:[</a>]]" {
		t.Errorf("on the way came %q", hints)
	}
	if resp.StatusCode != 299 || text != packed.String() || resp.Trailer.Get("X-Sum") != "raw" {
		t.Errorf("%s, %d bytes, trailer %q", resp.Status, len(text), resp.Trailer)
	}
	if fmt.Sprint(resp.Header["Warning"], resp.Header["Content-Encoding"]) != "[1 2] [gzip]" {
		t.Errorf("the answer's headers are %v", resp.Header)
	}
	if fmt.Sprint(seen["Accept"], seen["User-Agent"], seen["Accept-Encoding"]) != "[a/b c/d] [kubectl/v1] []" {
		t.Errorf("the API server saw %v", seen)
	}
}

// TestBothWaysAtOnce: an answer may begin before the request has ended.
func TestBothWaysAtOnce(t *testing.T) {
	r := newRig(t, Operate, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			fmt.Fprintln(w, "heard", lines.Text())
			_ = http.NewResponseController(w).Flush()
		}
	})
	body, say := io.Pipe()
	req := request(t.Context(), "POST", "/api/v1/namespaces/a/services/s/proxy/echo", "")
	req.Body, req.ContentLength, req.GetBody = body, -1, nil
	go fmt.Fprintln(say, "one")
	resp, err := r.way.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	heard := bufio.NewReader(resp.Body)
	for _, word := range []string{"one", "two"} {
		if got, err := heard.ReadString('\n'); err != nil || got != "heard "+word+"\n" {
			t.Fatalf("%q, %v", got, err)
		}
		if word == "one" {
			go func() { fmt.Fprintln(say, "two"); _ = say.Close() }()
		}
	}
}

// streaming serves a first line at once and then waits, telling when it was left.
func streaming(left chan<- struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "first")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		left <- struct{}{}
	}
}

// open begins a request and reads its first line.
func open(t testing.TB, r *rig, ctx context.Context, path string) *http.Response {
	t.Helper()
	resp, err := r.way.RoundTrip(request(ctx, "GET", path, ""))
	if err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("first\n"))
	if _, err := io.ReadFull(resp.Body, line); err != nil || string(line) != "first\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return resp
}

func TestCancelReachesTheAPIServer(t *testing.T) {
	left := make(chan struct{}, 1)
	r := newRig(t, Operate, streaming(left))
	for _, path := range []string{watchPath, listPath, "/api/v1/namespaces/a/pods/p/log?follow=1"} {
		ctx, cancel := context.WithCancel(t.Context())
		resp := open(t, r, ctx, path)
		cancel()
		within(t, time.Second, "the API server hears that "+path+" was given up", left)
		_ = resp.Body.Close()
	}
	resp := open(t, r, t.Context(), watchPath)
	r.agent.Close(nil) // the tunnel is lost
	within(t, time.Second, "the API server hears of a lost tunnel", left)
	_ = resp.Body.Close()
}

func TestACutAnswerLooksCut(t *testing.T) {
	r := newRig(t, Operate, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Length") != "" {
			w.Header().Set("Content-Length", "1000")
		}
		fmt.Fprint(w, "the first half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	for _, path := range []string{watchPath, listPath} {
		for _, length := range []string{"", "known"} {
			req := request(t.Context(), "GET", path, "")
			req.Header.Set("X-Length", length)
			resp, err := r.way.RoundTrip(req)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			if err == nil {
				t.Errorf("%s, length %s: the answer seems whole", path, length)
			}
		}
	}
}

// TestASlowReaderSlowsOnlyItself: beside a watch and a list that nobody reads, others are answered.
func TestASlowReaderSlowsOnlyItself(t *testing.T) {
	r := newRig(t, Operate, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "first")
		_ = http.NewResponseController(w).Flush()
		chunk := make([]byte, 64<<10)
		for r.URL.Query().Get("limit") == "" {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, path := range []string{watchPath, listPath} {
		defer open(t, r, ctx, path).Body.Close()
	}
	var slowest time.Duration
	for i := range 50 {
		began := time.Now()
		path := []string{watchPath + "&limit=1", listPath + "?limit=1"}[i%2]
		if _, text := r.ask(t, request(t.Context(), "GET", path, "")); text != "first\n" {
			t.Fatalf("%q", text)
		}
		slowest = max(slowest, time.Since(began))
	}
	if slowest > 5*time.Second { // of a machine that has much else to do; one that waits for the slow readers would never come
		t.Errorf("one answer took %s", slowest)
	}
}

// spliced serves an upgrade as an API server does: one that it refuses is answered as any request.
func spliced(left chan<- struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 || r.Header.Get("Upgrade") == "websocket" {
			http.Error(w, "unable to upgrade: "+r.Header.Get("Sec-Websocket-Protocol"), http.StatusForbidden)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer func() { _ = conn.Close(); left <- struct{}{} }()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nX-Stream-Protocol-Version: v4\r\n\r\n", r.Header.Get("Upgrade"))
		_ = rw.Flush()
		for {
			line, err := rw.ReadString('\n')
			if err != nil || line == "bye\n" {
				return
			}
			_, _ = rw.WriteString("\x00" + line)
			_ = rw.Flush()
		}
	}
}

// upgradeTo asks for an upgrade on a stream of its own.
func upgradeTo(t testing.TB, r *rig, protocol string) (*tunnel.Stream, *bufio.Reader, *http.Response) {
	t.Helper()
	s, err := r.hub.OpenStream(t.Context(), tunnel.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	req := request(t.Context(), "POST", "/api/v1/namespaces/a/pods/p/exec?command=sh", "")
	req.Body = nil
	req.Header["Connection"], req.Header["Upgrade"] = []string{"Upgrade"}, []string{protocol}
	req.Header["Sec-Websocket-Protocol"] = []string{"v5.channel.k8s.io"}
	if err := req.Write(s); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(s)
	resp, err := http.ReadResponse(in, req)
	if err != nil {
		t.Fatal(err)
	}
	return s, in, resp
}

func TestUpgrades(t *testing.T) {
	left := make(chan struct{}, 1)
	r := newRig(t, Operate, spliced(left))
	s, _, resp := upgradeTo(t, r, "websocket")
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != 403 || string(text) != "unable to upgrade: v5.channel.k8s.io\n" {
		t.Errorf("a refusal became %s %q", resp.Status, text)
	}
	_ = s.Close()
	s, in, resp := upgradeTo(t, r, "SPDY/3.1")
	if resp.StatusCode != 101 || resp.Header.Get("X-Stream-Protocol-Version") != "v4" || resp.Header.Get("Upgrade") != "SPDY/3.1" {
		t.Fatalf("%s %v", resp.Status, resp.Header)
	}
	for _, word := range []string{"\xff\x00\n", strings.Repeat("x", 100_000) + "\n"} {
		go func() { _, _ = io.WriteString(s, word) }()
		if got, err := in.ReadString('\n'); err != nil || got != "\x00"+word {
			t.Fatalf("%.20q, %v", got, err)
		}
	}
	_ = s.Close()
	within(t, time.Second, "the API server hears that the stream was closed", left)

	s, in, _ = upgradeTo(t, r, "SPDY/3.1")
	_, _ = io.WriteString(s, "last words\nbye\n")
	if got, err := io.ReadAll(in); err != nil || string(got) != "\x00last words\n" {
		t.Errorf("%q, %v", got, err)
	}
	_ = s.Close()
	<-left
}

// TestRunEnds: what lasts is cut at once, what is short has its moment, and then nothing is left.
func TestRunEnds(t *testing.T) {
	left := make(chan struct{}, 4)
	begun, finish := make(chan struct{}), make(chan struct{})
	r := newRig(t, Operate, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Upgrade") != "":
			spliced(left)(w, r)
		case r.URL.RawQuery != "":
			streaming(left)(w, r)
		default:
			close(begun)
			<-finish
			fmt.Fprint(w, "done")
		}
	})
	resp := open(t, r, t.Context(), watchPath)
	s, in, _ := upgradeTo(t, r, "SPDY/3.1")
	short := make(chan string, 1)
	go func() {
		defer close(short)
		_, text := r.ask(t, request(t.Context(), "PUT", "/api/v1/namespaces/a/pods/p", "x"))
		short <- text
	}()
	<-begun
	stopped := make(chan struct{})
	go func() { r.shut(); close(stopped) }()
	within(t, time.Second, "the watch was cut", left)
	within(t, time.Second, "the connection was cut", left)
	close(finish)
	if got := <-short; got != "done" {
		t.Errorf("what was short got %q", got)
	}
	within(t, 2*time.Second, "nothing is under way", stopped)
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the watch seems to have ended by itself")
	}
	_, _ = io.ReadAll(in)
	_ = s.Close()
	_ = resp.Body.Close()
}

// TestAThousandAbortedRequests leave neither streams nor, as goleak sees at the end, goroutines.
func TestAThousandAbortedRequests(t *testing.T) {
	left := make(chan struct{}, 1000)
	r := newRig(t, Operate, streaming(left))
	slots := make(chan struct{}, 32)
	for i := range 1000 {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithCancel(t.Context())
			path := []string{watchPath, listPath}[i%2]
			if i%3 == 0 {
				time.AfterFunc(time.Duration(i)*time.Microsecond, cancel) // wherever it has got to
			}
			resp, err := r.way.RoundTrip(request(ctx, "GET", path, ""))
			cancel()
			if err == nil {
				_ = resp.Body.Close()
			} else if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}()
	}
	for range cap(slots) {
		slots <- struct{}{}
	}
	deadline := time.Now().Add(10 * time.Second)
	for r.hub.Streams()+r.agent.Streams() > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d and %d streams are left", r.hub.Streams(), r.agent.Streams())
		}
		r.way.CloseIdleConnections() // a stream that was opened for a request that was given up waits for another
		time.Sleep(2 * time.Millisecond)
	}
}
