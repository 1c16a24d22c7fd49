package kube

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

func TestStrip(t *testing.T) {
	h := http.Header{}
	for _, name := range []string{
		"Authorization", "authorization", "Proxy-Authorization", "Cookie", "Forwarded", "X-Real-Ip", "X-Forwarded-For", "X-FORWARDED-CLIENT-CERT", "Impersonate-User",
		"impersonate-group", "Impersonate-Uid", "Impersonate-Extra-scopes", "Impersonate_User", "X-Remote-User", "X_Remote-Extra-a", "Kubilitics-User", "kubilitics-request",
	} {
		h[name] = []string{"x"}
	}
	kept := []string{"Accept", "Authorization-Hint", "Content-Type", "Cookies", "Sec-Websocket-Protocol", "User-Agent", "X-Stream-Protocol-Version"}
	for _, name := range kept {
		h[name] = []string{"x"}
	}
	Strip(h)
	var left []string
	for name := range h {
		left = append(left, name)
	}
	slices.Sort(left)
	if !slices.Equal(left, kept) {
		t.Errorf("left are %q, want %q", left, kept)
	}
}

func TestCheckConnection(t *testing.T) {
	for value, ok := range map[string]bool{
		"": true, "keep-alive, Upgrade": true, "close": true,
		"close, Impersonate-User": false, "\tauthorization ,x": false, "Kubilitics-User": false, "x,X-Remote-Group": false,
	} {
		if err := CheckConnection(http.Header{"Connection": {"keep-alive", value}}); (err == nil) != ok || err != nil && !fault.Is(err, fault.BadRequest) {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestWriteStatus(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		header http.Header
		body   string
	}{
		{
			fault.Wrap(errors.New("a cause"), fault.TooManyRequests, "too many at a time").After(1500 * time.Millisecond), 429, http.Header{"Retry-After": {"2"}},
			`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too many at a time","reason":"TooManyRequests","details":{"retryAfterSeconds":2},"code":429}`,
		},
		{
			fault.New(fault.Unauthorized, "who is this?"), 401, http.Header{"Www-Authenticate": {"Bearer"}},
			`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"who is this?","reason":"Unauthorized","code":401}`,
		},
		{
			fault.New(fault.BadRequest, "no").WithField("replicas", "is less than 0"), 400, http.Header{},
			`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"no","reason":"BadRequest","details":{"causes":[{"reason":"FieldValueInvalid","message":"is less than 0","field":"replicas"}]},"code":400}`,
		},
		{
			errors.New("a secret of this process"), 500, http.Header{},
			`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"something failed here; the log has the details under this request's id","reason":"InternalError","code":500}`,
		},
	} {
		w := httptest.NewRecorder()
		WriteStatus(w, c.err)
		c.header.Set("Content-Type", "application/json")
		if w.Code != c.status || w.Body.String() != c.body+"\n" {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
		for name, want := range c.header {
			if !slices.Equal(w.Header()[name], want) || len(w.Header()) != len(c.header) {
				t.Errorf("%v: headers %v, want %v", c.err, w.Header(), c.header)
			}
		}
	}
}

func BenchmarkParse(b *testing.B) {
	r := line(b, "GET", "/api/v1/namespaces/default/pods/web-0", "Accept: application/json", "User-Agent: x", "Kubilitics-User: ann")
	for b.Loop() {
		if _, err := Parse(r); err != nil {
			b.Fatal(err)
		}
		_ = CheckConnection(r.Header)
		Strip(r.Header)
	}
}
