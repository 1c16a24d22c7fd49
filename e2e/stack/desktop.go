package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// DesktopOptions say how to start a desktop. Program, Dir and Kubeconfig are required.
type DesktopOptions struct {
	Program    string    // the hub's executable
	Dir        string    // its data directory
	Kubeconfig string    // one or several, as in $KUBECONFIG
	Log        io.Writer // gets its log; nobody if nil
	Args, Env  []string  // further ones
}

// Told is the line of JSON that a desktop prints.
type Told struct {
	URL     string `json:"url"`
	Port    int    `json:"port"`
	Token   string `json:"token"`
	Open    string `json:"open"`
	PID     int    `json:"pid"`
	Running bool   `json:"running"`
}

// Desktop is a running desktop.
type Desktop struct {
	*process
	Client
	Told Told
	Took time.Duration // from the start of the process until the line was there and the API answered
}

// StartDesktop starts a desktop, without a browser, and returns when its API answers.
func StartDesktop(ctx context.Context, o DesktopOptions) (*Desktop, error) {
	args := []string{"desktop", "--no-open", "--data-dir", o.Dir, "--log-level", "info", "--kubeconfig", o.Kubeconfig}
	said := &firstLine{done: make(chan struct{})}
	began := time.Now()
	p, err := launch("kubilitics-hub desktop", o.Log, said, o.Env, o.Program, append(args, o.Args...)...)
	if err != nil {
		return nil, err
	}
	d := &Desktop{process: p}
	select {
	case <-said.done:
	case <-p.done:
		return nil, fmt.Errorf("the desktop ended before it was ready (%v); its log ends:\n%s", p.err, p.Log())
	case <-ctx.Done():
		p.Kill()
		return nil, fmt.Errorf("the desktop isn't ready: %w; its log ends:\n%s", context.Cause(ctx), p.Log())
	}
	err = json.Unmarshal(said.text(), &d.Told)
	d.Client = Client{URL: d.Told.URL, Token: d.Told.Token, HTTP: &http.Client{Transport: &http.Transport{}}}
	if err == nil {
		_, err = d.Clusters(ctx)
	}
	if d.Took = time.Since(began); err != nil {
		p.Kill()
		return nil, fmt.Errorf("the desktop doesn't answer: %w; its log ends:\n%s", err, p.Log())
	}
	return d, nil
}

// Contact is how a desktop gets on with a cluster.
type Contact struct {
	State  string `json:"state"`
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// Contacted is a cluster as a desktop shows it.
type Contacted struct {
	Cluster
	Labels  map[string]string `json:"labels"`
	Contact Contact           `json:"contact"`
}

// Clusters lists them by name.
func (d *Desktop) Clusters(ctx context.Context) (map[string]Contacted, error) {
	var list struct{ Items []Contacted }
	if err := d.Get(ctx, "/api/v1/clusters", &list); err != nil {
		return nil, err
	}
	out := map[string]Contacted{}
	for _, c := range list.Items {
		out[c.Name] = c
	}
	return out, nil
}

// Await polls until check is content with the clusters.
func (d *Desktop) Await(ctx context.Context, what string, check func(map[string]Contacted) error) error {
	return d.await(ctx, what, func() error {
		all, err := d.Clusters(ctx)
		if err != nil {
			return err
		}
		return check(all)
	})
}

// Exited waits for the end of the process and gives its exit code.
func (d *Desktop) Exited(ctx context.Context) (int, error) {
	select {
	case <-d.done:
		return d.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("the desktop has not ended: %w", context.Cause(ctx))
	}
}

// firstLine keeps what is written up to the first line's end.
type firstLine struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	done chan struct{}
	full bool
}

func (f *firstLine) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.buf.Write(b)
	if !f.full && bytes.ContainsRune(f.buf.Bytes(), '\n') {
		f.full = true
		close(f.done)
	}
	return len(b), nil
}

func (f *firstLine) text() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	line, _, _ := bytes.Cut(f.buf.Bytes(), []byte("\n"))
	return bytes.Clone(line)
}
