package fault

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestNearest(t *testing.T) {
	known := []string{"labelSelector", "fieldSelector", "kind", "limit", "namespace"}
	for word, want := range map[string]string{"kindd": "kind", "Kind": "kind", "labelselector": "labelSelector", "space": "namespace", "limits": "limit", "ikdn": "", "knid": "kind", "zzzzzz": "", "": ""} {
		if got := Nearest(word, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", word, got, want)
		}
	}
}

func TestCodeOfLooksThroughChains(t *testing.T) {
	inner := New(Conflict, "taken").After(time.Second)
	for err, want := range map[error]Code{
		inner:                                 Conflict,
		fmt.Errorf("while: %w", inner):        Conflict,
		Wrap(inner, NotFound, "outer wins"):   NotFound,
		errors.New("plain"):                   Internal,
		context.DeadlineExceeded:              Unavailable,
		fmt.Errorf("x: %w", context.Canceled): Unavailable,
	} {
		if got := CodeOf(err); got != want {
			t.Errorf("%v has code %s, want %s", err, got, want)
		}
	}
	if Is(nil, Internal) {
		t.Error("no error has a code")
	}
	if RetryAfter(fmt.Errorf("while: %w", inner)) != time.Second {
		t.Error("the time to come back is lost in a chain")
	}
}

// What isn't a fault may say anything; none of it leaves.
func TestPublicHidesWhatIsInternal(t *testing.T) {
	if got := Public(errors.New("password=hush")); got.Code != Internal || got.Message == "" || got.Error() != got.Message {
		t.Errorf("public: %v", got)
	}
	if got := Public(Wrap(errors.New("password=hush"), NotFound, "no such thing")); got.Message != "no such thing" {
		t.Errorf("public: %v", got.Message)
	}
	if !Retryable(context.Canceled) || Retryable(New(BadRequest, "no")) || !Retryable(New(TooManyRequests, "later")) {
		t.Error("what may be tried again isn't what it should be")
	}
}
