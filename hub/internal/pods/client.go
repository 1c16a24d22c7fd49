package pods

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/httpfault"
)

// client speaks to one cluster's API for one caller.
type client struct{ http *http.Client }

const maxStatus = 64 << 10 // bytes of an error's document

// at is the address of what the segments lead to; each is escaped by itself.
func at(q url.Values, segments ...string) string {
	var path strings.Builder
	for _, s := range segments {
		path.WriteString("/" + url.PathEscape(s))
	}
	u := "http://cluster" + path.String()
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	return u
}

// core is the address of something in a namespace, of the group that has no name.
func core(namespace string, segments ...string) []string {
	return append([]string{"api", "v1", "namespaces", namespace}, segments...)
}

func api(group, version string, segments ...string) []string {
	return append([]string{"apis", group, version}, segments...)
}

// open is the answer's body, if the cluster says yes.
func (c client) open(ctx context.Context, q url.Values, segments ...string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at(q, segments...), nil)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the request can't be made")
	}
	req.Header.Set("Accept", "application/json, */*")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, broken(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, refusal(resp)
	}
	return resp.Body, nil
}

// get reads a document.
func (c client) get(ctx context.Context, out any, q url.Values, segments ...string) error {
	body, err := c.open(ctx, q, segments...)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(out); err != nil {
		return broken(ctx, err)
	}
	return nil
}

func broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fault.Wrap(err, fault.Unavailable, "the connection to the cluster broke")
}

// refusal is what an answer that says no says.
func refusal(resp *http.Response) *fault.Error {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxStatus)) // what there is of it
	var s metav1.Status
	if err := json.Unmarshal(raw, &s); err != nil || s.Message == "" {
		s.Message = strings.TrimSpace(string(raw))
		if s.Message == "" || len(s.Message) > 300 || strings.HasPrefix(s.Message, "<") {
			s.Message = "the cluster answers " + http.StatusText(resp.StatusCode)
		}
	}
	f := fault.New(codeOf(resp.StatusCode), "%s", s.Message)
	if s.Details != nil && s.Details.RetryAfterSeconds > 0 {
		f = f.After(time.Duration(s.Details.RetryAfterSeconds) * time.Second)
	}
	return f
}

// codeOf tells what the status of a cluster's API server means to who asked here. 401 isn't about them: the cluster doesn't know the agent.
func codeOf(status int) fault.Code {
	if status >= 400 && status < 500 && status != http.StatusUnauthorized {
		return httpfault.Code(status)
	}
	return fault.Unavailable
}
