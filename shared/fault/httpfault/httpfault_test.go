package httpfault_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/httpfault"
)

func TestEveryCodeHasItsOwnStatus(t *testing.T) {
	codes := []fault.Code{
		fault.BadRequest, fault.Unauthorized, fault.Forbidden, fault.NotFound, fault.Conflict, fault.Gone,
		fault.TooManyRequests, fault.Unavailable, fault.Internal,
	}
	seen := map[int]fault.Code{}
	for _, c := range codes {
		s := httpfault.Status(c)
		if other, twice := seen[s]; twice {
			t.Errorf("%s and %s share status %d", c, other, s)
		}
		seen[s] = c
		if back := httpfault.Code(s); back != c {
			t.Errorf("%s became %d became %s", c, s, back)
		}
	}
}

func TestForeignStatuses(t *testing.T) {
	for status, want := range map[int]fault.Code{
		422: fault.BadRequest, 405: fault.BadRequest, 413: fault.BadRequest, 418: fault.BadRequest,
		412: fault.Conflict, 502: fault.Unavailable, 504: fault.Unavailable, 507: fault.Internal, 200: fault.Internal,
	} {
		if got := httpfault.Code(status); got != want {
			t.Errorf("%d is %s, want %s", status, got, want)
		}
	}
}

func TestWriteTellsWhatMayBeTold(t *testing.T) {
	w := httptest.NewRecorder()
	err := fault.Wrap(errors.New("pq: password is hunter2"), fault.TooManyRequests, "too many of them").
		WithField("limit", "is too high").After(1500 * time.Millisecond)
	httpfault.Write(w, "r-1", err)

	if w.Code != http.StatusTooManyRequests || w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get("Retry-After") != "2" {
		t.Errorf("status %d, header %v", w.Code, w.Header())
	}
	if strings.Contains(w.Body.String(), "hunter2") {
		t.Errorf("the cause leaked: %s", w.Body)
	}
	var doc map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc["code"] != "TOO_MANY_REQUESTS" || doc["message"] != "too many of them" || doc["requestId"] != "r-1" || doc["status"] != 429.0 {
		t.Errorf("document: %v", doc)
	}
	if f := doc["fields"].([]any)[0].(map[string]any); f["name"] != "limit" || f["reason"] != "is too high" {
		t.Errorf("fields: %v", doc["fields"])
	}
}

func TestUnknownErrorsAreHidden(t *testing.T) {
	p := httpfault.Of(errors.New("secret"), "")
	if p.Status != 500 || p.Code != fault.Internal || strings.Contains(p.Message, "secret") {
		t.Errorf("problem: %+v", p)
	}
	if c := httpfault.Of(fault.New(fault.Unauthorized, "who?"), "").Header().Get("WWW-Authenticate"); c != "Bearer" {
		t.Errorf("challenge %q", c)
	}
}
