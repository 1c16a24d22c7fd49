package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// List is a list of T, or as much of it as was asked for.
type List[T any] struct {
	Meta
	Items    []Kept[T]       `json:"items"`
	Total    *Total          `json:"total,omitempty"`
	More     bool            `json:"more,omitempty"`     // of a search: there are others
	Shown    string          `json:"shown,omitempty"`    // of the audit record: everything, part or own
	Excluded json.RawMessage `json:"excluded,omitempty"` // of findings: what is never one
	Continue string          `json:"continue,omitempty"` // "" where this is all
}

// Reach is how much of a list is read: Limit in all, 0 for everything, by pages of Page. Told, unless it is nil, is told how many are read.
type Reach struct {
	Page, Limit int
	Told        func(read int, total *Total)
}

// walk reads page after page: each is asked for by how many it is to have and the token of the one before, and gives how many it has and the next token.
func (r Reach) walk(page func(limit, token string) (int, string, error)) error {
	read, token := 0, ""
	for {
		limit := r.Page
		if r.Limit != 0 {
			limit = min(r.Page, r.Limit-read)
		}
		n, next, err := page(strconv.Itoa(limit), token)
		read, token = read+n, next
		if err != nil || token == "" || r.Limit != 0 && read >= r.Limit {
			return err
		}
	}
}

// page asks for a page of what is at a path.
func (c *Client) page(ctx context.Context, path string, query url.Values, limit, token string, out any) error {
	query.Set("limit", limit)
	if token != "" {
		query.Set("continue", token)
	}
	return c.Get(ctx, path+"?"+query.Encode(), out)
}

// Listed reads a list page by page. All pages show the moment of the first.
func Listed[T any](ctx context.Context, c *Client, path string, query url.Values, r Reach) (*List[T], error) {
	var out List[T]
	err := r.walk(func(limit, token string) (int, string, error) {
		var page List[T]
		if err := c.page(ctx, path, query, limit, token, &page); err != nil {
			return 0, "", err
		}
		before := out
		out = page
		out.Items = append(before.Items, page.Items...)
		out.join(before.Meta)
		if r.Told != nil {
			r.Told(len(out.Items), out.Total)
		}
		return len(page.Items), page.Continue, nil
	})
	return &out, err
}

// Diff reads what differs, page by page.
func (c *Client) Diff(ctx context.Context, query url.Values, r Reach) (*Diff, error) {
	var out Diff
	err := r.walk(func(limit, token string) (int, string, error) {
		var page Diff
		if err := c.page(ctx, "/api/v1/topology/diff", query, limit, token, &page); err != nil {
			return 0, "", err
		}
		before := out
		out = page
		out.Nodes, out.Edges = append(before.Nodes, page.Nodes...), append(before.Edges, page.Edges...)
		out.join(before.Meta)
		return len(page.Nodes) + len(page.Edges), page.Continue, nil
	})
	return &out, err
}

// Health reads how resources fare; workloads come page by page.
func (c *Client) Health(ctx context.Context, query url.Values, r Reach) (*Health, error) {
	var out Health
	err := r.walk(func(limit, token string) (int, string, error) {
		var page Health
		if err := c.page(ctx, "/api/v1/health", query, limit, token, &page); err != nil {
			return 0, "", err
		}
		before := out
		out = page
		out.Workloads = append(before.Workloads, page.Workloads...)
		out.join(before.Meta)
		return len(page.Workloads), page.Continue, nil
	})
	return &out, err
}

// join adds the freshness of clusters that were in the pages before.
func (m *Meta) join(before Meta) {
	for id, f := range before.Freshness {
		if m.Freshness == nil {
			m.Freshness = map[string]Freshness{}
		}
		m.Freshness[id] = f
	}
}

// Fleet lists the visible clusters, by name, without numbers.
func (c *Client) Fleet(ctx context.Context) ([]Cluster, error) {
	var out struct {
		Items []Cluster `json:"items"`
	}
	err := c.Get(ctx, "/api/v1/clusters", &out)
	return out.Items, err
}

// Of is a path below a cluster; parts are escaped.
func Of(cluster string, parts ...string) string {
	path := "/api/v1/clusters/" + url.PathEscape(cluster)
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}

// Enroll makes a cluster, and what its agent needs. Conflict when the name is taken.
func (c *Client) Enroll(ctx context.Context, name string, labels map[string]string) (i Invited, err error) {
	in := struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels,omitempty"`
	}{name, labels}
	err = c.Do(ctx, http.MethodPost, "/api/v1/clusters", in, &i)
	return i, err
}

// Invite makes another join token for a cluster.
func (c *Client) Invite(ctx context.Context, cluster string) (i Invited, err error) {
	err = c.Do(ctx, http.MethodPost, Of(cluster, "join-tokens"), nil, &i)
	return i, err
}
