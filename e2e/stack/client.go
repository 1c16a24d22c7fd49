package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// Client speaks to a hub's API.
type Client struct {
	URL   string
	Token string
	HTTP  *http.Client // http.DefaultClient if nil
}

func (c *Client) http() *http.Client {
	if c.HTTP == nil {
		return http.DefaultClient
	}
	return c.HTTP
}

// Cluster is a cluster as the API shows it, as far as it is used here.
type Cluster struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Version   string `json:"version"`
	Freshness struct {
		State     string    `json:"state"`
		Since     time.Time `json:"since"`
		LastHeard time.Time `json:"lastHeard"`
	} `json:"freshness"`
}

// Created is the answer to a new cluster.
type Created struct {
	ID      string `json:"id"`
	Token   string `json:"token"`
	Command string `json:"command"`
}

// Do sends a request with a JSON body, if body isn't nil, and reads the answer into out, if that isn't nil. A status of 400 and above is an error
// with the problem in it.
func (c *Client) Do(ctx context.Context, method, path string, body, out any) error {
	var payload io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(raw)
	}
	raw, err := c.send(ctx, method, path, payload)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("%s %s: %w in %.200s", method, path, err, raw)
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, path string, payload io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, payload)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http().Do(req)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 400 {
		return nil, &Problem{Status: resp.StatusCode, Body: string(raw), Path: path}
	}
	return raw, nil
}

// Problem is an answer that says no.
type Problem struct {
	Status int
	Path   string
	Body   string
}

func (p *Problem) Error() string { return fmt.Sprintf("%s: status %d: %s", p.Path, p.Status, p.Body) }

// Get reads a path into out.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	return c.Do(ctx, http.MethodGet, path, nil, out)
}

// Text reads what isn't JSON.
func (c *Client) Text(ctx context.Context, path string) (string, error) {
	raw, err := c.send(ctx, http.MethodGet, path, nil)
	return string(raw), err
}

// CreateCluster makes a cluster and its join token.
func (c *Client) CreateCluster(ctx context.Context, name string, labels map[string]string) (Created, error) {
	var out Created
	err := c.Do(ctx, http.MethodPost, "/api/v1/clusters", map[string]any{"name": name, "labels": labels}, &out)
	return out, err
}

// Cluster gets one.
func (c *Client) Cluster(ctx context.Context, id string) (Cluster, error) {
	var out struct{ Cluster Cluster }
	err := c.Get(ctx, "/api/v1/clusters/"+id, &out)
	return out.Cluster, err
}

// Frame is one message of a stream.
type Frame struct {
	Type     string    `json:"type"`
	ID       string    `json:"id"`
	Position int64     `json:"position"`
	More     bool      `json:"more"`
	At       time.Time `json:"at"`
	Cluster  string    `json:"cluster"`
	Op       string    `json:"op"`
	Code     string    `json:"code"`
	Message  string    `json:"message"`
	Node     *Resource `json:"node"`
	Edge     *struct {
		Source Resource `json:"source"`
		Target Resource `json:"target"`
		Type   string   `json:"type"`
		Rule   string   `json:"rule"`
	} `json:"edge"`
	About *Cluster `json:"about"`

	Raw []byte `json:"-"` // the message as it came
}

// Resource is a node as the API shows it.
type Resource struct {
	Cluster   string            `json:"cluster"`
	ID        string            `json:"id"`
	Group     string            `json:"group"`
	Kind      string            `json:"kind"`
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	UID       string            `json:"uid"`
	Presence  string            `json:"presence"`
	Health    string            `json:"health"`
	Status    string            `json:"status"`
	Labels    map[string]string `json:"labels"`
	Attrs     map[string]string `json:"attrs"`
}

// Stream is an open WebSocket.
type Stream struct{ conn *websocket.Conn }

// Stream opens one and subscribes to what the command says, for example {"type": "subscribe", "id": "all"}.
func (c *Client) Stream(ctx context.Context, command map[string]any) (*Stream, error) {
	conn, _, err := websocket.Dial(ctx, "ws"+c.URL[len("http"):]+"/ws/v1/stream", &websocket.DialOptions{
		HTTPClient: c.HTTP,
		HTTPHeader: http.Header{"Authorization": {"Bearer " + c.Token}},
	})
	if err != nil {
		return nil, fmt.Errorf("open the stream: %w", err)
	}
	conn.SetReadLimit(16 << 20)
	raw, err := json.Marshal(command)
	if err == nil {
		err = conn.Write(ctx, websocket.MessageText, raw)
	}
	if err != nil {
		_ = conn.CloseNow()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return &Stream{conn}, nil
}

// Next waits for a frame.
func (s *Stream) Next(ctx context.Context) (Frame, error) {
	var f Frame
	_, raw, err := s.conn.Read(ctx)
	if err != nil {
		return f, err
	}
	err = json.Unmarshal(raw, &f)
	f.Raw = raw
	return f, err
}

// Close ends the stream.
func (s *Stream) Close() { _ = s.conn.CloseNow() }
